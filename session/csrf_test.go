package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestCSRFTokenIsBoundToTheSecret(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := begin(t, k, "").s.CSRFToken(t.Context())
	is(t, err, session.ErrNotStored)
	token, stranger := signIn(t, k, "", "alice", nil), signIn(t, k, "", "bob", nil)
	get := func(token string) string {
		t.Helper()
		text, err := begin(t, k, token).s.CSRFToken(t.Context())
		ok(t, err)
		return text
	}
	good := func(token, text string) bool {
		t.Helper()
		fine, err := begin(t, k, token).s.CheckCSRF(t.Context(), text)
		ok(t, err)
		return fine
	}
	text := get(token)
	if again := get(token); text == again || !good(token, text) || !good(token, again) {
		t.Fatal("not masked, or not accepted")
	}
	for i := range len(text) {
		x := byte('A')
		if text[i] == x {
			x = 'B'
		}
		if good(token, text[:i]+string(x)+text[i+1:]) {
			t.Fatal("byte", i, "is not checked")
		}
	}
	for _, bad := range []string{"", get(stranger), text[1:], text + "A", strings.Repeat("A", len(text))} {
		if good(token, bad) {
			t.Fatal(bad)
		}
	}
	if good("", text) || strings.Contains(text, token[23:]) {
		t.Fatal("accepted without a session")
	}
	token = do(t, k, token, func(u *unit) error { return u.s.Rotate(u) })
	if good(token, text) || !good(token, get(token)) {
		t.Fatal("does not change with the secret")
	}
	k.Backend.SetHook(sessiontest.Down)
	_, err = begin(t, k, token).s.CheckCSRF(t.Context(), text)
	is(t, err, model.ErrUnavailable)
}

// The answer that brings a form may bring the next secret too.
func TestCSRFTokenOutlivesOneRotation(t *testing.T) {
	for name, opts := range map[string]*session.Options{
		"plain":    {Policy: session.Policy{Idle: -1, Absolute: 1000 * time.Hour}},
		"peppered": {Policy: session.Policy{Idle: -1, Absolute: 1000 * time.Hour}, Keyring: ring(t, "a", 1), Pepper: true},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, opts)
			token := signIn(t, k, "", "alice", nil)
			text := ""
			visit := func() {
				t.Helper()
				k.Clock.Advance(time.Hour)
				next := do(t, k, token, func(u *unit) (err error) {
					if text == "" {
						text, err = u.s.CSRFToken(u)
						return err
					}
					return read(u)
				})
				if next == token {
					t.Fatal("not rotated")
				}
				token = next
			}
			good := func() bool {
				t.Helper()
				fine, err := begin(t, k, token).s.CheckCSRF(t.Context(), text)
				ok(t, err)
				return fine
			}
			visit()
			if !good() {
				t.Fatal("dead on arrival")
			}
			token = do(t, k, token, read) // presents the new secret
			k.Clock.Advance(59 * time.Minute)
			if !good() {
				t.Fatal("dead after the overlap")
			}
			visit()
			if good() {
				t.Fatal("outlives two rotations")
			}
		})
	}
}

func TestCSRFTokenNeedsThePepper(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Keyring: ring(t, "a", 1), Pepper: true})
	token := signIn(t, k, "", "alice", nil)
	text, err := begin(t, k, token).s.CSRFToken(t.Context())
	ok(t, err)
	other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Keyring: ring(t, "a", 2), Pepper: true})
	ok(t, err)
	if fine, _ := other.Open(token).CheckCSRF(t.Context(), text); fine {
		t.Fatal("valid under another seal key")
	}
}

// A verb ends the tokens of all secrets before, also after a periodic rotation.
func TestCSRFTokensEndWithEveryVerb(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	u := begin(t, k, token)
	text, err := u.s.CSRFToken(u)
	ok(t, err)
	for range 5 {
		k.Clock.Advance(20 * time.Minute)
		token = do(t, k, token, read)
	}
	u = begin(t, k, token)
	good, err := u.s.CheckCSRF(u, text)
	if !good || err != nil {
		t.Fatal("after one rotation:", good, err)
	}
	token = do(t, k, token, func(u *unit) error { return u.s.Rotate(u) })
	u = begin(t, k, token)
	if good, err := u.s.CheckCSRF(u, text); good || err != nil {
		t.Error("after Rotate:", good, err)
	}
}
