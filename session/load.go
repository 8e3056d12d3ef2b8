package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// load reads the row, once. The caller has the turn. A store's failure is kept
// for the rest of the session's life, so that a request does not wait for a
// dead store again and again; that of a caller who gave up is not.
func (s *Session) load(caller, work context.Context) error {
	if s.loaded || s.loadErr != nil {
		return s.loadErr
	}
	s.mark(func() { s.used = true })
	if s.token == nil {
		s.mark(s.begin)
		if s.malformed {
			s.svc.emit(work, Event{Kind: Rejected, Reason: Malformed})
		}
		return nil
	}
	it, err := s.svc.get(work, s.token.handle)
	switch {
	case errors.Is(err, model.ErrNotFound):
		s.mark(s.begin)
		s.svc.emit(work, Event{Kind: Rejected, Reason: NoSuchSession, Handle: s.token.handle})
		return nil
	case errors.Is(err, model.ErrCorrupt):
		s.unreadable(work, &it, err)
		return nil
	case err != nil:
		return s.failed(caller, work, err)
	}
	admitted, err := s.admitted(work, &it)
	switch {
	case err != nil:
		return s.failed(caller, work, err)
	case !admitted:
		s.mark(s.begin)
	}
	return nil
}

// failed is the outcome of a load that got no answer.
func (s *Session) failed(caller, work context.Context, err error) error {
	if caller.Err() != nil {
		return err
	}
	if isDown(err) {
		verdict := s.svc.storeDown(work, err)
		if verdict == nil {
			s.mark(func() { s.begin(); s.readOnly = err })
			return nil
		}
		err = verdict
	}
	s.mark(func() { s.loadErr = err })
	return err
}

// unreadable is the outcome of a row that cannot be used: an anonymous session,
// and an event. Where the token can be seen to be the row's own, SignOut still
// deletes it: another node, of a newer version, may well read it.
func (s *Session) unreadable(ctx context.Context, it *expiry.Item[row], err error) {
	e := Event{Kind: Rejected, Reason: Unreadable, Handle: s.token.handle}
	if u := (*unreadableError)(nil); errors.As(err, &u) {
		e.Reason = u.reason
	}
	s.svc.suspicious(ctx, e)
	own := it.ID != "" && s.match(&it.Value, s.svc.now()) >= matchPrevious
	s.mark(func() {
		s.begin()
		if own {
			o := endedOf(it, BySignOut)
			s.orphan = &o
		}
	})
}

// admitted decides whether a row that was read is served to this client, and
// makes it the session's own then.
func (s *Session) admitted(ctx context.Context, it *expiry.Item[row]) (bool, error) {
	now := s.svc.now()
	e := eventOf(Anomaly, it.ID, &it.Value)
	via := s.match(&it.Value, now)
	switch via {
	case matchNone:
		e.Reason = WrongSecret
	case matchRetired:
		e.Reason = RetiredSecret
	case matchUnkeyed:
		e.Kind, e.Reason = Rejected, UnknownKey
	}
	if e.Reason != "" {
		s.svc.suspicious(ctx, e)
		return false, nil
	}
	if it.Value.expired(now) {
		return false, nil
	}
	if reason, err := s.svc.standing(ctx, &it.Value); reason != "" || err != nil {
		e.Kind, e.Reason = Rejected, reason
		if err == nil {
			s.svc.emit(ctx, e)
		}
		return false, err
	}
	switch s.bound(ctx, it) {
	case Destroy:
		o := endedOf(it, ByBinder)
		_, err := s.svc.remove(ctx, &o)
		return false, err
	case Challenge:
		s.mark(func() { s.challenged = true })
	}
	s.mark(func() { s.adopt(*it, via, !s.trusted) })
	return true, nil
}

// standing asks what a row cannot know: whether its principal, and whoever
// impersonates them, may still have sessions that were authenticated when it
// was. It costs nothing where neither is in use.
func (s *Service) standing(ctx context.Context, r *row) (Reason, error) {
	if reason, err := s.tooOld(ctx, r); reason != "" || err != nil {
		return reason, err
	}
	if r.Actor == nil {
		return "", nil
	}
	own, err := s.get(ctx, r.Actor.Handle)
	switch {
	case errors.Is(err, model.ErrNotFound), errors.Is(err, model.ErrCorrupt):
		return ActorGone, nil
	case err != nil:
		return "", err
	case own.Value.Principal != r.Actor.ID, own.Value.expired(s.now()):
		return ActorGone, nil
	}
	return s.tooOld(ctx, &own.Value)
}

func (s *Service) tooOld(ctx context.Context, r *row) (Reason, error) {
	if s.notBefore == nil || r.Principal == "" {
		return "", nil
	}
	t, err := s.notBefore(ctx, r.Principal)
	if err == nil && r.AuthenticatedAt.time().Before(t) {
		return TooOld, nil
	}
	return "", err
}
