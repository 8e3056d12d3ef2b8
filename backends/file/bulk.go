package file

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// batchWriters is how many operations of a batch run at the same time. A file
// system makes the syncs of several of them durable with one commit of its
// journal.
const batchWriters = 8

// WriteMany carries out the operations, several at a time, each as Write or
// Delete would. No operation holds the locks of others while it syncs.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	var began time.Duration
	if len(valid) > batchWriters {
		began = b.waited().Read()
	}
	driverkit.Parallel(len(valid), batchWriters, func(n int) {
		i, waited := valid[n], b.waited()
		if n >= batchWriters { // it waited for its turn
			waited.Add(waited.Read() - began)
		}
		if d := ops[i].Delete; d != nil {
			out[i].Err = b.delete(ctx, now, waited, d)
		} else {
			out[i].Record, out[i].Err = b.write(ctx, now, waited, ops[i].Write)
		}
	})
	return out
}

// Rebuild makes the indexes agree with the records. It makes missing entries
// and removes entries without a record. It returns the number of entries that
// it made and removed, which is zero for an intact store.
//
// Rebuild is for a store whose labels or expiry folder was lost or damaged, or
// whose records alone were restored from a backup. Remove what is damaged
// first, up to both folders with everything in them. Listings and sweeps may
// miss records until Rebuild has returned. Other processes may write
// meanwhile: each record is repaired under its lock. Rebuild reads every
// record three times. It may be repeated, also after an error.
func (b *Backend) Rebuild(ctx context.Context) (int, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return 0, err
	}
	r := rebuild{b: b, ctx: ctx}
	err := b.withTree(ctx, false, func(t *tree) error {
		if err := t.checkCurrent(); err != nil {
			return err
		}
		r.t = t
		if _, err := t.openedWhole(); err != nil {
			return err
		}
		if err := r.addMissing(); err != nil {
			return err
		}
		if err := r.removeStrays(); err != nil || b.noSync {
			return err
		}
		// The new entries, and folders that the logs of others have made.
		_, err := t.syncWhole()
		return err
	})
	return r.changes, ignore(err, errNoStore)
}

// rebuild is the state of one Rebuild.
type rebuild struct {
	b       *Backend
	t       *tree
	ctx     context.Context
	changes int
}

// addMissing makes the missing entries of all records. It handles up to
// batchRecords records while it holds a lock.
func (r *rebuild) addMissing() error {
	present, err := r.t.names(recordsDir, "", isShard)
	if err != nil {
		return err
	}
	for _, shard := range present {
		names, err := r.t.shardNames(r.ctx, r.b.waited(), shard, "")
		if err != nil {
			return err
		}
		for part := range slices.Chunk(names, batchRecords) {
			stripe := parseHex(shard) % stripes
			err := r.b.withLock(r.ctx, r.b.waited(), stripe, false, func(t *tree) error {
				if err := t.uncount(stripe); err != nil { // records may have been restored
					return err
				}
				_, err := visitAll(r.ctx, part, func(p *place) (bool, error) { return true, r.repair(t, p) })
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// repair makes the missing entries of one record, under its lock.
func (r *rebuild) repair(t *tree, p *place) error {
	rec, err := t.read(p)
	if err != nil {
		return ignoreUnreadable(err)
	}
	for _, e := range entriesOf(p, rec) {
		exists, err := t.hasEntry(e)
		if err == nil && !exists {
			var folder unsyncedFile
			if folder, err = t.addEntry(e); err == nil {
				err = t.syncAll([]unsyncedFile{folder}, durably{lazy: t.isWhole()})
			}
			if err == nil {
				r.changes++
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasEntry reports whether an entry exists. Anything with its name counts.
func (t *tree) hasEntry(e entry) (bool, error) {
	base, err := t.folder(e.base, false)
	if err == nil {
		_, err = base.Read(e.sub+"/"+e.name, 0)
	}
	if isMissing(err) {
		return false, nil
	}
	if err = unreadable(err); errors.Is(err, model.ErrCorrupt) {
		err = nil
	}
	return err == nil, err
}

// removeStrays checks all entries of all indexes, also those of labels that are
// no longer declared.
func (r *rebuild) removeStrays() error {
	labels, err := r.t.names(labelsDir, "", isLabel)
	if err != nil {
		return err
	}
	for _, label := range labels {
		if err := r.checkIndex(labelsDir+"/"+label, isShard, isValue); err != nil {
			return err
		}
	}
	return r.checkIndex(expiryDir, isDay, isMinute)
}

// checkIndex checks all entries of one index. Upper and lower accept the names
// of its two levels of folders.
func (r *rebuild) checkIndex(base string, upper, lower func(name string) bool) error {
	firsts, err := r.t.names(base, "", upper)
	if err != nil {
		return err
	}
	for _, first := range firsts {
		seconds, err := r.t.names(base, first, lower)
		if err != nil {
			return err
		}
		for _, second := range seconds {
			sub := first + "/" + second
			if err := r.checkEntries(base, sub); err != nil {
				return err
			}
			r.t.removeIfEmpty(base, sub)
		}
		r.t.removeIfEmpty(base, first)
	}
	return nil
}

// checkEntries checks the entries in one folder, a chunk of them at a time.
func (r *rebuild) checkEntries(base, sub string) error {
	for after, more := "", true; more; {
		var names []string
		var err error
		names, more, err = r.t.someNames(base, sub, maxChunkNames, func(name string) bool { return name > after })
		if err != nil {
			return err
		}
		if more {
			after = names[len(names)-1]
		}
		_, err = visitAll(r.ctx, names, func(p *place) (bool, error) {
			return true, r.checkEntry(p, entry{base: base, sub: sub, name: p.entry()})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkEntry removes an entry that does not belong to its record. It reads the
// record without the lock first, and takes the lock only for a stray.
func (r *rebuild) checkEntry(p *place, e entry) error {
	isStray := func(t *tree) (bool, error) {
		rec, err := t.read(p)
		if err != nil {
			return false, ignoreUnreadable(err)
		}
		return !slices.Contains(entriesOf(p, rec), e), nil
	}
	if stray, err := isStray(r.t); !stray || err != nil {
		return err
	}
	return r.b.withLock(r.ctx, r.b.waited(), p.stripe(), false, func(t *tree) error {
		stray, err := isStray(t)
		if stray {
			t.dropEntries([]entry{e})
			r.changes++
		}
		return err
	})
}
