package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

// logs is a log that tests may read while it is written.
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

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	bare, err := memory.New(memory.NewSpace(), "s", &memory.Options{Labels: []string{"tenant"}})
	ok(t, err)
	for name, tc := range map[string]struct {
		b    expiry.ModelExpirySupport
		opts session.Options
	}{
		"no backend":             {},
		"no principal label":     {b: bare},
		"no end at all":          {b: good, opts: session.Options{Policy: session.Policy{Idle: -1, Absolute: -1}}},
		"touch too rare":         {b: good, opts: session.Options{Policy: session.Policy{Idle: time.Minute, TouchEvery: time.Minute}}},
		"overlap as rotation":    {b: good, opts: session.Options{Policy: session.Policy{RotateEvery: time.Second, Overlap: time.Second}}},
		"under a millisecond":    {b: good, opts: session.Options{Policy: session.Policy{Idle: time.Microsecond}}},
		"negative timeout":       {b: good, opts: session.Options{Timeout: -1}},
		"negative sweep":         {b: good, opts: session.Options{Sweep: expiry.SweeperOptions{Interval: -1}}},
		"overlap over rotation2": {b: good, opts: session.Options{Policy: session.Policy{RotateEvery: time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := session.New(tc.b, &tc.opts); !errors.Is(err, model.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
		})
	}
	_, err = session.New(good, nil)
	ok(t, err)
}

func TestPolicyPrintsItsLifetimes(t *testing.T) {
	for _, tc := range []struct {
		p    session.Policy
		want string
	}{
		{session.Policy{}, "idle 30m0s, absolute 24h0m0s, touch every 3m0s, rotate every 1h0m0s, overlap 30s"},
		{session.Policy{Idle: -1, RotateEvery: -1}, "idle off, absolute 24h0m0s, rotate every off"},
		{session.Policy{Absolute: -1, TouchEvery: -1, Overlap: -1}, "idle 30m0s, absolute off, touch every request, rotate every 1h0m0s, overlap off"},
		{session.AAL1(), "idle off, absolute 720h0m0s, rotate every 1h0m0s, overlap 30s"},
		{session.AAL2(), "idle 1h0m0s, absolute 24h0m0s, touch every 6m0s, rotate every 1h0m0s, overlap 30s"},
		{session.AAL3(), "idle 15m0s, absolute 12h0m0s, touch every 1m30s, rotate every 1h0m0s, overlap 30s"},
	} {
		if got := tc.p.String(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
		f := setup(t, session.Options{Policy: tc.p})
		if got := f.svc.Policy().String(); got != tc.want {
			t.Errorf("in force: %s\nwant %s", got, tc.want)
		}
	}
}

func TestLimitsThatAreOff(t *testing.T) {
	t.Run("no idle limit: reading never touches, the absolute one ends it", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1}})
		token := create(t, f)
		f.clock.Advance(24*time.Hour - time.Millisecond)
		f.b.Calls()
		ctx, s := f.open(t, token)
		info, err := s.Info(ctx)
		ok(t, err)
		_, err = s.Commit(ctx)
		ok(t, err)
		if calls := f.b.Calls(); calls != "Get 1" || !info.IdleDeadline.IsZero() || !info.ExpiresAt().Equal(info.AbsoluteDeadline) {
			t.Fatalf("%s, %+v", calls, info)
		}
		f.clock.Advance(time.Millisecond)
		if handle(t, f, token) != "" {
			t.Fatal("alive")
		}
	})
	t.Run("no absolute limit: use keeps it alive for ever", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Absolute: -1, RotateEvery: -1}})
		token := create(t, f)
		for range 200 {
			f.clock.Advance(25 * time.Minute)
			ctx, s := f.open(t, token)
			if info, err := s.Info(ctx); err != nil || info.Handle == "" {
				t.Fatalf("%+v, %v", info, err)
			}
			_, err := s.Commit(ctx)
			ok(t, err)
		}
	})
	t.Run("no overlap: the old secret dies when the new one is seen", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Overlap: -1, RotateEvery: time.Minute}})
		old := create(t, f)
		f.clock.Advance(time.Minute)
		fresh := visit(t, f, old).Token()
		if handle(t, f, old) == "" || fresh == "" {
			t.Fatal("the old secret died before the new one was seen")
		}
		visit(t, f, fresh)
		if handle(t, f, old) != "" {
			t.Fatal("the old secret still opens the session")
		}
	})
	t.Run("no rotation", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1}})
		token := create(t, f)
		f.clock.Advance(23 * time.Hour)
		if k := visit(t, f, token); k.Action != session.ActionLeave {
			t.Fatal(k)
		}
	})
	t.Run("touch on every request", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{TouchEvery: -1}})
		token := create(t, f)
		f.clock.Advance(time.Millisecond)
		f.b.Calls()
		visit(t, f, token)
		if calls := f.b.Calls(); calls != "Get 1, Touch 1" {
			t.Fatal(calls)
		}
	})
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

// visit is a request that reads.
func visit(t testing.TB, f *fixture, token string) session.Credential {
	t.Helper()
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	k, err := s.Commit(ctx)
	ok(t, err)
	return k
}

// handle is empty where the token opens nothing.
func handle(t testing.TB, f *fixture, token string) string {
	t.Helper()
	ctx, s := f.open(t, token)
	info, err := s.Info(ctx)
	ok(t, err)
	return info.Handle
}

func TestTokensAreUniqueAndOfOneLength(t *testing.T) {
	f := setup(t, session.Options{SweptElsewhere: true})
	seen := map[string]bool{}
	for range 20000 {
		token := create(t, f)
		h, secret, _ := strings.Cut(token, ".")
		if len(token) != session.TokenLen || seen[h] || seen[secret] {
			t.Fatalf("length %d, seen: %v", len(token), seen[h])
		}
		seen[h], seen[secret] = true, true
	}
}

func TestNothingIsAcceptedAfterTheCommit(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Commit(ctx)
	ok(t, err)
	is(t, note.Set(ctx, "w"), session.ErrCommitted)
	is(t, note.Delete(ctx), session.ErrCommitted)
	_, _, err = note.Take(ctx)
	is(t, err, session.ErrCommitted)
	is(t, note.Update(ctx, func(*string) error { return nil }), session.ErrCommitted)
	is(t, s.SignIn(ctx, "alice", nil), session.ErrCommitted)
	is(t, s.SignOut(ctx), session.ErrCommitted)
	is(t, s.Rotate(ctx), session.ErrCommitted)
	is(t, s.Reauthenticate(ctx), session.ErrCommitted)
	if v, there, err := note.Get(ctx); err != nil || !there || v != "v" {
		t.Fatalf("reading after the commit: %q, %v, %v", v, there, err)
	}
}

func TestPersistMayBeRepeated(t *testing.T) {
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	ok(t, note.Set(ctx, "v"))
	first, err := s.Persist(ctx)
	ok(t, err)
	ok(t, note.Set(ctx, "w"))
	second, err := s.Persist(ctx)
	ok(t, err)
	last, err := s.Commit(ctx)
	ok(t, err)
	if first.Token() == "" || first.Token() != second.Token() || second != last {
		t.Fatalf("%v, %v, %v", first, second, last)
	}
	if calls := f.b.Calls(); calls != "Write 2" {
		t.Fatal(calls)
	}
}

func TestUpdateThatChangesItsOwnSessionFails(t *testing.T) {
	f := setup(t, session.Options{Timeout: 20 * time.Millisecond})
	ctx, _ := f.open(t, "")
	err := note.Update(ctx, func(v *string) error {
		if _, _, err := note.Get(ctx); err != nil {
			t.Errorf("reading inside a change: %v", err)
		}
		return note.Set(ctx, "inner")
	})
	is(t, err, context.DeadlineExceeded)
	ok(t, note.Set(ctx, "outer"))
}

func TestHangingStoreIsGivenUpOnce(t *testing.T) {
	f := setup(t, session.Options{Timeout: 20 * time.Millisecond})
	token := create(t, f)
	f.b.Calls()
	f.b.SetHook(func(_ sessiontest.Op, _ string, next func() error) error {
		return fmt.Errorf("gave up: %w", context.DeadlineExceeded)
	})
	ctx, s := f.open(t, token)
	for range 3 {
		_, _, err := note.Get(ctx)
		is(t, err, context.DeadlineExceeded)
	}
	is(t, s.Err(), context.DeadlineExceeded)
	if calls := f.b.Calls(); calls != "Get 1" {
		t.Fatal(calls)
	}
}

func TestCallerWhoGivesUpDoesNotSpoilTheSession(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err := note.Get(gone)
	is(t, err, context.Canceled)
	ok(t, s.Err())
	if v, _, err := note.Get(ctx); err != nil || v != "v" {
		t.Fatalf("%q, %v", v, err)
	}
}

func TestRunSweepsUntilToldToStop(t *testing.T) {
	swept := make(chan driver.Swept, 10)
	f := setup(t, session.Options{
		Grace: -1,
		Sweep: expiry.SweeperOptions{
			Interval: time.Millisecond,
			OnSwept: func(n driver.Swept, err error) {
				if err == nil && n.Removed > 0 {
					swept <- n
				}
			},
		},
	})
	create(t, f)
	f.clock.Advance(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.svc.Run(ctx) }()
	if n := <-swept; n.Removed != 1 {
		t.Errorf("removed %d", n.Removed)
	}
	cancel()
	is(t, <-done, context.Canceled)
}

func TestUnsweptServiceWarnsOnce(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		f := setup(t, session.Options{SweptElsewhere: elsewhere})
		for range 250 {
			create(t, f)
		}
		want := 1
		if elsewhere {
			want = 0
		}
		if n := strings.Count(f.log.String(), "not being removed"); n != want {
			t.Errorf("elsewhere %v: warned %d times", elsewhere, n)
		}
	}
}

func TestCredentialPrintsWithoutItsToken(t *testing.T) {
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	ok(t, note.Set(ctx, "v"))
	k, err := s.Commit(ctx)
	ok(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credential", k, "session", s)
	all := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, k) + fmt.Sprintf(verb, s)
	}
	_, secret, _ := strings.Cut(k.Token(), ".")
	if strings.Contains(all, secret) || !strings.Contains(all, "give a token for 30m0s") {
		t.Fatal(all)
	}
}

func TestClientIsStoredTrimmed(t *testing.T) {
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	s.SetClient(session.Client{UserAgent: strings.Repeat("x", 255) + "é and more"})
	ok(t, s.SignIn(ctx, "alice", &session.SignInOptions{Level: 2}))
	_, err := s.Commit(ctx)
	ok(t, err)
	for info, err := range f.svc.Sessions(t.Context(), "alice") {
		ok(t, err)
		if info.Client.UserAgent != strings.Repeat("x", 255) || info.Level != 2 {
			t.Fatalf("%+v", info)
		}
	}
}

func TestSignInChecksThePrincipal(t *testing.T) {
	f := setup(t, session.Options{})
	for _, id := range []string{"", strings.Repeat("x", 257), "a\x00b", "\xff"} {
		ctx, s := f.open(t, "")
		is(t, s.SignIn(ctx, id, nil), model.ErrInvalid)
		is(t, f.svc.Destroy(ctx, id, "h"), model.ErrInvalid)
		_, err := f.svc.DestroyPrincipal(ctx, id)
		is(t, err, model.ErrInvalid)
	}
	if calls := f.b.Calls(); calls != "none" {
		t.Fatal(calls)
	}
	ctx, _ := f.open(t, "")
	is(t, f.svc.Destroy(ctx, "alice", "../../etc"), model.ErrNotFound)
}

func TestSignInThatTheStoreRefusesChangesNothing(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	f.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpDelete {
			return model.ErrUnavailable
		}
		return next()
	})
	is(t, s.SignIn(ctx, "alice", nil), model.ErrUnavailable)
	f.b.SetHook(nil)
	_, err = s.Principal(ctx)
	is(t, err, session.ErrUnauthenticated)
	k, err := s.Commit(ctx)
	ok(t, err)
	if k.Action != session.ActionLeave || handle(t, f, token) == "" {
		t.Fatalf("the session before is gone, credential %v", k)
	}
}

func TestSignOutThatFailsIsTriedAgain(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	f.b.SetHook(func(sessiontest.Op, string, func() error) error { return model.ErrUnavailable })
	is(t, s.SignOut(ctx), model.ErrUnavailable)
	if !s.Changed() {
		t.Fatal("a row that has to go is no change")
	}
	_, err = s.Persist(ctx)
	is(t, err, model.ErrUnavailable)
	f.b.SetHook(nil)
	k, err := s.Commit(ctx)
	ok(t, err)
	if k.Action != session.ActionClear || handle(t, f, token) != "" {
		t.Fatal(k)
	}
}

func TestSessionIsSafeForTheGoroutinesOfOneRequest(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	total := session.NewKey[int]("total")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			own := session.NewKey[int](fmt.Sprint("own-", i))
			errs := []error{
				own.Set(ctx, i),
				total.Update(ctx, func(n *int) error { *n++; return nil }),
			}
			_, _, err := note.Get(ctx)
			errs = append(errs, err)
			if i%8 == 0 {
				_, err = s.Persist(ctx)
				errs = append(errs, err)
			}
			_, err = s.Info(ctx)
			errs = append(errs, err)
			_, _ = fmt.Sprint(s), s.Changed()
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := s.Commit(ctx)
	ok(t, err)
	ctx, _ = f.open(t, token)
	if n, _, err := total.Get(ctx); err != nil || n != 40 {
		t.Fatal(n, err)
	}
	for i := range 40 {
		if n, there, err := session.NewKey[int](fmt.Sprint("own-", i)).Get(ctx); err != nil || !there || n != i {
			t.Fatal(i, n, err)
		}
	}
}
