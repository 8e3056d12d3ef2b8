package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func getCases() []Case {
	return group("Get",
		that("UnknownIDIsNotFound", "R14", needNothing, func(c *C) { c.gone("nobody") }),
		that("ReturnsTheRecordWhole", "R13 R1", needNothing, func(c *C) {
			r := c.labelled("a", `{"n":1,"text":"line\nbreak"}`, "ann", time.Hour)
			c.holds(c.put(r))
		}),
		that("KeepsARecordThatNeverExpires", "R13", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 0))
			c.advance(24 * 365 * time.Hour)
			c.holds(r)
		}),
		that("ExpiryIsInUTC", "R13 R26 R36", needNothing, func(c *C) {
			r := c.rec("a", "1", time.Hour)
			written, err := c.write(r, driver.IfAbsent, model.Record{})
			c.ok(err, "create")
			winner, err := c.write(c.rec("a", "2", 0), driver.IfMatch, c.rec("a", "", 0))
			c.is(err, model.ErrConflict, "compare-and-set at another revision")
			touched, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt})
			c.ok(err, "touch")
			stat, err := driver.GetStat(c.ctx(), c.b, c.now, driver.Get{ID: "a"})
			c.ok(err, "stat")
			all := map[string]model.Record{
				"a create": written, "a conflict": winner, "a touch": touched, "a stat": stat.Record, "a get": c.get("a"),
				"a get of many": driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a"))[0].Record,
			}
			if c.has(driver.FeaturePaging) {
				all["a page"] = c.list(driver.Query{})["a"]
			}
			if c.has(driver.FeatureSweep) {
				_, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: r.ExpiresAt, Limit: 1, OnExpire: func(r model.Record) error {
					all["an announcement"] = r
					return nil
				}})
				c.ok(err, "sweep")
			}
			for what, got := range all {
				if got.ExpiresAt.Location() != time.UTC || !got.ExpiresAt.Equal(r.ExpiresAt) {
					c.fail("%s returned the expiry %v, want %v", what, got.ExpiresAt, r.ExpiresAt.UTC())
				}
			}
		}),
		that("KeepsBytesThatAreNotText", "R13", needNothing, func(c *C) {
			r := c.rec("a", "", time.Hour)
			r.Value = []byte{0, 0xff, 0xfe, '\r', '\n', 0x80, 0, '"', '\\', 0xc3, 0x28}
			r.Encoding = "gob"
			c.put(r)
			c.holds(r)
		}),
		that("KeepsEveryByteValue", "R13", needNothing, func(c *C) {
			r := c.rec("a", "", time.Hour)
			for i := range 256 {
				r.Value = append(r.Value, byte(i))
			}
			c.put(r)
			c.holds(r)
		}),
		that("KeepsAnEmptyValue", "R13", needNothing, func(c *C) {
			c.holds(c.put(c.rec("a", "", time.Hour)))
		}),
		that("KeepsALargeValue", "R13", needNothing, func(c *C) {
			size := 300 << 10
			if m := c.b.Describe().MaxValue; m > 0 && m < size {
				size = m
			}
			c.holds(c.put(c.rec("a", strings.Repeat("x", size), time.Hour)))
		}),
		that("KeepsJSONTextAsItWasWritten", "R13", needNothing, func(c *C) {
			c.holds(c.put(c.rec("a", ` { "a" : 1.10 , "b":[ 1e400, 9007199254740993 ],"a":2, "\u00e9":"é" } `, time.Hour)))
		}),
		that("SeesAnotherNodesWrites", "R1", needNothing, func(c *C) {
			other := c.second()
			r := c.put(c.rec("a", "1", time.Hour))
			got := c.getFrom(other, "a")
			c.sameHead(got, r)
			next := c.rec("a", "2", time.Hour)
			_, err := other.Write(c.ctx(), c.now, driver.Write{Record: next, Cond: driver.IfPresent})
			c.ok(err, "update on the other node")
			c.holds(next)
			c.ok(other.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), "delete on the other node")
			c.gone("a")
		}),
		that("SeesAnotherNodesTouchesAndLabels", "R1 R46", needLabels, func(c *C) {
			other := c.second()
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			c.getFrom(other, "a") // a node must read again what it has read
			r.ExpiresAt = c.in(2 * time.Hour)
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt})
			c.ok(err, "touch")
			c.sameHead(c.getFrom(other, "a"), r)
			next := c.labelled("a", "2", "bob", time.Hour)
			_, err = c.write(next, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			for p, want := range map[string]int{"ann": 0, "bob": 1} {
				n, err := driver.Count(c.ctx(), other, c.now, driver.Query{Label: "principal", Value: p})
				c.ok(err, "count on the other node")
				if n != want {
					c.fail("Count on the other node returned %d under %q, want %d", n, p, want)
				}
			}
			c.del("a")
			out := driver.GetMany(c.ctx(), other, c.now, driver.Gets("a"))
			c.is(out[0].Err, model.ErrNotFound, "get among many on the other node")
		}),
		that("OutlivesTheNodeThatWrote", "R1", needNothing, func(c *C) {
			first := c.second()
			r := c.rec("a", "1", time.Hour)
			_, err := first.Write(c.ctx(), c.now, driver.Write{Record: r, Cond: driver.IfAbsent})
			c.ok(err, "create")
			c.ok(first.Close(), "close")
			c.holds(r)
		}),
		that("ValueIsTheCallersOwn", "R3", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.get("a")
			overwrite(got)
			c.holds(r)
		}),
		that("WrittenMemoryStaysTheCallersOwn", "R3", needNothing, func(c *C) {
			r := c.labelled("a", "value", "ann", time.Hour)
			w := driver.Write{Record: r.Clone(), Cond: driver.IfAbsent}
			_, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "create")
			overwrite(w.Record)
			c.holds(r)
			c.bear("ann", "a")
		}),
		that("AnswersShareNothingWithTheStore", "R3", needNothing, func(c *C) {
			r := c.labelled("a", "value", "ann", time.Hour)
			head, err := c.write(r, driver.IfAbsent, model.Record{})
			c.ok(err, "create")
			overwrite(head)
			t, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchClear})
			c.ok(err, "touch")
			overwrite(t)
			r.ExpiresAt = time.Time{}
			c.holds(r)
		}),
		that("ListedMemoryIsTheCallersOwn", "R3", needPaging, func(c *C) {
			r := c.put(c.rec("a", "value", time.Hour))
			for _, got := range c.list(driver.Query{}) {
				copy(got.Value, bytes.Repeat([]byte{'X'}, len(got.Value)))
			}
			c.holds(r)
		}),
		that("TextsAreTheBackendsOwn", "R3", needLabels|needSweep, func(c *C) {
			// Some frameworks use the memory behind a string again.
			r := c.labelled("the id", "1", "the principal", time.Minute)
			r.Encoding = "text"
			var used [][]byte
			reused := func(s string) string {
				b := []byte(s)
				used = append(used, b)
				return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // the memory that is changed below
			}
			lent := r.Clone()
			lent.ID, lent.Encoding = reused(r.ID), reused(r.Encoding)
			lent.Labels = map[string]string{reused("principal"): reused("the principal")}
			_, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: lent, Cond: driver.IfAbsent})
			c.ok(err, "create")
			_, err = c.b.Page(c.ctx(), c.now, driver.Query{Label: reused("principal"), Value: reused("the principal"), Limit: 5})
			c.ok(err, "page")
			for _, b := range used {
				for i := range b {
					b[i] = 'x'
				}
			}
			c.holds(r)
			c.bear("the principal", "the id")
			c.advance(time.Minute)
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep removed %d records, want 1", n)
			}
			c.bear("the principal")
		}),
		that("WithoutTheValueTellsItsSize", "R98", needNothing, func(c *C) {
			for i, size := range []int{0, 1, 300, 5000} {
				r := c.labelled(fmt.Sprint("id", i), strings.Repeat("v", size), "ann", time.Hour)
				if i%2 == 1 {
					r.ExpiresAt = time.Time{}
				}
				c.put(r)
				st, err := driver.GetStat(c.ctx(), c.b, c.now, driver.Get{ID: r.ID})
				c.ok(err, "stat")
				c.sameHead(st.Record, r)
				if st.Size != size || len(st.Record.Value) > 0 {
					c.fail("the size is %d with %d bytes of the value, want %d with none", st.Size, len(st.Record.Value), size)
				}
			}
			_, err := driver.GetStat(c.ctx(), c.b, c.now, driver.Get{ID: "never"})
			c.is(err, model.ErrNotFound, "stat of an unknown id")
			c.advance(time.Hour)
			_, err = driver.GetStat(c.ctx(), c.b, c.now, driver.Get{ID: "id0"})
			c.is(err, model.ErrNotFound, "stat of an expired record")
		}),
	)
}
