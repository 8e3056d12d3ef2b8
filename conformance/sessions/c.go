package sessions

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// The policy of the cases, by default.
const (
	idle     = 30 * time.Minute
	absolute = 24 * time.Hour
	touch    = 3 * time.Minute
	rotate   = time.Hour
	overlap  = 30 * time.Second
)

// The keys of the cases.
var (
	text  = session.NewKey[string]("text")
	other = session.NewKey[string]("other")
	count = session.NewKey[int]("count")
)

// C is what a case works with: a store of its own, a clock that moves when
// told, a service, and assertions that stop the case.
type C struct {
	testing.TB
	h     conformance.Harness
	store string
	clock *sessiontest.Clock
	b     *sessiontest.Backend
	svc   *session.Service
	log   *logBuffer
}

func newC(t testing.TB, h conformance.Harness) *C {
	c := &C{TB: t, h: h, store: freshName(), log: &logBuffer{}}
	// A day ahead, so that no server's own expiry meddles.
	c.clock = sessiontest.NewClock(time.Now().Add(24 * time.Hour))
	c.b, c.svc = c.node()
	return c
}

func freshName() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return "s" + hex.EncodeToString(b[:])
}

// node opens another service on the case's store, as another process would.
func (c *C) node() (*sessiontest.Backend, *session.Service) {
	c.Helper()
	return c.nodeWith(session.Options{})
}

// nodeWith is node with those options beside the case's clock and log.
func (c *C) nodeWith(o session.Options) (*sessiontest.Backend, *session.Service) {
	c.Helper()
	raw := c.h.Open(c.TB, c.store)
	if raw == nil {
		c.Fatal("Harness.Open returned nil")
	}
	b := sessiontest.Wrap(raw)
	if err := b.CreateStorage(c.Context()); err != nil {
		c.Fatalf("CreateStorage: %v", err)
	}
	c.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), time.Minute)
		defer cancel()
		_ = b.DeleteStorage(ctx)
		_ = b.Close()
	})
	o.Clock, o.Logger = c.clock, slog.New(slog.NewTextHandler(c.log, nil))
	o.Timeout, o.SweptElsewhere = time.Minute, true
	svc, err := session.New(b, &o)
	c.ok(err, "session.New")
	c.Cleanup(func() { _ = svc.Close() })
	return b, svc
}

// use makes a service with those options the case's first node.
func (c *C) use(o session.Options) { c.Helper(); c.b, c.svc = c.nodeWith(o) }

// events is a hook that keeps what it is told.
type events struct {
	mu  sync.Mutex
	all []session.Event
}

func (e *events) hook(_ context.Context, ev session.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// of returns the events of that kind so far.
func (e *events) of(kind session.EventKind) []session.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []session.Event
	for _, ev := range e.all {
		if ev.Kind == kind {
			out = append(out, ev)
		}
	}
	return out
}

// logBuffer is what the services log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ok stops the case at an error.
func (c *C) ok(err error, what string, args ...any) {
	c.Helper()
	if err != nil {
		c.Fatalf("%s: unexpected error: %v", fmt.Sprintf(what, args...), err)
	}
}

// is stops the case unless err matches the sentinel.
func (c *C) is(err, sentinel error, what string) {
	c.Helper()
	if !errors.Is(err, sentinel) {
		c.Fatalf("%s: got %v, want %v", what, err, sentinel)
	}
}

// same stops the case unless got is want.
func same[T comparable](c *C, got, want T, what string) {
	c.Helper()
	if got != want {
		c.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// calls stops the case unless exactly those driver calls were made since the
// last calls.
func (c *C) calls(want, what string) {
	c.Helper()
	same(c, c.b.Calls(), want, "driver calls: "+what)
}

// retried checks the calls of a write that meets a conflict and is done again:
// the fresh load is spared where the conflict came with the winner.
func (c *C) retried(what string) {
	c.Helper()
	if calls := c.b.Calls(); calls != "Write 2" {
		same(c, calls, "Get 1, Write 2", "driver calls: "+what)
	}
}

// request is one unit of work: a session, and a context that carries it.
type request struct {
	c *C
	s *session.Session
	context.Context
}

// open begins a request with that token, on the first node.
func (c *C) open(token string) *request { return c.openOn(c.svc, token) }

func (c *C) openOn(svc *session.Service, token string) *request {
	s := svc.Open(token)
	return &request{c, s, session.NewContext(c.Context(), s)}
}

// client is a browser: it holds a token and minds what it is told.
type client struct {
	c     *C
	token string
}

// take does what the credential says.
func (cl *client) take(k session.Credential) {
	switch k.Action {
	case session.ActionGive:
		cl.token = k.Token()
	case session.ActionClear:
		cl.token = ""
	}
}

// do runs a request that must succeed, and minds the answer.
func (cl *client) do(run func(*request)) session.Credential {
	cl.c.Helper()
	r := cl.c.open(cl.token)
	run(r)
	k := r.commit()
	cl.take(k)
	return k
}

// newClient has an anonymous session with a value under text.
func (c *C) newClient(value string) *client {
	c.Helper()
	cl := &client{c: c}
	cl.do(func(r *request) { r.set(value) })
	if cl.token == "" {
		c.Fatal("a session with a value has no token")
	}
	return cl
}

// signedIn has a session of the principal.
func (c *C) signedIn(principal string) *client {
	c.Helper()
	cl := &client{c: c}
	cl.do(func(r *request) { r.signIn(principal) })
	return cl
}

func (r *request) commit() session.Credential {
	r.c.Helper()
	k, err := r.s.Commit(r)
	r.c.ok(err, "Commit")
	return k
}

func (r *request) signIn(principal string) {
	r.c.Helper()
	r.c.ok(r.s.SignIn(r, principal, nil), "SignIn")
}

func (r *request) set(v string) { r.c.Helper(); r.c.ok(text.Set(r, v), "Set") }

// has stops the case unless text has the value.
func (r *request) has(want string) {
	r.c.Helper()
	v, ok, err := text.Get(r)
	r.c.ok(err, "Get")
	if !ok || v != want {
		r.c.Fatalf("text is %q (present: %v), want %q", v, ok, want)
	}
}

// empty stops the case unless the session is a new one.
func (r *request) empty() {
	r.c.Helper()
	info, err := r.s.Info(r)
	r.c.ok(err, "Info")
	_, ok, err := text.Get(r)
	r.c.ok(err, "Get")
	if info.Handle != "" || ok {
		r.c.Fatalf("the session lives: %+v", info)
	}
}

func (r *request) info() session.Info {
	r.c.Helper()
	info, err := r.s.Info(r)
	r.c.ok(err, "Info")
	return info
}

// dead stops the case unless the token opens nothing.
func (c *C) dead(token string) { c.Helper(); c.open(token).empty() }

// alive stops the case unless the token opens a session.
func (c *C) alive(token string) session.Info {
	c.Helper()
	info := c.open(token).info()
	if info.Handle == "" {
		c.Fatal("the session is gone")
	}
	return info
}

func handleOf(token string) string { h, _, _ := strings.Cut(token, "."); return h }

// rows lists the handles of all live rows; with a principal, of those.
func (c *C) rows(principal string) []string {
	c.Helper()
	list := c.svc.All(c.Context())
	if principal != "" {
		list = c.svc.Sessions(c.Context(), principal)
	}
	out := []string{}
	for info, err := range list {
		c.ok(err, "listing")
		out = append(out, info.Handle)
	}
	slices.Sort(out)
	return out
}

// together runs n functions at once and waits for them.
func together(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; run(i) })
	}
	close(start)
	wg.Wait()
}

// once runs do before the first call of op, for a race at that very point.
func (c *C) once(op sessiontest.Op, do func()) {
	var first sync.Once
	c.b.SetHook(func(o sessiontest.Op, _ string, next func() error) error {
		if o == op {
			first.Do(do)
		}
		return next()
	})
}

// raw lists every record as it is stored.
func (c *C) raw() []byte {
	c.Helper()
	var out []byte
	q := driver.Query{Limit: 100}
	for {
		p, err := c.b.Unwrap().Page(c.Context(), c.clock.Now(), q)
		c.ok(err, "Page")
		for _, r := range p.Records {
			out = append(out, r.ID...)
			for k, v := range r.Labels {
				out = append(out, k+"="+v...)
			}
			out = append(out, r.Value...)
			out = append(out, '\n')
		}
		if q.After = p.Next; p.Next == "" {
			return out
		}
	}
}
