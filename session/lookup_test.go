package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestLookupAndDestroyByHandle(t *testing.T) {
	e := &events{}
	k := sessiontest.New(t, &session.Options{OnEvent: e.hook})
	token := signIn(t, k, "", "alice", nil)
	anonymous := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	h := alive(t, k, token).Handle
	k.Backend.Calls()
	got, err := k.Service.Lookup(t.Context(), h)
	if err != nil || got != alive(t, k, token) {
		t.Fatalf("%+v, %v", got, err)
	}
	k.Backend.Assert(t, "Get 2", "a lookup and a request")
	for _, bad := range []string{"", "x", token, "AAAAAAAAAAAAAAAAAAAAAA"} {
		_, err := k.Service.Lookup(t.Context(), bad)
		is(t, err, model.ErrNotFound)
		is(t, k.Service.DestroyHandle(t.Context(), bad), model.ErrNotFound)
	}
	k.Backend.Calls()
	e.take()
	ok(t, k.Service.DestroyHandle(t.Context(), h))
	k.Backend.Assert(t, "Get 1, Write 1", "DestroyHandle")
	if evs := e.take(session.EventDestroyed); len(evs) != 1 || evs[0].Principal != "alice" || evs[0].Handle != h {
		t.Fatalf("%+v", evs)
	}
	dead(t, k, token)
	is(t, k.Service.DestroyHandle(t.Context(), h), model.ErrNotFound)
	ok(t, k.Service.DestroyHandle(t.Context(), alive(t, k, anonymous).Handle))
	dead(t, k, anonymous)
}

func TestLookupOfRowsThatCannotBeServed(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	h := alive(t, k, token).Handle
	k.Backend.SetTamper(sessiontest.Torn)
	got, err := k.Service.Lookup(t.Context(), h)
	is(t, err, model.ErrCorrupt)
	if got != (session.Info{Handle: h}) {
		t.Fatalf("%+v", got)
	}
	ok(t, k.Service.DestroyHandle(t.Context(), h))
	k.Backend.SetTamper(nil)
	dead(t, k, token)
	// A service with a keyring does not read a row without a MAC.
	signed, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Keyring: ring(t, "a", 1), SweptElsewhere: true})
	ok(t, err)
	token = signIn(t, k, "", "alice", nil)
	h = alive(t, k, token).Handle
	got, err = signed.Lookup(t.Context(), h)
	is(t, err, model.ErrCorrupt)
	if got != (session.Info{Handle: h}) {
		t.Fatalf("%+v", got)
	}
	l, err := signed.Page(t.Context(), "", 0)
	if err != nil || len(l.Sessions) != 0 || len(l.Failed) == 0 || !errors.Is(errors.Join(l.Failed...), model.ErrCorrupt) {
		t.Fatal(l, err)
	}
	token = signIn(t, k, "", "alice", nil)
	h = alive(t, k, token).Handle
	k.Clock.Advance(24 * time.Hour)
	_, err = k.Service.Lookup(t.Context(), h)
	is(t, err, model.ErrNotFound)
	is(t, k.Service.DestroyHandle(t.Context(), h), model.ErrNotFound)
	k.Backend.SetHook(sessiontest.Down)
	_, err = k.Service.Lookup(t.Context(), h)
	is(t, err, model.ErrUnavailable)
	k.Backend.SetHook(nil)
	ok(t, k.Service.Ping(t.Context()))
	ok(t, k.Service.CreateStorage(t.Context()))
	ok(t, k.Backend.Close())
	is(t, k.Service.Ping(t.Context()), model.ErrClosed)
	is(t, k.Service.CreateStorage(t.Context()), model.ErrClosed)
}

func TestPagesHaveWhatTheIteratorsYield(t *testing.T) {
	k := sessiontest.New(t, nil)
	for i := range 25 {
		signIn(t, k, "", fmt.Sprint("u", i%2), nil)
	}
	for _, principal := range []string{"", "u0", "nobody"} {
		all := k.Service.All(t.Context())
		page := k.Service.Page
		if principal != "" {
			all = k.Service.Sessions(t.Context(), principal)
			page = func(ctx ctx, after string, limit int) (session.Listing, error) {
				return k.Service.SessionsPage(ctx, principal, after, limit)
			}
		}
		var want, got []string
		for i, err := range all {
			ok(t, err)
			want = append(want, i.Handle)
		}
		for after := ""; ; {
			l, err := page(t.Context(), after, 10)
			ok(t, err)
			if len(l.Sessions) > 10 || len(l.Failed) > 0 {
				t.Fatal(len(l.Sessions), l.Failed)
			}
			for _, i := range l.Sessions {
				got = append(got, i.Handle)
			}
			if after = l.Next; after == "" {
				break
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Fatalf("%d and %d sessions of %q", len(got), len(want), principal)
		}
	}
	_, err := k.Service.SessionsPage(t.Context(), "u0", "", -1)
	is(t, err, model.ErrInvalid)
	_, err = k.Service.SessionsPage(t.Context(), "u0", "no such token", 10)
	is(t, err, model.ErrInvalid)
	_, err = k.Service.SessionsPage(t.Context(), "", "", 10)
	is(t, err, model.ErrInvalid)
	k.Backend.SetTamper(sessiontest.Torn)
	l, err := k.Service.Page(t.Context(), "", 0)
	ok(t, err)
	var e *model.Error
	if len(l.Failed) != 25 || !errors.As(l.Failed[0], &e) || e.ID == "" || !errors.Is(e, model.ErrCorrupt) {
		t.Fatal(len(l.Sessions), l.Failed)
	}
}

// A list of devices has no session that NotBefore or NotBeforeSID refuses: nobody
// can open it, and nobody needs to end it.
func TestListsOfDevicesLeaveOutWhatNotBeforeRefuses(t *testing.T) {
	var since time.Time
	var fails error
	asked, sids := 0, map[string]time.Time{}
	k := sessiontest.New(t, &session.Options{
		NotBefore:    func(context.Context, string) (time.Time, error) { asked++; return since, fails },
		NotBeforeSID: func(_ context.Context, sid string) (time.Time, error) { return sids[sid], nil },
	})
	signIn(t, k, "", "alice", nil)
	signIn(t, k, "", "alice", nil)
	since = k.Clock.Advance(time.Minute)
	signIn(t, k, "", "alice", &session.SignInOptions{SID: "idp/1"})
	want := alive(t, k, signIn(t, k, "", "alice", nil)).Handle
	sids["idp/1"] = k.Clock.Advance(time.Minute)
	signIn(t, k, "", "bob", nil)
	for name, list := range map[string]func() ([]session.Info, error){
		"Sessions": func() (all []session.Info, err error) {
			for i, err := range k.Service.Sessions(t.Context(), "alice") {
				if err != nil {
					return all, err
				}
				all = append(all, i)
			}
			return all, nil
		},
		"SessionsPage": func() ([]session.Info, error) {
			l, err := k.Service.SessionsPage(t.Context(), "alice", "", 0)
			return l.Sessions, err
		},
	} {
		asked, fails = 0, nil
		all, err := list()
		ok(t, err)
		if len(all) != 1 || all[0].Handle != want || asked != 1 {
			t.Errorf("%s: %d sessions after %d questions, want one after one: %+v", name, len(all), asked, all)
		}
		fails = model.ErrUnavailable
		if all, err := list(); !errors.Is(err, fails) || len(all) > 0 {
			t.Errorf("%s: %d sessions and %v, though NotBefore has no answer", name, len(all), err)
		}
	}
	n := 0
	for _, err := range k.Service.All(t.Context()) {
		ok(t, err)
		n++
	}
	if n != 5 {
		t.Errorf("All has %d sessions, want 5", n)
	}
}

func TestInfoHasTheLabelsOfTheSignIn(t *testing.T) {
	raw, err := memory.New(memory.NewSpace(), "s", &memory.Options{Labels: []string{"principal", "tenant", "app"}})
	ok(t, err)
	svc, err := session.New(raw, &session.Options{SweptElsewhere: true})
	ok(t, err)
	s := svc.Open("")
	labels := map[string]string{"tenant": "acme", "app": "shop"}
	ok(t, s.SignIn(t.Context(), "alice", &session.SignInOptions{Labels: labels}))
	labels["tenant"] = "changed afterwards"
	i, err := s.Info(t.Context())
	ok(t, err)
	if i.Label("tenant") != "acme" || i.Label("app") != "shop" || i.Label("acme") != "" || i.Label("") != "" || (session.Info{}).Label("app") != "" {
		t.Fatalf("%+v", i)
	}
	again, err := svc.Lookup(t.Context(), i.Handle)
	if err != nil || again != i {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, bad := range []map[string]string{{"principal": "x"}, {"sid": "x"}, {"other": "x"}, {"app": ""}, {"app": "a\x00b"}} {
		is(t, svc.Open("").SignIn(t.Context(), "alice", &session.SignInOptions{Labels: bad}), model.ErrInvalid)
	}
	_, err = svc.DestroyByLabel(t.Context(), "other", "x")
	is(t, err, model.ErrInvalid)
	for _, err := range svc.SessionsByLabel(t.Context(), "", "x") {
		is(t, err, model.ErrInvalid)
	}
	for _, err := range svc.SessionsByLabel(t.Context(), "other", "x") {
		is(t, err, model.ErrInvalid)
	}
	n, err := svc.DestroyByLabel(t.Context(), "app", "shop")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
}
