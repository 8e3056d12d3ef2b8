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

// The default policy, which the cases use.
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

// C is the context of one case. It has its own store, a clock that moves when
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
	// The clock is a day ahead, so that no server removes records by itself.
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

// nodeWith is node with options. It replaces their clock, log and timeout.
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

// use replaces the case's first node by one with options.
func (c *C) use(o session.Options) { c.Helper(); c.b, c.svc = c.nodeWith(o) }

// beforeMarker runs do before the first sign-in of the next calls puts a marker
// in the place of the old row: its second write.
func (c *C) beforeMarker(do func()) { c.b.SetHook(sessiontest.BeforeNth(sessiontest.OpWrite, 2, do)) }

// beforeFirst runs do before the first call of op, for a race at that point.
func (c *C) beforeFirst(op sessiontest.Op, do func()) { c.b.SetHook(sessiontest.Before(op, do)) }

// ok stops the case if err is not nil.
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

// same stops the case unless got equals want.
func same[T comparable](c *C, got, want T, what string) {
	c.Helper()
	if got != want {
		c.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// calls stops the case unless want lists the driver calls since the last check.
func (c *C) calls(want, what string) {
	c.Helper()
	same(c, c.b.Calls(), want, "driver calls: "+what)
}

// retried checks the driver calls of a write that meets a conflict and is
// retried. A store that returns the winner with the conflict saves the Get.
func (c *C) retried(what string) {
	c.Helper()
	if calls := c.b.Calls(); calls != "Write 2" {
		same(c, calls, "Get 1, Write 2", "driver calls: "+what)
	}
}

// dead stops the case if the token opens a session.
func (c *C) dead(token string) { c.Helper(); c.open(token).empty() }

// alive stops the case unless the token opens a session.
func (c *C) alive(token string) session.Info {
	c.Helper()
	info := c.open(token).info()
	if info.Handle == "" {
		c.Fatal("the token opens no session")
	}
	return info
}

// rows returns the handles of all live rows, or of those of a principal.
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

// raw returns every record as it is stored.
func (c *C) raw() []byte {
	c.Helper()
	return c.dump(func(value []byte) []byte { return value })
}

// shown returns every record with the JSON of its row, each in a line.
func (c *C) shown() []byte {
	c.Helper()
	return c.dump(func(value []byte) []byte {
		text, err := session.RowJSON(value)
		c.ok(err, "RowJSON")
		return text
	})
}

func (c *C) dump(text func(value []byte) []byte) []byte {
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
			out = append(out, text(r.Value)...)
			out = append(out, '\n')
		}
		if q.After = p.Next; p.Next == "" {
			return out
		}
	}
}

// race runs n functions concurrently and waits for them.
func race(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; run(i) })
	}
	close(start)
	wg.Wait()
}

// events is a hook that keeps its events.
type events struct {
	mu  sync.Mutex
	all []session.Event
}

func (e *events) hook(_ context.Context, ev session.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// of returns the events of the kind so far.
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

// logBuffer is the log of the services.
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
