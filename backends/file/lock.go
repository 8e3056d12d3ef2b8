package file

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// stripe admits one goroutine of this Backend at a time to a lock file.
type stripe struct {
	held  chan struct{} // full while a goroutine holds the stripe
	left  time.Time     // when it was last released
	since time.Time     // the start of the current run without a break
}

// A lock file has no queue: other processes retry until they get it. A Backend
// that passes the lock from goroutine to goroutine takes a break now and then,
// long enough for the others to get it.
const (
	unbroken   = 50 * time.Microsecond // a shorter pause is not a break
	breakAfter = 20 * time.Millisecond
	breakFor   = time.Millisecond

	firstTry = 50 * time.Microsecond
	lastTry  = breakFor
)

// acquire waits for the stripe. It returns the context's error if that ends
// first.
func (s *stripe) acquire(ctx context.Context, w *driverkit.Waited) error {
	select {
	case s.held <- struct{}{}:
	default:
		if err := w.During(func() error { return s.queue(ctx) }); err != nil {
			return err
		}
	}
	now := time.Now()
	if now.Sub(s.left) > unbroken {
		s.since = now
	}
	if now.Sub(s.since) < breakAfter {
		return nil
	}
	err := w.During(func() error { return driverkit.Wait(ctx, breakFor) })
	s.since = time.Now()
	if err != nil {
		s.release()
	}
	return err
}

func (s *stripe) queue(ctx context.Context) error {
	select {
	case s.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryAcquire acquires the stripe if it is free, without waiting.
func (s *stripe) tryAcquire() bool {
	select {
	case s.held <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *stripe) release() {
	s.left = time.Now()
	<-s.held
}

// waited returns what a call that begins now has waited for: nothing.
func (b *Backend) waited() *driverkit.Waited { return &driverkit.Waited{Watch: b.watch} }

// withLock runs do while no other goroutine or process writes a record of the
// stripe, and adds what it waits for that. Only DeleteStorage holds more than
// one stripe: it takes all of them, in order.
func (b *Backend) withLock(ctx context.Context, w *driverkit.Waited, n int, create bool, do func(*tree) error) error {
	err := errNeedsLog
	for try := 0; errors.Is(err, errNeedsLog) && try < attempts; try++ {
		large := false
		err = b.withOneLock(ctx, w, n, create, func(t *tree) error {
			err := do(t)
			large = t.isLarge()
			return err
		})
		switch {
		case errors.Is(err, errNeedsLog):
			made := w.During(func() error { return b.withTree(ctx, false, func(t *tree) error { return t.makeLog(ctx) }) })
			if made = ignore(made, errNoStore); made != nil { // a store that is gone by now needs no log
				return cmp.Or(ctx.Err(), made)
			}
		case large:
			_ = b.withTree(ctx, false, func(t *tree) error { t.foldLarge(ctx); return nil })
		}
	}
	return err
}

func (b *Backend) withOneLock(ctx context.Context, w *driverkit.Waited, n int, create bool, do func(*tree) error) error {
	if err := b.stripes[n].acquire(ctx, w); err != nil {
		return err
	}
	defer b.stripes[n].release()
	return b.withTree(ctx, create, func(t *tree) error {
		if err := t.lock(ctx, w, n); err != nil {
			return err
		}
		defer t.unlock(n)
		return do(t)
	})
}

// withLocksFrom runs do under the locks of stripe n and of all stripes after
// it.
func (t *tree) withLocksFrom(ctx context.Context, n int, do func() error) error {
	if n == stripes {
		return do()
	}
	w := t.b.waited() // nothing depends on it
	if err := t.b.stripes[n].acquire(ctx, w); err != nil {
		return err
	}
	defer t.b.stripes[n].release()
	if err := t.lock(ctx, w, n); err != nil {
		return err
	}
	defer t.unlock(n)
	return t.withLocksFrom(ctx, n+1, do)
}

// tryWithLock runs do under the stripe's lock if the lock is free. Otherwise it
// does nothing.
func (t *tree) tryWithLock(n int, do func()) {
	if !t.b.stripes[n].tryAcquire() {
		return
	}
	defer t.b.stripes[n].release()
	if ok, err := t.tryLock(n); !ok || err != nil {
		return
	}
	defer t.unlock(n)
	do()
}

// lock waits for a lock file. The caller has acquired the stripe.
func (t *tree) lock(ctx context.Context, w *driverkit.Waited, n int) error {
	if ok, err := t.tryLock(n); ok || err != nil {
		return err
	}
	return w.During(func() error {
		for pause := firstTry; ; pause = min(2*pause, lastTry) {
			if err := driverkit.Wait(ctx, pause/2+rand.N(pause/2)); err != nil { //nolint:gosec // jitter, not a secret
				return err
			}
			if ok, err := t.tryLock(n); ok || err != nil {
				return err
			}
		}
	})
}

// tryLock takes a lock file if it is free. It returns errStale if others no
// longer find that file under its name: DeleteStorage removes lock files.
func (t *tree) tryLock(n int) (bool, error) {
	if t.locks[n] == nil {
		dir, err := t.folder(locksDir, true)
		if err != nil {
			return false, err
		}
		l, err := dir.Lock(hexByte(uint8(n)))
		if err != nil {
			return false, unavailable(err)
		}
		t.locks[n] = l
	}
	l := t.locks[n]
	ok, err := l.TryLock()
	if !ok || err != nil {
		return false, unavailable(err)
	}
	same, err := l.Is(filepath.Join(t.b.path, filepath.FromSlash(lockName(n))))
	if same && err == nil {
		return true, nil
	}
	t.unlock(n)
	if err != nil {
		return false, unavailable(err)
	}
	return false, errStale
}

func (t *tree) unlock(n int) { _ = t.locks[n].Unlock() }
