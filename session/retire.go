package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// removeMany ends sessions, one with remove and more with a batch. It returns how
// many this call ended, also with an error. After an error of one row it goes on
// with the others.
func (s *Service) removeMany(ctx context.Context, list []ended) (n int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	if len(list) == 1 {
		did, err := s.remove(ctx, &list[0])
		if did {
			n = 1
		}
		return n, err
	}
	ops := make([]expiry.Op[row.Row], len(list))
	for i := range list {
		ops[i] = expiry.Op[row.Row]{Kind: expiry.OpDelete, ID: list[i].handle}
		if list[i].known != nil {
			ops[i].Opts = &expiry.WriteOptions{IfMatch: list[i].known}
		}
	}
	out, err := s.store.Bulk(ctx, ops)
	for i := range out.Results {
		did, failed := s.removedOf(ctx, &list[i], out.Results[i].Err, err == nil)
		if did {
			n++
		}
		if err == nil {
			err = failed
		}
	}
	return n, err
}

// removedOf settles the outcome of one row of a batch and reports whether the
// batch ended the session. Again says that a row may be deleted once more: one
// that was written meanwhile at any revision, and one whose answer was lost.
func (s *Service) removedOf(ctx context.Context, e *ended, err error, again bool) (bool, error) {
	switch {
	case again && (errors.Is(err, model.ErrConflict) || errors.Is(err, model.ErrUnknown)):
		return s.remove(ctx, &ended{handle: e.handle, principal: e.principal, actor: e.actor, reason: e.reason})
	case errors.Is(err, model.ErrNotFound):
		s.watch.end(e.handle, ErrGone)
		return false, nil
	case err != nil:
		return false, err
	}
	s.watch.end(e.handle, ErrGone)
	s.emitEnded(ctx, e)
	return true, nil
}

// emitEnded emits the event of a session that this service has ended.
func (s *Service) emitEnded(ctx context.Context, e *ended) {
	s.emit(ctx, Event{Kind: EventDestroyed, Reason: e.reason, Handle: e.handle, Principal: e.principal, Actor: e.actor})
}

// idOf returns the id of the record that an error of a listing is about.
func idOf(err error) string {
	if e := (*model.Error)(nil); errors.As(err, &e) {
		return e.ID
	}
	return ""
}
