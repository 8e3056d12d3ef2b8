package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// large returns a record with a value of more than a megabyte, or of the most
// that the backend allows. No part of the value comes twice, so that parts in
// another order are another value. The value ends less bytes before that size.
func (c *C) large(id string, less int) model.Record {
	c.Helper()
	size := 1<<20 + 54321
	if most := c.b.Describe().MaxValue; most > 0 {
		size = min(size, most)
	}
	r := c.labelled(id, "", "ann", time.Hour)
	r.Encoding, r.Value = "gob", make([]byte, size-less)
	var seed [32]byte
	copy(seed[:], r.Revision[:])
	_, _ = rand.NewChaCha8(seed).Read(r.Value)
	return r
}

// sameLarge stops the case unless the values are the same. It shows none.
func (c *C) sameLarge(got, want model.Record, what string) {
	c.Helper()
	if bytes.Equal(got.Value, want.Value) {
		return
	}
	at := 0
	for at < min(len(got.Value), len(want.Value)) && got.Value[at] == want.Value[at] {
		at++
	}
	c.fail("%s returned %d bytes of %q, want %d; they differ from byte %d on", what, len(got.Value), want.ID, len(want.Value), at)
}

func getLargeCases() []Case {
	return group("Get",
		that("KeepsAValueOverAMegabyte", "R13 R8 R1", needNothing, func(c *C) {
			other := c.second()
			holds := func(want model.Record, after string) {
				c.Helper()
				for node, b := range []driver.ModelExpirySupport{c.b, other} {
					got := c.getFrom(b, want.ID)
					c.sameHead(got, want)
					c.sameLarge(got, want, fmt.Sprintf("a get from node %d after %s", node, after))
				}
			}
			first := c.large("a", 0)
			known, err := c.write(first, driver.IfAbsent, model.Record{})
			c.ok(err, "create")
			c.sameHead(known, first)
			holds(first, "a create")
			first.ServerVersion = known.ServerVersion
			first = c.touch(first, driver.TouchSet, c.in(2*time.Hour), c.in(2*time.Hour))
			holds(first, "a touch")
			_, err = c.write(c.large("a", 0), driver.IfMatch, c.rec("a", "", 0))
			c.is(err, model.ErrConflict, "compare-and-set at another revision")
			holds(first, "a conflict")
			for i, cond := range []driver.Condition{driver.IfMatch, driver.IfPresent, driver.IfAny} {
				next := c.large("a", i*20_001) // each is shorter than the one of before
				_, err = c.write(next, cond, first)
				c.ok(err, "write under %v", cond)
				holds(next, fmt.Sprintf("a write under %v", cond))
			}
			small := c.rec("a", "small", time.Hour)
			_, err = c.write(small, driver.IfPresent, model.Record{})
			c.ok(err, "update to a small value")
			c.holds(small)
		}),
		that("KeepsValuesOverAMegabyteInBatchesAndListings", "R13 R8 R42 R87", needPaging, func(c *C) {
			want := []model.Record{c.large("a", 0), c.rec("b", "small", time.Hour), c.large("c", 1)}
			var ops []driver.BatchOp
			for _, r := range want {
				ops = append(ops, writing(r, driver.IfAbsent, model.Record{}))
			}
			c.batch(ops, make([]error, len(ops)))
			for i, got := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a", "b", "c")) {
				c.ok(got.Err, "get of many")
				c.sameHead(got.Record, want[i])
				c.sameLarge(got.Record, want[i], "a get of many")
			}
			listed := c.list(driver.Query{})
			c.ids(listed, "a", "b", "c")
			for _, r := range want {
				c.sameHead(listed[r.ID], r)
				c.sameLarge(listed[r.ID], r, "a listing")
			}
		}),
	)
}
