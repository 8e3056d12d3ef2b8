package session

import (
	"context"
	"iter"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// destroyRounds bounds how often a listing is repeated while others keep
// signing the same principal in.
const destroyRounds = 100

// Sessions yields the live sessions of a principal, those under which somebody
// impersonates them included: see Info.Actor. Its cost is that of the
// principal's own sessions, however many others there are. A row that cannot
// be read is yielded as an Info with its handle alone and an error that
// matches model.ErrCorrupt, and the listing goes on; any other error ends it.
func (s *Service) Sessions(ctx context.Context, principal string) iter.Seq2[Info, error] {
	return s.list(ctx, &expiry.ListOptions{Label: principalLabel, Value: principal})
}

// All yields every live session, anonymous ones too, with errors as Sessions
// does.
func (s *Service) All(ctx context.Context) iter.Seq2[Info, error] { return s.list(ctx, nil) }

func (s *Service) list(ctx context.Context, opts *expiry.ListOptions) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for it, err := range s.store.All(ctx, opts) {
			if err != nil {
				if !yield(Info{Handle: it.ID}, err) {
					return
				}
				continue
			}
			if now := s.now(); !it.Value.expired(now) && !yield(infoOf(&it, now), nil) {
				return
			}
		}
	}
}

// Count returns the number of live sessions, anonymous ones included.
func (s *Service) Count(ctx context.Context) (int, error) { return s.store.Count(ctx, nil) }

// CountPrincipal returns the number of a principal's live sessions.
func (s *Service) CountPrincipal(ctx context.Context, principal string) (int, error) {
	return s.store.Count(ctx, &expiry.ListOptions{Label: principalLabel, Value: principal})
}

// Destroy ends the session with that handle, which must be the principal's
// own: model.ErrNotFound for one that is not there or belongs to another.
func (s *Service) Destroy(ctx context.Context, principal, handle string) error {
	const op = "session.Destroy"
	it, err := s.own(ctx, op, principal, handle)
	if err != nil {
		return err
	}
	// The owner of a row never changes, so the delete needs no revision.
	o := endedOf(&it, ByCaller)
	did, err := s.remove(ctx, &o)
	if err == nil && !did {
		return &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return err
}

// own reads a row of the principal's.
func (s *Service) own(ctx context.Context, op, principal, handle string) (expiry.Item[row], error) {
	if err := model.CheckLabelValue(principal); err != nil {
		return expiry.Item[row]{}, &model.Error{Op: op, Err: err}
	}
	if !isHandle(handle) {
		return expiry.Item[row]{}, &model.Error{Op: op, Err: model.ErrNotFound}
	}
	it, err := s.store.Get(ctx, handle)
	if err == nil && it.Value.Principal != principal {
		err = &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return it, err
}

// DestroyOthers ends all sessions of a principal but the one with the handle
// to keep, and returns how many it ended, also beside an error.
func (s *Service) DestroyOthers(ctx context.Context, principal, keep string) (int, error) {
	return s.destroy(ctx, "session.DestroyOthers", principal, keep)
}

// DestroyPrincipal ends all sessions of a principal and returns how many it
// ended, also beside an error. No session survives whose sign-in returned
// before the call began; one that is signed in meanwhile may, unless
// Options.NotBefore says otherwise.
func (s *Service) DestroyPrincipal(ctx context.Context, principal string) (int, error) {
	return s.destroy(ctx, "session.DestroyPrincipal", principal, "")
}

// DestroyByLabel ends all sessions that bear the value under a label,
// "principal" or "sid", as DestroyPrincipal does: with "sid" it is what an
// identity provider's back-channel logout asks for. model.ErrInvalid for a
// label that the backend does not declare.
func (s *Service) DestroyByLabel(ctx context.Context, label, value string) (int, error) {
	return s.destroyLabelled(ctx, "session.DestroyByLabel", label, value, "")
}

// DestroyAll ends every session that was there when the call began, anonymous
// ones too, and returns how many it ended, also beside an error. It goes page
// by page: cut short by its context, it has ended what it counted, and another
// call goes on with the rest.
func (s *Service) DestroyAll(ctx context.Context) (int, error) {
	n, _, err := s.destroyRound(ctx, &expiry.ListOptions{KeysOnly: true}, "")
	return n, err
}

func (s *Service) destroy(ctx context.Context, op, principal, keep string) (int, error) {
	return s.destroyLabelled(ctx, op, principalLabel, principal, keep)
}

// destroyLabelled lists and deletes until a listing has nothing left to delete.
func (s *Service) destroyLabelled(ctx context.Context, op, label, value, keep string) (int, error) {
	if label == "" {
		return 0, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "no label", nil)}
	}
	total := 0
	opts := &expiry.ListOptions{Label: label, Value: value, KeysOnly: true}
	for range destroyRounds {
		n, seen, err := s.destroyRound(ctx, opts, keep)
		if total += n; err != nil || seen == 0 {
			return total, err
		}
	}
	return total, &model.Error{Op: op, Err: model.NewError(model.ErrConflict, "sign-ins go on", nil)}
}

// destroyRound is one listing, with its rows deleted.
func (s *Service) destroyRound(ctx context.Context, opts *expiry.ListOptions, keep string) (ends, seen int, err error) {
	for it, err := range s.store.All(ctx, opts) {
		if err != nil && it.ID == "" {
			return ends, seen, err
		}
		if it.ID == keep {
			continue
		}
		seen++
		// A row that cannot be read is deleted like any other.
		o := ended{handle: it.ID, principal: it.Labels[principalLabel], reason: ByCaller, version: it.Known()}
		did, err := s.remove(ctx, &o)
		if err != nil {
			return ends, seen, err
		}
		if did {
			ends++
		}
	}
	return ends, seen, nil
}
