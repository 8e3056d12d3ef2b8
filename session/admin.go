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

// Sessions yields the live sessions of a principal. Its cost is that of the
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
			if !it.Value.expired(s.now()) && !yield(infoOf(&it), nil) {
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
	missing := &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	if err := model.CheckLabelValue(principal); err != nil {
		return &model.Error{Op: op, Err: err}
	}
	if !isHandle(handle) {
		return &model.Error{Op: op, Err: model.ErrNotFound}
	}
	it, err := s.store.Get(ctx, handle)
	if err != nil {
		return err
	}
	// The owner of a row never changes, so the delete needs no revision.
	if it.Value.Principal != principal {
		return missing
	}
	did, err := s.remove(ctx, handle, it.Version())
	if err == nil && !did {
		return missing
	}
	return err
}

// DestroyOthers ends all sessions of a principal but the one with the handle
// to keep, and returns how many it ended, also beside an error.
func (s *Service) DestroyOthers(ctx context.Context, principal, keep string) (int, error) {
	return s.destroy(ctx, "session.DestroyOthers", principal, keep)
}

// DestroyPrincipal ends all sessions of a principal and returns how many it
// ended, also beside an error. No session survives whose sign-in returned
// before the call began; one that is signed in meanwhile may.
func (s *Service) DestroyPrincipal(ctx context.Context, principal string) (int, error) {
	return s.destroy(ctx, "session.DestroyPrincipal", principal, "")
}

// destroy lists and deletes until a listing has nothing left to delete.
func (s *Service) destroy(ctx context.Context, op, principal, keep string) (int, error) {
	total := 0
	opts := &expiry.ListOptions{Label: principalLabel, Value: principal, KeysOnly: true}
	for range destroyRounds {
		seen := 0
		for it, err := range s.store.All(ctx, opts) {
			if err != nil && it.ID == "" {
				return total, err
			}
			if it.ID == keep {
				continue
			}
			seen++
			// A row that cannot be read is deleted like any other.
			did, err := s.remove(ctx, it.ID, it.Version())
			if err != nil {
				return total, err
			}
			if did {
				total++
			}
		}
		if seen == 0 {
			return total, nil
		}
	}
	return total, &model.Error{Op: op, Err: model.Fault(model.ErrConflict, "the principal keeps signing in", nil)}
}
