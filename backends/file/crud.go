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

// Get returns a live record. It reads one file and takes no lock.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	p := placeOf(g.ID)
	var cur *model.Record
	err := b.withTree(ctx, false, func(t *tree) (err error) {
		cur, err = t.readLive(now, &p)
		return err
	})
	if err != nil {
		return model.Record{}, err
	}
	return *cur, nil
}

// Write stores a record under a condition. It decides under the record's lock
// and replaces the file by a rename.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.write(ctx, now, b.waited(), &w)
}

func (b *Backend) write(ctx context.Context, now time.Time, waited *driverkit.Waited, w *driver.Write) (out model.Record, err error) {
	p := placeOf(w.Record.ID)
	creates := w.Cond == driver.IfAny || w.Cond == driver.IfAbsent
	err = b.withLock(ctx, waited, p.stripe(), creates, func(t *tree) (err error) {
		cur, readErr := t.read(&p)
		if out, err = driverkit.JudgeWrite(waited.Now(now), cur, readErr, w); err != nil {
			return err
		}
		if readErr != nil {
			if err := t.uncount(p.stripe()); err != nil { // what is replaced may have been counted
				return err
			}
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

// Delete removes a live record under a condition: first its file, then its
// index entries.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	return b.delete(ctx, now, b.waited(), &d)
}

func (b *Backend) delete(ctx context.Context, now time.Time, waited *driverkit.Waited, d *driver.Delete) error {
	p := placeOf(d.ID)
	return b.withLock(ctx, waited, p.stripe(), false, func(t *tree) error {
		cur, err := t.read(&p)
		if _, err = driverkit.Judge(waited.Now(now), cur, err, d.Cond, d.Known.Revision); err != nil {
			return err
		}
		shard, err := t.folder(p.dir(), false)
		if err != nil {
			return unavailable(err)
		}
		d, err := t.journal(p.stripe())
		if err != nil {
			return err
		}
		if d.log != nil {
			if err := t.commit(&d, p.stripe(), stored(&p, nil)); err != nil {
				return err
			}
		}
		n, err := t.note(p.stripe(), &d)
		if err == nil {
			err = changeError(shard.Remove(p.name))
			n.ended(err, changeOf(&p, cur, nil))
		}
		if err != nil {
			return t.revoke(&d, p.stripe(), err, stored(&p, cur))
		}
		if err := t.syncShard(shard, d); err != nil {
			return err
		}
		t.dropEntries(entriesOf(&p, cur))
		return nil
	})
}

// readLive returns the live record at the place, or ErrNotFound.
func (t *tree) readLive(now time.Time, p *place) (*model.Record, error) {
	cur, err := t.read(p)
	_, err = driverkit.Judge(now, cur, err, driver.IfPresent, model.Revision{})
	return cur, err
}

// read returns the record stored at the place, live or expired. It returns nil
// if nothing is stored.
func (t *tree) read(p *place) (*model.Record, error) {
	f, err := t.folder(p.dir(), false)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := f.Read(p.name, maxFile)
	if isMissing(err) {
		return nil, t.checkSame(f, p.dir())
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

// store replaces cur by next, under the record's lock. The new file and its
// index entries are durable before the rename, themselves or in the log. So at any
// instant the record under the name is complete and its labels find it. The entries
// that only cur had are removed last.
func (t *tree) store(p *place, cur, next *model.Record) error {
	shard, err := t.folder(p.dir(), true)
	if err != nil {
		return err
	}
	d, err := t.journal(p.stripe())
	if err != nil {
		return err
	}
	data := driverkit.AppendRecord(nil, next)
	before, after := entriesOf(p, cur), entriesOf(p, next)
	added := without(after, before)
	tmp, made, err := t.prepare(p, data, added)
	if err != nil {
		return err
	}
	if err = t.syncAll(made, d); err == nil && d.log != nil {
		err = t.commit(&d, p.stripe(), redone{kind: putKind, data: data})
	}
	if err != nil {
		t.undo(tmp, added)
		return err
	}
	n, err := t.note(p.stripe(), &d)
	if err == nil {
		err = changeError(t.root.Rename(tmp, p.path()))
		n.ended(err, changeOf(p, cur, next))
	}
	if err != nil {
		if !errors.Is(err, model.ErrUnknown) {
			t.undo(tmp, added)
		}
		return t.revoke(&d, p.stripe(), err, stored(p, cur))
	}
	if err := t.syncShard(shard, d); err != nil {
		return err
	}
	t.dropEntries(without(entriesOf(p, cur), entriesOf(p, next)))
	return nil
}

// prepare makes the temporary file of a record and index entries. It returns what is
// to be synced and closed.
func (t *tree) prepare(p *place, data []byte, entries []entry) (tmp string, made []unsyncedFile, err error) {
	tmp, file, err := t.writeTmp(p.stripe(), data)
	if err != nil {
		return "", nil, err
	}
	made = append(make([]unsyncedFile, 0, 4), file)
	for i, e := range entries {
		folder, err := t.addEntry(e)
		if err != nil {
			for _, m := range made {
				_ = m.close()
			}
			t.undo(tmp, entries[:i+1])
			return "", nil, err
		}
		made = append(made, folder)
	}
	return tmp, made, nil
}

// unsyncedFile is an open file or folder that a write has made or changed.
type unsyncedFile struct{ sync, close func() error }

// syncAll makes files and folders durable, if the log does not, and closes them. It
// syncs the whole file system, or all of them at the same time: the file system can
// do so with one commit of its journal.
func (t *tree) syncAll(list []unsyncedFile, d durably) error {
	errs := make([]error, len(list))
	whole := t.isWhole()
	each := !t.b.noSync && !d.lazy && !whole
	one := func(i int) {
		if each {
			errs[i] = list[i].sync()
		}
		if err := list[i].close(); errs[i] == nil {
			errs[i] = err
		}
	}
	if each {
		driverkit.Parallel(len(list), t.b.syncers, one)
	} else {
		for i := range list {
			one(i)
		}
	}
	for _, err := range errs {
		if err != nil {
			return unavailable(err)
		}
	}
	if whole && !d.lazy && !t.b.noSync {
		_, err := t.syncWhole()
		return err
	}
	return nil
}

// writeTmp writes a temporary file, which store syncs and renames. The name has
// the stripe: a leftover is removed only under that stripe's lock.
func (t *tree) writeTmp(stripe int, data []byte) (path string, file unsyncedFile, err error) {
	dir, err := t.folder(tmpDir, true)
	if err != nil {
		return "", unsyncedFile{}, err
	}
	var random [randomTmpBytes]byte
	_, _ = rand.Read(random[:])
	name := hexByte(uint8(stripe)) + "-" + hex.EncodeToString(random[:])
	f, err := dir.Create(name)
	if err != nil {
		return "", unsyncedFile{}, unavailable(err)
	}
	if _, err = f.Write(data); err != nil {
		_ = f.Close()
		_ = dir.Remove(name)
		return "", unsyncedFile{}, unavailable(err)
	}
	return tmpDir + "/" + name, unsyncedFile{sync: func() error { return f.Sync() }, close: f.Close}, nil
}

// undo removes what a write made before it failed at or before its rename.
func (t *tree) undo(tmp string, added []entry) {
	_ = t.root.Remove(tmp)
	t.dropEntries(added)
}

// syncShard makes a rename or removal in a shard durable. If the sync fails,
// the change is visible but a power cut may undo it.
func (t *tree) syncShard(shard disk.Folder, d durably) error {
	if t.b.noSync || d.lazy {
		return nil
	}
	return unsynced(shard.Sync())
}

// addEntry makes an index entry and returns its folder, which is to be synced.
// Other processes may remove the folder while it is empty; addEntry makes it
// again.
func (t *tree) addEntry(e entry) (unsyncedFile, error) {
	base, err := t.folder(e.base, true)
	if err != nil {
		return unsyncedFile{}, err
	}
	for range attempts {
		folder, err := t.tryAddEntry(base, e)
		if !isMissing(err) {
			return folder, unavailable(err)
		}
		if err := t.checkSame(base, e.base); err != nil {
			return unsyncedFile{}, err
		}
	}
	return unsyncedFile{}, errStale
}

func (t *tree) tryAddEntry(base disk.Folder, e entry) (unsyncedFile, error) {
	m := &t.b.maker
	if t.isWhole() {
		m = &t.b.lazy
	}
	f, err := t.b.openBelow(m, base, t.b.name+"/"+e.base, e.sub, true)
	if err != nil {
		return unsyncedFile{}, err
	}
	if err := f.Touch(e.name); err != nil {
		_ = f.Close()
		return unsyncedFile{}, err
	}
	return unsyncedFile{sync: func() error { return f.Sync() }, close: func() error {
		_ = f.Close() // nothing was written to the folder's handle
		return nil
	}}, nil
}

// dropEntries removes index entries, under the record's lock. It also removes
// the folders of label values that this leaves empty; the sweep removes those
// of expiries. An entry that cannot be removed becomes a stray, and readers
// check each entry against its record.
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
