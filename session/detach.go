package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Detached is a view of a session that outlives its request, for a WebSocket or
// a worker. It has no client, so it needs no token and survives rotations of the
// secret. It ends with the session: immediately if this service ends the
// session, else within Options.WatchEvery. One of an impersonation also ends with
// the actor's session, within Options.WatchEvery. While views are open, one goroutine
// of the service reads all their sessions, in batches of 500. It is safe for
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
	v, ok := s.svc.watch.view(ctx, info.Handle, s.views(), s.svc.endedAmong)
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
	if info.Handle == "" || d.view.endedBy(&s.item.Value) {
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

// EndViews ends the session's detached views: those of this service when it
// returns, and those of others within their Options.WatchEvery. The session goes
// on. Views stay open that are opened by a request that loads it afterwards. Call it with Rotate after a theft, since
// views need no token. It returns ErrNotStored if the session is not stored, and
// ErrGone if it was ended meanwhile. It makes one call of the store, and the load.
func (s *Session) EndViews(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !s.state.stored() {
		return cmp.Or(s.mayCreate(), ErrNotStored)
	}
	s.locked(func() { s.applyEdit(edit{apply: func(r *row.Row, _ time.Time) { r.Views++ }}) })
	return s.flush(work, nil)
}

// views returns the number of a view that is opened now.
func (s *Session) views() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.item.Value.Views
}

// endedBy reports whether EndViews has ended the view.
func (v *view) endedBy(r *row.Row) bool {
	return v.number < r.Views
}

// watchBatch is how many sessions one read of the watch has.
const watchBatch = 500

// endedAmong is a finder. It leaves out what the store does not answer now: the
// next call asks again. A batch that fails does not keep the others from being
// read.
func (s *Service) endedAmong(ctx context.Context, handles []string, gone func(handle string, below int64)) {
	for part := range slices.Chunk(handles, watchBatch) {
		failed, err := s.endedOfBatch(ctx, part, gone)
		if ctx.Err() != nil {
			return // no view is open any longer
		}
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "detached sessions could not be read",
				slog.Int("sessions", failed), slog.String("error", err.Error()))
		}
	}
}

// endedOfBatch is endedAmong for one batch. It returns how many sessions could
// not be read, with the first error.
func (s *Service) endedOfBatch(ctx context.Context, handles []string, gone func(handle string, below int64)) (failed int, first error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	results, err := s.store.GetMany(ctx, handles)
	if err != nil {
		return len(handles), err
	}
	for i := range results {
		it := &results[i].Item
		over, err := s.hasEnded(ctx, it, results[i].Err)
		switch {
		case over:
			gone(handles[i], allViews)
		case err != nil:
			if failed++; first == nil {
				first = err
			}
		case it.Value.Views != 0:
			gone(handles[i], it.Value.Views)
		}
	}
	return failed, first
}

// hasEnded reports whether the row that was read, or failed to be read with err,
// shows that its session has ended.
func (s *Service) hasEnded(ctx context.Context, it *item, err error) (bool, error) {
	if err == nil {
		err = s.unseal(it)
	}
	switch {
	case errors.Is(err, model.ErrNotFound), errors.Is(err, model.ErrCorrupt):
		return true, nil
	case err != nil:
		return false, err
	case it.Value.Expired(s.now()):
		return true, nil
	}
	reason, err := s.standing(ctx, &it.Value)
	return reason != "", err
}
