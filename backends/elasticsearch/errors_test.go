package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func progressOf(asked, got, read bool) *progress {
	p := &progress{}
	p.asked.Store(asked)
	p.got.Store(got)
	p.read.Store(read)
	return p
}

func TestErrorsWithoutAReply(t *testing.T) {
	sent := progressOf(true, true, false)
	b := &Backend{}
	for _, test := range []struct {
		name  string
		err   error
		p     *progress
		write error
	}{
		{"dial", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, sent, model.ErrUnavailable},
		{"before a connection", errors.New("hunter2"), progressOf(true, false, false), model.ErrUnavailable},
		{"before the transport", errors.New("hunter2"), progressOf(false, false, false), model.ErrUnavailable},
		{"another transport", errors.New("hunter2"), progressOf(false, false, true), model.ErrUnknown},
		{"end", io.EOF, sent, model.ErrUnknown},
		{"cut", io.ErrUnexpectedEOF, sent, model.ErrUnknown},
		{"timeout", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, sent, model.ErrUnknown},
		{"broken pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, sent, model.ErrUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{b.writeError(t.Context(), test.p, test.err), test.write}, {b.readError(t.Context(), test.err), model.ErrUnavailable},
			} {
				drivertest.WantKind(t, got.err, got.want)
				if !errors.Is(got.err, test.err) || strings.Contains(got.err.Error(), "hunter2") {
					t.Errorf("%v does not unwrap to %v, or has its text", got.err, test.err)
				}
			}
		})
	}
}

func TestErrorsAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &Backend{}
	if err := b.writeError(ctx, &progress{}, context.Canceled); err != context.Canceled { //nolint:errorlint // that error alone
		t.Errorf("a write that was not sent: %v", err)
	}
	if err := b.readError(ctx, context.Canceled); err != context.Canceled { //nolint:errorlint // that error alone
		t.Errorf("a read: %v", err)
	}
	err := b.writeError(ctx, progressOf(true, true, false), io.EOF)
	drivertest.WantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("a write that was sent: %v", err)
	}
}

func TestReplyErrors(t *testing.T) {
	b := &Backend{name: "carts"}
	type test struct {
		status      int
		kind        string
		write, read error
	}
	tests := []test{
		{404, typeNoIndex, model.ErrUnavailable, model.ErrUnavailable},
		{413, "", model.ErrTooLarge, model.ErrTooLarge},
		{400, "new_exception", model.ErrUnavailable, model.ErrUnavailable},
		{401, "", model.ErrUnavailable, model.ErrUnavailable},
		{403, "", model.ErrUnavailable, model.ErrUnavailable},
		{429, "", model.ErrUnavailable, model.ErrUnavailable},
		{301, "", model.ErrUnknown, model.ErrUnavailable},
		{500, "new_exception", model.ErrUnknown, model.ErrUnavailable},
		{503, "unavailable_shards_exception", model.ErrUnknown, model.ErrUnavailable},
		{504, "", model.ErrUnknown, model.ErrUnavailable},
	}
	for kind := range refusals {
		tests = append(tests, test{503, kind, model.ErrUnavailable, model.ErrUnavailable})
	}
	for _, test := range tests {
		c := cause{Type: test.kind, Reason: "hunter2"}
		for write, want := range map[bool]error{true: test.write, false: test.read} {
			err := b.replyError(test.status, c, write)
			drivertest.WantKind(t, err, want)
			var native *ServerError
			if !errors.As(err, &native) || native.Status != test.status || native.Type != test.kind || native.Reason != "hunter2" || strings.Contains(native.Error(), "hunter2") {
				t.Errorf("%v does not unwrap to the server's error", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the server's text is in %v", err)
			}
		}
	}
}

func TestCauses(t *testing.T) {
	for body, want := range map[string]cause{
		`{"error":{"type":"a","reason":"b"},"status":400}`: {Type: "a", Reason: "b"}, `{"error":"no handler","status":405}`: {Type: "error"}, `{}`: {}, `nope`: {}, ``: {},
	} {
		if got := causeOf([]byte(body)); got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}

// TestNestedCauses has errors that a node passes on inside others: what they
// wrap decides, wherever the server puts it.
func TestNestedCauses(t *testing.T) {
	b := &Backend{name: "carts"}
	for name, test := range map[string]struct {
		status      int
		body        string
		write, read error
	}{
		"a remote rejection":   {500, `{"type":"remote_transport_exception","reason":"hunter2","caused_by":{"type":"es_rejected_execution_exception"}}`, model.ErrUnavailable, model.ErrUnavailable},
		"three deep":           {503, `{"type":"exception","caused_by":{"type":"execution_exception","caused_by":{"type":"circuit_breaking_exception"}}}`, model.ErrUnavailable, model.ErrUnavailable},
		"a root":               {500, `{"type":"exception","root_cause":[{"type":"exception"},{"type":"cluster_block_exception"}]}`, model.ErrUnavailable, model.ErrUnavailable},
		"a pipeline":           {500, `{"type":"fail_processor_exception","reason":"hunter2"}`, model.ErrUnavailable, model.ErrUnavailable},
		"a remote loss":        {500, `{"type":"remote_transport_exception","caused_by":{"type":"node_closed_exception"}}`, model.ErrUnknown, model.ErrUnavailable},
		"no wrapper":           {500, `{"type":"node_disconnected_exception","caused_by":{"type":"es_rejected_execution_exception"}}`, model.ErrUnknown, model.ErrUnavailable},
		"an unknown wrapper":   {500, `{"type":"new_exception","caused_by":{"type":"security_exception"}}`, model.ErrUnknown, model.ErrUnavailable},
		"an empty wrapper":     {500, `{"type":"exception","caused_by":null}`, model.ErrUnknown, model.ErrUnavailable},
		"a proxy's timeout":    {408, `{}`, model.ErrUnknown, model.ErrUnavailable},
		"a proxy's conflict":   {409, `{}`, model.ErrUnknown, model.ErrUnavailable},
		"a proxy's own status": {499, `{}`, model.ErrUnknown, model.ErrUnavailable},
		"a proxy's refusal":    {400, `{}`, model.ErrUnknown, model.ErrUnavailable},
	} {
		var item itemResult
		if err := json.Unmarshal([]byte(`{"error":`+test.body+`}`), &item); err != nil {
			t.Fatal(err)
		}
		for write, want := range map[bool]error{true: test.write, false: test.read} {
			err := b.replyError(test.status, *item.Error, write)
			if model.Kind(err) != want || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, a write %v: %v, want %v", name, write, err, want)
			}
		}
	}
}
