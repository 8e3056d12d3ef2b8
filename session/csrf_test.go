package session_test

import (
	"strings"
	"testing"

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
