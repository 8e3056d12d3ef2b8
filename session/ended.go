package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// A session that ends, or that another one replaces, leaves a marker in its
// row: a few bytes that say why. So a request that was under way, or that comes
// from a browser that does not know yet, is not taken for a new visitor's.

// endedError is about a marker. To everybody but load, its session is absent.
type endedError struct{ reason Reason }

func (e *endedError) Error() string { return "session: ended: " + string(e.reason) }
func (e *endedError) Unwrap() error { return model.ErrNotFound }

// ended is a session to end, and why.
type ended struct {
	handle    string
	principal string
	actor     string
	reason    Reason
	row       item   // as known; may be empty
	absent    bool   // an identity without a row
	own       *ended // of an impersonation: the actor's own session, which ends before it
	parker    string // the session ends only while this impersonation has it parked; "" means always
	doubts    doubts // markers whose answers were lost
	heir      *heir  // what takes the data over, if that is not done
}

// known returns the row as known, with its ID in any case.
func (e *ended) known() item {
	base := e.row
	base.ID = e.handle
	return base
}

func endedOf(it *item, why Reason) ended {
	e := ended{handle: it.ID, principal: it.Value.Principal, reason: why, row: *it}
	a := it.Value.Actor
	if a == nil {
		return e
	}
	e.actor = a.ID
	if why != ReasonImpersonationEnded {
		// No secret opens the actor's own session now, and nothing gives it another.
		e.own = &ended{handle: a.Handle, principal: a.ID, reason: why}
		if why != ReasonSignOut { // the actor may have it back, or act as another one
			e.own.parker = it.ID
		}
	}
	return e
}

// endOwn ends the own session of an actor whose impersonation ends.
func (s *Service) endOwn(ctx context.Context, e *ended) error {
	if e.own == nil {
		return nil
	}
	_, err := s.remove(ctx, e.own)
	if err == nil {
		e.own = nil
	}
	return err
}

// brief reports whether the marker of the reason lives for Policy.Overlap only:
// the client has ended or replaced the session itself, and has another
// credential or none. Other markers live as long as the session would have.
func (r Reason) brief() bool {
	return r == ReasonReplaced || r == ReasonSignOut || r == ReasonImpersonationEnded
}

// markerExpiry returns how long the marker lives.
func (s *Service) markerExpiry(why Reason) expiry.Expiry {
	if !why.brief() {
		return expiry.Keep()
	}
	return expiry.At(s.now().Add(s.policy.straggling()))
}

// remove ends a session and reports whether this call did. It wins over
// writers: none of them can bring the session back.
func (s *Service) remove(ctx context.Context, e *ended) (bool, error) {
	if err := s.endOwn(ctx, e); err != nil {
		return false, err
	}
	did, err := s.mark(ctx, e)
	if err != nil || !did && e.parker != "" {
		return did, err
	}
	s.watch.end(e.handle, ErrGone)
	if did {
		s.emitEnded(ctx, e)
	}
	return did, nil
}

// markAttempts is how often a marker is put at a revision, which tells two
// callers apart, before it is put at any.
const markAttempts = 10

// mark puts a marker in the place of the row, also of one that cannot be read.
func (s *Service) mark(ctx context.Context, e *ended) (bool, error) {
	if e.absent {
		return false, s.endIdentity(ctx, e.handle)
	}
	if e.parker != "" && e.row.ID == "" {
		it, err := s.get(ctx, e.handle)
		if errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrCorrupt) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		e.row = it
	}
	base := e.known()
	var err error
	for attempt := 0; ; attempt++ {
		if e.parker != "" && !isParkedBy(&base.Value, e.parker) {
			return false, nil
		}
		var winner item
		winner, err = s.markOnce(ctx, &base, e, e.parker != "" || !base.Revision.IsZero() && attempt < markAttempts)
		if !errors.Is(err, model.ErrConflict) {
			break
		}
		if winner.Value.Gone != "" {
			return false, nil
		}
		base = winner
	}
	switch {
	case errors.Is(err, model.ErrNotFound):
		return false, nil
	case errors.Is(err, model.ErrCorrupt):
		err = s.markOver(ctx, e)
	}
	return err == nil, err
}

// markOver puts a marker in the place of a row that no update replaces: one of
// foreign bytes. Without the marker, a session of OpenFor would begin again.
func (s *Service) markOver(ctx context.Context, e *ended) error {
	r, opts, err := s.marker(&item{ID: e.handle}, e.reason, false)
	if err != nil {
		return err
	}
	if !e.reason.brief() {
		opts.Expiry = expiry.At(s.unused())
	}
	_, err = s.store.Upsert(ctx, e.handle, r, opts)
	return err
}

// unused returns the end of a session that begins now and is not used.
func (s *Service) unused() time.Time {
	now := s.now()
	r := row.Row{Idle: s.policy.Idle.Milliseconds(), CreatedAt: row.InstantOf(now)}
	r.SetAbsolute(s.policy.Absolute)
	return r.Deadline(now)
}

// marker returns the marker for a row and how to write it: at the revision of
// base, or at any.
func (s *Service) marker(base *item, why Reason, known bool) (row.Row, *expiry.WriteOptions, error) {
	r := row.Row{Gone: string(why)}
	if _, err := s.seal(base.ID, &r); err != nil {
		return r, nil, err
	}
	opts := &expiry.WriteOptions{Expiry: s.markerExpiry(why), Labels: labelsOf(base.ID, &r)}
	if known {
		opts.IfMatch = base.Known()
	}
	return r, opts, nil
}

// markOnce writes the marker, at the revision of base or at any: see settled. Nil
// means that this call has ended the session, or an earlier one for e whose answer
// was lost. With model.ErrConflict it returns the row that won: a session, or the
// marker of another call.
func (s *Service) markOnce(ctx context.Context, base *item, e *ended, known bool) (item, error) {
	r, opts, err := s.marker(base, e.reason, known)
	if err != nil {
		return item{}, err
	}
	it, err := s.settled(ctx, base, &e.doubts, func(ctx context.Context) (item, error) { return s.store.Update(ctx, base.ID, r, opts) })
	if errors.Is(err, model.ErrConflict) && it.ID != base.ID {
		won, lookErr := s.store.Get(ctx, base.ID)
		if lookErr != nil {
			return won, lookErr
		}
		it = won
	}
	return it, err
}

// emitEnded emits the event of a session that this service has ended. That of a
// sign-in names the session that it has replaced.
func (s *Service) emitEnded(ctx context.Context, e *ended) {
	if e.reason == ReasonReplaced {
		return
	}
	s.emit(ctx, Event{Kind: EventDestroyed, Reason: e.reason, Handle: e.handle, Principal: e.principal, Actor: e.actor})
}

// removeMany is remove for many sessions, in batches. It returns how many this
// call ended, also with an error.
func (s *Service) removeMany(ctx context.Context, list []ended) (int, error) {
	if len(list) == 1 {
		did, err := s.remove(ctx, &list[0])
		if did {
			return 1, err
		}
		return 0, err
	}
	for i := range list {
		own := list[i].own
		if own == nil || slices.ContainsFunc(list, func(e ended) bool { return e.handle == own.handle }) {
			continue
		}
		if err := s.endOwn(ctx, &list[i]); err != nil {
			return 0, err
		}
	}
	ops := make([]expiry.Op[row.Row], len(list))
	for i := range list {
		e := &list[i]
		base := e.known()
		r, opts, err := s.marker(&base, e.reason, !base.Revision.IsZero())
		if err != nil {
			return 0, err
		}
		ops[i] = expiry.Op[row.Row]{Kind: expiry.OpUpdate, ID: e.handle, Value: r, Opts: opts}
	}
	res, err := s.store.Bulk(ctx, ops)
	n := 0
	for i := range res.Results {
		e, one := &list[i], res.Results[i].Err
		did := one == nil
		if errors.Is(one, model.ErrUnknown) {
			e.doubts.add(doubt{revision: res.Results[i].Item.Revision})
		}
		if one != nil && !errors.Is(one, model.ErrNotFound) {
			if err == nil {
				// Others write to this row, or its answer was lost.
				did, one = s.mark(ctx, e)
			}
			if one != nil {
				// A store that is down is not asked for each row. That an outcome is unknown says
				// more than a refusal of another row.
				if err == nil || errors.Is(one, model.ErrUnknown) {
					err = one
				}
				continue
			}
		}
		s.watch.end(e.handle, ErrGone)
		if did {
			n++
			s.emitEnded(ctx, e)
		}
	}
	return n, err
}

// discard deletes a row that no client knows.
func (s *Service) discard(ctx context.Context, id string) error {
	ctx, cancel := s.uncancelled(ctx)
	defer cancel()
	err := s.store.Delete(ctx, id, nil)
	if errors.Is(err, model.ErrUnknown) {
		err = s.store.Delete(ctx, id, nil)
	}
	s.watch.end(id, ErrGone)
	return absentIsFine(err)
}
