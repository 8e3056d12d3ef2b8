package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

type item struct {
	Name string
	Tags [][]string
	Big  uint64
	When time.Time
	From netip.Addr
	Sum  *big.Int
	Meta map[string]any
}

// Bug: alexedwards/scs#211, alexedwards/scs#174, gorilla/sessions#57, gorilla/sessions#83, gin-contrib/sessions#39, gin-contrib/sessions#134, gin-contrib/sessions#191
func TestValuesKeepTheirTypesWithoutRegistration(t *testing.T) {
	f := setup(t, session.Options{})
	key := session.NewKey[[]item]("items")
	want := []item{{
		Name: "<b>é\u2028", Tags: [][]string{{"a"}, {}, nil}, Big: 1<<64 - 1,
		When: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), From: netip.MustParseAddr("::1"),
		Sum: new(big.Int).Lsh(big.NewInt(1), 100), Meta: map[string]any{"n": nil},
	}}
	null := session.NewKey[*int]("null")
	ctx, s := f.open(t, "")
	ok(t, key.Set(ctx, want))
	ok(t, null.Set(ctx, nil))
	k, err := s.Commit(ctx)
	ok(t, err)
	ctx, s = f.open(t, k.Token())
	got, there, err := key.Get(ctx)
	ok(t, err)
	if !there || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	if p, there, err := null.Get(ctx); err != nil || !there || p != nil {
		t.Fatalf("null: %v, %v, %v", p, there, err)
	}
	got[0].Tags[0][0] = "changed"
	if again, _, _ := key.Get(ctx); again[0].Tags[0][0] != "a" {
		t.Fatal("a returned value shares memory with the session's")
	}
	ok(t, key.Set(ctx, want))
	ok(t, null.Set(ctx, nil))
	if s.Changed() {
		t.Fatal("setting the same values again counts as a change")
	}
}

// Bug: spring-projects/spring-session#280, spring-projects/spring-session#90, spring-projects/spring-session#1939, spring-projects/spring-session#529
func TestOneBadValueDoesNotSpoilTheRest(t *testing.T) {
	f := setup(t, session.Options{})
	before := session.NewKey[string]("cart")
	after := session.NewKey[int]("cart") // another type after a deploy
	ctx, s := f.open(t, "")
	ok(t, before.Set(ctx, "secret-content"))
	ok(t, note.Set(ctx, "v"))
	k, err := s.Commit(ctx)
	ok(t, err)
	ctx, s = f.open(t, k.Token())
	_, there, err := after.Get(ctx)
	is(t, err, model.ErrCorrupt)
	if there || strings.Contains(err.Error(), "secret-content") {
		t.Fatalf("%v, %v", there, err)
	}
	is(t, after.Update(ctx, func(*int) error { return nil }), model.ErrCorrupt)
	_, _, err = after.Take(ctx)
	is(t, err, model.ErrCorrupt)
	if v, _, err := note.Get(ctx); err != nil || v != "v" {
		t.Fatalf("the other key: %q, %v", v, err)
	}
	ok(t, after.Set(ctx, 1))
	_, err = s.Commit(ctx)
	ok(t, err)
}

func TestTakeShowsAValueOnce(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	if v, there, err := note.Take(ctx); err != nil || !there || v != "v" {
		t.Fatalf("%q, %v, %v", v, there, err)
	}
	if _, there, err := note.Take(ctx); err != nil || there {
		t.Fatalf("again: %v, %v", there, err)
	}
	_, err := s.Commit(ctx)
	ok(t, err)
	ctx, _ = f.open(t, token)
	if _, there, err := note.Get(ctx); err != nil || there {
		t.Fatalf("in the next request: %v, %v", there, err)
	}
}

func TestUpdate(t *testing.T) {
	f := setup(t, session.Options{})
	key := session.NewKey[[]string]("list")
	ctx, s := f.open(t, "")
	add := func(v string) func(*[]string) error {
		return func(l *[]string) error { *l = append(*l, v); return nil }
	}
	ok(t, key.Update(ctx, add("a")))
	ok(t, key.Update(ctx, add("b")))
	refuse := errors.New("no")
	is(t, key.Update(ctx, func(l *[]string) error { *l = nil; return refuse }), refuse)
	k, err := s.Commit(ctx)
	ok(t, err)
	// Set makes earlier changes of the key obsolete, also in a replay.
	ctx, slow := f.open(t, k.Token())
	ok(t, key.Update(ctx, add("lost")))
	ok(t, key.Set(ctx, []string{"z"}))
	ok(t, key.Update(ctx, add("y")))
	other, quick := f.open(t, k.Token())
	ok(t, key.Update(other, add("c")))
	_, err = quick.Commit(other)
	ok(t, err)
	_, err = slow.Commit(ctx)
	ok(t, err)
	ctx, _ = f.open(t, k.Token())
	got, _, err := key.Get(ctx)
	ok(t, err)
	if fmt.Sprint(got) != "[z y]" {
		t.Fatal(got)
	}
}

func TestUpdateRunsAgainOnlyForAnotherRequestsChange(t *testing.T) {
	for _, raced := range []bool{false, true} {
		f := setup(t, session.Options{})
		token := create(t, f)
		ctx, s := f.open(t, token)
		runs := 0
		ok(t, note.Update(ctx, func(v *string) error { runs++; *v += "x"; return nil }))
		if raced {
			other, quick := f.open(t, token)
			ok(t, note.Set(other, "w"))
			_, err := quick.Commit(other)
			ok(t, err)
		}
		_, err := s.Commit(ctx)
		ok(t, err)
		ctx, _ = f.open(t, token)
		got, _, err := note.Get(ctx)
		ok(t, err)
		if want := map[bool]string{false: "vx 1", true: "wx 2"}[raced]; fmt.Sprint(got, " ", runs) != want {
			t.Errorf("raced %v: %q after %d runs, want %s", raced, got, runs, want)
		}
	}
}

func TestKeysRefuseInvalidUse(t *testing.T) {
	f := setup(t, session.Options{})
	_, _, err := note.Get(t.Context())
	is(t, err, session.ErrNoSession)
	is(t, note.Set(t.Context(), "v"), session.ErrNoSession)
	if _, there := session.From(session.NewContext(t.Context(), nil)); there {
		t.Fatal("From returns a nil session")
	}
	ctx, s := f.open(t, "")
	for _, name := range []string{"", strings.Repeat("x", 65), "\xff"} {
		bad := session.NewKey[int](name)
		is(t, bad.Set(ctx, 1), model.ErrInvalid)
		_, _, err := bad.Get(ctx)
		is(t, err, model.ErrInvalid)
	}
	is(t, session.NewKey[chan int]("c").Set(ctx, nil), model.ErrInvalid)
	if s.Changed() || note.Name() != "note" {
		t.Fatal("a refused value counts as a change")
	}
}

func TestKeysThatDecideAboutConflictsAndCorruption(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "text") })
	number := session.NewKey[int]("note")
	_, _, err := number.Get(begin(t, k, token))
	is(t, err, model.ErrCorrupt)
	zero := number.Repairing(func(error) (int, bool, error) { return 0, false, nil })
	if v, there, err := zero.Get(begin(t, k, token)); v != 0 || there || err != nil {
		t.Fatal(v, there, err)
	}
	seven := number.Repairing(func(error) (int, bool, error) { return 7, true, nil })
	do(t, k, token, func(u *unit) error { return seven.Update(u, func(n *int) error { *n++; return nil }) })
	if v, _, err := number.Get(begin(t, k, token)); v != 8 || err != nil {
		t.Fatal(v, err)
	}

	refuse := errors.New("cannot be joined")
	merged := session.NewKey[int]("n").Merging(func(base, fresh, mine int) (int, error) {
		if mine < 0 {
			return 0, refuse
		}
		return fresh + mine - base, nil
	})
	token = do(t, k, token, func(u *unit) error { return merged.Set(u, 10) })
	race := func(a, b func(u *unit) error) error {
		t.Helper()
		slow, quick := begin(t, k, token), begin(t, k, token)
		ok(t, a(slow))
		ok(t, b(quick))
		quick.end(token)
		_, err := slow.s.Commit(slow)
		return err
	}
	set := func(v int) func(u *unit) error { return func(u *unit) error { return merged.Set(u, v) } }
	ok(t, race(set(13), set(15)))
	if v, _, err := merged.Get(begin(t, k, token)); v != 18 || err != nil {
		t.Fatal(v, err)
	}
	is(t, race(set(-1), set(20)), refuse)
	// Several changes of one request are compared with the value that it loaded.
	ok(t, race(func(u *unit) error { return errors.Join(merged.Set(u, 1), merged.Set(u, 21)) }, set(30)))
	if v, _, err := merged.Get(begin(t, k, token)); v != 31 || err != nil {
		t.Fatal(v, err)
	}
	ok(t, race(func(u *unit) error { return merged.Delete(u) }, set(40)))
	if _, there, err := merged.Get(begin(t, k, token)); there || err != nil {
		t.Fatal(there, err)
	}
	strict := session.NewKey[int]("n").FailingOnConflict()
	for name, change := range map[string]func(u *unit) error{
		"Set":    func(u *unit) error { return strict.Set(u, 1) },
		"Delete": func(u *unit) error { return errors.Join(strict.Set(u, 5), strict.Delete(u)) },
		"Update": func(u *unit) error { return strict.Update(u, func(n *int) error { *n = 3; return nil }) },
		"Take":   func(u *unit) error { _, _, err := strict.Take(u); return err },
	} {
		do(t, k, token, func(u *unit) error { return merged.Set(u, 50) })
		if err := race(change, set(60)); !errors.Is(err, session.ErrKeyConflict) || strings.Contains(err.Error(), "60") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUpdateThatChangesItsOwnSessionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, session.Options{})
		ctx, _ := f.open(t, "")
		err := note.Update(ctx, func(v *string) error {
			if _, _, err := note.Get(ctx); err != nil {
				t.Errorf("reading inside a change: %v", err)
			}
			return note.Set(ctx, "inner")
		})
		is(t, err, context.DeadlineExceeded)
		ok(t, note.Set(ctx, "outer"))
	})
}
