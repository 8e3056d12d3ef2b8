package session

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// draft is the next state of a row.
type draft struct {
	row     row.Row
	expiry  expiry.Expiry
	moved   bool       // the expiry moves
	matched row.Match  // how the session's token matches the row
	token   *row.Token // a new token; nil if the secret stays
	again   bool       // the client gets its token again, with another lifetime
	write   bool       // the row changes
	verb    *verb      // may be nil
	kind    EventKind  // of the event of the write; zero: there is none
}

// next derives the row to write from base, a row that was read. Hashes and times
// come from base and never from an earlier load.
func (s *Session) next(base *item, v *verb) (draft, error) {
	now, p := s.svc.now(), s.svc.policy
	d := draft{row: base.Value, expiry: expiry.Keep(), verb: v}
	if base.Value.Expired(now) {
		return d, gone(nil) // since it was loaded
	}
	data := s.data
	if base.Revision != s.item.Revision { // another request has written meanwhile
		var err error
		if data, err = replay(base.Value.Data, s.ops); err != nil {
			return d, err
		}
	}
	d.row.Data = data
	// With writes in doubt there is always one: it keeps them from arriving late.
	d.write = len(s.doubts) > 0 || !data.Equal(base.Value.Data) || !s.passive && p.seenDue(base, now)

	if err := s.nextSecret(&d, base, v, now); err != nil {
		return d, err
	}
	sets := false
	for _, edit := range s.edits {
		d.row = edit.applied(d.row, now)
		d.write, sets = true, sets || edit.deadline
	}
	if v != nil && v.edit.apply != nil {
		d.row = v.edit.applied(d.row, now)
	}
	counts := !s.passive || v != nil && v.edit.deadline
	at, due := d.row.Due(now, base.ExpiresAt, p.touchEvery(&d.row))
	due = due && counts
	d.again = d.row.Absolute != base.Value.Absolute && d.matched == row.MatchCurrent
	if sets || v != nil && v.edit.deadline {
		// A lifetime that is already over ends with this write.
		if at, due = deadline(base, &d.row, now, counts), true; !at.After(now) {
			at = now.Add(time.Millisecond)
		}
	}
	if d.write {
		d.row.WrittenAt = row.InstantOf(now)
		if due {
			d.expiry, d.moved = expiry.At(at), true
		}
	}
	return d, nil
}

// deadline returns the expiry of a row of which a deadline was set. A use that
// does not count leaves the idle deadline as the last use has set it, unless there
// is another idle limit.
func deadline(base *item, r *row.Row, now time.Time, counts bool) time.Time {
	at := r.Deadline(now)
	if counts || r.Idle != base.Value.Idle {
		return at
	}
	before := base.ExpiresAt
	if capped := base.Value.Absolute.Time(); before.Equal(capped) { // no field has the idle deadline then
		if seen := r.Deadline(infoOf(base, now).LastSeen); seen.After(before) {
			before = seen
		}
	}
	if before.Before(at) {
		return before
	}
	return at
}

// nextSecret replaces the secret if a verb asks for it or the rotation is due.
// It retires the previous secret after the client has presented the new one.
func (s *Session) nextSecret(d *draft, base *item, v *verb, now time.Time) error {
	r, p := &d.row, s.svc.policy
	d.matched = s.match(&base.Value, now)
	if superseded(d.matched) || v != nil && !d.matched.Opens() {
		return &goneError{WhyReplaced}
	}
	switch {
	case v != nil:
		d.kind = v.kind
		t := row.NewToken(base.ID)
		s.newSecret(d, t, now)
		s.svc.retire(r, &base.Value, now)
	case s.rotationDue(base, d.matched, now):
		d.kind = EventRotated
		r.Salt = row.NewSalt()
		s.newSecret(d, s.token.Next(r.Salt), now)
		r.PreviousUntil = 0
		// If the current secret never reached the client, the previous one stays.
		if d.matched != row.MatchPrevious {
			r.Remember(r.Previous, r.PreviousKey)
			r.Previous, r.PreviousKey = base.Value.Hash, base.Value.HashKey
		}
	case s.origin == originPresented && !s.passive && d.matched == row.MatchCurrent && len(r.Previous) > 0 && r.PreviousUntil == 0:
		r.PreviousUntil, r.Salt = row.InstantOf(now.Add(p.Overlap)), nil
		d.write = true
	}
	return nil
}

// superseded reports whether the secret of a session that was loaded has been
// replaced since. One that has only lapsed since then is still good for this use.
func superseded(m row.Match) bool {
	return m == row.MatchNone || m == row.MatchReplaced || m == row.MatchRetired
}

func (s *Session) newSecret(d *draft, t row.Token, now time.Time) {
	d.token, d.write = &t, true
	d.row.Hash, d.row.HashKey = s.svc.newHash(&t)
	d.row.RotatedAt = row.InstantOf(now)
}

// retire keeps the hashes of the secrets that a verb replaces, so that requests
// under way are known for what they are.
func (s *Service) retire(r, before *row.Row, now time.Time) {
	r.Remember(before.Hash, before.HashKey)
	r.RetiredUntil = row.InstantOf(now.Add(s.policy.straggling()))
	r.Salt = nil
	if len(r.Previous) > 0 {
		r.PreviousUntil = row.InstantOf(now)
	}
}

// rotationDue reports whether this request rotates the secret. A secret that is
// only valid for requests under way is never rotated. Of parallel requests only
// one rotates: the others then see the new RotatedAt. A new secret that the
// client does not have yet is offered again: see offer.
func (s *Session) rotationDue(base *item, matched row.Match, now time.Time) bool {
	r, every := &base.Value, s.svc.policy.RotateEvery
	if every == 0 || s.origin != originPresented || s.passive || s.noRotation {
		return false
	}
	// Format version 1 had no salt.
	again := matched == row.MatchPrevious && r.PreviousUntil == 0 && len(r.Salt) == 0
	return (matched == row.MatchCurrent || again) && now.Sub(r.RotatedAt.Time()) >= every
}
