package elasticsearch

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// clientFunc is a client of a program's own.
type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Perform(r *http.Request) (*http.Response, error) { return f(r) }

// answer returns an answer of Elasticsearch.
func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// get reads a record.
func get(b driver.ModelExpirySupport) func(*testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		return err
	}
}

// opening opens a URL.
func opening(rawURL string) func(*testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		b, err := backends.Open(t.Context(), rawURL)
		if err == nil {
			_ = b.Close()
		}
		return err
	}
}

// reading opens a URL and reads a record.
func reading(rawURL string) func(*testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }()
		return get(b)(t)
	}
}

// TestMessages has the messages of URLs that cannot be opened, and of servers
// that are down or refuse. Each says what is wrong, why, and what to do, and none
// has the password.
func TestMessages(t *testing.T) {
	clearEnvironment(t)
	handler := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	plain := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	secure := httptest.NewUnstartedServer(handler(200, "{}"))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	tls := secure.Listener.Addr().String()
	const user = "ann:hunter2@"
	for name, test := range map[string]struct {
		do    func(*testing.T) error
		kind  error
		words []string
	}{
		"no host":              {opening("elasticsearch:///carts"), model.ErrInvalid, []string{"no host", "the form is"}},
		"no slashes":           {opening("elasticsearch:carts"), model.ErrInvalid, []string{"no host", "the form is"}},
		"a user alone":         {opening("elasticsearch://ann@h/carts"), model.ErrInvalid, []string{"has no password", "api_key"}},
		"a password alone":     {opening("elasticsearch://:hunter2@h/carts"), model.ErrInvalid, []string{"no user"}},
		"a user and a key":     {opening("elasticsearch://" + user + "h?api_key=hunter2"), model.ErrInvalid, []string{"both a user and api_key"}},
		"a port too high":      {opening("elasticsearch://" + user + "h:99999/carts"), model.ErrInvalid, []string{"1 to 65535"}},
		"a path of two":        {opening("elasticsearch://" + user + "h/hunter2/b"), model.ErrInvalid, []string{"index name", "a-z 0-9"}},
		"capitals":             {opening("elasticsearch://" + user + "h/Carts"), model.ErrInvalid, []string{"index name", "a-z 0-9"}},
		"an unknown parameter": {opening("elasticsearch://" + user + "h/carts?nam=x"), model.ErrInvalid, []string{`"nam"`, "labels"}},
		"a bad duration":       {opening("elasticsearch://" + user + "h/carts?request_timeout=1x"), model.ErrInvalid, []string{"request_timeout", "90s"}},
		"many shards":          {opening("elasticsearch://" + user + "h/carts?shards=9999"), model.ErrInvalid, []string{"Options.Shards", "1024"}},
		"no server":            {reading("elasticsearch://" + user + strings.TrimPrefix(freeAddress(t), "http://") + "/carts"), model.ErrUnavailable, []string{"cannot connect: 127.0.0.1:", "refuses connections", "that the server runs there"}},
		"no such host":         {reading("elasticsearch://" + user + "no-such-host.invalid/carts"), model.ErrUnavailable, []string{"no-such-host.invalid", "check its name"}},
		"TLS to a plain port":  {reading("elasticsearch+https://" + user + plain(handler(200, "{}")) + "/carts"), model.ErrUnavailable, []string{"does not speak TLS", "the scheme without TLS"}},
		"an unknown authority": {reading("elasticsearch+https://" + user + tls + "/carts"), model.ErrUnavailable, []string{"certificate", "not trusted"}},
		"plain to a TLS port":  {reading("elasticsearch://" + user + tls + "/carts"), model.ErrUnavailable, []string{"400"}},
		"another product":      {reading("elasticsearch://" + user + plain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })) + "/carts"), model.ErrUnavailable, []string{"X-Elastic-Product", "OpenSearch", "give the address"}},
		"wrong credentials":    {reading("elasticsearch://" + user + plain(handler(401, `{"error":{"type":"security_exception","reason":"unable to authenticate user [hunter2]"},"status":401}`)) + "/carts"), model.ErrUnavailable, []string{"security_exception", "privilege", "roles"}},
		"no privilege": {reading("elasticsearch://" + user + plain(handler(403, `{"error":{"type":"security_exception","reason":"action [indices:data/read/mget[s]] is unauthorized for user [hunter2]"},"status":403}`)) + "/carts"),
			model.ErrUnavailable, []string{"indices:data/read/mget", "roles"}},
		"no index": {reading("elasticsearch://" + user + plain(handler(404, `{"error":{"type":"index_not_found_exception","reason":"no such index [carts]"},"status":404}`)) + "/carts"), model.ErrUnavailable, []string{"carts", "CreateStorage"}},
		"out of disk": {reading("elasticsearch://" + user + plain(handler(429, `{"error":{"type":"cluster_block_exception","reason":"index [carts] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"},"status":429}`)) + "/carts"),
			model.ErrUnavailable, []string{"flood-stage watermark"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.do(t)
			drivertest.WantKind(t, err, test.kind)
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v\nlacks %q", err, word)
				}
			}
			if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "ann:") {
				t.Errorf("%v has the password", err)
			}
		})
	}
}

// TestWhatNoServerSigned has answers below 500 without a type. Proxies give them
// to requests that they have passed on: HAProxy 408, nginx 499, Amazon's load
// balancer 460, and gateways an error that is a text. A write may have been
// applied. The other statuses are refusals by HTTP's own meaning.
func TestWhatNoServerSigned(t *testing.T) {
	for status, want := range map[int]error{
		400: model.ErrUnknown, 404: model.ErrUnknown, 408: model.ErrUnknown, 409: model.ErrUnknown, 421: model.ErrUnknown, 425: model.ErrUnknown, 460: model.ErrUnknown, 499: model.ErrUnknown,
		401: model.ErrUnavailable, 403: model.ErrUnavailable, 407: model.ErrUnavailable, 413: model.ErrTooLarge, 429: model.ErrUnavailable,
	} {
		for _, body := range []string{"", "<html>", "{}", `{"error":"timeout"}`} {
			b, got := fake(t, canned{status, body})
			err := create(t, b)
			drivertest.WantKind(t, err, want)
			if got.Load() != 1 || strings.Contains(err.Error(), "timeout") {
				t.Errorf("%d: %v after %d requests", status, err, got.Load())
			}
			signed, _ := fake(t, canned{status, `{"error":{"type":"new_exception","reason":"hunter2"},"status":400}`})
			if err := create(t, signed); status != 413 && (model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%d with a type: %v, want %v", status, err, model.ErrUnavailable)
			}
		}
	}
}

// TestReasons has reasons that the server gives. A reason that may quote a record is
// not in the text.
func TestReasons(t *testing.T) {
	b := &Backend{name: "carts"}
	for reason, shown := range map[string]string{
		"pipeline with id [theirs] does not exist":                                              "pipeline with id [theirs] does not exist",
		"pipeline with id [a] does not exist hunter2":                                           "pipeline with id [a] does not exist",
		"failed to parse field [value]: hunter2":                                                "",
		"hunter2 pipeline with id [theirs] does not exist":                                      "",
		"rejected execution of hunter2":                                                         "",
		"action [indices:data/write/bulk[s]] is unauthorized for user [hunter2] with roles [x]": "action [indices:data/write/bulk[s]] is unauthorized",
		"[parent] Data too large, data for [<http_request>] would be [1026005142/978.4mb], which is larger than the limit of [1020054732/972.7mb], real usage: hunter2": "[parent] Data too large",
		"index [carts@0] blocked by: [FORBIDDEN/8/index write (api)];":                                                                    "index write (api)",
		"Validation Failed: 1: this action would add [2] shards, but this cluster currently has [999]/[1000] maximum normal shards open;": "maximum normal shards open",
	} {
		for _, c := range []cause{{Type: "illegal_argument_exception", Reason: reason}, {Type: "exception", Reason: "hunter2", inner: typeBreaker, innerReason: reason}} {
			text := b.replyError(400, c, true).Error()
			if strings.Contains(text, "hunter2") || !strings.Contains(text, shown) || (shown == "") != !strings.Contains(text, " (") {
				t.Errorf("%q: %s", reason, text)
			}
		}
	}
}

// TestMissingPipeline has an index whose default pipeline does not exist. The
// message of a write names it, as CreateStorage does.
func TestMissingPipeline(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	request(t, b.client, http.MethodPut, "/"+b.name+"/_settings", `{"index.default_pipeline":"theirs"}`)
	err := create(t, b)
	drivertest.WantKind(t, err, model.ErrUnavailable)
	for _, err := range []error{err, b.CreateStorage(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "theirs") {
			t.Errorf("%v does not name the pipeline", err)
		}
	}
}

// TestClientThatIgnoresContexts has a client of a program's own that ignores the
// request's context, as one that waits for a token. Each call ends with its
// context (rule R94). A write that the client has may be sent later.
func TestClientThatIgnoresContexts(t *testing.T) {
	release := make(chan struct{})
	called := make(chan struct{}, 2)
	b := newBackend(t, clientFunc(func(*http.Request) (*http.Response, error) {
		called <- struct{}{}
		<-release
		return nil, errors.New("hunter2")
	}), "carts", nil)
	t.Cleanup(func() { close(release) })
	for want, do := range map[error]func(context.Context) error{
		nil: func(ctx context.Context) error {
			_, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
			return err
		},
		model.ErrUnknown: func(ctx context.Context) error {
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAny})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- do(ctx) }()
		<-called
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || model.Kind(err) != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %v and %v", err, context.Canceled, want)
		}
	}
}

// TestRequestTimeout has a server that does not answer, and calls without a
// deadline: the limit of a request ends them, in the bubble's own time.
func TestRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := clientFunc(func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		for limit, want := range map[time.Duration]string{0: "1m0s", 3 * time.Second: "3s"} {
			b := newBackend(t, stuck, "carts", &Options{RequestTimeout: limit})
			_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			drivertest.WantKind(t, err, model.ErrUnavailable)
			lost := create(t, b)
			drivertest.WantKind(t, lost, model.ErrUnknown)
			for _, err := range []error{err, lost} {
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want+", the limit of Options.RequestTimeout") {
					t.Errorf("%v does not name the limit %s", err, want)
				}
			}
		}
	})
}

// TestClientThatPanics has a client with a mistake of its own: the call fails, and
// the program goes on.
func TestClientThatPanics(t *testing.T) {
	b := newBackend(t, clientFunc(func(*http.Request) (*http.Response, error) { panic("hunter2") }), "carts", nil)
	err := get(b)(t)
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
