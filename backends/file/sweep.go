package file

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

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

// sweep is the state of one DeleteExpired.
type sweep struct {
	b      *Backend
	ctx    context.Context
	before time.Time
	due    bucket // the last bucket that may have expired records

	mu     sync.Mutex // guards these during a flush
	tally  *driverkit.Tally
	opened map[entry]disk.Folder // the folders of dropped entries, which have no name

	wave     []candidate // what the next flush removes
	removals int         // candidates with a record
	finished []string    // the buckets that the wave empties
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
	if err := s.flush(t); err != nil {
		return err
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
	for after, more := "", true; more; {
		var entries []string
		var err error
		entries, more, err = t.someNames(expiryDir, sub, maxChunkNames, func(name string) bool { return name > after && !seen[name] })
		if err != nil {
			return err
		}
		if end, err := s.sweepEntries(t, sub, key, entries); !end || err != nil {
			return err
		}
		if more {
			after = entries[len(entries)-1]
		}
	}
	if sub != s.due.sub() {
		s.finished = append(s.finished, sub)
	}
	return nil
}

// sweepEntries adds the expired records among a bucket's entries to the wave. If
// the sweep reaches its limit before the end, it keeps the rest for the next one.
func (s *sweep) sweepEntries(t *tree, sub, key string, entries []string) (end bool, err error) {
	for i, name := range entries {
		p, ok := placeOfEntry(name)
		if !ok {
			continue
		}
		if len(s.wave) == waveRecords || s.tally.Left() <= s.removals {
			if err := s.flush(t); err != nil {
				return false, err
			}
		}
		if s.tally.Left() <= 0 {
			t.unread.put(chunk{key: key, names: entries[i:]})
			return false, nil
		}
		if err := s.examine(t, sub, p); err != nil {
			return false, err
		}
	}
	return true, nil
}

// removeIfEmpty removes a folder of an index if it is empty.
func (t *tree) removeIfEmpty(base, sub string) {
	if f, err := t.folder(base, false); err == nil {
		_ = f.Remove(sub)
	}
}

const (
	// waveRecords is the maximum number of records that a sweep removes at a time.
	waveRecords = 512
	// waveLocks is how many locks it holds for that at the same time. A file system
	// makes the syncs of several shards durable with one commit of its journal.
	waveLocks = 16
	// waveFolders is how many folders of entries it keeps open meanwhile.
	waveFolders = 64
)

type candidate struct {
	place
	sub  string        // of the bucket
	seen *model.Record // without its value; nil if only the entry is to be removed

	folder disk.Folder // of its shard, if it is to be removed
}

// examine reads a record without its lock. It announces the record and adds it
// to the wave if it has expired.
func (s *sweep) examine(t *tree, sub string, p place) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	rec, err := t.read(&p)
	if err != nil {
		return ignoreUnreadable(err)
	}
	if rec == nil || !inBucket(rec, sub) {
		s.wave = append(s.wave, candidate{place: p, sub: sub})
		return nil
	}
	if rec.Expired(s.before) && s.tally.Accepts(rec) {
		rec.Value = nil // a wave of large ones would not fit into memory
		s.wave = append(s.wave, candidate{place: p, sub: sub, seen: rec})
		s.removals++
	}
	return nil
}

// flush removes the wave, under several locks at a time, and the folders that this
// empties.
func (s *sweep) flush(t *tree) error {
	byShard := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.stripe(), b.stripe()), cmp.Compare(a.shard, b.shard))
	}
	slices.SortStableFunc(s.wave, byShard)
	var groups [][]candidate
	for from, i := 0, 1; i <= len(s.wave); i++ {
		if i == len(s.wave) || s.wave[i].stripe() != s.wave[from].stripe() || i-from == batchRecords {
			groups = append(groups, s.wave[from:i])
			from = i
		}
	}
	errs := make([]error, len(groups))
	driverkit.Parallel(len(groups), s.b.sweepers, func(i int) { errs[i] = s.removeGroup(groups[i]) })
	s.wave, s.removals = s.wave[:0], 0
	s.closeFolders(t)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for _, sub := range s.finished {
		t.removeIfEmpty(expiryDir, sub)
	}
	s.finished = s.finished[:0]
	return nil
}

// removeGroup removes candidates of one stripe under its lock.
func (s *sweep) removeGroup(list []candidate) error {
	// What had expired at the sweep's Before has expired, however long it waits.
	return s.b.withLock(s.ctx, s.b.waited(), list[0].stripe(), false, func(t *tree) error { return s.remove(t, list) })
}

// remove removes each record of one stripe that has not changed since its
// announcement, makes that durable, and then removes the entries.
func (s *sweep) remove(t *tree, list []candidate) error {
	var entries []entry
	var due []*candidate
	var gone []redone
	var failed error
	for i := range list {
		c := &list[i]
		cur, err := t.read(&c.place)
		switch {
		case isUnreadable(err):
			continue
		case err != nil:
			failed = err
		case cur == nil || !inBucket(cur, c.sub):
			entries = append(entries, entry{base: expiryDir, sub: c.sub, name: c.entry()})
			continue
		case c.seen == nil || cur.Revision != c.seen.Revision || !cur.ExpiresAt.Equal(c.seen.ExpiresAt):
			continue
		default:
			c.folder, failed = t.folder(c.dir(), false)
		}
		if failed != nil {
			break
		}
		due = append(due, c)
		gone = append(gone, redone{kind: removeKind, data: []byte(cur.ID)})
	}
	removed, err := s.removeDue(t, due, gone)
	if failed == nil {
		failed = err
	}
	for _, c := range removed {
		entries = append(entries, entriesOf(&c.place, c.seen)...)
	}
	s.mu.Lock()
	s.tally.Removed(len(removed))
	s.mu.Unlock()
	for _, e := range entries {
		s.drop(t, e)
	}
	return failed
}

// removeDue removes the files of records that are as the sweep has seen them, all of
// one stripe, and returns those whose removal is durable.
func (s *sweep) removeDue(t *tree, due []*candidate, gone []redone) (removed []*candidate, err error) {
	if len(due) == 0 {
		return nil, nil
	}
	stripe := due[0].stripe()
	d, err := t.journal(stripe)
	if err == nil && d.log != nil {
		if err = t.commit(&d, stripe, gone...); errors.Is(err, model.ErrUnknown) {
			s.failed(len(due), err)
		}
	}
	if err != nil {
		return nil, err
	}
	n := 0
	var changes []change
	note, err := t.note(stripe, &d)
	for err == nil && n < len(due) {
		if err = changeError(due[n].folder.Remove(due[n].name)); err == nil {
			changes = append(changes, changeOf(&due[n].place, due[n].seen, nil))
			n++
		}
	}
	if !errors.Is(err, model.ErrUnknown) {
		note.done(changes...)
	} else {
		s.failed(1, err)
	}
	if err != nil && d.log != nil {
		err = s.keep(t, &d, due[n:], err)
	}
	removed, unsynced := s.syncRemoved(t, due[:n], d)
	return removed, cmp.Or(unsynced, err)
}

// syncRemoved makes removals durable, a shard at a time, and returns those that are.
func (s *sweep) syncRemoved(t *tree, list []*candidate, d durably) (synced []*candidate, err error) {
	for from, i := 0, 1; i <= len(list); i++ {
		if i < len(list) && list[i].shard == list[from].shard {
			continue
		}
		if e := t.syncShard(list[from].folder, d); e != nil {
			s.failed(i-from, e)
			err = e
		} else {
			synced = append(synced, list[from:i]...)
		}
		from = i
	}
	return synced, err
}

// keep makes the log end with the records that could not be removed.
func (s *sweep) keep(t *tree, d *durably, due []*candidate, why error) error {
	if errors.Is(why, model.ErrUnknown) {
		due = due[1:] // this one may be gone
	}
	for _, c := range due {
		cur, err := t.read(&c.place)
		if err == nil && cur != nil {
			err = t.commit(d, c.stripe(), stored(&c.place, cur))
		}
		if err != nil {
			why = withKind(model.ErrUnknown, err)
			s.failed(1, why)
		}
	}
	return why
}

// drop removes an index entry, under the record's lock. It opens each folder once
// for a wave. If another process has made the folder again, the path leads to it.
func (s *sweep) drop(t *tree, e entry) {
	s.mu.Lock()
	key := entry{base: e.base, sub: e.sub}
	f := s.opened[key]
	if f == nil && len(s.opened) < waveFolders {
		if base, err := t.folder(e.base, false); err == nil {
			if f, err = base.Folder(e.sub); err == nil {
				if s.opened == nil {
					s.opened = map[entry]disk.Folder{}
				}
				s.opened[key] = f
			}
		}
	}
	s.mu.Unlock()
	if f == nil || isMissing(f.Remove(e.name)) {
		t.dropEntries([]entry{e})
	}
}

// closeFolders ends a wave. It removes the folders of label values that are empty
// now.
func (s *sweep) closeFolders(t *tree) {
	for key, f := range s.opened {
		_ = f.Close()
		if key.base != expiryDir {
			t.removeIfEmpty(key.base, key.sub)
		}
	}
	s.opened = nil
}

func (s *sweep) failed(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Failed(n, err)
}
