package s3

import (
	"context"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record: one GetObject.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	p := placeOf(g.ID)
	cur, err := b.look(ctx, &p, false)
	if err != nil {
		return model.Record{}, err
	}
	if !cur.live(now) {
		return model.Record{}, model.ErrNotFound
	}
	return *cur.record(), nil
}

// headRead is how many bytes are read where only the head is wanted. Longer
// ones, of long ids or many labels, take a second request.
const headRead = 2 << 10

// look reads what is stored at the place, or its head alone. ErrCorrupt where
// that is neither a record nor a tombstone.
func (b *Backend) look(ctx context.Context, p *place, headOnly bool) (*stored, error) {
	first := 0
	if headOnly {
		first = headRead
	}
	for {
		o, err := b.get(ctx, recordKey(p.name), first)
		if err != nil {
			return nil, err
		}
		if o == nil {
			return &stored{}, nil
		}
		n, err := headLength(o.body, o.total)
		if err != nil {
			return nil, err
		}
		if n > len(o.body) {
			if first >= n || first == 0 {
				return nil, corrupt(whyTruncated)
			}
			first = n
			continue
		}
		return o.stored(p, n, headOnly)
	}
}

// stored decodes an object with a head of that length.
func (o *object) stored(p *place, n int, headOnly bool) (*stored, error) {
	h, err := decodeHead(o.body[:n])
	if err != nil {
		return nil, err
	}
	s := &stored{etag: o.etag, head: h}
	if h == nil {
		return s, nil
	}
	if p.id != "" && h.id != p.id || p.id == "" && placeOf(h.id).name != p.name {
		return nil, corrupt(whyOther)
	}
	if headOnly {
		return s, nil
	}
	if s.value = o.body[n:]; digestOf(s.value) != h.digest {
		return nil, corrupt(whyDigest)
	}
	return s, nil
}

// change is one write of a record under way, with the index entries that it
// has made.
type change struct {
	b      *Backend
	p      place
	now    time.Time
	stamp  stamp
	placed []string
	until  time.Time // the record must be written by then: entries without one become strays
}

func (b *Backend) newChange(now time.Time, id string) *change {
	return &change{b: b, p: placeOf(id), now: now, stamp: newStamp()}
}

// Write stores the record under its condition: one PutObject, and before it one
// for each new label and, where the expiry comes or moves earlier, one for that.
// An update of any revision, and a compare-and-set whose hint is missing or
// stale, read first.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := w.Check(); err != nil {
		return model.Record{}, err
	}
	if err := driverkit.CheckRecord(&w.Record, b.labels, b.maxValue); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	c := b.newChange(now, w.Record.ID)
	cur := &stored{}
	known := w.Cond == driver.IfAny || w.Cond == driver.IfAbsent
	if w.Cond == driver.IfMatch {
		if hinted := fromHint(w.Known.ServerVersion, w.Record.ID); hinted != nil && hinted.head.rev == w.Known.Revision && hinted.live(now) {
			cur, known = hinted, true
		}
	}
	for attempt := range writeAttempts {
		if !known {
			var err error
			// The winner of a compare-and-set is answered with its value.
			if cur, err = c.again(ctx, attempt, w.Cond != driver.IfMatch); err != nil {
				return model.Record{}, c.abandon(ctx, err)
			}
			if err = driver.Judge(now, cur.record(), w.Cond, w.Known.Revision); err != nil {
				if err == model.ErrConflict { //nolint:errorlint // Judge returns the sentinel itself
					return *cur.record(), c.abandon(ctx, err)
				}
				return model.Record{}, c.abandon(ctx, err)
			}
		}
		known = false
		rec := w.Result(cur.record())
		h := &head{id: w.Record.ID, rev: w.Record.Revision, expiresAt: model.Millis(rec.ExpiresAt)}
		h.setValue(w.Record.Value, w.Record.Encoding)
		cond := condition{etag: cur.etag, absent: cur.etag == ""}
		if w.Cond == driver.IfAny {
			cond = condition{}
		}
		etag, v, err := c.store(ctx, cur, h, rec.Labels, w.Record.Value, cond)
		if err != nil {
			return model.Record{}, c.abandon(ctx, err)
		}
		if v == held {
			return c.answer(etag, h), nil
		}
	}
	return model.Record{}, c.abandon(ctx, contended())
}

// again reads the record, after a pause where others got ahead.
func (c *change) again(ctx context.Context, attempt int, headOnly bool) (*stored, error) {
	if attempt > 1 {
		if err := driverkit.Pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
	return c.b.look(ctx, &c.p, headOnly)
}

// answer is what is now in force.
func (c *change) answer(etag string, h *head) model.Record {
	r := h.record()
	r.ServerVersion = hintOf(etag, h)
	return r
}

// store makes the index entries that a version of the record needs and has not
// got from the one before, and then, once they are all there, writes it. Cur is
// what the condition expects.
//
// Every record that expires has an entry in the index by expiry that is not
// later than its expiry, so that an extension needs no new one: the sweep moves
// entries that it finds to be early. The entry's body names the label entries,
// so that a sweep finds those of a write that never came to its record. A record
// that bears labels and never expires has an entry for that purpose alone.
func (c *change) store(ctx context.Context, cur *stored, h *head, labels map[string]string, value []byte, cond condition) (string, verdict, error) {
	var old *head
	if cur.live(c.now) {
		old = cur.head
	}
	var changed bool
	h.labels, changed = sortedLabels(labels, old, c.stamp)
	h.stamp = c.stamp
	var due time.Time // of a new entry
	switch {
	case h.expiresAt.IsZero():
		if changed && len(h.labels) > 0 {
			due = c.now.Add(c.b.grace)
		}
	case old == nil, changed, old.due == stamp{}, old.expiresAt.IsZero(), h.expiresAt.Before(old.expiresAt):
		h.due, due = c.stamp, h.expiresAt
	default:
		h.due = old.due
	}
	if err := c.place(ctx, h, due); err != nil {
		return "", failed, err
	}
	if !c.until.IsZero() {
		limited, cancel := context.WithDeadline(ctx, c.until)
		defer cancel()
		ctx = limited
	}
	etag, v, err := c.b.put(ctx, recordKey(c.p.name), h.encode(value), cond)
	if err == nil && v == held {
		c.tidy(ctx, old, h)
	}
	return etag, v, err
}

// place makes the entries with this write's stamp that are not there yet, all
// at once.
func (c *change) place(ctx context.Context, h *head, due time.Time) error {
	type entry struct {
		key  string
		body []byte
	}
	var entries []entry
	for i := range h.labels {
		if l := &h.labels[i]; l.stamp == c.stamp {
			entries = append(entries, entry{key: labelKey(l, c.p.name)})
		}
	}
	if !due.IsZero() {
		entries = append(entries, entry{dueKey(due, c.p.name, c.stamp), lines(h.labelKeys(c.p.name))})
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return slices.Contains(c.placed, e.key) })
	if len(entries) == 0 {
		return nil
	}
	if c.until.IsZero() {
		c.until = time.Now().Add(c.b.grace / 2)
	}
	for _, e := range entries {
		c.placed = append(c.placed, e.key)
	}
	errs := make([]error, len(entries))
	parallel(len(entries), func(i int) { errs[i] = c.b.putEntry(ctx, entries[i].key, entries[i].body) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the entries that this version does not need: those of attempts
// that failed, and those of a version before that never expired, which no sweep
// would come upon. What fails leaves a stray.
func (c *change) tidy(ctx context.Context, old, h *head) {
	var keys []string
	needed := h.labelKeys(c.p.name)
	for _, key := range c.placed {
		if isLabelKey(key) && !slices.Contains(needed, key) {
			keys = append(keys, key)
		}
	}
	if old != nil && old.expiresAt.IsZero() {
		for _, key := range old.labelKeys(c.p.name) {
			if !slices.Contains(needed, key) {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) > 0 {
		_ = c.b.deleteMany(ctx, keys)
	}
}

// abandon removes the entries of a write that surely did not happen, and
// returns why. What fails leaves strays.
func (c *change) abandon(ctx context.Context, err error) error {
	if len(c.placed) > 0 && model.Kind(err) != model.ErrUnknown && ctx.Err() == nil {
		_ = c.b.deleteMany(ctx, c.placed)
	}
	return err
}

// Delete removes a live record: one request with a prev from a Get, which tells
// its ETag, two by id alone. After a labelled record its label entries go, with
// one request more, so that listings do not meet them; should that fail, they
// are strays.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	ch := b.newChange(now, d.ID)
	cur := fromHint(d.Known.ServerVersion, d.ID)
	known := cur != nil && cur.live(now) && (d.Cond == driver.IfPresent || cur.head.rev == d.Known.Revision)
	for attempt := range writeAttempts {
		if !known {
			var err error
			if cur, err = ch.again(ctx, attempt, true); err != nil {
				return err
			}
			if err = driver.Judge(now, cur.record(), d.Cond, d.Known.Revision); err != nil {
				return err
			}
		}
		known = false
		v, err := b.remove(ctx, &ch.p, cur.etag)
		if err != nil {
			return err
		}
		if v == held {
			if len(cur.head.labels) > 0 {
				_ = b.deleteMany(ctx, cur.head.labelKeys(ch.p.name))
			}
			return nil
		}
	}
	return contended()
}

// remove takes a version of a record away: it is deleted where the server heeds
// conditions on deletes, else a tombstone takes its place.
func (b *Backend) remove(ctx context.Context, p *place, etag string) (verdict, error) {
	if b.deletes(ctx) {
		return b.deleteIf(ctx, recordKey(p.name), etag)
	}
	_, v, err := b.put(ctx, recordKey(p.name), tombstone, condition{etag: etag})
	return v, err
}
