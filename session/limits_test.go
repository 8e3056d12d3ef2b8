package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// evicting are the limits that never refuse a sign-in for lack of room.
var evicting = []session.OnLimit{session.OnLimitEvictOldest, session.OnLimitEvictIdlest}

func TestSignInsOfOneMillisecondEvictAndAreNotRefused(t *testing.T) {
	for _, on := range evicting {
		k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 1, On: on}})
		last := ""
		for range 50 {
			next := signIn(t, k, "", "alice", nil)
			if last != "" {
				dead(t, k, last)
			}
			alive(t, k, next)
			last = next
		}
	}
}

func TestSignInOnANodeWithASlowClockEvicts(t *testing.T) {
	for _, on := range evicting {
		opts := session.Options{Limit: session.Limit{Max: 2, On: on}, SweptElsewhere: true}
		k := sessiontest.New(t, &opts)
		opts.Clock = sessiontest.NewClock(k.Clock.Now().Add(-2 * time.Second))
		slow, err := session.New(k.Backend, &opts)
		ok(t, err)
		first, second := signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)
		k.Clock.Advance(4 * time.Minute)
		second = do(t, k, second, read) // moves LastSeen
		s := slow.Open("")
		ctx := session.NewContext(t.Context(), s)
		ok(t, s.SignIn(ctx, "alice", nil))
		c, err := s.Commit(ctx)
		ok(t, err)
		dead(t, k, first)
		alive(t, k, second)
		alive(t, k, c.Token())
	}
}

func TestRowsThatNobodyCanOpenTakeNoSeat(t *testing.T) {
	for _, on := range []session.OnLimit{session.OnLimitEvictOldest, session.OnLimitEvictIdlest, session.OnLimitReject} {
		t.Run(on.String(), func(t *testing.T) {
			var since time.Time
			k := sessiontest.New(t, &session.Options{
				Limit:     session.Limit{Max: 2, On: on},
				NotBefore: func(context.Context, string) (time.Time, error) { return since, nil },
			})
			// Two sessions from before a change of the password.
			signIn(t, k, "", "alice", nil)
			signIn(t, k, "", "alice", nil)
			since = k.Clock.Advance(time.Second).Add(time.Microsecond)
			a := signIn(t, k, "", "alice", nil)
			b := signIn(t, k, "", "alice", nil)
			alive(t, k, a)
			// One of alice's own is put aside while she acts as bob.
			acting := do(t, k, b, func(u *unit) error { return u.s.Impersonate(u, "bob", "ticket 7") })
			c := signIn(t, k, "", "alice", nil)
			alive(t, k, a)
			// It comes back, and the next sign-in ends what is over.
			b = do(t, k, acting, func(u *unit) error { return u.s.EndImpersonation(u) })
			for _, token := range []string{a, b, c} {
				alive(t, k, token)
			}
			u := begin(t, k, "")
			err := u.s.SignIn(u, "alice", nil)
			if on == session.OnLimitReject {
				is(t, err, session.ErrLimit)
				return
			}
			ok(t, err)
			live := 0
			for _, token := range []string{a, b, c, u.end("")} {
				if info(t, k, token).Handle != "" {
					live++
				}
			}
			if live != 2 {
				t.Fatalf("%d sessions are left", live)
			}
		})
	}
}

func TestSessionsOfOpenForTakeNoSeat(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: make([]byte, 32), Limit: session.Limit{Max: 1}})
	open := func() (context.Context, *session.Session) {
		s, err := k.Service.OpenFor(session.Identity{Issuer: "https://idp.example", SessionID: "1", Principal: "alice"})
		ok(t, err)
		return session.NewContext(t.Context(), s), s
	}
	at, s := open()
	ok(t, note.Set(at, "v"))
	_, err := s.Commit(at)
	ok(t, err)
	signIn(t, k, "", "alice", nil)
	last := signIn(t, k, "", "alice", nil)
	alive(t, k, last)
	at, _ = open()
	if v, _, err := note.Get(at); err != nil || v != "v" {
		t.Fatal("a sign-in has evicted the session of an identity:", v, err)
	}
}

func TestSignInThatFailsEvictsNobody(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 1}})
	sitting := signIn(t, k, "", "alice", nil)
	cart := do(t, k, "", func(u *unit) error { return note.Set(u, "cart") })
	// The visitor signs out in another tab while the sign-in is under way.
	old := alive(t, k, cart).Handle
	k.Backend.SetHook(func(op sessiontest.Op, id string, next func() error) error {
		if op == sessiontest.OpWrite && id == old {
			k.Backend.SetHook(nil)
			do(t, k, cart, func(u *unit) error { return u.s.SignOut(u) })
		}
		return next()
	})
	u := begin(t, k, cart)
	is(t, u.s.SignIn(u, "alice", nil), session.ErrGone)
	alive(t, k, sitting)
	if n, err := k.Service.CountPrincipal(t.Context(), "alice"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

func TestEvictionThatFailsIsLoggedAndMadeUpFor(t *testing.T) {
	f := setup(t, session.Options{Limit: session.Limit{Max: 1}})
	in := func() string {
		ctx, s := f.open(t, "")
		ok(t, s.SignIn(ctx, "alice", nil))
		c, err := s.Commit(ctx)
		ok(t, err)
		return c.Token()
	}
	first := in()
	evicted := handle(t, f, first)
	f.b.SetHook(func(_ sessiontest.Op, id string, next func() error) error {
		if id == evicted {
			return model.NewError(model.ErrUnavailable, "down", nil)
		}
		return next()
	})
	second := in()
	f.b.SetHook(nil)
	if handle(t, f, first) == "" || handle(t, f, second) == "" || !strings.Contains(f.log.String(), "over the limit") {
		t.Fatal("not logged:", f.log)
	}
	if strings.Contains(f.log.String(), first) || strings.Contains(f.log.String(), second) {
		t.Fatal("a token was logged")
	}
	third := in()
	if handle(t, f, first) != "" || handle(t, f, second) != "" || handle(t, f, third) == "" {
		t.Fatal("the next sign-in does not end what is over")
	}
}

func TestNotBeforeThatFailsFailsASignInUnderALimit(t *testing.T) {
	down := errors.New("no answer")
	k := sessiontest.New(t, &session.Options{
		Limit:     session.Limit{Max: 1},
		NotBefore: func(context.Context, string) (time.Time, error) { return time.Time{}, down },
	})
	u := begin(t, k, "")
	is(t, u.s.SignIn(u, "alice", nil), down)
	if n, err := k.Service.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

// Without an idle limit, and when the idle deadline has reached the absolute one,
// no touch says when a session was last used.
func TestIdlestIsTheIdlestWithoutAnIdleDeadlineToMove(t *testing.T) {
	for name, p := range map[string]session.Policy{
		"no idle limit":           {Idle: -1, RotateEvery: -1},
		"near the absolute limit": {Idle: 2 * time.Hour, Absolute: 2 * time.Hour, RotateEvery: -1},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, &session.Options{Policy: p, Limit: session.Limit{Max: 2, On: session.OnLimitEvictIdlest}})
			used, unused := signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)
			k.Clock.Advance(5*time.Minute - time.Millisecond)
			k.Backend.Calls()
			do(t, k, used, read)
			k.Backend.Assert(t, "Get 1", "a read before SeenEvery")
			k.Clock.Advance(time.Millisecond)
			do(t, k, used, read)
			k.Backend.Assert(t, "Get 1, Write 1", "a read after SeenEvery")
			do(t, k, used, read)
			k.Backend.Assert(t, "Get 1", "another read")
			if got := alive(t, k, used).LastSeen; !got.Equal(k.Clock.Now()) {
				t.Fatal("LastSeen is", got)
			}
			signIn(t, k, "", "alice", nil)
			alive(t, k, used)
			dead(t, k, unused)
		})
	}
	// Nobody else pays for it.
	k := sessiontest.New(t, &session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1}, Limit: session.Limit{Max: 2}})
	token := signIn(t, k, "", "alice", nil)
	k.Clock.Advance(time.Hour)
	k.Backend.Calls()
	do(t, k, token, read)
	k.Backend.Assert(t, "Get 1", "a read without an option that asks")
}

func TestNameSurvivesTheNextSignInOnTheDevice(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	ok(t, k.Service.Rename(t.Context(), "alice", alive(t, k, token).Handle, "Phone"))
	token = signIn(t, k, token, "alice", nil)
	if got := alive(t, k, token).Name; got != "Phone" {
		t.Fatalf("the name is %q", got)
	}
	token = signIn(t, k, token, "bob", nil)
	if got := alive(t, k, token).Name; got != "" {
		t.Fatalf("bob's session has alice's name %q", got)
	}
}

func TestManySessionsEndInBatchesAlsoThoseThatChange(t *testing.T) {
	e := &events{}
	k := sessiontest.New(t, &session.Options{OnEvent: e.hook})
	var tokens []string
	for range 5 {
		tokens = append(tokens, signIn(t, k, "", "alice", nil))
	}
	e.take()
	var once bool
	// One is written to, and one is signed out, after the listing.
	k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if (op == sessiontest.OpWrite || op == sessiontest.OpWriteMany) && !once {
			once = true
			do(t, k, tokens[1], func(u *unit) error { return note.Set(u, "late") })
			do(t, k, tokens[2], func(u *unit) error { return u.s.SignOut(u) })
		}
		return next()
	})
	n, err := k.Service.DestroyPrincipal(t.Context(), "alice")
	if err != nil || n != 4 {
		t.Fatalf("ended %d, %v", n, err)
	}
	k.Backend.SetHook(nil)
	dead(t, k, tokens...)
	var reasons []string
	for _, ev := range e.take(session.EventDestroyed) {
		if ev.Principal != "alice" || ev.Handle == "" {
			t.Errorf("%+v", ev)
		}
		reasons = append(reasons, string(ev.Reason))
	}
	slices.Sort(reasons)
	if want := []string{"destroyed", "destroyed", "destroyed", "destroyed", "sign-out"}; !slices.Equal(reasons, want) {
		t.Fatal(reasons)
	}
}

// The row of a sign-in that is made again takes a seat if it stays, so the error
// of its removal is not swallowed.
func TestSignInThatIsMadeAgainReportsWhatStays(t *testing.T) {
	for _, on := range evicting {
		k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 1, On: on}})
		signIn(t, k, "", "alice", nil)
		k.Backend.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpDelete))
		u := begin(t, k, "") // in the same millisecond
		err := u.s.SignIn(u, "alice", nil)
		is(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), "still stored") || strings.Contains(err.Error(), "later") {
			t.Errorf("the error is %q", err)
		}
	}
}

// A sign-in ends what its client brings, so that takes no seat from anybody.
func TestSessionsThatASignInEndsTakeNoSeat(t *testing.T) {
	for _, on := range append(evicting, session.OnLimitReject) {
		k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 3, On: on}})
		elsewhere := signIn(t, k, "", "alice", nil)
		k.Clock.Advance(time.Second)
		one, two := signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)
		s := k.Service.OpenAny(one, two)
		ok(t, s.SignIn(t.Context(), "alice", nil))
		alive(t, k, elsewhere)
		dead(t, k, one, two)
	}
}

// Nor do those that an identity provider has ended.
func TestSessionsBeforeNotBeforeSIDTakeNoSeat(t *testing.T) {
	since := map[string]time.Time{}
	k := sessiontest.New(t, &session.Options{
		Limit:        session.Limit{Max: 1, On: session.OnLimitReject},
		NotBeforeSID: func(_ context.Context, sid string) (time.Time, error) { return since[sid], nil },
	})
	signIn(t, k, "", "alice", &session.SignInOptions{SID: "idp/1"})
	is(t, begin(t, k, "").s.SignIn(t.Context(), "alice", nil), session.ErrLimit)
	since["idp/1"] = k.Clock.Advance(time.Second)
	signIn(t, k, "", "alice", nil)
}
