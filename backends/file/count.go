package file

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Count counts live records. By label, it reads every record that a listing
// would. Without a label, the first count reads all records and remembers when
// each expires, in eight bytes. Later ones read what has changed since, in all
// processes. The first one takes over what another process has saved, if nothing has
// changed. A file that is damaged later stays counted until a write replaces it.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	n, waited := 0, b.waited()
	err := b.withTree(ctx, false, func(t *tree) (err error) {
		if q.Label == "" {
			n, err = t.countAll(ctx, waited, now)
			return err
		}
		n = 0
		s := scan{t: t, ctx: ctx, q: &q, waited: waited}
		return s.from("", func(p *place) (bool, error) {
			rec, err := t.read(p)
			if err != nil {
				return true, ignoreUnreadable(err)
			}
			if rec != nil && !rec.Expired(waited.Now(now)) && q.Bears(rec) {
				n++
			}
			return true, nil
		})
	})
	return n, ignore(err, errNoStore)
}

// counted is what a Backend has counted in one stripe.
type counted struct {
	mu     sync.Mutex
	file   disk.Lock // nil if nothing is counted
	epoch  [16]byte
	n      uint64 // the changes that the shards contain
	shards [shards / stripes]*expiries
}

// countReaders is how many stripes a count reads at the same time.
const countReaders = 8

// counting is a count of all records.
type counting struct {
	t     *tree
	ctx   context.Context
	now   time.Time
	saved savedCounts  // what another process has counted
	read  atomic.Int64 // the number of records
}

// countAll counts the live records of all shards. It takes a lock only for what it
// has to read again.
func (t *tree) countAll(ctx context.Context, w *driverkit.Waited, now time.Time) (int, error) {
	if err := t.checkCurrent(); err != nil {
		return 0, err
	}
	total := 0
	var unknown []int
	for stripe := range stripes {
		live, ok := t.counted[stripe].live(w.Now(now))
		if !ok {
			unknown = append(unknown, stripe)
		}
		total += live
	}
	if len(unknown) == 0 {
		return total, nil
	}
	present, err := t.names(recordsDir, "", isShard)
	if len(present) == 0 || err != nil { // a store without records has no locks yet
		return total, err
	}
	c := &counting{t: t, ctx: ctx, now: now}
	if !t.adopted.Load() {
		c.saved = t.readCounts()
	}
	more, err := c.stripes(w, unknown)
	if err != nil {
		return 0, err
	}
	t.adopted.Store(true)
	if c.read.Load() >= t.b.savedFrom {
		t.saveCounts()
	}
	return total + more, nil
}

// stripes counts some stripes, several at a time. What one of them waits for a lock
// counts for all.
func (c *counting) stripes(w *driverkit.Waited, list []int) (total int, err error) {
	var next atomic.Int64
	live := make([]int, len(list))
	workers := make([]struct {
		err  error
		wait time.Duration
	}, min(len(list), c.t.b.counters))
	driverkit.Parallel(len(workers), len(workers), func(n int) {
		own := c.t.b.waited()
		for i := next.Add(1) - 1; i < int64(len(list)) && workers[n].err == nil; i = next.Add(1) - 1 {
			if live[i], workers[n].err = c.stripe(own, list[i]); workers[n].err != nil {
				next.Store(int64(len(list))) // the others end too
			}
		}
		workers[n].wait = own.Now(c.now).Sub(c.now)
	})
	var longest time.Duration
	for _, one := range workers {
		if one.err != nil {
			return 0, one.err
		}
		longest = max(longest, one.wait)
	}
	w.Add(longest)
	for i, stripe := range list {
		if n, ok := c.t.counted[stripe].live(w.Now(c.now)); ok {
			live[i] = n
		}
		total += live[i]
	}
	return total, nil
}

// stripe counts one stripe, a shard at a time.
func (c *counting) stripe(w *driverkit.Waited, stripe int) (total int, err error) {
	for shard := stripe; shard < shards; shard += stripes {
		if live, ok := c.t.counted[stripe].live(w.Now(c.now)); ok {
			return live, nil
		}
		live, err := c.shard(w, uint8(shard))
		if err != nil {
			return 0, err
		}
		total += live
	}
	return total, nil
}

// shard counts one shard under its lock. It reads the shard's records if the
// changes since the last count are not known. A process that may only read goes on
// without the lock, and remembers nothing.
func (c *counting) shard(w *driverkit.Waited, shard uint8) (int, error) {
	t, stripe := c.t, int(shard)%stripes
	if err := t.b.stripes[stripe].acquire(c.ctx, w); err != nil {
		return 0, err
	}
	defer t.b.stripes[stripe].release()
	of, counts := &t.counted[stripe], false
	switch err := t.lock(c.ctx, w, stripe); {
	case err == nil:
		defer t.unlock(stripe)
		counts = of.begin(t.locks[stripe])
	case !isReadOnly(err):
		return 0, err
	}
	if counts {
		if saved := c.saved[stripe]; saved != nil {
			c.saved[stripe] = nil
			of.adopt(saved, func(i int, s disk.Stamp) bool { return t.isStamped(uint8(stripe+i*stripes), s) })
		}
		if known := of.shard(shard); known != nil {
			return known.live(w.Now(c.now)), nil
		}
	}
	all, whole, err := t.readExpiries(c.ctx, shard)
	if err != nil {
		return 0, err
	}
	c.read.Add(int64(all.never + len(all.at)))
	live := all.live(w.Now(c.now))
	if counts && whole {
		of.put(shard, all)
	}
	return live, nil
}

// readExpiries reads all records of a shard. The result is not whole if one of
// them cannot be read: later it may be.
func (t *tree) readExpiries(ctx context.Context, shard uint8) (all *expiries, whole bool, err error) {
	all, whole = &expiries{stamp: t.stamp(shard)}, true // before the names: they may change
	names, err := t.names(recordsDir+"/"+hexByte(shard), "", func(string) bool { return true })
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		p, ok := placeOfFile(shard, name)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		rec, err := t.read(&p)
		switch {
		case isUnreadable(err):
			whole = false
		case err != nil:
			return nil, false, err
		case rec != nil:
			all.add(expiryOf(rec))
		}
	}
	slices.Sort(all.at)
	return all, whole, nil
}

// live returns the number of live records of the stripe, and whether all of them
// and all changes are known. It needs no lock.
func (c *counted) live(now time.Time) (total int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.catchUp() {
		return 0, false
	}
	for _, s := range c.shards {
		if s == nil {
			return 0, false
		}
		total += s.live(now)
	}
	return total, true
}

// catchUp applies the changes since the last count, and forgets the shards if it
// cannot know them. It returns false while a change is under way.
func (c *counted) catchUp() bool {
	if c.file == nil {
		return false
	}
	h, ok, err := readHeader(c.file)
	if err != nil || !ok || h.busy {
		return false
	}
	if h.epoch == c.epoch && h.n == c.n {
		return true
	}
	var list []change
	if ok = h.epoch == c.epoch; ok {
		list, ok = readChanges(c.file, c.epoch, c.n, h.n)
	}
	for _, one := range list {
		if s := c.shards[one.shard/stripes]; s != nil && !s.change(one.before, one.after) {
			c.shards[one.shard/stripes] = nil // something else was stored than was read
		}
	}
	if !ok {
		c.file, c.shards = nil, [shards / stripes]*expiries{}
		return false
	}
	c.n = h.n
	return true
}

// begin makes the notes of the stripe valid, under the lock. It returns false if
// it cannot write them.
func (c *counted) begin(l disk.Lock) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.catchUp() {
		return true
	}
	h, ok, err := readHeader(l)
	if err == nil && (!ok || h.busy) {
		h, err = newEpoch(l)
	}
	if err != nil {
		return false
	}
	c.file, c.epoch, c.n = l, h.epoch, h.n
	c.shards = [shards / stripes]*expiries{}
	return true
}

// shard returns what is known of a shard, or nil. Its caller holds the lock, so
// that it does not change.
func (c *counted) shard(shard uint8) *expiries {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shards[shard/stripes]
}

// put notes what was read of a shard since begin, under the same lock.
func (c *counted) put(shard uint8, all *expiries) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.catchUp() {
		c.shards[shard/stripes] = all
	}
}

// expiries are those of a shard's records.
type expiries struct {
	stamp disk.Stamp // of the shard when it was read; zero if it has none
	never int
	at    []int64 // sorted
}

// add adds an expiry out of order.
func (e *expiries) add(at int64) {
	if at == noExpiry {
		e.never++
	} else {
		e.at = append(e.at, at)
	}
}

// change replaces one expiry. It returns false if there is no such one.
func (e *expiries) change(before, after int64) bool {
	switch before {
	case noRecord:
	case noExpiry:
		if e.never--; e.never < 0 {
			return false
		}
	default:
		i, ok := slices.BinarySearch(e.at, before)
		if !ok {
			return false
		}
		e.at = slices.Delete(e.at, i, i+1)
	}
	switch after {
	case noRecord:
	case noExpiry:
		e.never++
	default:
		i, _ := slices.BinarySearch(e.at, after)
		e.at = slices.Insert(e.at, i, after)
	}
	return true
}

// live returns the number of records that have not expired.
func (e *expiries) live(now time.Time) int {
	expired, _ := slices.BinarySearch(e.at, now.UnixMilli()+1)
	return e.never + len(e.at) - expired
}
