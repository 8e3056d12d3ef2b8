package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// patience bounds what a case waits for. A case that reaches it fails.
const patience = 30 * time.Second

// testCase is one of the suite. It returns what is wrong, or nil.
type testCase struct {
	name string
	run  func(*world) error
}

// all returns every case, in the order in which they run.
func all() []testCase { return append(append(answerCases(), streamCases()...), serviceCases()...) }

// Names returns the names of all cases, for Harness.Unsupported.
func Names() []string {
	var names []string
	for _, c := range all() {
		names = append(names, c.name)
	}
	return names
}

// Run runs every case as a subtest of t.
func Run(t *testing.T, h Harness) {
	t.Helper()
	cases := all()
	known := map[string]bool{}
	for _, c := range cases {
		known[c.name] = true
	}
	for name := range h.Unsupported {
		if !known[name] {
			t.Errorf("Harness.Unsupported names the case %q, which does not exist", name)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if reason := h.Unsupported[c.name]; reason != "" {
				t.Skip("not supported by the framework: " + reason)
			}
			if err := c.run(newWorld(t, h)); err != nil {
				t.Error(err)
			}
		})
	}
}

// world is what a case has: a store, and the means to start servers and clients.
type world struct {
	t   testing.TB
	h   Harness
	kit *sessiontest.Kit
	m   *sessionhttp.Middleware
	ctx context.Context // ends with the case's patience
}

var count = session.NewKey[int]("count")

func newWorld(t testing.TB, h Harness) *world {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w := &world{t: t, h: h, kit: sessiontest.New(t, nil), ctx: ctx}
	w.m = w.middleware(w.kit.Service, sessionhttp.Options{CookieName: "id"})
	return w
}

func (w *world) middleware(svc *session.Service, o sessionhttp.Options) *sessionhttp.Middleware {
	o.Insecure, o.Logger = true, slog.New(slog.DiscardHandler)
	m, err := sessionhttp.New(svc, &o)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// serve starts a server with the routes behind the world's middleware.
func (w *world) serve(routes ...Route) string {
	return w.serveApp(App{Wraps: []func(http.Handler) http.Handler{w.m.Wrap}, Routes: routes})
}

// serveApp returns the URL of a server with the App and the routes /next, which
// counts, and /count, which answers with the count.
func (w *world) serveApp(app App) string {
	app.Routes = append(app.Routes,
		Route{Path: "/next", Handle: func(e Exchange) error {
			n, err := next(e.Context())
			if err != nil {
				return err
			}
			return e.Text(http.StatusOK, fmt.Sprint(n))
		}},
		Route{Path: "/count", Handle: func(e Exchange) error {
			n, _, err := count.Get(e.Context())
			if err != nil {
				return err
			}
			return e.Text(http.StatusOK, fmt.Sprint(n))
		}})
	if w.h.Handler != nil {
		srv := httptest.NewUnstartedServer(w.h.Handler(w.t, app))
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // aborts
		srv.Start()
		w.t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
		return srv.URL
	}
	var lc net.ListenConfig
	l, err := lc.Listen(w.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.h.Serve(w.t, l, app)
	return "http://" + l.Addr().String()
}

// next adds one to the count and returns it.
func next(ctx context.Context) (int, error) {
	n := 0
	err := count.Update(ctx, func(v *int) error { *v++; n = *v; return nil })
	return n, err
}

// browser is a client with cookies, which does not follow redirects.
type browser struct {
	*http.Client
	w   *world
	url string
}

func (w *world) browser(url string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &browser{&http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, w, url}
}

// send sends a request with pairs of header names and values. The caller closes
// the answer's body.
func (b *browser) send(method, path string, body io.Reader, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(b.w.ctx, method, b.url+path, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.Do(r)
}

// answer is one that was read to its end.
type answer struct {
	*http.Response
	text string
}

func (b *browser) read(method, path string, body io.Reader, header ...string) (answer, error) {
	res, err := b.send(method, path, body, header...)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res, string(text)}, err
}

// visit returns an error unless the answer to a GET has the status and the text.
func (b *browser) visit(path string, status int, text string) error {
	a, err := b.read(http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return a.want(status, text)
}

func (a answer) want(status int, text string) error {
	if a.StatusCode != status || !strings.Contains(a.text, text) {
		return fmt.Errorf("%s answered %d %q, want %d and the text %q", a.Request.URL.Path, a.StatusCode, a.text, status, text)
	}
	return nil
}

// wantCookie returns an error unless the answer sets the number of cookies.
func wantCookie(res *http.Response, n int) error {
	if got := len(res.Cookies()); got != n {
		return fmt.Errorf("%s answered with %d cookies, want %d", res.Request.URL.Path, got, n)
	}
	return nil
}

// await returns an error if done does not close in time.
func (w *world) await(done <-chan struct{}, what string) error {
	select {
	case <-done:
		return nil
	case <-w.ctx.Done():
		return errors.New("this did not happen in time: " + what)
	}
}

// steps returns the first error of functions that run in order.
func steps(list ...func() error) error {
	for _, step := range list {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
