package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get reads one file and takes no lock.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	p := placeOf(g.ID)
	var cur *model.Record
	err := b.retry(ctx, false, func(t *tree) (err error) {
		cur, err = t.look(&p)
		return err
	})
	if err == nil {
		err = driver.Judge(now, cur, driver.IfPresent, model.Revision{})
	}
	if err != nil {
		return model.Record{}, err
	}
	return *cur, nil
}

// Write decides under the record's lock and replaces the file by a rename.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := w.Check(); err != nil {
		return model.Record{}, err
	}
	if len(w.Record.Value) > maxValue {
		return model.Record{}, model.ErrTooLarge
	}
	p := placeOf(w.Record.ID)
	creates := w.Cond == driver.IfAny || w.Cond == driver.IfAbsent
	var out model.Record
	err := b.locked(ctx, p.stripe(), creates, func(t *tree) error {
		cur, err := t.look(&p)
		if err != nil && (w.Cond != driver.IfAny || !errors.Is(err, model.ErrCorrupt)) {
			return err
		}
		if err := driver.Judge(now, cur, w.Cond, w.Known.Revision); err != nil {
			if errors.Is(err, model.ErrConflict) {
				out = *cur
			}
			return err
		}
		next := w.Result(cur)
		next.ServerVersion, next.ExpiresAt = "", model.Millis(next.ExpiresAt)
		if err := t.store(&p, cur, &next); err != nil {
			return err
		}
		out = next.Head()
		return nil
	})
	return out, err
}

// Delete removes the file; the index entries follow.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	p := placeOf(d.ID)
	return b.locked(ctx, p.stripe(), false, func(t *tree) error {
		cur, err := t.look(&p)
		if err == nil {
			err = driver.Judge(now, cur, d.Cond, d.Known.Revision)
		}
		if err != nil {
			return err
		}
		shard, err := t.folder(p.dir(), false)
		if err != nil {
			return unavailable(err)
		}
		if err := shard.Remove(p.name); err != nil {
			return moved(err)
		}
		if err := t.settle(shard); err != nil {
			return err
		}
		t.dropEntries(entriesOf(&p, cur))
		return nil
	})
}

// look returns what is stored at the place, live or not; nil for nothing.
func (t *tree) look(p *place) (*model.Record, error) {
	f, err := t.folder(p.dir(), false)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := f.Read(p.name, maxFile)
	if isMissing(err) {
		return nil, t.same(f, p.dir())
	}
	if err != nil {
		return nil, unreadable(err)
	}
	rec, err := driverkit.DecodeRecord(data)
	if err != nil {
		return nil, err
	}
	if p.id == "" {
		if at := placeOf(rec.ID); at.name != p.name {
			return nil, driverkit.Corrupt(driverkit.WhyOtherID)
		}
	} else if rec.ID != p.id {
		return nil, driverkit.Corrupt(driverkit.WhyOtherID)
	}
	return &rec, nil
}

// store puts next in the place of cur, under the record's lock. The new file
// and the index entries are durable before the rename, so that at any instant
// the record under the name is whole and found by its labels; entries that
// only cur had go last.
func (t *tree) store(p *place, cur, next *model.Record) error {
	shard, err := t.folder(p.dir(), true)
	if err != nil {
		return err
	}
	tmp, err := t.writeTmp(p.stripe(), driverkit.AppendRecord(nil, next))
	if err != nil {
		return err
	}
	before, after := entriesOf(p, cur), entriesOf(p, next)
	added := without(after, before)
	for i, e := range added {
		if err := t.addEntry(e); err != nil {
			t.undo(tmp, added[:i+1])
			return err
		}
	}
	if err := t.root.Rename(tmp, p.path()); err != nil {
		if isMissing(err) {
			t.undo(tmp, added)
			return errStale
		}
		if err = moved(err); !errors.Is(err, model.ErrUnknown) {
			t.undo(tmp, added)
		}
		return err
	}
	if err := t.settle(shard); err != nil {
		return err
	}
	t.dropEntries(without(entriesOf(p, cur), entriesOf(p, next)))
	return nil
}

// writeTmp writes a file that waits for its rename. Its name has the stripe,
// under whose lock alone leftovers are removed.
func (t *tree) writeTmp(stripe int, data []byte) (string, error) {
	dir, err := t.folder(tmpDir, true)
	if err != nil {
		return "", err
	}
	var random [randomTmpBytes]byte
	_, _ = rand.Read(random[:])
	name := hexByte(uint8(stripe)) + "-" + hex.EncodeToString(random[:])
	f, err := dir.Create(name)
	if isMissing(err) {
		return "", errStale
	}
	if err != nil {
		return "", unavailable(err)
	}
	_, err = f.Write(data)
	if err == nil && !t.b.opts.NoSync {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = dir.Remove(name)
		return "", unavailable(err)
	}
	return tmpDir + "/" + name, nil
}

// undo tidies up after a write that failed before its rename.
func (t *tree) undo(tmp string, added []entry) {
	_ = t.root.Remove(tmp)
	t.dropEntries(added)
}

// settle makes a rename or removal in a shard durable. Where that fails the
// change is visible, but may not outlast a power cut.
func (t *tree) settle(shard disk.Folder) error {
	if t.b.opts.NoSync {
		return nil
	}
	return unsynced(shard.Sync())
}

// addEntry makes an index entry, durably. Its folder may be removed by others
// as long as it is empty.
func (t *tree) addEntry(e entry) error {
	base, err := t.folder(e.base, true)
	if err != nil {
		return err
	}
	for range attempts {
		err = t.addEntryOnce(base, e)
		if !isMissing(err) {
			return unavailable(err)
		}
		if err := t.same(base, e.base); err != nil {
			return err
		}
	}
	return errStale
}

func (t *tree) addEntryOnce(base disk.Folder, e entry) error {
	f, err := t.b.below(base, t.b.name+"/"+e.base, e.sub, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Touch(e.name); err != nil {
		return err
	}
	if t.b.opts.NoSync {
		return nil
	}
	return f.Sync()
}

// dropEntries removes index entries, under the record's lock, and the folders
// of labels that they leave empty; the sweep removes those of expiries. What
// fails leaves a stray, which readers check.
func (t *tree) dropEntries(list []entry) {
	for _, e := range list {
		base, err := t.folder(e.base, false)
		if err != nil {
			continue
		}
		if base.Remove(e.sub+"/"+e.name) == nil && e.base != expiryDir {
			_ = base.Remove(e.sub)
		}
	}
}
