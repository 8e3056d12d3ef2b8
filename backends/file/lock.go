package file

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"
)

// stripe lets one goroutine of this Backend at a time try for a lock file.
type stripe struct {
	free  chan struct{}
	left  time.Time // when it was last left
	since time.Time // since when it has been taken without a break
}

// A lock file has no queue: others try for it again and again. A Backend that
// hands it from goroutine to goroutine makes a break now and then, long enough
// for the others to get it.
const (
	unbroken   = 50 * time.Microsecond // pauses shorter than this are none
	breakAfter = 20 * time.Millisecond
	breakFor   = time.Millisecond

	firstTry = 50 * time.Microsecond
	lastTry  = breakFor
)

func (s *stripe) enter(ctx context.Context) error {
	select {
	case s.free <- struct{}{}:
	default:
		select {
		case s.free <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now := time.Now()
	if now.Sub(s.left) > unbroken {
		s.since = now
	}
	if now.Sub(s.since) < breakAfter {
		return nil
	}
	err := wait(ctx, breakFor)
	s.since = time.Now()
	if err != nil {
		s.leave()
	}
	return err
}

// tryEnter does not wait.
func (s *stripe) tryEnter() bool {
	select {
	case s.free <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *stripe) leave() {
	s.left = time.Now()
	<-s.free
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// locked runs do while nobody else, of any process, writes a record of the
// stripe. Nobody holds two stripes but DeleteStorage, which takes all in order.
func (b *Backend) locked(ctx context.Context, n int, create bool, do func(*tree) error) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	if err := b.stripes[n].enter(ctx); err != nil {
		return err
	}
	defer b.stripes[n].leave()
	return b.retry(ctx, create, func(t *tree) error {
		if err := t.lock(ctx, n); err != nil {
			return err
		}
		defer t.unlock(n)
		return do(t)
	})
}

// lockedFrom runs do under every lock from the nth on.
func (t *tree) lockedFrom(ctx context.Context, n int, do func() error) error {
	if n == stripes {
		return do()
	}
	if err := t.b.stripes[n].enter(ctx); err != nil {
		return err
	}
	defer t.b.stripes[n].leave()
	if err := t.lock(ctx, n); err != nil {
		return err
	}
	defer t.unlock(n)
	return t.lockedFrom(ctx, n+1, do)
}

// tryLocked runs do if the stripe is free at once.
func (t *tree) tryLocked(n int, do func()) {
	if !t.b.stripes[n].tryEnter() {
		return
	}
	defer t.b.stripes[n].leave()
	if ok, err := t.tryLock(n); !ok || err != nil {
		return
	}
	defer t.unlock(n)
	do()
}

// lock takes a lock file. The stripe is already entered.
func (t *tree) lock(ctx context.Context, n int) error {
	for pause := firstTry; ; pause = min(2*pause, lastTry) {
		ok, err := t.tryLock(n)
		if ok || err != nil {
			return err
		}
		if err := wait(ctx, pause/2+rand.N(pause/2)); err != nil { //nolint:gosec // jitter, not a secret
			return err
		}
	}
}

// tryLock takes a lock file and makes sure that it is still the one that
// others find: DeleteStorage removes lock files.
func (t *tree) tryLock(n int) (bool, error) {
	if t.locks[n] == nil {
		dir, err := t.folder(locksDir, true)
		if err != nil {
			return false, err
		}
		l, err := dir.Lock(hexByte(uint8(n)))
		if isMissing(err) {
			return false, errStale
		}
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

// mayNotLock reports whether an error says that this process may only read.
func mayNotLock(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
