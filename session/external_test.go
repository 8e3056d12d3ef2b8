package session_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var identityKey = bytes.Repeat([]byte{7}, 32)

// identified begins a request of an identity.
func identified(t testing.TB, k *sessiontest.Kit, id session.Identity) *unit {
	t.Helper()
	s, err := k.Service.OpenFor(id)
	ok(t, err)
	return &unit{t, k, s, session.NewContext(t.Context(), s)}
}

func TestSessionOfAnIdentity(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	alice := session.Identity{Issuer: "https://idp.example", SessionID: "s1", Principal: "alice"}
	u := identified(t, k, alice)
	p, err := u.s.Principal(u)
	ok(t, err)
	if p.ID != "alice" || len(p.SessionID) != 22 || strings.Contains(p.SessionID, "s1") {
		t.Fatalf("%+v", p)
	}
	k.Backend.Assert(t, "Get 1", "a request that only reads")
	ok(t, note.Set(u, "v"))
	if got := u.end("none"); got != "none" {
		t.Fatalf("the client of an identity got the token %q", got)
	}
	k.Backend.Assert(t, "Write 1", "the first value")
	u = identified(t, k, alice)
	if v, _, err := note.Get(u); err != nil || v != "v" {
		t.Fatal(v, err)
	}
	again, err := u.s.Principal(u)
	ok(t, err)
	if again.SessionID != p.SessionID {
		t.Fatalf("another handle: %q, %q", again.SessionID, p.SessionID)
	}
	if i, err := u.s.Info(u); err != nil || i.Principal != "alice" {
		t.Fatal(i, err)
	}
	for name, verb := range map[string]func() error{
		"SignIn":         func() error { return u.s.SignIn(u, "bob", nil) },
		"Rotate":         func() error { return u.s.Rotate(u) },
		"Reauthenticate": func() error { return u.s.Reauthenticate(u) },
		"Elevate":        func() error { return u.s.Elevate(u, 1, time.Hour) },
		"Impersonate":    func() error { return u.s.Impersonate(u, "bob", "x") },
	} {
		if err := verb(); !errors.Is(err, session.ErrDetached) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// No token opens the row, and another session id or issuer has another row.
	dead(t, k, p.SessionID+"."+strings.Repeat("A", 43))
	for _, id := range []session.Identity{
		{Issuer: "https://idp.example", SessionID: "s2", Principal: "alice"},
		{Issuer: "https://idp.example/s", SessionID: "1", Principal: "alice"},
		{Issuer: "https://idp.examples", SessionID: "1", Principal: "alice"},
	} {
		u := identified(t, k, id)
		if _, there, err := note.Get(u); err != nil || there {
			t.Errorf("%+v sees the value of another session: %v", id, err)
		}
	}
	if n, err := k.Service.DestroyPrincipal(t.Context(), "alice"); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestSignOutOfAnIdentityHolds(t *testing.T) {
	for _, stored := range []bool{true, false} {
		k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
		id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"}
		if stored {
			u := identified(t, k, id)
			ok(t, note.Set(u, "v"))
			u.end("")
		}
		u := identified(t, k, id)
		ok(t, u.s.SignOut(u))
		is(t, note.Set(u, "w"), session.ErrGone)
		u.end("")
		k.Clock.Advance(29 * time.Minute)
		u = identified(t, k, id)
		_, err := u.s.Principal(u)
		is(t, err, session.ErrUnauthenticated)
		is(t, note.Set(u, "w"), session.ErrGone)
		if why, err := u.s.Why(u); err != nil || why != session.WhyEnded {
			t.Error(why, err)
		}
		if n, err := k.Service.Count(t.Context()); n != 0 || err != nil {
			t.Error(n, err)
		}
	}
}

// TestSignOutOfAnIdentityBeyondItsRequest signs out by a view, which knows the row
// alone, and while the row cannot be read. The identity stays ended.
func TestSignOutOfAnIdentityBeyondItsRequest(t *testing.T) {
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"}
	for name, signOut := range map[string]func(k *sessiontest.Kit, u *unit){
		"view": func(_ *sessiontest.Kit, u *unit) {
			d, err := session.Detach(u)
			ok(t, err)
			ok(t, d.Do(t.Context(), func(ctx context.Context) error {
				s, err := session.Require(ctx)
				ok(t, err)
				return s.SignOut(ctx)
			}))
		},
		"unreadable": func(k *sessiontest.Kit, u *unit) {
			d, err := session.Detach(u)
			ok(t, err)
			rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: d.Handle()})
			ok(t, err)
			rec.Value, rec.Encoding = []byte(`{"v":99}`), "json"
			_, err = k.Backend.Write(t.Context(), k.Clock.Now(), driver.Write{Record: rec, Cond: driver.IfAny})
			ok(t, err)
			u = identified(t, k, id)
			is(t, note.Set(u, "w"), session.ErrNewer)
			ok(t, u.s.SignOut(u))
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
			u := identified(t, k, id)
			ok(t, note.Set(u, "v"))
			u.end("")
			u = identified(t, k, id)
			_, _, err := note.Get(u)
			ok(t, err)
			signOut(k, u)
			k.Clock.Advance(29 * time.Minute)
			u = identified(t, k, id)
			_, err = u.s.Principal(u)
			is(t, err, session.ErrUnauthenticated)
			is(t, note.Set(u, "w"), session.ErrGone)
		})
	}
}

func TestSessionOfAnIdentityIsOnePrincipals(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	u := identified(t, k, session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"})
	ok(t, note.Set(u, "alice's"))
	u.end("")
	u = identified(t, k, session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "bob"})
	if _, there, err := note.Get(u); err != nil || there {
		t.Fatal(there, err)
	}
	_, err := u.s.Principal(u)
	is(t, err, session.ErrUnauthenticated)
	is(t, note.Set(u, "bob's"), session.ErrGone)
}

func TestFirstValuesOfAnIdentityAreMerged(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"}
	a, b := identified(t, k, id), identified(t, k, id)
	other := session.NewKey[string]("other")
	ok(t, note.Set(a, "a"))
	ok(t, other.Set(b, "b"))
	a.end("")
	b.end("")
	u := identified(t, k, id)
	v, _, err := note.Get(u)
	ok(t, err)
	w, _, err := other.Get(u)
	ok(t, err)
	if v != "a" || w != "b" {
		t.Fatal(v, w)
	}
}

func TestIdentitiesThatAreRefused(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	for _, id := range []session.Identity{
		{},
		{Issuer: "i", Principal: "p"},
		{SessionID: "s", Principal: "p"},
		{Issuer: "i", SessionID: "s"},
		{Issuer: "i", SessionID: "s", Principal: "\x1fendeda"},
	} {
		_, err := k.Service.OpenFor(id)
		is(t, err, model.ErrInvalid)
	}
	_, err := sessiontest.New(t, nil).Service.OpenFor(session.Identity{Issuer: "i", SessionID: "s", Principal: "p"})
	is(t, err, model.ErrInvalid)
	_, err = session.New(k.Backend, &session.Options{IdentityKey: []byte("short")})
	is(t, err, model.ErrInvalid)
}

func TestRenewedSessionOfAnIdentityProvider(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", &session.SignInOptions{SID: "one", NotAfter: k.Clock.Now().Add(time.Hour)})
	token = do(t, k, token, func(u *unit) error {
		return errors.Join(u.s.SetNotAfter(u, k.Clock.Now().Add(3*time.Hour)), u.s.SetSID(u, "two"))
	})
	if i := alive(t, k, token); !i.AbsoluteDeadline.Equal(k.Clock.Now().Add(3*time.Hour)) || i.SID != "two" {
		t.Fatalf("%+v", i)
	}
	if n, err := k.Service.DestroyByLabel(t.Context(), "sid", "one"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	u := begin(t, k, token)
	is(t, u.s.SetNotAfter(u, k.Clock.Now()), model.ErrInvalid)
	if n, err := k.Service.DestroyByLabel(context.Background(), "sid", "two"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	u = begin(t, k, "")
	is(t, u.s.SetSID(u, "x"), session.ErrUnauthenticated)
}

func TestLabelsOfOnesOwn(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	for _, labels := range []map[string]string{{"tenant": "acme"}, {"principal": "x"}, {"sid": "x"}} {
		is(t, u.s.SignIn(u, "alice", &session.SignInOptions{Labels: labels}), model.ErrInvalid)
	}
}

// A row of an identity that is not served is not the identity's either.
func TestIdentityWhoseRowIsRefusedIsRefused(t *testing.T) {
	var since time.Time
	k := sessiontest.New(t, &session.Options{
		IdentityKey: identityKey, NotBefore: func(context.Context, string) (time.Time, error) { return since, nil },
	})
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice", AuthenticatedAt: k.Clock.Now().Add(-8 * time.Hour)}
	u := identified(t, k, id)
	ok(t, note.Set(u, "v"))
	u.end("")
	refused := func(id session.Identity) {
		t.Helper()
		u := identified(t, k, id)
		_, err := u.s.Principal(u)
		is(t, err, session.ErrUnauthenticated)
		is(t, note.Set(u, "w"), session.ErrGone)
		if why, err := u.s.Why(u); err != nil || why != session.WhyNotBefore {
			t.Error(why, err)
		}
	}
	since = k.Clock.Advance(time.Second)
	refused(id)
	other := id
	other.SessionID = "without a row"
	refused(other)
	other.AuthenticatedAt = time.Time{} // unknown
	refused(other)
	id.AuthenticatedAt = k.Clock.Now()
	u = identified(t, k, id)
	if v, _, err := note.Get(u); err != nil || v != "v" {
		t.Error("after another authentication:", v, err)
	}
}

// A stored value proves nothing about its principal.
func TestFirstValueOfAnIdentityIsNoAuthentication(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	for _, at := range []time.Time{{}, k.Clock.Now().Add(-8 * time.Hour)} {
		id := session.Identity{Issuer: "proxy", SessionID: at.String(), Principal: "alice", AuthenticatedAt: at}
		for range 2 {
			u := identified(t, k, id)
			is(t, u.s.RequireRecent(u, 5*time.Minute, 0), session.ErrReauthenticate)
			ok(t, note.Set(u, "v"))
			u.end("")
		}
	}
}

func TestFirstWriteOfAnIdentityIsMadeOnce(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	count := session.NewKey[int]("count")
	u := identified(t, k, session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"})
	ok(t, count.Update(u, func(n *int) error { *n++; return nil }))
	down := false
	k.Backend.SetHook(func(op sessiontest.Op, id string, next func() error) error {
		if down {
			return sessiontest.Down(op, id, next)
		}
		if op == sessiontest.OpWrite {
			down = true
			ok(t, next())
			return model.ErrUnknown
		}
		return next()
	})
	_, err := u.s.Persist(u)
	is(t, err, model.ErrUnknown)
	k.Backend.SetHook(nil)
	u.end("")
	if n, _, err := count.Get(u); n != 1 || err != nil {
		t.Error(n, err)
	}
	// Another principal's first write meets the row of this one.
	a := identified(t, k, session.Identity{Issuer: "proxy", SessionID: "s2", Principal: "alice"})
	b := identified(t, k, session.Identity{Issuer: "proxy", SessionID: "s2", Principal: "bob"})
	ok(t, note.Set(a, "alice's"))
	ok(t, note.Set(b, "bob's"))
	a.end("")
	_, err = b.s.Commit(b)
	is(t, err, session.ErrGone)
}

func TestSignOutOfAnIdentityThatFailsIsTriedAgain(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"}
	u := identified(t, k, id)
	ok(t, note.Set(u, "v"))
	k.Backend.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite))
	is(t, u.s.SignOut(u), model.ErrUnavailable)
	k.Backend.SetHook(nil)
	u.end("")
	u = identified(t, k, id)
	_, err := u.s.Principal(u)
	is(t, err, session.ErrUnauthenticated)
}

// A first write that is refused leaves no session behind.
func TestFirstWriteOfAnIdentityThatHasEndedIsDiscarded(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice"}
	late := identified(t, k, id)
	ok(t, note.Set(late, "v"))
	u := identified(t, k, id)
	ok(t, u.s.SignOut(u))
	u.end("")
	_, err := late.s.Persist(late)
	is(t, err, session.ErrGone)
	_, err = late.s.Principal(late)
	is(t, err, session.ErrUnauthenticated)
	if late.s.Changed() {
		t.Error("the changes are kept")
	}
	if why, err := late.s.Why(late); why != session.WhyEnded || err != nil {
		t.Error(why, err)
	}
	is(t, note.Set(late, "w"), session.ErrGone)
}

// The stored row may be of an earlier authentication than the client's.
func TestRefreshOfAnIdentityGoesByItsAuthentication(t *testing.T) {
	var since time.Time
	k := sessiontest.New(t, &session.Options{
		IdentityKey: identityKey, NotBefore: func(context.Context, string) (time.Time, error) { return since, nil },
	})
	id := session.Identity{Issuer: "proxy", SessionID: "s1", Principal: "alice", AuthenticatedAt: k.Clock.Now()}
	u := identified(t, k, id)
	ok(t, note.Set(u, "v"))
	u.end("")
	since = k.Clock.Advance(time.Second)
	id.AuthenticatedAt = k.Clock.Now()
	u = identified(t, k, id)
	got, err := note.Refresh(u, 0, func(v string) bool { return v == "w" }, func(context.Context, string) (string, error) { return "w", nil })
	if err != nil || got != "w" {
		t.Fatal(got, err)
	}
	u.end("")
	// Views go by the row, which has the later one by now.
	view, err := session.Detach(identified(t, k, id))
	ok(t, err)
	defer view.Close()
	ok(t, view.Touch(t.Context()))
}
