package file

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch writes the record anew with another expiry; one that changes nothing
// writes nothing.
func (b *Backend) Touch(ctx context.Context, now time.Time, c driver.Touch) (model.Record, error) {
	if err := c.Check(); err != nil {
		return model.Record{}, err
	}
	p := placeOf(c.ID)
	var out model.Record
	err := b.locked(ctx, p.stripe(), false, func(t *tree) error {
		cur, err := t.look(&p)
		if err == nil {
			err = driver.Judge(now, cur, driver.IfPresent, model.Revision{})
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

// batchRecords is how many records one hold of a lock removes at most.
const batchRecords = 64

// DeleteExpired visits the buckets that are due, oldest first, and removes
// what killed writes left behind.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	if sw.Limit < 1 {
		return driver.Swept{}, model.NewError(model.ErrInvalid, "a sweep without a limit", nil)
	}
	s := sweep{b: b, ctx: ctx, before: sw.Before, due: bucketOf(sw.Before), limit: sw.Limit, each: sw.OnExpire}
	err := b.retry(ctx, false, func(t *tree) error {
		if err := t.whole(); err != nil {
			return err
		}
		s.t = t
		if err := s.leftovers(); err != nil {
			return err
		}
		return s.buckets()
	})
	return s.swept, except(err, errNoStore)
}

// bucket is one minute of expiries, counted from 1970. A record's entry is
// rewritten only when its expiry crosses into another one.
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

// sweep is one DeleteExpired under way.
type sweep struct {
	b      *Backend
	t      *tree
	ctx    context.Context
	before time.Time
	due    bucket // the last one with anything to remove
	limit  int
	each   func(model.Record) error
	swept  driver.Swept
}

// leftovers removes temporary files without a writer, and the index entries
// that their writes made for nothing.
func (s *sweep) leftovers() error {
	names, err := s.t.names(tmpDir, "", func(name string) bool {
		return len(name) == 3+2*randomTmpBytes && name[2] == '-' && isHex(name[:2]) && isHex(name[3:])
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		s.leftover(name)
	}
	return nil
}

// leftover removes one temporary file under its stripe's lock: a writer holds
// that as long as its file is there.
func (s *sweep) leftover(name string) {
	stripe := parseHex(name[:2])
	if stripe >= stripes {
		return
	}
	s.t.tryLocked(stripe, func() {
		dir, err := s.t.folder(tmpDir, false)
		if err != nil {
			return
		}
		if data, err := dir.Read(name, maxFile); err == nil {
			s.t.dropStrays(stripe, data)
		}
		_ = dir.Remove(name)
	})
}

// dropStrays removes the entries of a record that never got its name.
func (t *tree) dropStrays(stripe int, file []byte) {
	rec, err := driverkit.DecodeRecord(file)
	if err != nil {
		return
	}
	p := placeOf(rec.ID)
	if p.stripe() != stripe {
		return
	}
	if cur, err := t.look(&p); err == nil {
		t.dropEntries(without(entriesOf(&p, &rec), entriesOf(&p, cur)))
	}
}

// buckets visits the days and minutes up to the due one.
func (s *sweep) buckets() error {
	lastDay := s.due.day()
	days, err := s.t.names(expiryDir, "", func(name string) bool {
		return isNumber(name, dayDigits) && name <= lastDay
	})
	if err != nil {
		return err
	}
	for _, day := range days {
		minutes, err := s.t.names(expiryDir, day, func(name string) bool {
			return isNumber(name, minuteDigits) && (day < lastDay || name <= s.due.minute())
		})
		if err != nil {
			return err
		}
		for _, minute := range minutes {
			if err := s.bucket(day + "/" + minute); err != nil || s.swept.More {
				return err
			}
		}
		if day < lastDay {
			s.t.tidy(expiryDir, day)
		}
	}
	return nil
}

// bucket visits the entries of one minute.
func (s *sweep) bucket(sub string) error {
	entries, err := s.t.names(expiryDir, sub, func(string) bool { return true })
	if err != nil {
		return err
	}
	batch := batch{sub: sub}
	for _, name := range entries {
		p, ok := placeOfEntry(name)
		if !ok {
			continue
		}
		if len(batch.list) == batchRecords || len(batch.list) > 0 && batch.list[0].shard != p.shard {
			if err := s.remove(&batch); err != nil {
				return err
			}
		}
		if s.gone()+batch.removals == s.limit {
			if err := s.remove(&batch); err != nil {
				return err
			}
		}
		if s.gone() == s.limit {
			s.swept.More = true
			return nil
		}
		if err := s.consider(&batch, p); err != nil {
			return err
		}
	}
	if err := s.remove(&batch); err != nil {
		return err
	}
	if sub != s.due.sub() {
		s.t.tidy(expiryDir, sub)
	}
	return nil
}

// gone is how many records the sweep has done with.
func (s *sweep) gone() int { return s.swept.Removed + s.swept.Unknown }

// tidy removes a folder of an index that is empty.
func (t *tree) tidy(base, sub string) {
	if f, err := t.folder(base, false); err == nil {
		_ = f.Remove(sub)
	}
}

// batch is what is to be removed of one bucket and shard.
type batch struct {
	sub      string // of the bucket
	list     []candidate
	removals int
}

type candidate struct {
	place
	seen *model.Record // nil: only the entry is to be removed
}

// consider reads a record without its lock and announces it.
func (s *sweep) consider(b *batch, p place) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	rec, err := s.t.look(&p)
	if err != nil {
		return except(err, model.ErrCorrupt)
	}
	if rec == nil || !inBucket(rec, b.sub) {
		b.list = append(b.list, candidate{place: p})
		return nil
	}
	if rec.Expired(s.before) && s.announced(rec) {
		b.list = append(b.list, candidate{place: p, seen: rec})
		b.removals++
	}
	return nil
}

// announced reports whether the caller lets the record go.
func (s *sweep) announced(rec *model.Record) bool {
	return s.each == nil || s.each(rec.Head()) == nil
}

func inBucket(rec *model.Record, sub string) bool {
	return !rec.ExpiresAt.IsZero() && bucketOf(rec.ExpiresAt).sub() == sub
}

// remove empties the batch: under the lock, each record that is still as it
// was announced goes, then one sync, then the entries.
func (s *sweep) remove(b *batch) error {
	if len(b.list) == 0 {
		return nil
	}
	list := b.list
	b.list, b.removals = b.list[:0], 0
	return s.b.locked(s.ctx, list[0].stripe(), false, func(t *tree) error {
		shard, err := t.folder(list[0].dir(), false)
		if err != nil && !isMissing(err) {
			return err
		}
		var entries []entry
		removed := 0
		var failed error
		for i := range list {
			c := &list[i]
			cur, err := t.look(&c.place)
			switch {
			case errors.Is(err, model.ErrCorrupt):
				continue
			case err != nil:
				failed = err
			case cur == nil || !inBucket(cur, b.sub):
				entries = append(entries, entry{base: expiryDir, sub: b.sub, name: c.entry()})
				continue
			case c.seen == nil || cur.Revision != c.seen.Revision || !cur.ExpiresAt.Equal(c.seen.ExpiresAt):
				continue
			default:
				failed = moved(shard.Remove(c.name))
			}
			if errors.Is(failed, model.ErrUnknown) {
				s.swept.Unknown++
			}
			if failed != nil {
				break
			}
			removed++
			entries = append(entries, entriesOf(&c.place, cur)...)
		}
		if removed > 0 {
			if err := t.settle(shard); err != nil {
				s.swept.Unknown += removed
				return err
			}
		}
		s.swept.Removed += removed
		t.dropEntries(entries)
		return failed
	})
}
