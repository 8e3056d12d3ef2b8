package mongo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	mongoerrors "go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// serverError returns an error of the server as the driver returns it.
func serverError(code int, labels ...string) error {
	return mongodriver.CommandError{Code: int32(code), Message: "secret", Labels: labels, Wrapped: mongoerrors.Error{Code: int32(code), Message: "secret"}}
}

// brokenConnection returns the error of a connection that broke during a
// command.
func brokenConnection(cause error, labels ...string) error {
	inner := mongoerrors.Error{Message: "secret", Labels: append([]string{labelNetwork}, labels...), Wrapped: topology.ConnectionError{Wrapped: cause}}
	return mongodriver.CommandError{Message: inner.Message, Labels: inner.Labels, Wrapped: inner}
}

// statementRefused returns the error of a statement with that code.
func statementRefused(code int) error {
	return mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{{Code: code, Message: "secret"}}}
}

// clearedError is like the driver's own, which has no exported name.
type clearedError struct{}

func (clearedError) Error() string   { return "connection pool was cleared because of secret" }
func (clearedError) Retryable() bool { return true }

func TestErrors(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dial := mongoerrors.Error{Labels: []string{labelOverloaded, "RetryableError", labelNetwork}, Wrapped: topology.ConnectionError{Wrapped: refused}}
	login := topology.ConnectionError{Wrapped: mongoerrors.Error{Code: 18, Message: "secret"}}
	greeting := topology.ConnectionError{Wrapped: mongoerrors.Error{Labels: []string{labelNetwork}, Wrapped: topology.ConnectionError{Wrapped: io.EOF}}}
	noMajority := &mongodriver.WriteConcernError{Code: 64, Message: "secret"}
	un, unknown := model.ErrUnavailable, model.ErrUnknown
	tests := []struct {
		name        string
		err         error
		write, read error
	}{
		{"no permission", serverError(13), un, un},
		{"no such command", serverError(59), un, un},
		{"a view", serverError(166), un, un},
		{"a statement without permission", statementRefused(13), un, un},
		{"a validator", statementRefused(121), un, un},
		{"over the server's limit", statementRefused(10334), model.ErrTooLarge, un},
		{"an update over the limit", serverError(17419), model.ErrTooLarge, un},
		{"an update over the limit, in a statement", statementRefused(17420), model.ErrTooLarge, un},
		{"a document that the driver does not send", mongoerrors.ErrDocumentTooLarge, model.ErrTooLarge, un},
		{"another form of a duplicate", statementRefused(11001), un, un},
		{"a shard without a primary", serverError(133), un, un},
		{"a rate limit", statementRefused(16500), un, un},
		{"a rate limit in a batch", mongodriver.BulkWriteException{WriteErrors: []mongodriver.BulkWriteError{{WriteError: mongodriver.WriteError{Code: 16500, Message: "secret"}}}}, un, un},
		{"a refusal and no majority", mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{{Code: 121, Message: "secret"}}, WriteConcernError: noMajority}, unknown, un},
		{"another unique index", statementRefused(11000), un, un},
		{"no primary, not retried", serverError(10107), un, un},
		{"no primary, may be retried", serverError(10107, labelRetryable), unknown, un},
		{"no primary, nothing written", serverError(10107, labelRetryable, labelNoWrites), un, un},
		{"stepped down", serverError(189, labelRetryable), unknown, un},
		{"interrupted", serverError(11601), unknown, un},
		{"an unknown code", serverError(99_999), unknown, un},
		{"a statement with an unknown code", statementRefused(99_999), unknown, un},
		{"no majority", mongodriver.WriteException{WriteConcernError: noMajority}, unknown, un},
		{"no majority for a batch", mongodriver.BulkWriteException{WriteConcernError: noMajority}, unknown, un},
		{"no server", topology.ServerSelectionError{Wrapped: errors.New("server selection timeout")}, un, un},
		{"no connection", topology.WaitQueueTimeoutError{Wrapped: context.DeadlineExceeded}, un, un},
		{"a pool cleared while it waited", clearedError{}, un, un},
		{"a cleared pool", mongodriver.CommandError{Labels: []string{"TransientTransactionError"}, Wrapped: mongoerrors.Error{Wrapped: clearedError{}}}, un, un},
		{"disconnected", mongodriver.ErrClientDisconnected, un, un},
		{"server closed", topology.ErrServerClosed, un, un},
		{"dial", mongodriver.CommandError{Labels: dial.Labels, Wrapped: dial}, un, un},
		{"credentials", mongodriver.CommandError{Code: 18, Message: "secret", Wrapped: login}, un, un},
		{"broken handshake", mongodriver.CommandError{Labels: []string{labelNetwork}, Wrapped: greeting}, un, un},
		{"name lookup", topology.ConnectionError{Wrapped: &net.DNSError{Name: "secret"}}, un, un},
		{"closed connection", brokenConnection(io.EOF), unknown, un},
		{"closed connection, retried", brokenConnection(io.EOF, labelRetryable), unknown, un},
		{"timeout", brokenConnection(os.ErrDeadlineExceeded), unknown, un},
		{"a malformed message", errors.New("malformed wire message: secret"), unknown, un},
		{"wrapped", fmt.Errorf("a wrapper: %w", serverError(13)), un, un},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{writeError(t.Context(), test.err), test.write}, {readError(t.Context(), test.err), test.read},
			} {
				drivertest.WantKind(t, got.err, got.want)
				if !wraps(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's error", got.err)
				}
				if strings.Contains(got.err.Error(), "secret") {
					t.Errorf("%v has the server's text", got.err)
				}
			}
		})
	}
}

// wraps is errors.Is for causes that are not comparable.
func wraps(err, cause error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if wraps(e, cause) {
				return true
			}
		}
		return false
	}
	return fmt.Sprintf("%T %v", err, err) == fmt.Sprintf("%T %v", cause, cause) || errors.Unwrap(err) != nil && wraps(errors.Unwrap(err), cause)
}

func TestErrorsOfEndedContexts(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	alone := func(name string, got error) {
		t.Helper()
		if !errors.Is(got, context.Canceled) || model.Kind(got) != nil {
			t.Errorf("%s: %v, want %v alone", name, got, context.Canceled)
		}
	}
	for name, err := range map[string]error{
		"server selection":         topology.ServerSelectionError{Wrapped: context.Canceled},
		"waiting for a connection": topology.WaitQueueTimeoutError{Wrapped: context.Canceled},
	} {
		alone(name, writeError(canceled, err))
		alone(name+", a read", readError(canceled, err))
	}
	alone("a read", readError(canceled, context.Canceled))
	// A write that the driver did not send now may have been sent before.
	for _, test := range []struct {
		ctx       context.Context
		err, want error
	}{
		{canceled, brokenConnection(context.Canceled), context.Canceled},
		{canceled, context.Canceled, context.Canceled},
		{past, brokenConnection(os.ErrDeadlineExceeded), context.DeadlineExceeded},
	} {
		err := writeError(test.ctx, test.err)
		drivertest.WantKind(t, err, model.ErrUnknown)
		if !errors.Is(err, test.want) {
			t.Errorf("a write with %v: %v, want also %v", test.err, err, test.want)
		}
	}
}

func TestIDExists(t *testing.T) {
	duplicate := func(text string) error {
		return mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{{Code: 11000, Message: text}}}
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{duplicate(`E11000 duplicate key error collection: d.c index: _id_ dup key: { _id: "a" }`), true},
		{duplicate(`E11000 duplicate key error collection: d.c index: own dup key: { x: "a" }`), false},
		{duplicate(`E11000 duplicate key error collection: d.c index: own dup key: { lab.mail: "x index: _id_ y" }`), false},
		{duplicate("the text of another server"), true},
		{nil, false},
		{io.EOF, false},
		{serverError(13), false},
	} {
		if got := idExists(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}

// reply answers one command. A nil document closes the connection.
type reply func(name string, body bson.Raw) bson.D

// openFake returns a backend on a server that answers the handshake, and each
// command with reply. It stands for servers in states that no test can cause.
// The backend takes its collection for found unless find is set.
func openFake(t testing.TB, find bool, opts *Options, change func(*options.ClientOptions), reply reply) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				serveFake(c, l.Addr().String(), reply)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		running.Wait()
	})
	o := options.Client().ApplyURI("mongodb://" + l.Addr().String() + "/?directConnection=true").SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1))
	if change != nil {
		change(o)
	}
	b := newBackend(t, connect(t, o).Database("d"), "c", opts)
	b.found.Store(!find)
	return b
}

func serveFake(c net.Conn, addr string, reply reply) {
	in := bufio.NewReader(c)
	for {
		raw, err := readMessage(in)
		if err != nil || command(raw) == nil {
			return
		}
		body := command(raw)
		name := body.Index(0).Key()
		body = withSequence(raw, body)
		answer := bson.D{
			{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000},
			{Key: "setName", Value: "rs"}, {Key: "hosts", Value: bson.A{addr}}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
		}
		if db, _ := body.Lookup("$db").StringValueOK(); name == "hello" && db == "d" { // of a check, not of the driver
			if own := reply(name, body); own != nil {
				answer = own
			}
		} else if name != "hello" && name != "endSessions" {
			if answer = reply(name, body); answer == nil {
				return
			}
		}
		doc, err := bson.Marshal(answer)
		if err != nil {
			return
		}
		out := make([]byte, 21, 21+len(doc))
		binary.LittleEndian.PutUint32(out, uint32(cap(out)))
		copy(out[8:], raw[4:8]) // the request's number
		binary.LittleEndian.PutUint32(out[12:], opMsg)
		if _, err := c.Write(append(out, doc...)); err != nil {
			return
		}
	}
}

// withSequence returns the body of a command with the documents that follow it in
// the message, such as the statements of an update, as a field of its own.
func withSequence(raw []byte, body bson.Raw) bson.Raw {
	rest := raw[21+len(body):]
	if len(rest) < 5 || rest[0] != 1 {
		return body
	}
	name, docs, _ := strings.Cut(string(rest[5:binary.LittleEndian.Uint32(rest[1:])+1]), "\x00")
	var array bson.A
	for docs != "" {
		n := binary.LittleEndian.Uint32([]byte(docs))
		array, docs = append(array, bson.Raw(docs[:n])), docs[n:]
	}
	var all bson.D
	if bson.Unmarshal(body, &all) != nil {
		return body
	}
	both, err := bson.Marshal(append(all, bson.E{Key: name, Value: array}))
	if err != nil {
		return body
	}
	return both
}

// refusal returns the answer with that code and those error labels.
func refusal(code int, labels ...string) bson.D {
	d := bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: "secret"}, {Key: "errmsg", Value: "secret"}}
	if labels != nil {
		d = append(d, bson.E{Key: "errorLabels", Value: labels})
	}
	return d
}

// found returns the answer with those documents.
func found(docs ...any) bson.D {
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
		{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: append(bson.A{}, docs...)},
	}}}
}

// TestRefusals has a server that gives every command the same answer.
func TestRefusals(t *testing.T) {
	un, unknown := model.ErrUnavailable, model.ErrUnknown
	tests := []struct {
		name        string
		reply       bson.D
		write, read error
	}{
		{"a read-only role", refusal(13), un, un},
		{"Atlas refuses", refusal(8000), un, un},
		{"no primary, before anything", refusal(10107, labelRetryable, labelNoWrites), un, un},
		{"no primary, after a retry", refusal(10107, labelRetryable), unknown, un},
		{"stepped down under way", refusal(189, labelRetryable), unknown, un},
		{"shut down under way", refusal(11600, labelRetryable), unknown, un},
		{"out of time", refusal(50), unknown, un},
		{"a router lost its shard", refusal(6), unknown, un},
		{"an unknown code", refusal(99_999), unknown, un},
		{"over the limit", refusal(10334), model.ErrTooLarge, un},
		{"a closed connection", nil, unknown, un},
		{"no majority", bson.D{
			{Key: "ok", Value: 1}, {Key: "n", Value: 1}, {Key: "nModified", Value: 1},
			{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "secret"}}},
		}, unknown, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // the driver waits before it asks again a server that is not the primary
			b := openFake(t, false, nil, nil, func(string, bson.Raw) bson.D { return test.reply })
			base := drivertest.Record("id", "ann", time.Hour)
			calls := drivertest.Pick(t, drivertest.Writes(base), "create", "clear", "delete")
			calls = append(calls, drivertest.Call{Name: "write many", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
				return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: base, Cond: driver.IfAbsent}}})[0].Err
			}})
			wants := []error{test.write, test.write, test.write, test.write}
			if test.read != nil {
				calls = append(calls, drivertest.Pick(t, drivertest.Reads(), "get", "page")...)
				wants = append(wants, test.read, test.read)
			}
			for i, c := range calls {
				err := c.Do(t.Context(), b)
				if model.Kind(err) != wants[i] || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v, want %v without the server's text", c.Name, err, wants[i])
				}
			}
		})
	}
}

// TestSweepErrors has statements of a sweep's delete fail in different ways:
// an unknown outcome takes precedence over a refusal.
func TestSweepErrors(t *testing.T) {
	statement := func(index, code int) bson.D {
		return bson.D{{Key: "index", Value: index}, {Key: "code", Value: code}, {Key: "errmsg", Value: "secret"}}
	}
	for _, test := range []struct {
		name   string
		errors bson.A
		want   error
		swept  driver.Swept
	}{
		{"refused", bson.A{statement(0, codeUnauthorized)}, model.ErrUnavailable, driver.Swept{Removed: 2}},
		{"refused and unknown", bson.A{statement(0, codeUnauthorized), statement(2, 6)}, model.ErrUnknown, driver.Swept{Removed: 1, Unknown: 1}},
	} {
		b := openFake(t, false, nil, nil, func(name string, _ bson.Raw) bson.D {
			if name == "find" {
				var docs []any
				for i := range 3 {
					r := drivertest.Expired(fmt.Sprint(i), "")
					doc, _ := labelled().document(&r)
					docs = append(docs, doc)
				}
				return found(docs...)
			}
			return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 3 - len(test.errors)}, {Key: "writeErrors", Value: test.errors}}
		})
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10})
		if model.Kind(err) != test.want || swept != test.swept {
			t.Errorf("%s: swept %+v, %v; want %+v and %v", test.name, swept, err, test.swept, test.want)
		}
	}
}

// TestReadOnlyRole may read records, but neither write nor list collections.
func TestReadOnlyRole(t *testing.T) {
	base := drivertest.Record("id", "ann", time.Hour)
	doc, _ := labelled("principal").document(&base)
	b := openFake(t, true, nil, nil, func(name string, _ bson.Raw) bson.D {
		if name == "find" {
			return found(doc)
		}
		return refusal(codeUnauthorized)
	})
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
	err := upsert(t.Context(), b, base)
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "permission") {
		t.Errorf("%v does not name the permission", err)
	}
}

// TestWrongCredentials fails before a command is sent.
func TestWrongCredentials(t *testing.T) {
	sent := false
	b := openFake(t, false, nil, func(o *options.ClientOptions) {
		o.SetAuth(options.Credential{Username: "ann", Password: "hunter2", AuthMechanism: "SCRAM-SHA-256"})
	}, func(name string, _ bson.Raw) bson.D {
		sent = sent || name == "update"
		return refusal(18)
	})
	err := upsert(t.Context(), b, drivertest.Record("id", "", 0))
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if sent || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("%v, sent: %v", err, sent)
	}
}

// TestUnsupportedIndexes has a server without partial indexes and without
// indexes that expire documents: CreateStorage creates plain ones and warns.
func TestUnsupportedIndexes(t *testing.T) {
	for _, code := range unsupportedCodes {
		var created []string
		var log bytes.Buffer
		s := smallServer{missing: true, other: func(name string, body bson.Raw) bson.D {
			if name != "createIndexes" {
				return nil
			}
			index := body.Lookup("indexes").Array().Index(0).Document()
			if !index.Lookup("expireAfterSeconds").IsZero() || !index.Lookup("partialFilterExpression").IsZero() {
				return refusal(code)
			}
			created = append(created, index.Lookup("name").StringValue())
			return bson.D{{Key: "ok", Value: 1}}
		}}
		b := openFake(t, true, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil, s.reply)
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(created, []string{labelIndex("principal"), expiryIndex}) || !strings.Contains(log.String(), "Sweeper") {
			t.Errorf("code %d: created %q, logged %q", code, created, log.String())
		}
	}
}

// TestUnsuitableCollections has collections that cannot hold records.
func TestUnsuitableCollections(t *testing.T) {
	spec := func(kind string, options bson.D) bson.D {
		return bson.D{{Key: "name", Value: "c"}, {Key: "type", Value: kind}, {Key: "options", Value: options}}
	}
	for why, spec := range map[string]bson.D{
		"view":      spec("view", bson.D{}),
		"collation": spec("collection", bson.D{{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}}}}),
		"capped":    spec("collection", bson.D{{Key: "capped", Value: true}}),
	} {
		b := openFake(t, true, nil, nil, func(string, bson.Raw) bson.D { return found(spec) })
		_, get := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		for call, got := range map[string]struct{ err, want error }{
			"get": {get, model.ErrUnavailable}, "create storage": {b.CreateStorage(t.Context()), model.ErrCorrupt},
			"delete storage": {b.DeleteStorage(t.Context()), model.ErrCorrupt},
		} {
			if model.Kind(got.err) != got.want || !strings.Contains(got.err.Error(), why) {
				t.Errorf("%s: %s: %v, want %v with the reason", why, call, got.err, got.want)
			}
		}
	}
}
