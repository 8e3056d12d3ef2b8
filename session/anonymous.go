package session

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// lifetimes sets the idle limit and the absolute deadline of a new row. What the
// options of its sign-in say goes before what was set for the session earlier.
func (s *Session) lifetimes(r *row.Row, now time.Time) {
	p, given := &s.svc.policy, *r
	idle, absolute := p.Idle, p.Absolute
	if r.Principal == "" {
		idle, absolute = p.AnonymousIdle, p.AnonymousAbsolute
	}
	r.Idle = idle.Milliseconds()
	// What was set for a signed-in session belongs to that one, such as its SID.
	other := r.Principal != "" && s.state.stored() && s.item.Value.Principal != ""
	if r.Actor == nil && !other {
		for _, edit := range s.edits {
			edit.apply(r, now)
		}
	}
	r.Idle, r.Life = cmp.Or(given.Idle, r.Idle), cmp.Or(given.Life, r.Life)
	r.SetAbsolute(absolute)
}

// fits returns model.ErrTooLarge if the value would make the data of an anonymous
// session larger than Policy.AnonymousData. Data that is too large already may
// shrink. The caller holds the lock.
func (s *Session) fits(key string, raw json.RawMessage) error {
	limit := s.svc.policy.AnonymousData
	if limit == 0 || s.identity != nil || s.state.stored() && s.item.Value.Principal != "" {
		return nil
	}
	before, after := 0, 0
	for _, v := range s.data {
		n := len(v.Key) + len(v.Raw)
		before += n
		if v.Key != key {
			after += n
		}
	}
	if after += len(key) + len(raw); after <= limit || after <= before {
		return nil
	}
	return model.NewError(model.ErrTooLarge, fmt.Sprintf(
		"the session key %q makes the data of an anonymous session %d bytes, more than the %d of Policy.AnonymousData; sign in first", key, after, limit), nil)
}
