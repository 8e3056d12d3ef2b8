package file

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record. It rewrites the record's file, or
// writes nothing if the expiry stays as it is.
func (b *Backend) Touch(ctx context.Context, now time.Time, c driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &c); err != nil {
		return model.Record{}, err
	}
	p := placeOf(c.ID)
	var out model.Record
	waited := b.waited()
	err := b.withLock(ctx, waited, p.stripe(), false, func(t *tree) error {
		cur, err := t.read(&p)
		if err == nil {
			err = c.Judge(waited.Now(now), cur)
		}
		if err != nil {
			return err
		}
		next := *cur
		next.ExpiresAt = model.Millis(c.Result(cur.ExpiresAt))
		if !next.ExpiresAt.Equal(cur.ExpiresAt) {
			if err := t.store(&p, cur, &next); err != nil {
				return err
			}
		}
		out = next.Head()
		return nil
	})
	return out, err
}

// batchRecords is the maximum number of records that are removed or repaired
// while one lock is held.
const batchRecords = 64

// DeleteExpired removes the records that had expired at sw.Before, those that
// expired first ahead of the others. It also removes what killed writes left
// behind.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &sw)
	if err != nil {
		return driver.Swept{}, err
	}
	s := sweep{b: b, ctx: ctx, before: sw.Before, due: bucketOf(sw.Before), tally: tally}
	var days []string
	err = b.withTree(ctx, false, func(t *tree) error {
		if err := t.checkCurrent(); err != nil {
			return err
		}
		if err := s.removeLeftovers(t); err != nil {
			return err
		}
		days, err = s.dueDays(t)
		return err
	})
	if err != nil {
		tally.Failed(0, ignore(err, errNoStore))
		return tally.Result()
	}
	return tally.Run(ctx, func(int) (more bool, err error) {
		if len(days) == 0 {
			return false, nil
		}
		err = b.withTree(ctx, false, func(t *tree) error { return s.sweepDay(t, days[0]) })
		days = days[1:]
		return len(days) > 0, ignore(err, errNoStore)
	})
}

// bucket is a minute of expiries, counted from 1970. A record's index entry is
// replaced only if its expiry moves to another bucket.
type bucket int64

const (
	minutesPerDay = 24 * 60
	dayDigits     = 7
	minuteDigits  = 4
)

func bucketOf(t time.Time) bucket { return bucket(t.Unix() / 60) }

func (b bucket) day() string { return padded(int64(b)/minutesPerDay, dayDigits) }
func (b bucket) minute() string {
	return padded(int64(b)%minutesPerDay, minuteDigits)
}
func (b bucket) sub() string { return b.day() + "/" + b.minute() }

func padded(n int64, digits int) string {
	s := strconv.FormatInt(n, 10)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

func isNumber(name string, digits int) bool {
	if len(name) != digits {
		return false
	}
	_, err := strconv.ParseUint(name, 10, 63)
	return err == nil
}

func inBucket(rec *model.Record, sub string) bool {
	return !rec.ExpiresAt.IsZero() && bucketOf(rec.ExpiresAt).sub() == sub
}

// sweep is the state of one DeleteExpired.
type sweep struct {
	b      *Backend
	ctx    context.Context
	before time.Time
	due    bucket // the last bucket that may have expired records
	tally  *driverkit.Tally
}

// removeLeftovers removes temporary files without a writer, and the index
// entries that only their writes made.
func (s *sweep) removeLeftovers(t *tree) error {
	names, err := t.names(tmpDir, "", isTmp)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		t.removeLeftover(name)
	}
	return nil
}

// removeLeftover removes one temporary file under its stripe's lock. A writer
// holds that lock as long as its file exists.
func (t *tree) removeLeftover(name string) {
	stripe := parseHex(name[:2])
	if stripe >= stripes {
		return
	}
	t.tryWithLock(stripe, func() {
		dir, err := t.folder(tmpDir, false)
		if err != nil {
			return
		}
		if data, err := dir.Read(name, maxFile); err == nil {
			t.dropStrays(stripe, data)
		}
		_ = dir.Remove(name)
	})
}

// dropStrays removes the entries of a record whose write stopped before its
// rename.
func (t *tree) dropStrays(stripe int, file []byte) {
	rec, err := driverkit.DecodeRecord(file)
	if err != nil {
		return
	}
	p := placeOf(rec.ID)
	if p.stripe() != stripe {
		return
	}
	if cur, err := t.read(&p); err == nil {
		t.dropEntries(without(entriesOf(&p, &rec), entriesOf(&p, cur)))
	}
}

// dueDays returns the days that may have due buckets, the oldest first.
func (s *sweep) dueDays(t *tree) ([]string, error) {
	last := s.due.day()
	return t.names(expiryDir, "", func(name string) bool {
		return isDay(name) && name <= last
	})
}

// sweepDay removes the expired records of one day, until the limit is reached.
func (s *sweep) sweepDay(t *tree, day string) error {
	past := day < s.due.day()
	minutes, err := t.names(expiryDir, day, func(name string) bool {
		return isMinute(name) && (past || name <= s.due.minute())
	})
	if err != nil {
		return err
	}
	for _, minute := range minutes {
		if err := s.sweepBucket(t, day+"/"+minute); err != nil || s.tally.Left() <= 0 {
			return err
		}
	}
	if past {
		t.removeIfEmpty(expiryDir, day)
	}
	return nil
}

// sweepBucket removes the expired records of one bucket, until the limit is
// reached.
func (s *sweep) sweepBucket(t *tree, sub string) error {
	// An earlier sweep that reached its limit has left what it read.
	key := chunkKey(expiryDir, sub)
	left, _ := t.unread.take(key)
	seen := map[string]bool{}
	if end, err := s.sweepEntries(t, sub, key, left.names); !end || err != nil {
		return err
	}
	for _, name := range left.names {
		seen[name] = true
	}
	entries, err := t.names(expiryDir, sub, func(name string) bool { return !seen[name] })
	if err != nil {
		return err
	}
	if end, err := s.sweepEntries(t, sub, key, entries); !end || err != nil {
		return err
	}
	if sub != s.due.sub() {
		t.removeIfEmpty(expiryDir, sub)
	}
	return nil
}

// sweepEntries removes the expired records among a bucket's entries. If it
// reaches the limit before the end, it keeps the rest for the next sweep.
func (s *sweep) sweepEntries(t *tree, sub, key string, entries []string) (end bool, err error) {
	batch := batch{sub: sub}
	for i, name := range entries {
		p, ok := placeOfEntry(name)
		if !ok {
			continue
		}
		if batch.full(p.shard) || s.tally.Left() <= batch.removals {
			if err := s.remove(&batch); err != nil {
				return false, err
			}
		}
		if s.tally.Left() <= 0 {
			t.unread.put(chunk{key: key, names: entries[i:]})
			return false, nil
		}
		if err := s.examine(t, &batch, p); err != nil {
			return false, err
		}
	}
	return true, s.remove(&batch)
}

// removeIfEmpty removes a folder of an index if it is empty.
func (t *tree) removeIfEmpty(base, sub string) {
	if f, err := t.folder(base, false); err == nil {
		_ = f.Remove(sub)
	}
}

// batch is what a sweep removes of one bucket and shard under one lock.
type batch struct {
	sub      string // of the bucket
	list     []candidate
	removals int // candidates with a record
}

type candidate struct {
	place
	seen *model.Record // without its value; nil if only the entry is to be removed
}

// full reports whether the batch has no room for a record of that shard.
func (b *batch) full(shard uint8) bool {
	return len(b.list) == batchRecords || len(b.list) > 0 && b.list[0].shard != shard
}

// examine reads a record without its lock. It announces the record and adds it
// to the batch if it has expired.
func (s *sweep) examine(t *tree, b *batch, p place) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	rec, err := t.read(&p)
	if err != nil {
		return ignoreUnreadable(err)
	}
	if rec == nil || !inBucket(rec, b.sub) {
		b.list = append(b.list, candidate{place: p})
		return nil
	}
	if rec.Expired(s.before) && s.tally.Accepts(rec) {
		rec.Value = nil // a batch of large ones would not fit into memory
		b.list = append(b.list, candidate{place: p, seen: rec})
		b.removals++
	}
	return nil
}

// remove empties the batch. Under the lock it removes each record that has not
// changed since its announcement, syncs the shard, and then removes the
// entries.
func (s *sweep) remove(b *batch) error {
	if len(b.list) == 0 {
		return nil
	}
	list := b.list
	b.list, b.removals = b.list[:0], 0
	// What had expired at the sweep's Before has expired, however long it waits.
	return s.b.withLock(s.ctx, s.b.waited(), list[0].stripe(), false, func(t *tree) error {
		shard, err := t.folder(list[0].dir(), false)
		if err != nil && !isMissing(err) {
			return err
		}
		var entries []entry
		removed := 0
		var failed error
		for i := range list {
			c := &list[i]
			cur, err := t.read(&c.place)
			switch {
			case isUnreadable(err):
				continue
			case err != nil:
				failed = err
			case cur == nil || !inBucket(cur, b.sub):
				entries = append(entries, entry{base: expiryDir, sub: b.sub, name: c.entry()})
				continue
			case c.seen == nil || cur.Revision != c.seen.Revision || !cur.ExpiresAt.Equal(c.seen.ExpiresAt):
				continue
			default:
				if failed = changeError(shard.Remove(c.name)); failed != nil {
					s.tally.Failed(1, failed)
				}
			}
			if failed != nil {
				break
			}
			removed++
			entries = append(entries, entriesOf(&c.place, cur)...)
		}
		if removed > 0 {
			if err := t.syncShard(shard); err != nil {
				s.tally.Failed(removed, err)
				return err
			}
		}
		s.tally.Removed(removed)
		t.dropEntries(entries)
		return failed
	})
}
