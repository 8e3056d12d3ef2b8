package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// eachOffset is the number of a part's first bytes of which each one is tried.
// Of those after them, sampled are tried.
const (
	eachOffset = 200
	sampled    = 16
)

// offsets returns the places of n bytes to try.
func offsets(n int) []int {
	out := make([]int, 0, min(n, eachOffset+sampled))
	for i := range min(n, eachOffset) {
		out = append(out, i)
	}
	if rest := n - eachOffset; rest > 0 {
		for i := range min(rest, sampled) {
			out = append(out, n-1-i*rest/min(rest, sampled))
		}
	}
	return out
}

// storedRecords creates the records whose bytes the cases change: a text, other
// bytes, and a value longer than all offsets that are tried.
func (c *C) storedRecords() []model.Record {
	c.Helper()
	text := c.shaped("text", shapes[4])
	text.Value = []byte(`{"n":1,"s":"seven"}`)
	binary := c.shaped("bytes", shapes[0])
	binary.Value, binary.Encoding = []byte("\xff\x00\x80\xfe"), "raw"
	long := c.shaped("long", shapes[1])
	long.Value = []byte(strings.Repeat("0123456789abcdef", 700))
	return []model.Record{c.put(text), c.put(binary), c.put(long)}
}

// parts returns the stored parts of the record. It stops the case if they cannot
// be those of a record.
func (c *C) parts(r model.Record) []Part {
	c.Helper()
	all := c.h.Stored(c.TB, c.name, r.ID)
	size := 0
	for _, p := range all {
		size += len(p.Bytes)
		if p.Put == nil || p.Name == "" {
			c.fail("Harness.Stored returned a part without a name or without Put")
		}
		if len(p.Loose) > 0 && c.h.loose != nil {
			c.h.loose.Store(p.Name+": "+strings.Join(p.Loose, ", "), true)
		}
	}
	if size < len(r.Value) {
		c.fail("Harness.Stored returned %d bytes of a record whose value has %d", size, len(r.Value))
	}
	return all
}

// change is what a case does to the bytes of a part.
type change struct {
	what string
	data []byte
	size bool // the length changes
}

func (p *Part) cuts() (out []change) {
	for _, n := range offsets(len(p.Bytes)) {
		out = append(out, change{fmt.Sprintf("cut to %d of %d bytes", n, len(p.Bytes)), p.Bytes[:n], true})
	}
	return out
}

// flips changes one bit of each byte, another one each time.
func (p *Part) flips() (out []change) {
	for _, at := range offsets(len(p.Bytes)) {
		data := bytes.Clone(p.Bytes)
		data[at] ^= 1 << (at % 8)
		out = append(out, change{fmt.Sprintf("with another byte at %d of %d", at, len(data)), data, false})
	}
	return out
}

func (p *Part) additions() (out []change) {
	for _, more := range []string{"\x00", "x", "\xff", strings.Repeat("x", 300)} {
		out = append(out, change{fmt.Sprintf("with %d bytes more", len(more)), append(bytes.Clone(p.Bytes), more...), true})
	}
	return append(out, change{"with one byte more at its beginning", append([]byte("x"), p.Bytes...), true})
}

// finds reports whether the change must be ErrCorrupt.
func (p *Part) finds(ch change) bool { return len(p.Loose) == 0 || p.Sized && ch.size }

// harmed makes each change of each part and calls do. Afterwards the record is
// as it was.
func (c *C) harmed(r model.Record, changes func(*Part) []change, do func(*Part, change)) {
	c.Helper()
	for _, p := range c.parts(r) {
		for _, ch := range changes(&p) {
			if bytes.Equal(ch.data, p.Bytes) || !p.Put(c.TB, ch.data) {
				continue
			}
			do(&p, ch)
		}
		if !p.Put(c.TB, p.Bytes) {
			c.fail("%s of %q: Put refuses the bytes that were stored", p.Name, r.ID)
		}
	}
	c.holds(r)
}

// admits stops the case unless an answer about a changed record is right:
// ErrCorrupt, or for a loose part what the change may do unnoticed.
func (c *C) admits(call string, p *Part, ch change, was, got model.Record, err error) {
	c.Helper()
	what := fmt.Sprintf("%s of %q, %s %s", call, was.ID, p.Name, ch.what)
	loose := func(field string) bool { return slices.Contains(p.Loose, field) }
	switch {
	case errors.Is(err, model.ErrCorrupt):
		return
	case p.finds(ch):
		c.is(err, model.ErrCorrupt, "%s", what)
	case errors.Is(err, model.ErrNotFound) && loose("expiry"):
		return // it has expired
	}
	c.ok(err, "%s", what)
	for field, same := range map[string]bool{
		"id": got.ID == was.ID, "revision": got.Revision == was.Revision, "expiry": got.ExpiresAt.Equal(was.ExpiresAt),
		"labels": maps.Equal(got.Labels, was.Labels), "encoding": got.Encoding == was.Encoding, "value": bytes.Equal(got.Value, was.Value),
	} {
		if !same && !loose(field) {
			c.fail("%s: the record has another %s, want ErrCorrupt: the part may only change %q unnoticed", what, field, p.Loose)
		}
	}
}

// reads checks what a read says of each changed record.
func (c *C) reads(changes func(*Part) []change) {
	c.Helper()
	for _, r := range c.storedRecords() {
		c.harmed(r, changes, func(p *Part, ch change) {
			got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
			c.admits("get", p, ch, r, got, err)
		})
	}
}

// some returns a few of the changes, of all kinds.
func some(p *Part) []change {
	var out []change
	for i, ch := range append(p.cuts(), p.flips()...) {
		if i%11 == 0 {
			out = append(out, ch)
		}
	}
	return append(out, p.additions()[0])
}

func storedCases() []Case {
	return group("Stored",
		that("CutAtEachLengthIsCorrupt", "R5", needStored, func(c *C) { c.reads((*Part).cuts) }),
		that("WithEachByteChangedIsCorrupt", "R5", needStored, func(c *C) { c.reads((*Part).flips) }),
		that("WithBytesAddedIsCorrupt", "R5", needStored, func(c *C) { c.reads((*Part).additions) }),
		that("OfAnotherRecordIsCorrupt", "R5 R7", needStored, func(c *C) {
			// A copy of a whole record under another id, as a restore may leave it.
			theirs := c.put(c.shaped("theirs", shapes[4]))
			mine := c.put(c.shaped("mine", shapes[4]))
			from := map[string][]byte{}
			for _, p := range c.parts(theirs) {
				from[p.Name] = p.Bytes
			}
			c.harmed(mine, func(p *Part) []change { return []change{{"replaced by that of another record", from[p.Name], false}} },
				func(p *Part, ch change) {
					got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: mine.ID})
					c.admits("get", p, ch, mine, got, err)
				})
		}),
		that("ThatIsCorruptIsNeverMadeGoodByATouch", "R5 R34", needStored, func(c *C) {
			for _, r := range c.storedRecords() {
				c.harmed(r, some, func(p *Part, ch change) {
					if !p.finds(ch) {
						return
					}
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: c.in(9 * time.Hour)})
					if err != nil {
						c.is(err, model.ErrCorrupt, "touch of %q, %s %s", r.ID, p.Name, ch.what)
					}
					_, err = c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
					c.is(err, model.ErrCorrupt, "get of %q after a touch, %s %s", r.ID, p.Name, ch.what)
					_, err = c.write(r, driver.IfAny, model.Record{})
					c.ok(err, "upsert of what was stored")
				})
			}
		}),
		that("ThatIsCorruptIsOverwrittenByNothingElse", "R5", needStored, func(c *C) {
			for _, r := range c.storedRecords()[:2] {
				c.harmed(r, some, func(p *Part, ch change) {
					get := func() error {
						_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
						return err
					}
					if p.Unjudged || !errors.Is(get(), model.ErrCorrupt) {
						return
					}
					write := func(cond driver.Condition) error {
						_, err := c.write(c.shaped(r.ID, shapes[3]), cond, r)
						return err
					}
					touch := func(mode driver.TouchMode) error {
						_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: mode, ExpiresAt: c.in(9 * time.Hour)})
						return err
					}
					for _, call := range []struct {
						name string
						do   func() error
					}{
						{"create", func() error { return write(driver.IfAbsent) }},
						{"update", func() error { return write(driver.IfPresent) }},
						{"compare-and-set", func() error { return write(driver.IfMatch) }},
						{"touch", func() error { return touch(driver.TouchSet) }},
						{"extension", func() error { return touch(driver.TouchExtend) }},
						{"delete", func() error { return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: driver.IfPresent}) }},
					} {
						c.is(call.do(), model.ErrCorrupt, "%s of %q, %s %s", call.name, r.ID, p.Name, ch.what)
						c.is(get(), model.ErrCorrupt, "get of %q after a %s, %s %s", r.ID, call.name, p.Name, ch.what)
					}
				})
			}
		}),
		that("ThatIsCorruptIsSoInBatchesAndListings", "R5 R49 R87", needStored|needPaging, func(c *C) {
			good := c.put(c.shaped("good", shapes[0]))
			for _, r := range c.storedRecords()[:2] {
				c.harmed(r, some, func(p *Part, ch change) {
					out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(r.ID, good.ID))
					c.admits("get among many", p, ch, r, out[0].Record, out[0].Err)
					c.ok(out[1].Err, "get of a good record beside it")
					listed, corrupt := c.listAll(driver.Query{})
					if _, ok := listed[good.ID]; !ok {
						c.fail("%s of %q, %s: the listing leaves out a good record", p.Name, r.ID, ch.what)
					}
					switch got, ok := listed[r.ID]; {
					case ok:
						c.admits("listing", p, ch, r, got, nil)
					case len(corrupt) == 0 && p.finds(ch):
						c.fail("%s of %q, %s: the listing does not name it in Page.Corrupt", p.Name, r.ID, ch.what)
					}
				})
			}
		}),
		that("ThatIsCorruptIsReplacedByAnUpsert", "R5 R22", needStored, func(c *C) {
			for _, r := range c.storedRecords()[:2] {
				c.harmed(r, some, func(p *Part, ch change) {
					next := c.shaped(r.ID, shapes[2])
					_, err := c.write(next, driver.IfAny, model.Record{})
					c.ok(err, "upsert over %q, %s %s", r.ID, p.Name, ch.what)
					c.holds(next)
					_, err = c.write(r, driver.IfAny, model.Record{})
					c.ok(err, "upsert of what was stored")
				})
			}
		}),
	)
}
