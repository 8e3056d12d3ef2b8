package s3

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Touch writes the record anew with another expiry: one PutObject with a prev
// from a Get that has the value, else a GetObject first. One that changes
// nothing reads alone. A moving of the expiry to an earlier time, or from
// never, makes an index entry before.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := t.Check(); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	c := b.newChange(now, t.ID)
	cur := fromHint(t.Known.ServerVersion, t.ID)
	known := cur != nil && cur.live(now) && cur.head.holds(t.Known.Value, t.Known.Encoding) &&
		!t.Result(cur.head.expiresAt).Equal(cur.head.expiresAt) // else the record must say so itself
	if known {
		cur.value = t.Known.Value
	}
	for attempt := range writeAttempts {
		if !known {
			var err error
			if cur, err = c.again(ctx, attempt, false); err != nil {
				return model.Record{}, c.abandon(ctx, err)
			}
			if err = driver.Judge(now, cur.record(), driver.IfPresent, model.Revision{}); err != nil {
				return model.Record{}, c.abandon(ctx, err)
			}
		}
		known = false
		rec := cur.record()
		h := *cur.head
		h.expiresAt = model.Millis(t.Result(h.expiresAt))
		if h.expiresAt.Equal(cur.head.expiresAt) {
			rec.Value = nil
			return *rec, c.abandon(ctx, nil)
		}
		h.due = stamp{}
		etag, v, err := c.store(ctx, cur, &h, rec.Labels, cur.value, condition{etag: cur.etag})
		if err != nil {
			return model.Record{}, c.abandon(ctx, err)
		}
		if v == held {
			return c.answer(etag, &h), nil
		}
	}
	return model.Record{}, c.abandon(ctx, contended())
}

const (
	// sweepRound is how many index entries a sweep is at, at once, at most.
	sweepRound = 256
	// sweepWidth is how many it is at, at least, even for a smaller limit.
	sweepWidth = parallelism
)

// dueEntry is one of the index by expiry.
type dueEntry struct {
	p     place
	key   string
	at    time.Time
	stamp stamp
	size  int64
	old   bool // enough to be a stray
	cur   *stored
	err   error
	fate  fate
}

// fate is what becomes of an index entry.
type fate uint8

const (
	stays   fate = iota
	removal      // its record is to be removed, and the entry after it
	moves        // its record expires later
	stray        // it has none
)

// DeleteExpired removes due records. It lists the index by expiry from its
// oldest entry on, up to before, reads the head of each record, and removes
// those that have expired, each under its ETag; then their index entries go.
// Entries whose record expires later are moved there, strays that are old enough
// are removed.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	var swept driver.Swept
	if s.Limit < 1 {
		return swept, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	if err := b.enter(ctx); err != nil {
		return swept, err
	}
	var left bool // some due records were over the limit, and others got ahead at those that were not
	for after := ""; ; {
		// A few more than may be removed, since some turn out to stay.
		entries, last, err := b.readDue(ctx, s.Before, after, min(2*(s.Limit-swept.Removed-swept.Unknown)+sweepWidth, maxKeys))
		if err != nil {
			return swept, err
		}
		for len(entries) > 0 {
			room := s.Limit - swept.Removed - swept.Unknown
			if room <= 0 {
				swept.More = true
				return swept, nil
			}
			n := min(len(entries), max(room, sweepWidth), sweepRound)
			over, err := b.sweepRound(ctx, s.Before, entries[:n], room, s.OnExpire, &swept)
			if left = left || over; err != nil {
				return swept, err
			}
			entries = entries[n:]
		}
		if after = last; after == "" {
			swept.More = left || swept.Removed+swept.Unknown >= s.Limit
			return swept, nil
		}
	}
}

// readDue reads some entries that are due, after a name; the name to go on from
// is empty at the end.
func (b *Backend) readDue(ctx context.Context, before time.Time, after string, limit int) (entries []*dueEntry, last string, err error) {
	page, err := b.list(ctx, dueDir+"/", after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, o := range page.objects {
		at, p, s, ok := parseDue(o.rest)
		if ok && at.After(before) {
			return entries, "", nil
		}
		if last = o.rest; ok { // else it is foreign
			entries = append(entries, &dueEntry{
				p: p, key: dueDir + "/" + o.rest, at: at, stamp: s, size: o.size, old: b.outlived(&page, &o),
			})
		}
	}
	if !page.more {
		last = ""
	}
	return entries, last, nil
}

// outlived reports whether an entry was made so long ago that its write has
// come to its end, by the server's own clock.
func (b *Backend) outlived(page *listing, o *listed) bool {
	return !page.now.IsZero() && !o.modified.IsZero() && page.now.Sub(o.modified) > b.grace
}

// sweepRound settles some entries, and removes so many records at most. It
// reports whether it left any that are over the limit.
func (b *Backend) sweepRound(ctx context.Context, before time.Time, entries []*dueEntry, limit int, each func(model.Record) error, swept *driver.Swept) (left bool, err error) {
	entries = b.strays.without(entries)
	if err := b.lookAll(ctx, entries); err != nil {
		return false, err
	}
	left = announce(before, entries, limit, each)
	b.strays.note(entries)
	if err := ctx.Err(); err != nil {
		return left, err
	}
	err = b.carryOut(ctx, entries, swept)
	b.sweepEntries(ctx, entries)
	return left, err
}

// seenStrays are entries that a sweep has found without their record and too
// young to be removed. They are not looked at again before they are old enough:
// nothing but a write that was under way then can still come to rely on one.
type seenStrays struct {
	mu   sync.Mutex
	keys map[string]bool
}

// maxSeen bounds what is remembered. With more, all is forgotten, and looked at
// again.
const maxSeen = 1 << 14

func (s *seenStrays) without(entries []*dueEntry) []*dueEntry {
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

func (s *seenStrays) note(entries []*dueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.err != nil || e.old || e.cur.head != nil && e.cur.head.due == e.stamp {
			continue
		}
		if s.keys == nil || len(s.keys) == maxSeen {
			s.keys = map[string]bool{}
		}
		s.keys[e.key] = true
	}
}

// lookAll reads the head of each entry's record, once for each record.
func (b *Backend) lookAll(ctx context.Context, entries []*dueEntry) error {
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
		cur, err := b.look(ctx, &same[0].p, true)
		if err != nil && !errors.Is(err, model.ErrCorrupt) {
			errs[i] = err
		}
		for _, e := range same {
			e.cur, e.err = cur, err
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// announce decides the fate of each entry, and shows each what is about to be
// removed. What it refuses stays, and so does what cannot be read. It reports
// whether the limit left any.
func announce(before time.Time, entries []*dueEntry, limit int, each func(model.Record) error) (left bool) {
	taken := map[string]bool{}
	for _, e := range entries {
		switch {
		case e.err != nil: // corrupt
		case e.cur.head == nil || e.cur.head.due != e.stamp:
			if e.old {
				e.fate = stray
			}
		case e.cur.live(before):
			e.fate = moves
		case taken[e.p.name]: // an entry that was moved stands twice for a moment
		case len(taken) == limit: // the next sweep's
			left = true
		case each == nil || each(e.cur.head.record()) == nil:
			e.fate, taken[e.p.name] = removal, true
		}
	}
	return left
}

// carryOut removes records and moves entries. What was written meanwhile stays.
func (b *Backend) carryOut(ctx context.Context, entries []*dueEntry, swept *driver.Swept) error {
	errs := make([]error, len(entries))
	parallel(len(entries), func(i int) {
		switch e := entries[i]; e.fate {
		case removal:
			if errs[i] = ctx.Err(); errs[i] != nil {
				e.fate = stays
				return
			}
			v, err := b.remove(ctx, &e.p, e.cur.etag)
			if errs[i] = err; err != nil || v != held {
				e.fate = stays
			}
		case moves:
			key := dueKey(e.cur.head.expiresAt, e.p.name, e.stamp)
			if e.cur.head.expiresAt.IsZero() || key == e.key || b.putEntry(ctx, key, lines(e.cur.head.labelKeys(e.p.name))) != nil {
				e.fate = stays
			}
		}
	})
	var failed error
	for i, err := range errs {
		if entries[i].fate == removal {
			swept.Removed++
		}
		unknown := model.Kind(err) == model.ErrUnknown
		if unknown {
			swept.Unknown++
		}
		if failed == nil || unknown && model.Kind(failed) != model.ErrUnknown {
			failed = err
		}
	}
	return failed
}

// sweepEntries removes entries that are done with: those of labels first, since
// the entry by expiry is what leads to them. What fails is left to the next
// sweep.
func (b *Backend) sweepEntries(ctx context.Context, entries []*dueEntry) {
	var labels, dues []string
	strays := make([][]string, len(entries))
	unread := make([]bool, len(entries))
	parallel(len(entries), func(i int) {
		if e := entries[i]; e.fate == stray && e.size > 0 {
			strays[i], unread[i] = b.strayLabels(ctx, e)
		}
	})
	for i, e := range entries {
		if e.fate == stays || unread[i] {
			continue
		}
		if e.fate == removal {
			labels = append(labels, e.cur.head.labelKeys(e.p.name)...)
		}
		labels = append(labels, strays[i]...)
		dues = append(dues, e.key)
	}
	if len(labels) > 0 && b.deleteMany(ctx, labels) != nil || len(dues) == 0 {
		return
	}
	_ = b.deleteMany(ctx, dues)
}

// strayLabels are the label entries that a stray entry names and its record
// does not rely on.
func (b *Backend) strayLabels(ctx context.Context, e *dueEntry) (keys []string, unread bool) {
	o, err := b.get(ctx, e.key, 0)
	if err != nil || o == nil {
		return nil, err != nil
	}
	var needed []string
	if e.cur.head != nil {
		needed = e.cur.head.labelKeys(e.p.name)
	}
	for _, key := range splitLines(o.body) {
		if isLabelKey(key) && !slices.Contains(needed, key) {
			keys = append(keys, key)
		}
	}
	return keys, false
}
