package file

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// batchWriters is how many writes of a batch are under way at once. A file
// system makes what several of them sync durable by one commit of its journal.
const batchWriters = 8

// WriteMany carries out the operations some at a time, each as Write or Delete
// does by itself, so that none holds the locks of others while it syncs.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(batchWriters, len(ops)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(ops)); i = next.Add(1) - 1 {
				if d := ops[i].Delete; d != nil {
					out[i].Err = b.Delete(ctx, now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known})
				} else {
					out[i].Record, out[i].Err = b.Write(ctx, now, *ops[i].Write)
				}
			}
		})
	}
	wg.Wait()
	return out
}

// Rebuild makes the indexes agree with the records: entries that are missing
// are made, entries without a record are removed. It returns how many it made
// and removed, so zero from a store that is whole. It is for a store whose
// labels or expiry folders were lost or damaged, or whose records alone were
// restored from a backup; remove what is damaged first, up to both folders with
// all in them, and read no listing until it has returned. Other processes may
// write meanwhile, as each record is mended under its lock. It reads every
// record three times and may be called again, also after an error.
func (b *Backend) Rebuild(ctx context.Context) (int, error) {
	r := rebuild{b: b, ctx: ctx}
	err := b.retry(ctx, false, func(t *tree) error {
		if err := t.whole(); err != nil {
			return err
		}
		r.t = t
		if err := r.records(); err != nil {
			return err
		}
		return r.strays()
	})
	return r.changes, except(err, errNoStore)
}

// rebuild is one Rebuild under way.
type rebuild struct {
	b       *Backend
	t       *tree
	ctx     context.Context
	changes int
}

// records makes the entries of all records, some records for each hold of a
// lock.
func (r *rebuild) records() error {
	present, err := r.t.names(recordsDir, "", isShard)
	if err != nil {
		return err
	}
	for _, shard := range present {
		names, err := r.t.shardNames(r.ctx, shard, "")
		if err != nil {
			return err
		}
		for part := range slices.Chunk(names, batchRecords) {
			err := r.b.locked(r.ctx, parseHex(shard)%stripes, false, func(t *tree) error {
				_, err := visitAll(r.ctx, part, func(p *place) (bool, error) { return true, r.mend(t, p) })
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func isShard(name string) bool { return len(name) == 2 && isHex(name) }

// mend makes the entries that a record lacks, under its lock.
func (r *rebuild) mend(t *tree, p *place) error {
	rec, err := t.look(p)
	if err != nil {
		return except(err, model.ErrCorrupt)
	}
	for _, e := range entriesOf(p, rec) {
		there, err := t.hasEntry(e)
		if err == nil && !there {
			if err = t.addEntry(e); err == nil {
				r.changes++
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasEntry reports whether an entry is there, which whatever has its name is.
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

// strays visits all entries of all indexes, those of labels that are no longer
// declared too.
func (r *rebuild) strays() error {
	labels, err := r.t.names(labelsDir, "", func(name string) bool { return strings.HasPrefix(name, labelPrefix) })
	if err != nil {
		return err
	}
	for _, label := range labels {
		if err := r.index(labelsDir+"/"+label, isShard, func(name string) bool { return len(name) == 62 && isHex(name) }); err != nil {
			return err
		}
	}
	return r.index(expiryDir,
		func(name string) bool { return isNumber(name, dayDigits) },
		func(name string) bool { return isNumber(name, minuteDigits) })
}

// index visits the entries of one index, whose folders have such names.
func (r *rebuild) index(base string, upper, lower func(name string) bool) error {
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
			names, err := r.t.names(base, sub, func(string) bool { return true })
			if err != nil {
				return err
			}
			_, err = visitAll(r.ctx, names, func(p *place) (bool, error) {
				return true, r.check(p, entry{base: base, sub: sub, name: p.entry()})
			})
			if err != nil {
				return err
			}
			r.t.tidy(base, sub)
		}
		r.t.tidy(base, first)
	}
	return nil
}

// check removes an entry whose record does not belong to it.
func (r *rebuild) check(p *place, e entry) error {
	stray := func(t *tree) (bool, error) {
		rec, err := t.look(p)
		if err != nil {
			return false, except(err, model.ErrCorrupt)
		}
		return !slices.Contains(entriesOf(p, rec), e), nil
	}
	if is, err := stray(r.t); !is || err != nil {
		return err
	}
	return r.b.locked(r.ctx, p.stripe(), false, func(t *tree) error {
		is, err := stray(t)
		if is {
			t.dropEntries([]entry{e})
			r.changes++
		}
		return err
	})
}
