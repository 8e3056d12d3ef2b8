package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// rewrite changes the stored row of a token, as a program of another version
// does.
func rewrite(t testing.TB, k *sessiontest.Kit, token string, change func(rec *model.Record, row map[string]any)) {
	t.Helper()
	rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: alive(t, k, token).Handle})
	ok(t, err)
	known := rec
	var row map[string]any
	text := rowText(t, &rec)
	ok(t, json.Unmarshal([]byte(text), &row))
	rec.Value, rec.Encoding = []byte(text), "json"
	before := text
	change(&rec, row)
	if string(rec.Value) == before {
		rec.Value, err = json.Marshal(row)
		ok(t, err)
	}
	rec.Revision = model.NewRevision()
	_, err = k.Backend.Write(t.Context(), k.Clock.Now(), driver.Write{Record: rec, Cond: driver.IfMatch, Known: known})
	ok(t, err)
}

// rowText returns the JSON of a stored row.
func rowText(t testing.TB, rec *model.Record) string {
	t.Helper()
	text, err := session.RowJSON(rec.Value)
	ok(t, err)
	return string(text)
}

func ring(t testing.TB, id string, fill byte) *expiry.Keyring {
	t.Helper()
	r, err := expiry.NewKeyring(keyOf(id, fill))
	ok(t, err)
	return r
}

func keyOf(id string, fill byte) expiry.SealKey {
	return expiry.SealKey{ID: id, Secret: slices.Repeat([]byte{fill}, 32)}
}

// workers runs n jobs on w goroutines.
func workers(w, n int, job func(i int)) {
	var wg sync.WaitGroup
	for g := range w {
		wg.Go(func() {
			for i := g; i < n; i += w {
				job(i)
			}
		})
	}
	wg.Wait()
}

// unit is one request of a client.
type unit struct {
	t testing.TB
	k *sessiontest.Kit
	s *session.Session
	context.Context
}

func begin(t testing.TB, k *sessiontest.Kit, token string) *unit {
	s := k.Service.Open(token)
	return &unit{t, k, s, session.NewContext(t.Context(), s)}
}

// end commits. It takes the token that the client had and returns the one that it
// has now.
func (u *unit) end(token string) string {
	u.t.Helper()
	c, err := u.s.Commit(u)
	ok(u.t, err)
	switch c.Action {
	case session.ActionGive:
		return c.Token()
	case session.ActionClear:
		return ""
	}
	return token
}

// do makes one request that must succeed. It returns the client's token.
func do(t testing.TB, k *sessiontest.Kit, token string, work func(u *unit) error) string {
	t.Helper()
	u := begin(t, k, token)
	ok(t, work(u))
	return u.end(token)
}

func signIn(t testing.TB, k *sessiontest.Kit, token, principal string, opts *session.SignInOptions) string {
	t.Helper()
	return do(t, k, token, func(u *unit) error { return u.s.SignIn(u, principal, opts) })
}

func read(u *unit) error { _, err := u.s.Info(u); return err }

// info returns the zero Info for a token that opens nothing.
func info(t testing.TB, k *sessiontest.Kit, token string) session.Info {
	t.Helper()
	u := begin(t, k, token)
	i, err := u.s.Info(u)
	ok(t, err)
	return i
}

func alive(t testing.TB, k *sessiontest.Kit, token string) session.Info {
	t.Helper()
	i := info(t, k, token)
	if i.Handle == "" {
		t.Fatal("the session is gone")
	}
	return i
}

func dead(t testing.TB, k *sessiontest.Kit, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if i := info(t, k, token); i.Handle != "" {
			t.Fatalf("the token still opens %+v", i)
		}
	}
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

// take returns the events of the kinds since the last take without kinds.
func (e *events) take(kinds ...session.EventKind) []session.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []session.Event
	for _, ev := range e.all {
		if len(kinds) == 0 || slices.Contains(kinds, ev.Kind) {
			out = append(out, ev)
		}
	}
	e.all = nil
	return out
}

// logs is a log that tests can read while it is written.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type fixture struct {
	clock *sessiontest.Clock
	b     *sessiontest.Backend
	svc   *session.Service
	log   *logs
}

func setup(t testing.TB, opts session.Options) *fixture {
	t.Helper()
	raw, err := memory.New(memory.NewSpace(), "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		clock: sessiontest.NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
		b:     sessiontest.Wrap(raw), log: &logs{},
	}
	opts.Clock = f.clock
	opts.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	if f.svc, err = session.New(f.b, &opts); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) open(t testing.TB, token string) (context.Context, *session.Session) {
	s := f.svc.Open(token)
	return session.NewContext(t.Context(), s), s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

var note = session.NewKey[string]("note")

// create stores an anonymous session and returns its token.
func create(t testing.TB, f *fixture) string {
	t.Helper()
	ctx, s := f.open(t, "")
	ok(t, note.Set(ctx, "v"))
	k, err := s.Commit(ctx)
	ok(t, err)
	return k.Token()
}

// visit makes a request that reads.
func visit(t testing.TB, f *fixture, token string) session.Credential {
	t.Helper()
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	k, err := s.Commit(ctx)
	ok(t, err)
	return k
}

// handle returns "" if the token opens nothing.
func handle(t testing.TB, f *fixture, token string) string {
	t.Helper()
	ctx, s := f.open(t, token)
	info, err := s.Info(ctx)
	ok(t, err)
	return info.Handle
}
