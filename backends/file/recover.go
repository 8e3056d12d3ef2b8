package file

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// ready recovers the store before its first use by this tree. Whatever fails there,
// the call has changed nothing.
func (t *tree) ready(ctx context.Context) error {
	g := &t.logged
	if g.open.Load() {
		return nil
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	defer func() { <-g.turn }()
	if g.open.Load() {
		return nil
	}
	err := t.recover(ctx)
	switch {
	case err == nil:
		g.open.Store(true)
	case errors.Is(err, errStale) || ctx.Err() != nil:
	case isReadOnly(err):
		return model.NewError(model.ErrUnavailable, "the store was not closed, and the power may have been cut: a process that may write must open it first", err)
	case errors.Is(err, model.ErrUnknown):
		return withKind(model.ErrUnavailable, err)
	}
	return err
}

// logs are those in the folder redo, open and, if nobody holds them, locked.
type logs struct {
	dir   disk.Folder
	names []string
	files []disk.Lock
	alive bool // another process holds one: the machine has been up since
}

func (l *logs) close() {
	for _, f := range l.files {
		_ = f.Close()
	}
}

// openLogs opens the logs. Its caller holds the lock for opening.
func (t *tree) openLogs(dir disk.Folder) (*logs, error) {
	names, err := t.names(redoDir, "", isLog)
	if err != nil {
		return nil, err
	}
	l := &logs{dir: dir}
	for _, name := range names {
		f, err := dir.Lock(name)
		if err != nil {
			l.close()
			return nil, unavailable(err)
		}
		l.names, l.files = append(l.names, name), append(l.files, f)
		ok, err := f.TryLock()
		if err != nil {
			l.close()
			return nil, unavailable(err)
		}
		l.alive = l.alive || !ok
	}
	return l, nil
}

// recover applies the logs if nobody uses the store: the power may have been cut. Its
// caller reads and writes nothing before it returns.
func (t *tree) recover(ctx context.Context) error {
	dir, err := t.folder(redoDir, false)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := t.names(redoDir, "", isLog)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		f, _, err := readFloors(dir)
		t.logged.floors, t.logged.base = f.numbers, f.numbers
		return err
	}
	opens, err := t.lockRedo(ctx, openLock, true)
	if err != nil {
		return err
	}
	defer func() { _ = opens.Close() }()
	l, err := t.openLogs(dir)
	if err != nil {
		return err
	}
	defer l.close()
	f, ok, err := readFloors(dir)
	if err != nil {
		return err
	}
	last, top, err := l.last(&f.numbers)
	if err == nil && !ok && len(last) > 0 {
		err = errNoFloors // a log without entries may be there before the floors are durable
	}
	if err != nil {
		return err
	}
	t.logged.floors, t.logged.base = f.numbers, top
	if l.alive {
		return nil
	}
	if len(last) > 0 {
		whole, err := t.redoAll(ctx, l, last)
		if err != nil {
			return err
		}
		if !whole && t.b.noSync {
			return nil // nothing of it is durable: the logs are needed still
		}
		if err := t.raiseFloors(dir, &top); err != nil {
			return err
		}
	}
	_ = dir.Remove(failedMark)
	for _, name := range l.names {
		_ = dir.Remove(name)
	}
	return nil
}

// place of an entry: the frame at a place of a log, and the number in it.
type logPlace struct {
	log    int
	at     int64
	number uint64
}

// last returns the place of the last entry of each record above the floors, and the
// numbers that the logs and the floors reach.
func (l *logs) last(floors *numbers) (last map[string]logPlace, top numbers, err error) {
	last, top = map[string]logPlace{}, *floors
	for i, f := range l.files {
		err := readFrames(f, 0, func(at int64, list []redone) (bool, error) {
			for _, e := range list {
				id, ok := e.id()
				if !ok {
					continue
				}
				p := placeOf(id)
				stripe := p.stripe()
				top[stripe] = max(top[stripe], e.number)
				if e.number > floors[stripe] && e.number > last[id].number {
					last[id] = logPlace{log: i, at: at, number: e.number}
				}
			}
			return true, nil
		})
		if err != nil {
			return nil, top, err
		}
	}
	return last, top, nil
}

// redoAll makes the records as their last entries say, durably.
func (t *tree) redoAll(ctx context.Context, l *logs, last map[string]logPlace) (whole bool, err error) {
	for id, at := range last {
		p := placeOf(id)
		if err := t.lock(ctx, t.b.waited(), p.stripe()); err != nil {
			return false, err
		}
		err := readFrames(l.files[at.log], at.at, func(_ int64, list []redone) (bool, error) {
			for _, e := range list {
				if got, ok := e.id(); ok && got == id && e.number == at.number {
					return false, t.redoOne(&p, e)
				}
			}
			return false, driverkit.Corrupt("a log of the store changes while it is read")
		})
		t.unlock(p.stripe())
		if err != nil {
			return false, err
		}
	}
	return t.syncWhole()
}

// redoOne makes a record's file and index entries as an entry says. It syncs them only
// if the whole file system cannot be synced.
func (t *tree) redoOne(p *place, e redone) error {
	if err := t.uncount(p.stripe()); err != nil {
		return err
	}
	whole, err := t.openedWhole()
	if err != nil {
		return err
	}
	cur, err := t.read(p)
	if ignoreUnreadable(err) != nil {
		return err
	}
	shard, err := t.folder(p.dir(), true)
	if err != nil {
		return err
	}
	if e.kind == removeKind {
		if err := shard.Remove(p.name); err != nil && !isMissing(err) {
			return changeError(err)
		}
		t.dropEntries(entriesOf(p, cur))
		return t.redone(shard, whole)
	}
	rec, err := driverkit.DecodeRecord(e.data)
	if err != nil {
		return err
	}
	tmp, made, err := t.prepare(p, e.data, entriesOf(p, &rec))
	if err != nil {
		return err
	}
	if err := t.syncAll(made, durably{lazy: whole}); err != nil {
		return err
	}
	if err := t.root.Rename(tmp, p.path()); err != nil {
		return changeError(err)
	}
	t.dropEntries(without(entriesOf(p, cur), entriesOf(p, &rec)))
	return t.redone(shard, whole)
}

func (t *tree) redone(shard disk.Folder, whole bool) error {
	if whole {
		return nil // syncWhole follows
	}
	return unavailable(shard.Sync())
}

// removeVoid removes the logs of dead owners that have no entries above the floors,
// unless somebody makes a log. Its caller holds the lock for folds.
func (t *tree) removeVoid(ctx context.Context, dir disk.Folder) {
	opens, err := t.lockRedo(ctx, openLock, false)
	if opens == nil || err != nil {
		return
	}
	defer func() { _ = opens.Close() }()
	names, err := t.names(redoDir, "", isLog)
	if err != nil {
		return
	}
	t.logged.mu.Lock()
	floors := t.logged.floors
	t.logged.mu.Unlock()
	for _, name := range names {
		f, err := dir.Lock(name)
		if err != nil {
			continue
		}
		if ok, err := f.TryLock(); ok && err == nil {
			l := logs{files: []disk.Lock{f}}
			if last, _, err := l.last(&floors); err == nil && len(last) == 0 {
				_ = dir.Remove(name)
			}
		}
		_ = f.Close()
	}
}

// voidLogs makes what the logs have void and removes them, durably, under all locks and
// after the records have been removed durably.
func (t *tree) voidLogs(dir disk.Folder) error {
	names, err := t.names(redoDir, "", isLog)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		err = t.voidEntries(dir, names)
	} else if _, ok, readErr := readFloors(dir); !ok {
		return readErr // there was no log
	}
	if err != nil {
		return err
	}
	// Also of logs that a fold has removed: none comes back without the floors, which
	// are removed next.
	return unavailable(dir.Sync())
}

// voidEntries raises the floors above all entries and removes the logs.
func (t *tree) voidEntries(dir disk.Folder, names []string) error {
	to := t.logged.base
	for stripe := range to {
		n, err := readNumber(t.locks[stripe])
		if err != nil {
			return unavailable(err)
		}
		to[stripe] = max(to[stripe], n)
	}
	if err := t.raiseFloors(dir, &to); err != nil {
		return err
	}
	for _, name := range names {
		if err := dir.Remove(name); err != nil && !isMissing(err) {
			return unavailable(err)
		}
	}
	return nil
}
