package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/model"
)

// Detached is a view of a session that outlives its request, for a WebSocket or
// a worker. It has no client, so it needs no token and survives rotations of the
// secret. It ends with the session: immediately if this service ends the
// session, else within Options.WatchEvery. While views are open, one goroutine
// of the service reads all their sessions in one batch. It is safe for
// concurrent use.
type Detached struct {
	svc  *Service
	view *view
}

// Detach returns a view of the context's session. It is open until Close, until
// the context ends, or until the session ends. Detach returns ErrNoSession if the
// context has no session. It returns ErrNotStored if the session is not stored:
// Persist it first. It can also return ErrGone or the store's error.
func Detach(ctx context.Context) (*Detached, error) {
	s, err := Require(ctx)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Degraded(); err != nil {
		return nil, err
	}
	if info.Handle == "" {
		return nil, ErrNotStored
	}
	v, ok := s.svc.watch.view(ctx, info.Handle, s.svc.endedAmong)
	if !ok {
		return nil, &model.Error{Op: "session.Detach", Err: model.ErrClosed}
	}
	return &Detached{svc: s.svc, view: v}, nil
}

// Handle returns the session's public handle.
func (d *Detached) Handle() string { return d.view.handle }

// Done is closed when the view has ended.
func (d *Detached) Done() <-chan struct{} { return d.view.done }

// Err returns nil while the view is open. Afterwards it returns ErrGone if the
// session ended, context.Canceled after Close, model.ErrClosed after the
// service's Close, or the cause of the context's end.
func (d *Detached) Err() error { return d.view.reason() }

// Close ends the view and leaves the session as it is. It can be called
// repeatedly.
func (d *Detached) Close() { d.view.end(context.Canceled) }

// Touch counts as a use of the session: it moves the idle deadline if that is
// due. If the session has ended, Touch returns ErrGone and closes Done.
func (d *Detached) Touch(ctx context.Context) error {
	return d.Do(ctx, func(context.Context) error { return nil })
}

// Do runs work on the session. Typed keys find the session in the context.
// Their changes are committed if work returns nil. SignOut ends the session.
// Verbs that need another token return ErrDetached. Do counts as a use.
func (d *Detached) Do(ctx context.Context, work func(context.Context) error) error {
	if err := d.Err(); err != nil {
		return err
	}
	s := d.svc.openHandle(d.Handle())
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	if err := s.Degraded(); err != nil {
		return err // the view stays open
	}
	if info.Handle == "" {
		d.view.end(ErrGone)
		return ErrGone
	}
	if err := work(NewContext(ctx, s)); err != nil {
		return err
	}
	_, err = s.Commit(ctx)
	if errors.Is(err, ErrGone) {
		d.view.end(ErrGone)
	}
	return err
}

// endedAmong returns the handles of sessions that have ended. It leaves out what
// the store does not answer now: the next call asks again.
func (s *Service) endedAmong(ctx context.Context, handles []string) []string {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	results, err := s.store.GetMany(ctx, handles)
	if err != nil {
		return nil
	}
	var out []string
	for i := range results {
		it, err := &results[i].Item, results[i].Err
		if err == nil {
			err = s.unseal(it)
		}
		reason := Reason("")
		if err == nil && !it.Value.Expired(s.now()) {
			reason, err = s.standing(ctx, &it.Value)
		} else if err == nil {
			reason = ReasonTooOld
		}
		if reason != "" || errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrCorrupt) {
			out = append(out, handles[i])
		}
	}
	return out
}
