package session_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

type ctx = context.Context

var second = session.NewKey[int]("second")

func TestUserSaysWhoIsSignedIn(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, _, err := session.User(t.Context())
	is(t, err, session.ErrNoSession)
	u := begin(t, k, "")
	if id, ok, err := session.User(u); id != "" || ok || err != nil {
		t.Fatal(id, ok, err)
	}
	token := signIn(t, k, "", "alice", nil)
	u = begin(t, k, token)
	if id, ok, err := session.User(u); id != "alice" || !ok || err != nil {
		t.Fatal(id, ok, err)
	}
	token = do(t, k, token, func(u *unit) error { return u.s.Impersonate(u, "bob", "ticket 7") })
	u = begin(t, k, token)
	if id, ok, err := session.User(u); id != "bob" || !ok || err != nil {
		t.Fatal(id, ok, err)
	}
	k.Backend.SetHook(sessiontest.Down)
	if id, ok, err := session.User(begin(t, k, token)); id != "" || ok || err == nil {
		t.Fatal("a store that is down looks like a visitor:", id, ok, err)
	}
}

func TestGetOr(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := second.GetOr(t.Context(), 7)
	is(t, err, session.ErrNoSession)
	u := begin(t, k, "")
	if v, err := second.GetOr(u, 7); v != 7 || err != nil {
		t.Fatal(v, err)
	}
	ok(t, second.Set(u, 0))
	if v, err := second.GetOr(u, 7); v != 0 || err != nil {
		t.Fatal(v, err)
	}
	token := u.end("")
	if v, err := session.NewKey[string]("second").GetOr(begin(t, k, token), "default"); v != "" {
		t.Fatal("a value that does not decode is the default:", v, err)
	} else {
		is(t, err, model.ErrCorrupt)
	}
	k.Backend.SetHook(sessiontest.Down)
	_, err = second.GetOr(begin(t, k, token), 7)
	is(t, err, model.ErrUnavailable)
}

func TestKeysAndClear(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := session.Keys(t.Context())
	is(t, err, session.ErrNoSession)
	is(t, session.Clear(t.Context()), session.ErrNoSession)
	token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error {
		ok(t, note.Set(u, "v"))
		return second.Set(u, 2)
	})
	u := begin(t, k, token)
	ok(t, counter.Set(u, 1))
	if names, err := session.Keys(u); err != nil || !slices.Equal(names, []string{"counter", "note", "second"}) {
		t.Fatal(names, err)
	}
	ok(t, session.Clear(u))
	if names, err := session.Keys(u); err != nil || len(names) > 0 {
		t.Fatal(names, err)
	}
	ok(t, second.Set(u, 3)) // after the clearing
	// Another request adds a value and changes one meanwhile.
	added := session.NewKey[string]("added")
	do(t, k, token, func(o *unit) error {
		ok(t, added.Set(o, "by another request"))
		return note.Set(o, "changed")
	})
	u.end(token)
	_, err = session.Keys(u)
	ok(t, err)
	is(t, session.Clear(u), session.ErrCommitted)
	u = begin(t, k, token)
	if names, err := session.Keys(u); err != nil || !slices.Equal(names, []string{"added", "second"}) {
		t.Fatal(names, err)
	}
	if id, signedIn, err := session.User(u); id != "alice" || !signedIn || err != nil {
		t.Fatal("Clear has signed out", err)
	}
	// An empty session that is not stored stays so.
	u = begin(t, k, "")
	ok(t, note.Set(u, "v"))
	ok(t, session.Clear(u))
	if token := u.end(""); token != "" {
		t.Fatal("an empty session was stored")
	}
}

var counter = session.NewKey[int]("counter")

func TestAnonymousSessionsEndEarlier(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Policy: session.Policy{AnonymousIdle: 5 * time.Minute, AnonymousAbsolute: time.Hour}})
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	start := k.Clock.Now()
	if i := alive(t, k, token); !i.IdleDeadline.Equal(start.Add(5*time.Minute)) || !i.AbsoluteDeadline.Equal(start.Add(time.Hour)) {
		t.Fatalf("%+v", i)
	}
	k.Clock.Advance(5*time.Minute - time.Millisecond)
	token = do(t, k, token, read) // in use
	k.Clock.Advance(5*time.Minute - time.Millisecond)
	// Signed in, it has the other lifetimes.
	signed := signIn(t, k, token, "alice", nil)
	now := k.Clock.Now()
	if i := alive(t, k, signed); !i.IdleDeadline.Equal(now.Add(30*time.Minute)) || !i.AbsoluteDeadline.Equal(now.Add(24*time.Hour)) {
		t.Fatalf("%+v", i)
	}
	token = do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	k.Clock.Advance(5 * time.Minute)
	dead(t, k, token)
	alive(t, k, signed)

	k = sessiontest.New(t, &session.Options{Policy: session.Policy{Idle: time.Minute, AnonymousIdle: -1, AnonymousAbsolute: 7 * 24 * time.Hour}})
	token = do(t, k, "", func(u *unit) error { return note.Set(u, "a cart that lasts") })
	k.Clock.Advance(7*24*time.Hour - time.Millisecond)
	alive(t, k, token)
}

func TestDataOfAnonymousSessionsIsBounded(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Policy: session.Policy{AnonymousData: 100}})
	token := do(t, k, "", func(u *unit) error {
		ok(t, note.Set(u, strings.Repeat("a", 94))) // and four bytes of the name, and two quotes
		is(t, note.Set(u, strings.Repeat("a", 95)), model.ErrTooLarge)
		is(t, second.Set(u, 1), model.ErrTooLarge)
		is(t, second.Update(u, func(n *int) error { *n++; return nil }), model.ErrTooLarge)
		return nil
	})
	u := begin(t, k, token)
	if v, _, err := note.Get(u); err != nil || len(v) != 94 {
		t.Fatal(len(v), err)
	}
	ok(t, note.Set(u, "short"))
	ok(t, second.Set(u, 1))
	// A sign-in takes the bound away.
	ok(t, u.s.SignIn(u, "alice", nil))
	ok(t, note.Set(u, strings.Repeat("a", 1000)))
	u.end(token)
	// The default holds a page of text and no file.
	k = sessiontest.New(t, nil)
	u = begin(t, k, "")
	ok(t, note.Set(u, strings.Repeat("a", 100_000)))
	is(t, note.Set(u, strings.Repeat("a", 200_000)), model.ErrTooLarge)
	k = sessiontest.New(t, &session.Options{Policy: session.Policy{AnonymousData: -1}})
	ok(t, note.Set(begin(t, k, ""), strings.Repeat("a", 200_000)))
	// An identity of the program's own is not anonymous before its first value.
	k = sessiontest.New(t, &session.Options{IdentityKey: []byte(strings.Repeat("k", 32))})
	s, err := k.Service.OpenFor(session.Identity{Issuer: "https://idp.example", SessionID: "1", Principal: "alice"})
	ok(t, err)
	ok(t, note.Set(session.NewContext(t.Context(), s), strings.Repeat("a", 200_000)))
}
