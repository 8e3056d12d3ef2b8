package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// A request with the token of a session that is refused writes nothing: the cookie
// of a new session could replace that of a sign-in since. A sign-in is as always.
func TestALateWriteOfARefusedSessionCreatesNone(t *testing.T) {
	since, decision := time.Time{}, session.DecisionAllow
	k := sessiontest.New(t, &session.Options{
		NotBefore: func(context.Context, string) (time.Time, error) { return since, nil },
		Binder:    func(context.Context, session.Info, session.Client) session.Decision { return decision },
	})
	for name, tc := range map[string]struct {
		token  func() string
		refuse func(token string)
	}{
		"by NotBefore": {refuse: func(string) { k.Clock.Advance(time.Second); since = k.Clock.Now() }},
		"by Binder":    {refuse: func(string) { decision = session.DecisionDestroy }},
		"for its actor": {token: func() string {
			admin := signIn(t, k, "", "admin", nil)
			return do(t, k, admin, func(u *unit) error { return u.s.Impersonate(u, "ann", "ticket 1") })
		}, refuse: func(string) {
			_, err := k.Service.DestroyPrincipal(t.Context(), "admin")
			ok(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			since, decision = time.Time{}, session.DecisionAllow
			if tc.token == nil {
				tc.token = func() string { return signIn(t, k, "", "ann", nil) }
			}
			token := tc.token()
			tc.refuse(token)
			u := begin(t, k, token)
			u.s.SetClient(session.Client{UserAgent: "another"})
			is(t, session.NewKey[int]("n").Set(u, 1), session.ErrGone)
			c, err := u.s.Commit(t.Context())
			ok(t, err)
			if c.Token() != "" {
				t.Fatal("the client got another session's token")
			}
			since, decision = time.Time{}, session.DecisionAllow
			signIn(t, k, token, "ann", nil)
		})
	}
}
