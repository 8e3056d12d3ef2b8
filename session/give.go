package session

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// maxCookie is the longest lifetime that browsers give a cookie.
const maxCookie = 400 * 24 * time.Hour

// issue makes the item the session's row and gives its new token to the client.
func (s *Session) issue(it item, t *row.Token) {
	s.offered = time.Time{}
	s.becomeIssued(it, t)
	s.give(t)
}

// give sets the credential to the token. Its lifetime is that of the absolute
// deadline: the row alone decides when the session is idle for too long.
func (s *Session) give(t *row.Token) {
	s.cred = Credential{Action: ActionGive, Persistence: Persistence(s.item.Value.Persistence), token: t.Text()}
	s.keepAsLong()
}

// keepAsLong sets the lifetime of a token that the client is given to that of the
// row. Another request, or this one, may have changed it.
func (s *Session) keepAsLong() {
	if s.cred.Action != ActionGive {
		return
	}
	r, now := &s.item.Value, s.svc.now()
	at := now.Add(maxCookie)
	if r.Absolute != 0 && r.Absolute.Time().Before(at) {
		at = r.Absolute.Time()
	}
	left := at.Sub(now)
	if part := left % time.Second; part > 0 || left <= 0 {
		left += time.Second - part // a cookie's lifetime is whole seconds, and zero deletes it
	}
	s.cred.ExpiresAt, s.cred.MaxAge = at, left
}

// offerAge is how long ago the row of an offer may have been read. A slow answer
// must not bring back a session that another one has replaced meanwhile.
const offerAge = time.Second

// offer gives the client the new secret again that it has not presented yet:
// the answer with it may be lost.
func (s *Session) offer() {
	if !s.state.stored() || s.matched != row.MatchPrevious || s.detached || s.passive || s.noRotation {
		return
	}
	r := &s.item.Value
	if r.PreviousUntil != 0 || len(r.Salt) == 0 {
		return
	}
	next := s.token.Next(r.Salt)
	if now := s.svc.now(); s.svc.match(r, &next, now) == row.MatchCurrent {
		s.give(&next)
		s.offered = now
	}
}

// offerIsOld reports whether the client is about to get an offer from a row that
// was read some time ago.
func (s *Session) offerIsOld() bool {
	return !s.offered.IsZero() && s.svc.now().Sub(s.offered) >= offerAge
}

// confirmOffer withholds the offer unless the row is as it was. The client still
// has a secret that opens the session, and the next answer offers the new one.
func (s *Session) confirmOffer(ctx context.Context) {
	it, err := s.svc.get(ctx, s.item.ID)
	s.locked(func() {
		if s.offered = (time.Time{}); err != nil || it.Revision != s.item.Revision {
			s.cred = Credential{}
		}
	})
}

// renewals remembers some moves of idle deadlines, so that of several touches at
// the same instant one is an event.
type renewals struct {
	seed  maphash.Seed
	slots [256]atomic.Uint64
}

// first reports whether this is the first move of the session's deadline to at.
func (r *renewals) first(handle string, at time.Time) bool {
	sum := maphash.Comparable(r.seed, handle)
	slot := &r.slots[sum%uint64(len(r.slots))]
	mine := sum ^ uint64(at.UnixMilli())
	return slot.Swap(mine) != mine
}
