package session_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Requests go on while seal keys are added and used.
func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	r := ring(t, "k0", 0)
	k := sessiontest.New(t, &session.Options{Keyring: r, Pepper: true})
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	workers(4, 200, func(i int) {
		if i%20 == 0 {
			id := "k" + string(rune('a'+i/20))
			if err := errors.Join(r.Add(keyOf(id, byte(i))), r.Use(id)); err != nil {
				t.Errorf("a new key: %v", err)
			}
		}
		s := k.Service.Open(token)
		ctx := session.NewContext(t.Context(), s)
		if err := note.Update(ctx, func(v *string) error { *v += "x"; return nil }); err != nil {
			t.Errorf("Update: %v", err)
		}
		if _, err := s.Commit(ctx); err != nil {
			t.Errorf("Commit: %v", err)
		}
	})
	v, _, err := note.Get(begin(t, k, token))
	if err != nil || len(v) != 201 {
		t.Fatal(len(v), err)
	}
}

func sealKey(t testing.TB, k *sessiontest.Kit, token string) string {
	t.Helper()
	h, _, _ := strings.Cut(token, ".")
	rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: h})
	ok(t, err)
	if strings.Contains(string(rec.Value), "personal") {
		t.Fatalf("not encrypted: %s", rec.Value)
	}
	_, after, _ := strings.Cut(rowText(t, &rec), `"sealKey":"`)
	id, _, _ := strings.Cut(after, `"`)
	return id
}

// Bug: dotnet/aspnetcore#39807
func TestSealKeysRotateLiveAndALostOneIsAnonymous(t *testing.T) {
	var seen events
	r := ring(t, "a", 1)
	k := sessiontest.New(t, &session.Options{Keyring: r, Pepper: true, OnEvent: seen.hook})
	has := func(token, want string) {
		t.Helper()
		do(t, k, token, func(u *unit) error {
			v, _, err := note.Get(u)
			if v != want {
				t.Fatalf("%q, want %q", v, want)
			}
			return err
		})
	}
	set := func(token, v string) string {
		t.Helper()
		return do(t, k, token, func(u *unit) error { return note.Set(u, v) })
	}
	one, two := set("", "personal 1"), set("", "personal 2")
	if id := sealKey(t, k, one); id != "a" {
		t.Fatal(id)
	}
	ok(t, r.Add(keyOf("b", 2)))
	one = set(one, "personal 3")
	if id := sealKey(t, k, one); id != "a" {
		t.Fatal("a key that was only added encrypts:", id)
	}
	ok(t, r.Use("b"))
	has(one, "personal 3") // a retired key decrypts
	if id := sealKey(t, k, one); id != "a" {
		t.Fatal("a read encrypted it again:", id)
	}
	one = set(one, "personal 4") // and does not encrypt
	if id := sealKey(t, k, one); id != "b" {
		t.Fatal(id)
	}
	// The pepper changes together with the secret.
	one = do(t, k, one, func(u *unit) error { return u.s.Rotate(u) })
	ok(t, r.Remove("a"))
	has(one, "personal 4")
	seen.take()
	dead(t, k, two)
	if got := seen.take(); len(got) != 1 || got[0].Kind != session.EventRejected || got[0].Reason != session.ReasonUnknownSealKey {
		t.Fatalf("%+v", got)
	}
	// This ring lacks the key, as after a restart that lost it.
	second, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Keyring: ring(t, "c", 3), Logger: slog.New(slog.DiscardHandler)})
	ok(t, err)
	if i, err := second.Open(one).Info(t.Context()); err != nil || i.Handle != "" {
		t.Fatal(i, err)
	}
	if n := fmt.Sprintf("%v %+v %#v %s", r, r, r, r); !strings.Contains(n, "keyring(b of") || strings.Contains(n, "\x02\x02") {
		t.Fatal(n)
	}
}

func TestSealedDataOpensOnlyInItsOwnRow(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Keyring: ring(t, "a", 1)})
	rich := do(t, k, "", func(u *unit) error { return note.Set(u, "personal 1000000") })
	poor := do(t, k, "", func(u *unit) error { return note.Set(u, "personal 1") })
	var sealed any
	rewrite(t, k, rich, func(_ *model.Record, row map[string]any) { sealed = row["sealed"] })
	rewrite(t, k, poor, func(_ *model.Record, row map[string]any) { row["sealed"] = sealed })
	alive(t, k, rich)
	dead(t, k, poor)
	// No salt is used twice, and a session without data is not encrypted.
	seen := map[string]bool{}
	token := rich
	for i := range 200 {
		token = do(t, k, token, func(u *unit) error { return note.Set(u, fmt.Sprint("personal ", i%2)) })
		rewrite(t, k, token, func(_ *model.Record, row map[string]any) {
			salt := row["sealed"].(string)[:36]
			if seen[salt] {
				t.Fatal("a salt was used twice")
			}
			seen[salt] = true
		})
	}
	token = do(t, k, token, func(u *unit) error { return note.Delete(u) })
	if id := sealKey(t, k, token); id != "" {
		t.Fatal(id)
	}
}

func TestEncryptionCanBeginWithPlainRows(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "before") })
	strict, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Keyring: ring(t, "a", 1), Pepper: true})
	ok(t, err)
	if i, err := strict.Open(token).Info(t.Context()); err != nil || i.Handle != "" {
		t.Fatal("a row without a signature is served:", i, err)
	}
	svc, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Keyring: ring(t, "a", 1), Pepper: true, AcceptUnsignedUntil: k.Clock.Now().Add(time.Hour)})
	ok(t, err)
	s := svc.Open(token)
	ctx := session.NewContext(t.Context(), s)
	if v, _, err := note.Get(ctx); err != nil || v != "before" {
		t.Fatal(v, err)
	}
	ok(t, note.Set(ctx, "personal"))
	_, err = s.Commit(ctx)
	ok(t, err)
	if id := sealKey(t, k, token); id != "a" {
		t.Fatal(id)
	}
	dead(t, k, token) // a service without the ring
}
