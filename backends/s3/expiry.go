package s3

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch writes the record again with another expiry. It takes one PutObject if
// the known record has its value and server version, and else a GetObject first.
// A touch that changes nothing only reads. An expiry that is new or earlier
// takes one PutObject more, for its index entry.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	c := b.newChange(now, b.waited(), t.ID)
	cur := parseServerVersion(t.Known.ServerVersion, t.ID)
	wanted := driver.IfPresent
	if t.Cond == driver.IfMatch {
		wanted = driver.IfMatch
	}
	// A touch that changes nothing has to read the record.
	ready := cur != nil && cur.live(c.now()) && cur.head.holds(t.Known.Value, t.Known.Encoding) &&
		!t.Result(cur.head.expiresAt).Equal(cur.head.expiresAt) && (wanted == driver.IfPresent || cur.head.rev == t.Known.Revision)
	if ready {
		cur.value = t.Known.Value
	}
	for attempt := range writeAttempts {
		if !ready {
			var err error
			if cur, _, err = c.judge(ctx, attempt, false, &driver.Write{Cond: wanted, Known: t.Known}); err != nil {
				return model.Record{}, c.abandon(ctx, err)
			}
		}
		ready = false
		rec := cur.record()
		h := *cur.head
		h.expiresAt = model.Millis(t.Result(h.expiresAt))
		if h.expiresAt.Equal(cur.head.expiresAt) {
			rec.Value = nil
			return *rec, c.abandon(ctx, nil)
		}
		h.due = stamp{}
		etag, result, err := c.store(ctx, cur, &h, rec.Labels, cur.value, c.on(cur))
		if err != nil {
			return model.Record{}, c.abandon(ctx, err)
		}
		if result == outcomeApplied {
			return c.answer(etag, &h), nil
		}
	}
	return model.Record{}, c.abandon(ctx, driverkit.Contended())
}

const (
	// sweepMost and sweepLeast bound how many index entries one round of a sweep
	// processes, whatever its limit.
	sweepMost  = 256
	sweepLeast = parallelism
)

// dueEntry is an entry of the index by expiry.
type dueEntry struct {
	p     place
	key   string
	at    time.Time
	stamp stamp
	size  int64
	old   bool // old enough to be a stray
	cur   *stored
	err   error
	do    action
}

// action is what a sweep does to an index entry.
type action uint8

const (
	actionKeep   action = iota
	actionRemove        // remove its record, and then the entry
	actionMove          // move it: its record expires later
	actionDrop          // remove only the entry: no record relies on it
)

// DeleteExpired removes due records. It lists the index by expiry from the
// oldest entry up to s.Before and reads the head of each record. It removes the
// expired records, each under its ETag, and then their index entries. It also
// moves the entries of records that expire later, and removes old strays.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	var entries []*dueEntry
	after := ""
	left := false // a due record was over the limit of its round
	var failed setAside
	swept, err := tally.Run(ctx, func(n int) (more bool, err error) {
		if len(entries) == 0 {
			// List more entries than may be removed, since some records stay.
			if entries, after, _, err = b.readDue(ctx, nil, s.Before, after, min(2*n+sweepLeast, maxKeys)); err != nil {
				return false, err
			}
		}
		part := entries[:min(len(entries), max(n, sweepLeast), sweepMost)]
		entries = entries[len(part):]
		over, err := b.sweepRound(ctx, s.Before, part, tally, &failed)
		left = left || over
		if failed.n > maxAside && err == nil {
			err = failed.err
		}
		return len(entries) > 0 || after != "", err
	})
	swept.More = swept.More || left
	if err == nil {
		err = failed.err
	}
	return swept, err
}

// setAside has the failures that a sweep steps over: an object that the server
// refuses to read or to remove, and index entries that stay. The sweep returns
// the first one beside its counts.
type setAside struct {
	n   int
	err error
}

// maxAside is how many such failures end a sweep.
const maxAside = 1000

func (a *setAside) add(err error) {
	if err == nil {
		return
	}
	if a.n++; a.err == nil {
		a.err = err
	}
}

// readDue returns due entries after a name, and the name to continue after,
// which is empty at the end. It also returns the first expiry that was not due yet,
// if it met one. What a call waits makes before later: a nil w is for a sweep,
// whose bound stays.
func (b *Backend) readDue(ctx context.Context, w *driverkit.Waited, before time.Time, after string, limit int) (entries []*dueEntry, last string, next time.Time, err error) {
	page, err := b.list(ctx, w, dueDir+"/", after, limit)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	if w != nil {
		before = w.Now(before)
	}
	for _, o := range page.objects {
		at, p, s, ok := parseDue(o.rest)
		if ok && at.After(before) {
			return entries, "", at, nil
		}
		if last = o.rest; ok { // else the object is foreign
			entries = append(entries, &dueEntry{
				p: p, key: dueDir + "/" + o.rest, at: at, stamp: s, size: o.size, old: b.pastGrace(&page, &o),
			})
		}
	}
	if !page.more {
		last = ""
	}
	return entries, last, time.Time{}, nil
}

// pastGrace reports whether an entry is older than the grace by the server's
// clock. The write that created it has ended by then.
func (b *Backend) pastGrace(page *listing, o *listed) bool {
	return !page.now.IsZero() && !o.modified.IsZero() && page.now.Sub(o.modified) > b.opts.StrayGrace
}

// sweepRound processes some entries and removes at most tally.Left() records. It
// reports whether a due record was over that limit.
func (b *Backend) sweepRound(ctx context.Context, before time.Time, entries []*dueEntry, tally *driverkit.Tally, failed *setAside) (left bool, err error) {
	entries = b.strays.without(entries)
	if err := b.readHeads(ctx, entries, failed); err != nil {
		return false, err
	}
	left = decide(before, entries, tally)
	b.strays.note(entries)
	if err := ctx.Err(); err != nil {
		return left, err
	}
	b.carryOut(ctx, entries, tally, failed)
	b.removeEntries(ctx, entries, failed)
	return left, nil
}

// youngStrays remembers entries without a record that are too young to be
// removed. Sweeps skip them until they are old enough. Only a write that was
// under way at the time can still rely on such an entry.
type youngStrays struct {
	mu   sync.Mutex
	keys map[string]bool
}

// maxYoung is how many entries are remembered. If there are more, all are
// forgotten and read again.
const maxYoung = 1 << 14

// without returns the entries that are not remembered. It forgets those that
// have become old enough.
func (s *youngStrays) without(entries []*dueEntry) []*dueEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(entries, func(e *dueEntry) bool {
		seen := s.keys[e.key]
		if e.old {
			delete(s.keys, e.key)
		}
		return seen && !e.old
	})
}

// note remembers the young entries on which no record relies.
func (s *youngStrays) note(entries []*dueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.err != nil || e.old || e.cur.head != nil && e.cur.head.due == e.stamp {
			continue
		}
		if s.keys == nil || len(s.keys) == maxYoung {
			s.keys = map[string]bool{}
		}
		s.keys[e.key] = true
	}
}

// readHeads reads the head of each entry's record, once for each record. It sets
// those aside that the server refuses to read, unless that is true of all.
func (b *Backend) readHeads(ctx context.Context, entries []*dueEntry, failed *setAside) error {
	of := map[string][]*dueEntry{}
	var names []string
	for _, e := range entries {
		if of[e.p.name] == nil {
			names = append(names, e.p.name)
		}
		of[e.p.name] = append(of[e.p.name], e)
	}
	errs := make([]error, len(names))
	parallel(len(names), func(i int) {
		same := of[names[i]]
		cur, err := b.read(ctx, &same[0].p, true, nil)
		if err != nil && !errors.Is(err, model.ErrCorrupt) {
			errs[i] = err
		}
		for _, e := range same {
			e.cur, e.err = cur, err
		}
	})
	var one oneObject
	for _, err := range errs {
		if err != nil && !one.refused(ctx, b, err) {
			return err
		}
		failed.add(err)
	}
	return nil
}

// decide chooses the action for each entry and announces each record that it
// wants to remove. A record that OnExpire refuses or that cannot be read stays.
// It reports whether a due record was over the limit.
func decide(before time.Time, entries []*dueEntry, tally *driverkit.Tally) (left bool) {
	taken := map[string]bool{}
	for _, e := range entries {
		switch {
		case e.err != nil: // corrupt, or refused
		case e.cur.head == nil || e.cur.head.due != e.stamp:
			if e.old {
				e.do = actionDrop
			}
		case e.cur.live(before):
			e.do = actionMove
		case taken[e.p.name]: // an entry that is being moved exists twice for a moment
		case len(taken) == tally.Left(): // left to the next sweep
			left = true
		case accepts(tally, e.cur.head):
			e.do, taken[e.p.name] = actionRemove, true
		}
	}
	return left
}

func accepts(tally *driverkit.Tally, h *head) bool {
	if !tally.Announces() {
		return true
	}
	rec := h.record()
	return tally.Accepts(&rec)
}

// carryOut removes records and moves entries. A record that was written since it
// was read stays. So does one that the server refuses to remove.
func (b *Backend) carryOut(ctx context.Context, entries []*dueEntry, tally *driverkit.Tally, failed *setAside) {
	errs := make([]error, len(entries))
	parallel(len(entries), func(i int) {
		switch e := entries[i]; e.do {
		case actionRemove:
			if errs[i] = ctx.Err(); errs[i] != nil {
				e.do = actionKeep
				return
			}
			result, err := b.remove(ctx, &e.p, e.cur.etag, nil)
			if errs[i] = err; err != nil || result != outcomeApplied {
				e.do = actionKeep
			}
		case actionMove:
			key := dueKey(e.cur.head.expiresAt, e.p.name, e.stamp)
			if e.cur.head.expiresAt.IsZero() || key == e.key {
				e.do = actionKeep
			} else if _, errs[i] = b.putEntry(ctx, key, lines(e.cur.head.labelKeys(e.p.name))); errs[i] != nil {
				e.do = actionKeep
			}
		}
	})
	for i, err := range errs {
		if isRefused(err) && !isThrottled(err) && !errors.Is(err, errNoBucket) {
			failed.add(err)
			err = nil
		}
		tally.Outcome(entries[i].do == actionRemove, err)
	}
}

// removeEntries removes the entries that are no longer needed. It removes label
// entries first, since the entry by expiry is what leads a sweep to them. What
// fails is set aside and left to the next sweep.
func (b *Backend) removeEntries(ctx context.Context, entries []*dueEntry, failed *setAside) {
	var labels, dues []string
	strays := make([][]string, len(entries))
	unread := make([]error, len(entries))
	parallel(len(entries), func(i int) {
		if e := entries[i]; e.do == actionDrop && e.size > 0 {
			strays[i], unread[i] = b.strayLabels(ctx, e)
		}
	})
	for i, e := range entries {
		failed.add(unread[i])
		if e.do == actionKeep || unread[i] != nil {
			continue
		}
		if e.do == actionRemove {
			labels = append(labels, e.cur.head.labelKeys(e.p.name)...)
		}
		labels = append(labels, strays[i]...)
		dues = append(dues, e.key)
	}
	if len(labels) > 0 {
		if err := b.deleteMany(ctx, labels); err != nil {
			failed.add(err)
			return
		}
	}
	if len(dues) > 0 {
		failed.add(b.deleteMany(ctx, dues))
	}
}

// strayLabels returns the label entries that a stray entry names and on which its
// record does not rely, and the objects of an interrupted test.
func (b *Backend) strayLabels(ctx context.Context, e *dueEntry) (keys []string, err error) {
	o, err := b.get(ctx, e.key, 0, nil)
	if err != nil || o == nil {
		return nil, err
	}
	var needed []string
	if e.cur.head != nil {
		needed = e.cur.head.labelKeys(e.p.name)
	}
	for _, key := range splitLines(o.body) {
		if (isLabelKey(key) || isTestKey(key)) && !slices.Contains(needed, key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
