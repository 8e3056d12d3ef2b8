package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Detached is a session's live view for what outlasts its request: a WebSocket,
// a worker. It has no client to give a credential to, so it goes on through
// rotations of the secret, and ends when the session does: at once where this
// service ends it, else within Options.WatchEvery. One goroutine of the
// service looks after all that are open, by one batch of reads each time; with
// none open there is none. It is safe for concurrent use.
type Detached struct {
	w      *watcher
	handle string
	done   chan struct{}
	stop   func() bool // of the context that it came from

	mu  sync.Mutex
	err error
}

// Detach returns a live view of the context's session, until Close, until the
// context ends, or until the session does. ErrNotStored for a session that is
// not in the store: Persist it first. ErrNoSession, ErrGone, or the store's
// error.
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
	d := &Detached{w: &s.svc.watch, handle: info.Handle, done: make(chan struct{})}
	if !d.w.add(d) {
		return nil, &model.Error{Op: "session.Detach", Err: model.ErrClosed}
	}
	stop := context.AfterFunc(ctx, func() { d.end(context.Cause(ctx)) })
	d.mu.Lock()
	d.stop = stop
	d.mu.Unlock()
	if d.Err() != nil {
		stop()
	}
	return d, nil
}

// Handle returns the session's public handle.
func (d *Detached) Handle() string { return d.handle }

// Done is closed when the view has ended.
func (d *Detached) Done() <-chan struct{} { return d.done }

// Err is nil while the view is open; then ErrGone where the session ended,
// context.Canceled after Close, model.ErrClosed after the service's Close, or
// the cause for which the context ended.
func (d *Detached) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Close ends the view and leaves the session alone. It may be called again.
func (d *Detached) Close() { d.end(context.Canceled) }

func (d *Detached) end(why error) {
	d.mu.Lock()
	first := d.err == nil
	if first {
		d.err = why
	}
	stop := d.stop
	d.mu.Unlock()
	if !first {
		return
	}
	if stop != nil {
		stop()
	}
	d.w.drop(d)
	close(d.done)
}

// Touch counts as a use of the session: it moves the idle deadline where that
// is due. ErrGone for a session that has ended, and Done is closed.
func (d *Detached) Touch(ctx context.Context) error {
	return d.Do(ctx, func(context.Context) error { return nil })
}

// Do runs a unit of work on the session: typed keys find it in the context, and
// what they change is committed when the function returns nil. SignOut ends
// the session; verbs that would need another credential are ErrDetached. It
// counts as a use.
func (d *Detached) Do(ctx context.Context, work func(context.Context) error) error {
	if err := d.Err(); err != nil {
		return err
	}
	s := &Session{svc: d.w.svc, turn: make(chan struct{}, 1), token: &token{handle: d.handle}, trusted: true}
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	if err := s.Degraded(); err != nil {
		return err // which ends nothing
	}
	if info.Handle == "" {
		d.end(ErrGone)
		return ErrGone
	}
	if err := work(NewContext(ctx, s)); err != nil {
		return err
	}
	_, err = s.Commit(ctx)
	if errors.Is(err, ErrGone) {
		d.end(ErrGone)
	}
	return err
}

// watcher looks after the detached sessions of a service.
type watcher struct {
	svc   *Service
	every time.Duration

	mu     sync.Mutex
	open   map[string]map[*Detached]struct{} // by handle
	stop   context.CancelFunc                // of the goroutine that runs; nil: none
	work   sync.WaitGroup
	closed bool
}

func (w *watcher) add(d *Detached) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if w.open == nil {
		w.open = map[string]map[*Detached]struct{}{}
	}
	if w.open[d.handle] == nil {
		w.open[d.handle] = map[*Detached]struct{}{}
	}
	w.open[d.handle][d] = struct{}{}
	if w.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		w.stop = stop
		w.work.Go(func() { w.run(ctx) })
	}
	return true
}

func (w *watcher) drop(d *Detached) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open[d.handle], d)
	if len(w.open[d.handle]) == 0 {
		delete(w.open, d.handle)
	}
	if len(w.open) == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// ended ends the views of a session whose row is gone.
func (w *watcher) ended(handle string) { w.end(handle, ErrGone) }

func (w *watcher) end(handle string, why error) {
	w.mu.Lock()
	var views []*Detached
	for d := range w.open[handle] {
		views = append(views, d)
	}
	w.mu.Unlock()
	for _, d := range views {
		d.end(why)
	}
}

func (w *watcher) handles() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.open))
	for h := range w.open {
		out = append(out, h)
	}
	return out
}

func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for _, h := range w.handles() {
		w.end(h, model.ErrClosed)
	}
	w.work.Wait()
}

func (w *watcher) run(ctx context.Context) {
	t := time.NewTicker(w.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.look(ctx)
		}
	}
}

// look reads the rows of all that are open. What the store cannot say now it is
// asked again the next time.
func (w *watcher) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.svc.timeout)
	defer cancel()
	handles := w.handles()
	results, err := w.svc.store.GetMany(ctx, handles)
	if err != nil {
		return
	}
	for i := range results {
		it, err := &results[i].Item, results[i].Err
		if err == nil {
			err = w.svc.opened(it)
		}
		reason := Reason("")
		if err == nil && !it.Value.expired(w.svc.now()) {
			reason, err = w.svc.standing(ctx, &it.Value)
		} else if err == nil {
			reason = TooOld
		}
		if reason != "" || errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrCorrupt) {
			w.ended(handles[i])
		}
	}
}
