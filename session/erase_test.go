package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// expired returns the principals of the rows that have expired and are not swept.
func expired(t *testing.T, k *sessiontest.Kit) string {
	t.Helper()
	var out []string
	_, err := k.Backend.Unwrap().DeleteExpired(t.Context(), driver.Sweep{
		Before: k.Clock.Now(), Limit: 1000,
		OnExpire: func(rec model.Record) error {
			out = append(out, rec.Labels["principal"])
			return model.ErrConflict // it stays
		},
	})
	ok(t, err)
	return strings.Join(out, " ")
}

func TestEraseLeavesNothingOfAPrincipal(t *testing.T) {
	e := &events{}
	k := sessiontest.New(t, &session.Options{OnEvent: e.hook, Grace: time.Hour})
	for range 3 {
		signIn(t, k, "", "alice", nil)
	}
	bob := signIn(t, k, "", "bob", nil)
	k.Clock.Advance(30 * time.Minute)
	live := signIn(t, k, "", "alice", nil)
	stays := signIn(t, k, "", "carol", nil)
	dead(t, k, bob)
	e.take()
	n, err := k.Service.Erase(t.Context(), "alice")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	dead(t, k, live)
	alive(t, k, stays)
	if left := expired(t, k); left != "bob" {
		t.Fatalf("left are rows of %q", left)
	}
	evs := e.take(session.EventDestroyed, session.EventExpired)
	if len(evs) != 4 {
		t.Fatalf("%+v", evs)
	}
	for _, ev := range evs {
		if ev.Principal != "alice" {
			t.Errorf("%+v", ev)
		}
	}
	_, err = k.Service.Erase(t.Context(), "")
	is(t, err, model.ErrInvalid)
	k.Backend.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpDeleteExpired))
	_, err = k.Service.Erase(t.Context(), "alice")
	is(t, err, model.ErrUnavailable)
}

func TestEraseOfMoreThanASweepRemoves(t *testing.T) {
	k := sessiontest.New(t, nil)
	for range 2100 {
		ok(t, k.Service.Open("").SignIn(t.Context(), "alice", nil))
	}
	k.Clock.Advance(24 * time.Hour)
	_, err := k.Service.Erase(t.Context(), "alice")
	ok(t, err)
	if left := expired(t, k); left != "" {
		t.Fatal("rows are left")
	}
}

func TestKeyUseCountsRowsByTheirKeys(t *testing.T) {
	r := ring(t, "a", 1)
	ok(t, r.Add(keyOf("b", 2)))
	raw, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	open := func(o session.Options) *session.Service {
		o.SweptElsewhere = true
		svc, err := session.New(raw, &o)
		ok(t, err)
		return svc
	}
	plain, sealed, peppered := open(session.Options{}), open(session.Options{Keyring: r}), open(session.Options{Keyring: r, Pepper: true})
	store := func(svc *session.Service, n int) {
		for range n {
			s := svc.Open("")
			u := session.NewContext(t.Context(), s)
			ok(t, note.Set(u, "v"))
			_, err := s.Commit(u)
			ok(t, err)
		}
	}
	store(plain, 2)
	store(sealed, 3)
	ok(t, r.Use("b"))
	store(peppered, 1100)
	rows, calls := 0, 0
	use, err := plain.KeyUse(t.Context(), func(n int) { rows = n; calls++ })
	if err != nil || use[""] != 2 || use["a"] != 3 || use["b"] != 1100 || len(use) != 3 {
		t.Fatal(use, err)
	}
	if rows != 1105 || calls != 2 {
		t.Fatal("progress:", rows, calls)
	}
	if n, err := sealed.CountKey(t.Context(), "a"); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := sealed.CountKey(t.Context(), "gone"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

// A marker that cannot be verified is taken for a foreign row, so its key counts.
func TestKeyUseCountsMarkers(t *testing.T) {
	r := ring(t, "a", 1)
	k := sessiontest.New(t, &session.Options{Keyring: r})
	token := signIn(t, k, "", "alice", nil)
	ok(t, r.Add(keyOf("b", 2)))
	do(t, k, token, func(u *unit) error { return u.s.SignOut(u) })
	ok(t, r.Use("b"))
	signIn(t, k, "", "alice", nil)
	use, err := k.Service.KeyUse(t.Context(), nil)
	if err != nil || use["a"] != 1 || use["b"] != 1 || len(use) != 2 {
		t.Error(use, err)
	}
	k.Clock.Advance(time.Minute)
	if use, err = k.Service.KeyUse(t.Context(), nil); err != nil || use["a"] != 0 {
		t.Error("after the marker has expired:", use, err)
	}
	plain := sessiontest.New(t, nil)
	token = signIn(t, plain, "", "alice", nil)
	do(t, plain, token, func(u *unit) error { return u.s.SignOut(u) })
	if use, err = plain.Service.KeyUse(t.Context(), nil); err != nil || len(use) != 0 {
		t.Error("a marker without a key:", use, err)
	}
}
