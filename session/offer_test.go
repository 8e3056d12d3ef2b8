package session_test

import (
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// unpresented returns a token whose periodic rotation the client has not heard of.
func unpresented(t testing.TB, k *sessiontest.Kit) string {
	t.Helper()
	token := signIn(t, k, "", "alice", nil)
	for range 4 {
		k.Clock.Advance(15 * time.Minute)
		do(t, k, token, read)
	}
	return token
}

// A request with an offer that then moves the idle deadline learns from the
// conflict that the offer is over.
func TestOfferIsNotSentAfterAnotherRequestHasReplacedTheSecret(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := unpresented(t, k)
	k.Clock.Advance(5 * time.Minute) // the idle deadline is due
	late := begin(t, k, token)
	ok(t, read(late))
	now := do(t, k, token, func(u *unit) error { return u.s.Rotate(u) })
	deadline := alive(t, k, now).IdleDeadline
	k.Clock.Advance(time.Millisecond)
	c, err := late.s.Commit(late)
	is(t, err, session.ErrGone)
	if c.Action != session.ActionLeave {
		t.Errorf("a late request makes its client %v", c)
	}
	if got := alive(t, k, now); !got.IdleDeadline.Equal(deadline) {
		t.Errorf("a replaced secret has moved the deadline from %v to %v", deadline, got.IdleDeadline)
	}
}

// A token that is offered lives as long as the session that the request leaves.
func TestOfferHasTheLifetimeThatTheRequestHasSet(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, unpresented(t, k))
	ok(t, u.s.SetLifetime(u, 30*24*time.Hour))
	c, err := u.s.Commit(u)
	ok(t, err)
	got := alive(t, k, c.Token())
	if want := got.AbsoluteDeadline; !c.ExpiresAt.Equal(want) || c.MaxAge != want.Sub(k.Clock.Now()) {
		t.Errorf("the client keeps the token until %v, and the session ends at %v", c.ExpiresAt, want)
	}
}
