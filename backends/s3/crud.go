package s3

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record: one GetObject.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	return b.getOne(ctx, now, b.waited(), g.ID)
}

func (b *Backend) getOne(ctx context.Context, now time.Time, w *driverkit.Waited, id string) (model.Record, error) {
	p := placeOf(id)
	cur, err := b.read(ctx, &p, false, &turn{waits: w})
	if err != nil {
		return model.Record{}, err
	}
	if !cur.live(w.Now(now)) {
		return model.Record{}, model.ErrNotFound
	}
	return *cur.record(), nil
}

// Stat returns the live record without its value, and the value's size: one
// GetObject of the first 2 KB, which has the head.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return driver.Stat{}, err
	}
	p, w := placeOf(g.ID), b.waited()
	cur, err := b.read(ctx, &p, true, &turn{waits: w})
	if err != nil {
		return driver.Stat{}, err
	}
	if !cur.live(w.Now(now)) {
		return driver.Stat{}, model.ErrNotFound
	}
	return driver.Stat{Record: *cur.record(), Size: int(cur.head.size)}, nil
}

// headRead is how many bytes are read if only the head is needed. A longer head,
// with a long id or many labels, takes a second request.
const headRead = 2 << 10

// read returns what is stored at the place, or only its head. It returns
// ErrCorrupt for an object that is neither a record nor a tombstone.
// With a turn it reads the value only if that is granted.
func (b *Backend) read(ctx context.Context, p *place, headOnly bool, t *turn) (*stored, error) {
	first := 0
	if headOnly {
		first = headRead
	}
	for {
		o, err := b.get(ctx, recordKey(p.name), first, t)
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
				return nil, driverkit.Corrupt(whyTruncated)
			}
			first = n
			continue
		}
		return o.stored(p, n, headOnly)
	}
}

// stored decodes an object whose head has n bytes.
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
		return nil, driverkit.Corrupt(driverkit.WhyOtherID)
	}
	if headOnly {
		return s, nil
	}
	if s.value = o.body[n:]; digestOf(s.value) != h.digest {
		return nil, driverkit.Corrupt(whyDigest)
	}
	return s, nil
}

// change is one write of a record, with the index entries that it has created.
type change struct {
	b        *Backend
	p        place
	began    time.Time         // the now of the call
	waits    *driverkit.Waited // what it has waited for since
	stamp    stamp
	placed   map[string]string // the entries of all attempts: their bodies by key
	batch    bool              // one of many: a conflict returns the winner without its value
	deadline time.Time         // for the record's write: later its entries count as strays
}

func (b *Backend) newChange(now time.Time, w *driverkit.Waited, id string) *change {
	return &change{b: b, p: placeOf(id), began: now, waits: w, stamp: newStamp()}
}

// now returns the time as of which the call decides.
func (c *change) now() time.Time { return c.waits.Now(c.began) }

// Write stores the record under its condition with one PutObject. Each new label
// takes a PutObject before it, and so does an expiry that is new or earlier. An
// update of any revision reads the record first. So does a compare-and-set if
// the known record has no server version or is out of date.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.write(ctx, now, b.waited(), &w, false)
}

func (b *Backend) write(ctx context.Context, now time.Time, waits *driverkit.Waited, w *driver.Write, batch bool) (model.Record, error) {
	c := b.newChange(now, waits, w.Record.ID)
	c.batch = batch
	cur := &stored{}
	// An upsert and a create are first tried without a read.
	ready := w.Cond == driver.IfAny || w.Cond == driver.IfAbsent
	if w.Cond == driver.IfMatch {
		if known := parseServerVersion(w.Known.ServerVersion, w.Record.ID); known != nil && known.head.rev == w.Known.Revision && known.live(c.now()) && w.Replaces(w.Known.Encoding) {
			cur, ready = known, true
		}
	}
	for attempt := range writeAttempts {
		if !ready {
			var winner model.Record
			var err error
			// A conflict returns the winner with its value.
			if cur, winner, err = c.judge(ctx, attempt, c.batch || w.Cond != driver.IfMatch, w); err != nil {
				return winner, c.abandon(ctx, err)
			}
		}
		ready = false
		rec := w.Result(cur.record())
		h := &head{id: w.Record.ID, rev: w.Record.Revision, expiresAt: model.Millis(rec.ExpiresAt)}
		h.setValue(w.Record.Value, w.Record.Encoding)
		cond := c.on(cur)
		if w.Cond == driver.IfAny {
			cond = precondition{waits: c.waits}
		}
		etag, result, err := c.store(ctx, cur, h, rec.Labels, w.Record.Value, cond)
		if err != nil {
			return model.Record{}, c.abandon(ctx, err)
		}
		if result == outcomeApplied {
			return c.answer(etag, h), nil
		}
	}
	return model.Record{}, c.abandon(ctx, driverkit.Contended())
}

// judge reads the record and decides the condition. It pauses first if other
// writers have changed the record again and again. With ErrConflict it returns
// the record that won.
func (c *change) judge(ctx context.Context, attempt int, headOnly bool, w *driver.Write) (cur *stored, winner model.Record, err error) {
	if attempt > 1 {
		if err := c.waits.Pause(ctx, attempt); err != nil {
			return nil, model.Record{}, err
		}
	}
	cur, err = c.b.read(ctx, &c.p, headOnly, &turn{waits: c.waits})
	if err != nil {
		cur = &stored{}
	}
	winner, err = driverkit.JudgeWrite(c.now(), cur.record(), err, w)
	return cur, winner, err
}

// on returns the precondition of a write that was decided on what is stored. If
// that is a live record, it must not expire before the write is sent.
func (c *change) on(cur *stored) precondition {
	p := precondition{etag: cur.etag, absent: cur.etag == "", waits: c.waits}
	if cur.live(c.now()) {
		p.holds = func(w *driverkit.Waited) bool { return cur.live(w.Now(c.began)) }
	}
	return p
}

// answer returns the record that is now in force, without its value.
func (c *change) answer(etag string, h *head) model.Record {
	r := h.record()
	r.ServerVersion = serverVersion(etag, h)
	return r
}

// store creates the index entries that the new record needs and the current one
// does not have. Once all of them exist, it writes the record. Cur is what the
// precondition expects.
//
// Every record that expires has an entry in the index by expiry. The entry is
// not later than the record's expiry, so an extension needs no new entry: the
// sweep moves entries that it finds too early. The body of the entry names the
// label entries, so that a sweep also finds those of a write that stopped before
// its record. A record that bears labels and never expires has an entry only for
// that purpose.
func (c *change) store(ctx context.Context, cur *stored, h *head, labels map[string]string, value []byte, cond precondition) (string, outcome, error) {
	var old *head
	if cur.live(c.now()) {
		old = cur.head
	}
	var changed bool
	h.labels, changed = sortedLabels(labels, old, c.stamp)
	h.stamp = c.stamp
	var due time.Time // of a new entry
	switch {
	case h.expiresAt.IsZero():
		if changed && len(h.labels) > 0 {
			due = c.now().Add(c.b.opts.StrayGrace)
		}
	case old == nil, changed, old.due == stamp{}, old.expiresAt.IsZero(), h.expiresAt.Before(old.expiresAt):
		h.due, due = c.stamp, h.expiresAt
	default:
		h.due = old.due
	}
	if err := c.putEntries(ctx, h, due); err != nil {
		return "", outcomeMismatch, err
	}
	limited := ctx
	if !c.deadline.IsZero() {
		until, cancel := context.WithDeadline(ctx, c.deadline)
		defer cancel()
		limited = until
	}
	etag, result, err := c.b.put(limited, recordKey(c.p.name), h.encode(), value, cond)
	if err == nil && result == outcomeApplied {
		c.tidy(ctx, old, h)
	}
	return etag, result, c.late(ctx, err)
}

// late returns err. If that is the end of the time that the write gave itself,
// and not of the caller's context, it is ErrUnavailable.
func (c *change) late(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || model.Kind(err) != nil || !driverkit.IsContext(err) {
		return err
	}
	return model.NewError(model.ErrUnavailable, "half of StrayGrace has passed between the index entries and the record: check the server's speed", err)
}

// putEntries creates the entries with this write's stamp that do not exist yet,
// all at the same time. The entry by expiry of an earlier attempt is written again
// if this one has other labels: it names the label entries of all attempts.
func (c *change) putEntries(ctx context.Context, h *head, due time.Time) error {
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
		keys := h.labelKeys(c.p.name)
		entries = append(entries, entry{dueKey(due, c.p.name, c.stamp), lines(append(keys, c.needless(keys)...))})
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		body, placed := c.placed[e.key]
		return placed && body == string(e.body)
	})
	if len(entries) == 0 {
		return nil
	}
	if c.deadline.IsZero() {
		c.deadline = time.Now().Add(c.b.opts.StrayGrace / 2)
	}
	if c.placed == nil {
		c.placed = map[string]string{}
	}
	for _, e := range entries {
		c.placed[e.key] = string(e.body)
	}
	errs, waits := make([]error, len(entries)), make([]time.Duration, len(entries))
	parallel(len(entries), func(i int) { waits[i], errs[i] = c.b.putEntry(ctx, entries[i].key, entries[i].body) })
	c.waits.Add(slices.Max(waits))
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the entries that the new record does not need. They belong to
// failed attempts, or to an old record that never expired and that no sweep
// would find. An entry that cannot be removed becomes a stray.
func (c *change) tidy(ctx context.Context, old, h *head) {
	needed := h.labelKeys(c.p.name)
	keys := c.needless(needed)
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

// needless returns the label entries of attempts that are not needed, in order.
func (c *change) needless(needed []string) []string {
	var keys []string
	for key := range c.placed {
		if isLabelKey(key) && !slices.Contains(needed, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// abandon removes the entries of a write that certainly did not happen, and
// returns err. Entries that cannot be removed become strays.
func (c *change) abandon(ctx context.Context, err error) error {
	if len(c.placed) > 0 && model.Kind(err) != model.ErrUnknown && ctx.Err() == nil {
		_ = c.b.deleteMany(ctx, slices.Sorted(maps.Keys(c.placed)))
	}
	return err
}

// Delete removes a live record. It takes one request if the known record has a
// server version, and two by id alone. The label entries of the record take one
// request more. If that one fails, the entries become strays.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	return b.delete(ctx, now, b.waited(), &d)
}

func (b *Backend) delete(ctx context.Context, now time.Time, waits *driverkit.Waited, d *driver.Delete) error {
	c := b.newChange(now, waits, d.ID)
	cur := parseServerVersion(d.Known.ServerVersion, d.ID)
	ready := cur != nil && cur.live(c.now()) && (d.Cond == driver.IfPresent || cur.head.rev == d.Known.Revision)
	for attempt := range writeAttempts {
		if !ready {
			var err error
			if cur, _, err = c.judge(ctx, attempt, true, &driver.Write{Cond: d.Cond, Known: d.Known}); err != nil {
				return err
			}
		}
		ready = false
		result, err := b.remove(ctx, &c.p, cur.etag, waits)
		if err != nil {
			return err
		}
		if result == outcomeApplied {
			if len(cur.head.labels) > 0 {
				_ = b.deleteMany(ctx, cur.head.labelKeys(c.p.name))
			}
			if !cur.live(c.now()) { // it has removed an expired record, as a sweep does
				return model.ErrNotFound
			}
			return nil
		}
	}
	return driverkit.Contended()
}

// remove removes the record if it still has the ETag. It deletes the object if
// the server has conditional deletes, and else replaces it by a tombstone.
func (b *Backend) remove(ctx context.Context, p *place, etag string, w *driverkit.Waited) (outcome, error) {
	if b.deletes(ctx, w) {
		return b.deleteIf(ctx, recordKey(p.name), precondition{etag: etag, waits: w})
	}
	_, result, err := b.put(ctx, recordKey(p.name), tombstone, nil, precondition{etag: etag, waits: w})
	return result, err
}
