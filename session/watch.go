package session

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// watcher knows the detached sessions of a service. While there are any, one
// goroutine looks for those that have ended.
type watcher struct {
	every time.Duration

	mu     sync.Mutex
	open   map[string]map[*view]struct{} // by handle
	stop   context.CancelFunc            // stops the goroutine; nil if none runs
	work   sync.WaitGroup
	closed bool
}

// view is open until its session ends, until its context ends, or until close.
type view struct {
	w      *watcher
	handle string
	number int64 // of Row.Views when the session was loaded
	done   chan struct{}
	stop   func() bool // of the context

	mu  sync.Mutex
	err error
}

// finder looks at the sessions of the handles. It calls gone for those of which
// the views with a number below the limit have ended.
type finder func(ctx context.Context, handles []string, gone func(handle string, below int64))

// allViews is above the number of every view.
const allViews = math.MaxInt64

// view opens a view that ends with ctx. It returns false after close.
func (w *watcher) view(ctx context.Context, handle string, number int64, ended finder) (*view, bool) {
	v := &view{w: w, handle: handle, number: number, done: make(chan struct{})}
	if !w.add(v, ended) {
		return nil, false
	}
	stop := context.AfterFunc(ctx, func() { v.end(context.Cause(ctx)) })
	v.mu.Lock()
	v.stop = stop
	v.mu.Unlock()
	if v.reason() != nil {
		stop()
	}
	return v, true
}

// reason returns why the view has ended, or nil if it is open.
func (v *view) reason() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func (v *view) end(why error) {
	v.mu.Lock()
	first := v.err == nil
	if first {
		v.err = why
	}
	stop := v.stop
	v.mu.Unlock()
	if !first {
		return
	}
	if stop != nil {
		stop()
	}
	v.w.drop(v)
	close(v.done)
}

func (w *watcher) add(v *view, ended finder) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if w.open == nil {
		w.open = map[string]map[*view]struct{}{}
	}
	if w.open[v.handle] == nil {
		w.open[v.handle] = map[*view]struct{}{}
	}
	w.open[v.handle][v] = struct{}{}
	if w.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		w.stop = stop
		w.work.Go(func() { w.run(ctx, ended) })
	}
	return true
}

func (w *watcher) drop(v *view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open[v.handle], v)
	if len(w.open[v.handle]) == 0 {
		delete(w.open, v.handle)
	}
	if len(w.open) == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// end ends all views of a session.
func (w *watcher) end(handle string, why error) { w.endBelow(handle, allViews, why) }

// endBelow ends the views of a session with a number below the limit.
func (w *watcher) endBelow(handle string, below int64, why error) {
	w.mu.Lock()
	var views []*view
	for v := range w.open[handle] {
		if v.number < below {
			views = append(views, v)
		}
	}
	w.mu.Unlock()
	for _, v := range views {
		v.end(why)
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

func (w *watcher) run(ctx context.Context, ended finder) {
	t := time.NewTicker(w.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			ended(ctx, w.handles(), func(handle string, below int64) { w.endBelow(handle, below, ErrGone) })
		}
	}
}
