package session_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func FuzzOpen(f *testing.F) {
	f.Add(strings.Repeat("A", 22) + "." + strings.Repeat("A", 43))
	f.Add("")
	f.Add("\x00.\n")
	fx := setup(f, session.Options{})
	f.Fuzz(func(t *testing.T, token string) {
		ctx, s := fx.open(t, token)
		if info, err := s.Info(ctx); err != nil || info.Handle != "" {
			t.Fatalf("%q opens %+v, %v", token, info, err)
		}
	})
}

func TestTokensThatOpenNothingRaiseAnEvent(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	token := signIn(t, k, "", "alice", nil)
	h, _, _ := strings.Cut(token, ".")
	seen.take()
	for text, want := range map[string]session.Reason{
		"":                                    "",
		"x":                                   session.ReasonMalformed,
		token + "x":                           session.ReasonMalformed,
		token[:65]:                            session.ReasonMalformed,
		h + "." + token[:43]:                  session.ReasonMalformed,
		strings.Repeat("x", 10000):            session.ReasonMalformed,
		"AAAAAAAAAAAAAAAAAAAAAA" + token[22:]: session.ReasonNoSuchSession,
		h + "." + strings.Repeat("A", 43):     session.ReasonWrongSecret,
	} {
		dead(t, k, text)
		got := seen.take()
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].Reason != want {
			t.Errorf("%.70q: %+v", text, got)
		}
	}
	alive(t, k, token)
}

func TestTokensAreUniqueAndHaveOneLength(t *testing.T) {
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
	if strings.Contains(all, secret) || !strings.Contains(all, "give a token for 24h0m0s") {
		t.Fatal(all)
	}
}
