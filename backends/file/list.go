package file

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// extraReads is the maximum number of records that a page reads beyond its
// limit. It bounds the time of one page of a store full of expired records.
const extraReads = 1000

// Page lists live records in the order of shard and file name, which no write
// changes. The position of a page token is the last entry that was read.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	err = b.withTree(ctx, false, func(t *tree) error {
		page = driver.Page{}
		reads, last := 0, after
		return t.scan(ctx, &q, after, func(p *place) (bool, error) {
			if len(page.Records) == q.Limit || reads == q.Limit+extraReads {
				page.Next = b.gate.Token(&q, last)
				return false, nil
			}
			reads, last = reads+1, p.entry()
			rec, err := t.read(p)
			switch {
			case errors.Is(err, model.ErrCorrupt):
				page.Corrupt = append(page.Corrupt, p.displayName())
			case err != nil:
				return false, err
			case rec != nil && !rec.Expired(now) && q.Bears(rec):
				if q.KeysOnly {
					rec.Value = nil
				}
				page.Records = append(page.Records, *rec)
			case rec == nil || !q.Bears(rec):
				t.prune(&q, p)
			}
			return true, nil
		})
	})
	if err = ignore(err, errNoStore); err != nil {
		return driver.Page{}, err
	}
	return page, nil
}

// Count counts live records. It reads every record that a listing would.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	n := 0
	err := b.withTree(ctx, false, func(t *tree) error {
		n = 0
		return t.scan(ctx, &q, "", func(p *place) (bool, error) {
			rec, err := t.read(p)
			if err != nil {
				return true, ignore(err, model.ErrCorrupt)
			}
			if rec != nil && !rec.Expired(now) && q.Bears(rec) {
				n++
			}
			return true, nil
		})
	})
	return n, ignore(err, errNoStore)
}

// scan visits the places of a listing in order, after a position. It ends if
// visit returns false or an error.
func (t *tree) scan(ctx context.Context, q *driver.Query, after string, visit func(*place) (bool, error)) error {
	if err := t.checkCurrent(); err != nil {
		return err
	}
	if q.Label != "" {
		return t.scanLabel(ctx, q, after, visit)
	}
	return t.scanAll(ctx, after, visit)
}

// scanLabel reads the names of all records that bear the label value.
func (t *tree) scanLabel(ctx context.Context, q *driver.Query, after string, visit func(*place) (bool, error)) error {
	names, err := t.names(labelBase(q.Label), labelSub(q.Value), func(name string) bool { return name > after })
	if err != nil {
		return err
	}
	_, err = visitAll(ctx, names, visit)
	return err
}

// scanAll reads the names of one shard at a time.
func (t *tree) scanAll(ctx context.Context, after string, visit func(*place) (bool, error)) error {
	present, err := t.names(recordsDir, "", func(name string) bool {
		return isShard(name) && (len(after) < 2 || name >= after[:2])
	})
	if err != nil {
		return err
	}
	for _, shard := range present {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := t.shardNames(ctx, shard, after)
		if err != nil {
			return err
		}
		more, err := visitAll(ctx, names, visit)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// visitAll visits the places of the entries and skips foreign names. It reports
// whether the scan goes on.
func visitAll(ctx context.Context, entries []string, visit func(*place) (bool, error)) (bool, error) {
	for _, entry := range entries {
		p, ok := placeOfEntry(entry)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if more, err := visit(&p); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// shardNames returns the entries of a shard after a position. It reads the
// folder under the shard's lock: on some file systems, such as tmpfs, a reader
// misses a name while a rename replaces its file. A process that may only read
// goes on without the lock.
func (t *tree) shardNames(ctx context.Context, shard, after string) ([]string, error) {
	stripe := parseHex(shard) % stripes
	if err := t.b.stripes[stripe].acquire(ctx); err != nil {
		return nil, err
	}
	defer t.b.stripes[stripe].release()
	switch err := t.lock(ctx, stripe); {
	case err == nil:
		defer t.unlock(stripe)
	case !isReadOnly(err):
		return nil, err
	}
	names, err := t.names(recordsDir+"/"+shard, "", func(name string) bool { return shard+"."+name > after })
	for i := range names {
		names[i] = shard + "." + names[i]
	}
	return names, err
}

// names returns the names in a folder that pass accepts, sorted. It returns
// none if the folder is missing. Base is a fixed folder; sub is a folder below
// it, or empty.
func (t *tree) names(base, sub string, pass func(string) bool) ([]string, error) {
	fixed, err := t.folder(base, false)
	if err != nil {
		return nil, ignore(err, fs.ErrNotExist)
	}
	f := fixed
	if sub != "" {
		f, err = fixed.Folder(sub)
		if isMissing(err) {
			return nil, t.checkSame(fixed, base)
		}
		if err != nil {
			return nil, unavailable(err)
		}
		defer func() { _ = f.Close() }()
	}
	var out []string
	err = f.Names(func(part []string) bool {
		for _, name := range part {
			if pass(name) {
				out = append(out, name)
			}
		}
		return true
	})
	if isMissing(err) || err == nil && len(out) == 0 && sub == "" {
		// Another process may have removed the folder and made a new one.
		return nil, t.checkSame(fixed, base)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// prune removes the index entry of a record that no longer bears the label of
// the listing. It does nothing if a writer holds the record's lock.
func (t *tree) prune(q *driver.Query, p *place) {
	if q.Label == "" {
		return
	}
	t.tryWithLock(p.stripe(), func() {
		if rec, err := t.read(p); err == nil && (rec == nil || !q.Bears(rec)) {
			t.dropEntries([]entry{{base: labelBase(q.Label), sub: labelSub(q.Value), name: p.entry()}})
		}
	})
}
