package file

import (
	"context"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// extraReads is the maximum number of records that a page reads beyond its
// limit. It bounds the time of one page of a store full of expired records.
const extraReads = 1000

// Page lists live records in the order of shard and file name, which no write
// changes. The position of a page token is the last entry that was read, and a
// number of the listing. So a page goes on with names that this listing has
// read, never with those of an older one.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	after, listing, _ := strings.Cut(position, chunkMark)
	if listing == "" {
		listing = strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // not a secret: each listing has another, in all processes
	}
	var page driver.Page
	waited := b.waited()
	err = b.withTree(ctx, false, func(t *tree) error {
		page = driver.Page{}
		reads, last, full := 0, after, false
		var size driverkit.PageSize
		s := scan{t: t, ctx: ctx, q: &q, waited: waited}
		key := chunkKey(listing, q.Label, q.Value)
		s.chunk, s.known = t.unread.takeAfter(key, after)
		return s.from(after, func(p *place) (bool, error) {
			if full || reads == q.Limit+extraReads {
				s.chunk.key, s.chunk.after = key, last
				t.unread.put(s.chunk)
				page.Next = b.gate.Token(&q, last+chunkMark+listing)
				return false, nil
			}
			reads, last = reads+1, p.entry()
			rec, err := t.read(p)
			switch {
			case isUnreadable(err):
				page.Corrupt = append(page.Corrupt, p.displayName())
			case err != nil:
				return false, err
			case rec != nil && !rec.Expired(waited.Now(now)) && q.Bears(rec):
				if q.KeysOnly {
					rec.Value = nil
				}
				page.Records = append(page.Records, *rec)
				full = size.Add(rec) || len(page.Records) == q.Limit
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

// chunkMark separates the two parts of a position. No entry contains it.
const chunkMark = "\x00"

// scan walks the places of a listing in order.
type scan struct {
	t      *tree
	ctx    context.Context
	q      *driver.Query
	waited *driverkit.Waited
	known  bool  // chunk has entries that an earlier page read
	chunk  chunk // the entries that were read and not visited
}

// from visits the places after a position. It ends if visit returns false or an
// error; the chunk then begins with the place that visit refused.
func (s *scan) from(after string, visit func(*place) (bool, error)) error {
	if err := s.t.checkCurrent(); err != nil {
		return err
	}
	if s.known {
		if more, err := s.visit(visit); !more || err != nil || s.chunk.end {
			return err
		}
		after = max(after, s.chunk.next)
	}
	if s.q.Label != "" {
		return s.label(after, visit)
	}
	return s.all(after, visit)
}

// label reads the names of the records that bear the label value, a chunk at a
// time.
func (s *scan) label(after string, visit func(*place) (bool, error)) error {
	for {
		names, more, err := s.t.someNames(labelBase(s.q.Label), labelSub(s.q.Value), maxChunkNames, func(name string) bool { return name > after })
		if err != nil {
			return err
		}
		s.chunk = chunk{names: names, end: !more}
		if more {
			after = names[len(names)-1]
			s.chunk.next = after
		}
		if goOn, err := s.visit(visit); !goOn || !more || err != nil {
			return err
		}
	}
}

// all reads the names of one shard at a time.
func (s *scan) all(after string, visit func(*place) (bool, error)) error {
	present, err := s.t.names(recordsDir, "", func(name string) bool {
		return isShard(name) && (len(after) < 2 || name >= after[:2])
	})
	if err != nil {
		return err
	}
	for i, shard := range present {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		names, err := s.t.shardNames(s.ctx, s.waited, shard, after)
		if err != nil {
			return err
		}
		s.chunk = chunk{names: names, end: i == len(present)-1}
		if !s.chunk.end {
			s.chunk.next = present[i+1]
		}
		more, err := s.visit(visit)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// visit visits the places of the chunk. During each visit the chunk begins with
// that place.
func (s *scan) visit(visit func(*place) (bool, error)) (bool, error) {
	all := s.chunk.names
	for i := range all {
		if s.chunk.names = all[i:]; i > 0 {
			all[i-1] = "" // so that a long chunk does not keep it
		}
		if more, err := visitAll(s.ctx, all[i:i+1], visit); !more || err != nil {
			return false, err
		}
	}
	return true, nil
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
func (t *tree) shardNames(ctx context.Context, w *driverkit.Waited, shard, after string) ([]string, error) {
	stripe := parseHex(shard) % stripes
	if err := t.b.stripes[stripe].acquire(ctx, w); err != nil {
		return nil, err
	}
	defer t.b.stripes[stripe].release()
	switch err := t.lock(ctx, w, stripe); {
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
	out, _, err := t.someNames(base, sub, math.MaxInt, pass)
	return out, err
}

// someNames returns the first of the names, at most that many, and whether there
// are more. It holds no more than twice as many, however large the folder is.
func (t *tree) someNames(base, sub string, most int, pass func(string) bool) (out []string, more bool, err error) {
	fixed, err := t.folder(base, false)
	if err != nil {
		return nil, false, ignore(err, fs.ErrNotExist)
	}
	f := fixed
	if sub != "" {
		f, err = fixed.Folder(sub)
		if isMissing(err) {
			return nil, false, t.checkSame(fixed, base)
		}
		if err != nil {
			return nil, false, unavailable(err)
		}
		defer func() { _ = f.Close() }()
	}
	first := func() {
		slices.Sort(out)
		if out = slices.Compact(out); len(out) > most {
			clear(out[most:])
			out, more = out[:most], true
		}
	}
	err = f.Names(func(part []string) bool {
		for _, name := range part {
			if pass(name) {
				out = append(out, name)
			}
		}
		if len(out)/2 >= most {
			first()
		}
		return true
	})
	if isMissing(err) || err == nil && len(out) == 0 && sub == "" {
		// Another process may have removed the folder and made a new one.
		return nil, false, t.checkSame(fixed, base)
	}
	if err != nil {
		return nil, false, unavailable(err)
	}
	first()
	return out, more, nil
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

// A folder is read as a whole, in no order. So what a page or a sweep does not
// reach is kept for the one that goes on there: reading the folder for each page
// would make a listing quadratic.
const (
	maxChunks     = 16
	maxChunkNames = 1 << 16 // of one chunk
	maxNames      = 1 << 18 // of all chunks
)

// chunk is the part of a folder's entries that a listing or a sweep has not
// visited, in order.
type chunk struct {
	key   string
	after string // the names begin after it; empty for a sweep
	names []string
	next  string // the position after which the folders are read again
	end   bool   // nothing comes after the names
}

// cut limits the chunk's names. What is cut off will be read again.
func (c *chunk) cut() {
	if len(c.names) > maxChunkNames {
		c.names = slices.Clone(c.names[:maxChunkNames]) // the others are freed
		c.next, c.end = c.names[maxChunkNames-1], false
	}
}

// chunks keeps a few chunks, each for one use: a repeated page reads the folder
// again.
type chunks struct {
	mu    sync.Mutex
	list  []chunk // the oldest first
	names int
}

// put keeps a chunk. It forgets the oldest ones if there are too many.
func (c *chunks) put(k chunk) {
	k.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(k.key); i >= 0 {
		c.removeAt(i)
	}
	c.list = append(c.list, k)
	c.names += len(k.names)
	for len(c.list) > maxChunks || c.names > maxNames {
		c.removeAt(0)
	}
}

// take returns the chunk with the key and forgets it.
func (c *chunks) take(key string) (chunk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(key)
	if i < 0 {
		return chunk{}, false
	}
	k := c.list[i]
	c.removeAt(i)
	return k, true
}

// takeAfter returns the names of a listing's chunk after a position, and forgets the
// chunk. Other processes may have listed what stands between the chunk's beginning
// and the position. It returns false for a position before the chunk.
func (c *chunks) takeAfter(key, after string) (chunk, bool) {
	k, ok := c.take(key)
	if !ok || after < k.after {
		return chunk{}, false
	}
	i, _ := slices.BinarySearch(k.names, after+"\x00") // the first name after it
	clear(k.names[:i])
	k.names = k.names[i:]
	return k, true
}

func (c *chunks) find(key string) int {
	return slices.IndexFunc(c.list, func(k chunk) bool { return k.key == key })
}

func (c *chunks) removeAt(i int) {
	c.names -= len(c.list[i].names)
	c.list = slices.Delete(c.list, i, i+1)
}

// chunkKey joins parts so that no two lists of parts have the same key.
func chunkKey(parts ...string) string {
	var key []byte
	for _, p := range parts {
		key = strconv.AppendQuote(key, p)
	}
	return string(key)
}
