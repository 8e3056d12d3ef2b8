package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// errNeedsLog is returned under a stripe's lock by a write that cannot go on without
// a new log, before it has changed anything. withLock makes the log, without the lock:
// a recovery makes others wait for their log, and itself waits for locks.
var errNeedsLog = model.NewError(model.ErrUnavailable, "the log of the store could not be written", nil)

// logged says how a tree makes its writes durable.
type logged struct {
	turn chan struct{} // full while a goroutine recovers, or makes a log
	open atomic.Bool   // the store needs no recovery

	mu     sync.Mutex
	known  bool
	whole  disk.Whole // nil: the system cannot sync a whole file system
	log    *redo
	old    []*redo // folded, or failed
	floors numbers // as far as the tree knows: they may be higher
	base   numbers // what the stripes' numbers have reached, whatever the lock files say
	off    int     // writes that go without a log, because it could not be written
}

// offWrites is how many writes sync their files before another log is tried.
const offWrites = 1000

// durably says how one write becomes durable.
type durably struct {
	log  *redo
	lazy bool // the log does it: the files are not synced

	// What the stripe's lock file has, read once.
	number  uint64
	head    header
	counted bool
}

// journal returns how the next write of a stripe becomes durable. Its caller holds the
// lock.
func (t *tree) journal(stripe int) (d durably, err error) {
	var data [noteBytes + numberBytes]byte
	n, err := t.locks[stripe].ReadAt(data[:], noteAt)
	if err != nil {
		return d, unavailable(err)
	}
	d.head, d.counted = parseHeader(data[:n])
	d.number = parseNumber(data[min(n, noteBytes):n])
	g := &t.logged
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := t.openWhole(); err != nil {
		return d, err
	}
	lazy := g.whole != nil && !t.b.noSync
	// A recovery would put entries above the floor over a write that is not logged.
	needed := max(d.number, g.base[stripe]) > g.floors[stripe]
	usable := g.log != nil && g.log.usable() && g.off == 0
	switch {
	case usable && (lazy || needed):
		d.log, d.lazy = g.log, lazy
	case needed || lazy && g.off == 0:
		return d, errNeedsLog
	case lazy:
		g.off--
	}
	return d, nil
}

// openWhole opens the file system of the store, if it can be synced as a whole.
func (t *tree) openWhole() error {
	g := &t.logged
	if g.known {
		return nil
	}
	whole, err := t.root.Whole()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return unavailable(err)
	}
	g.whole, g.known = whole, true
	return nil
}

// openedWhole reports whether the file system can be synced as a whole.
func (t *tree) openedWhole() (bool, error) {
	t.logged.mu.Lock()
	defer t.logged.mu.Unlock()
	err := t.openWhole()
	return t.logged.whole != nil, err
}

// isWhole is openedWhole for what was opened before.
func (t *tree) isWhole() bool {
	t.logged.mu.Lock()
	defer t.logged.mu.Unlock()
	return t.logged.whole != nil
}

// syncWhole makes everything durable. It reports whether the system can.
func (t *tree) syncWhole() (bool, error) {
	t.logged.mu.Lock()
	err := t.openWhole()
	whole := t.logged.whole
	t.logged.mu.Unlock()
	if whole == nil || err != nil {
		return false, err
	}
	return true, unavailable(whole.Sync())
}

// commit gives writes of one stripe the next numbers and puts them into the log,
// under the stripe's lock.
func (t *tree) commit(d *durably, stripe int, list ...redone) error {
	t.logged.mu.Lock()
	n := max(d.number, t.logged.base[stripe])
	t.logged.mu.Unlock()
	for i := range list {
		n++
		list[i].number = n
	}
	if err := writeNumber(t.locks[stripe], n); err != nil {
		return unavailable(err)
	}
	d.number = n
	err := d.log.commit(frame(list), !t.b.noSync)
	if errors.Is(err, errNeedsLog) {
		t.logged.mu.Lock()
		t.logged.off = offWrites
		t.logged.mu.Unlock()
	}
	return err
}

// revoke makes the log end with what is stored, after writes that are in the log could
// not be carried out. Why is their error.
func (t *tree) revoke(d *durably, stripe int, why error, list ...redone) error {
	if d.log == nil || errors.Is(why, model.ErrUnknown) {
		return why
	}
	if err := t.commit(d, stripe, list...); err != nil && !errors.Is(why, errStale) {
		return withKind(model.ErrUnknown, err)
	}
	return why
}

// makeLog makes the log that a write needs. If the last one failed, the entries of all
// logs become void first, so that writes may go on without one.
func (t *tree) makeLog(ctx context.Context) error {
	g := &t.logged
	if err := t.take(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	last, off := g.log, g.off
	g.mu.Unlock()
	var err error
	made := last != nil && last.usable() && off == 0
	if last == nil && off == 0 {
		var l *redo
		if l, err = t.newLog(ctx); err == nil {
			t.setLog(l)
		}
		made = err == nil || errors.Is(err, errStale) || ctx.Err() != nil
	}
	<-g.turn
	if made {
		return err
	}
	return t.fold(ctx, true)
}

func (t *tree) take(ctx context.Context) error {
	select {
	case t.logged.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setLog replaces the log, which may be nil.
func (t *tree) setLog(l *redo) {
	g := &t.logged
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.log != nil {
		g.old = append(g.old, g.log)
	}
	if g.log = l; l == nil {
		g.off = offWrites
	}
}

// newLog makes a log and holds its lock. Its caller holds no stripe's lock.
func (t *tree) newLog(ctx context.Context) (*redo, error) {
	dir, err := t.folder(redoDir, true)
	if err != nil {
		return nil, err
	}
	// A recovery sees either the log and its owner, or none of the owner's writes.
	opens, err := t.lockRedo(ctx, openLock, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opens.Close() }()
	_, ok, err := readFloors(dir)
	if err == nil && !ok {
		err = t.firstFloors(dir)
	}
	if err != nil {
		return nil, err
	}
	var random [randomTmpBytes]byte
	_, _ = rand.Read(random[:])
	l := &redo{name: hex.EncodeToString(random[:]) + logSuffix}
	l.synced = sync.NewCond(&l.mu)
	if l.file, err = dir.Lock(l.name); err != nil {
		return nil, unavailable(err)
	}
	if err = waitFor(ctx, l.file); err == nil {
		err = dir.Sync()
	}
	if err != nil {
		_ = dir.Remove(l.name)
		_ = l.file.Close()
		return nil, unavailable(err)
	}
	return l, nil
}

// firstFloors makes the file of the floors before the first log.
func (t *tree) firstFloors(dir disk.Folder) error {
	names, err := t.names(redoDir, "", isLog)
	if err == nil && len(names) > 0 {
		_, err = mustReadFloors(dir)
	}
	if err != nil {
		return err
	}
	return unavailable(writeFloors(dir, floors{}, floors{generation: 1}))
}

// lockRedo takes a lock of the folder redo. Without wait it returns nil if another
// process has the lock.
func (t *tree) lockRedo(ctx context.Context, name string, wait bool) (disk.Lock, error) {
	dir, err := t.folder(redoDir, true)
	if err != nil {
		return nil, err
	}
	l, err := dir.Lock(name)
	if err != nil {
		return nil, unavailable(err)
	}
	ok := true
	if wait {
		err = waitFor(ctx, l)
	} else {
		ok, err = l.TryLock()
	}
	if ok && err == nil {
		// DeleteStorage removes it.
		if ok, err = l.Is(filepath.Join(t.b.path, redoDir, name)); !ok && err == nil {
			err = errStale
		}
	}
	if !ok || err != nil {
		_ = l.Close()
		if wait && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unavailable(err)
	}
	return l, nil
}

func waitFor(ctx context.Context, l disk.Lock) error {
	for pause := firstTry; ; pause = min(2*pause, lastTry) {
		if ok, err := l.TryLock(); ok || err != nil {
			return err
		}
		if err := driverkit.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// isLarge reports whether the log is to be folded.
func (t *tree) isLarge() bool {
	g := &t.logged
	g.mu.Lock()
	l := g.log
	g.mu.Unlock()
	return l != nil && l.size() > t.b.foldAt
}

// foldWait bounds how long a fold after a write waits for locks. If it gives up, the
// next one comes when the new log is as large.
const foldWait = time.Second

// foldLarge folds after a write. The write is durable, whether this succeeds or not.
func (t *tree) foldLarge(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, foldWait)
	defer cancel()
	_ = t.fold(ctx, false)
}

// fold makes the files durable and voids what the logs have of them. Without wait it
// does nothing if another process folds.
func (t *tree) fold(ctx context.Context, wait bool) error {
	folds, err := t.lockRedo(ctx, foldLock, wait)
	if folds == nil || err != nil {
		return err
	}
	defer func() { _ = folds.Close() }()
	// Later writes have a new log. A write does not wait for it: it holds a lock.
	if err := t.take(ctx); err != nil {
		return err
	}
	next, err := t.newLog(ctx)
	if err == nil || !errors.Is(err, errStale) && ctx.Err() == nil {
		t.setLog(next)
		err = nil
	}
	<-t.logged.turn
	if err != nil {
		return err
	}
	return t.foldOld(func(stripe int) error {
		w := t.b.waited()
		if err := t.b.stripes[stripe].acquire(ctx, w); err != nil {
			return err
		}
		if err := t.lock(ctx, w, stripe); err != nil {
			t.b.stripes[stripe].release()
			return err
		}
		return nil
	}, func(stripe int) {
		t.unlock(stripe)
		t.b.stripes[stripe].release()
	})
}

// foldOld voids the entries of all logs up to the numbers that it finds, and removes
// the old logs. Its caller holds the lock for folds.
func (t *tree) foldOld(lock func(stripe int) error, unlock func(stripe int)) error {
	dir, err := t.folder(redoDir, true)
	if err != nil {
		return err
	}
	if _, err := dir.Read(failedMark, 0); err == nil || !isMissing(err) {
		return errNotDurable
	}
	g := &t.logged
	g.mu.Lock()
	old, to := g.old, g.base
	g.mu.Unlock()
	for stripe := range to {
		if err := lock(stripe); err != nil {
			return unavailable(err)
		}
		// What has a number is renamed now, or failed.
		n, err := readNumber(t.locks[stripe])
		unlock(stripe)
		if err != nil {
			return unavailable(err)
		}
		to[stripe] = max(to[stripe], n)
	}
	if ok, err := t.syncWhole(); err != nil {
		_ = dir.Touch(failedMark)
		return err
	} else if !ok {
		return errNotDurable
	}
	if err := t.raiseFloors(dir, &to); err != nil {
		return err
	}
	g.mu.Lock()
	g.old = g.old[len(old):]
	g.mu.Unlock()
	for _, l := range old {
		_ = dir.Remove(l.name)
		_ = l.file.Close()
	}
	t.removeVoid(context.Background(), dir)
	return nil
}

var errNotDurable = model.NewError(model.ErrUnavailable, "the system could not write the store's files: close the store in all processes and open it again", nil)

// raiseFloors makes entries up to the numbers void, durably. Its caller has made the
// files durable, and holds the lock for folds or that for opening.
func (t *tree) raiseFloors(dir disk.Folder, to *numbers) error {
	f, err := mustReadFloors(dir)
	if err != nil {
		return err
	}
	f.raise(to)
	f.generation++
	if err := writeFloors(dir, f); err != nil {
		return unavailable(err)
	}
	g := &t.logged
	g.mu.Lock()
	g.floors = f.numbers
	g.base.raise(&f.numbers)
	g.mu.Unlock()
	return nil
}

// closeLogs folds if nobody holds a lock. Else it leaves the logs to the next process
// that opens the store or folds. Its caller is the last user of the tree.
func (t *tree) closeLogs() {
	g := &t.logged
	if g.log != nil {
		g.old, g.log = append(g.old, g.log), nil
	}
	if len(g.old) > 0 {
		if folds, err := t.lockRedo(context.Background(), foldLock, false); folds != nil && err == nil {
			_ = t.foldOld(func(stripe int) error {
				ok, err := t.tryLock(stripe)
				if err == nil && !ok {
					err = errBusy
				}
				return err
			}, t.unlock)
			_ = folds.Close()
		}
	}
	for _, l := range g.old {
		_ = l.file.Close()
	}
	if g.whole != nil {
		_ = g.whole.Close()
	}
}

var errBusy = model.NewError(model.ErrUnavailable, "a lock is busy", nil)
