package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func labelCases() []Case {
	return group("Label",
		that("ListsExactlyItsBearers", "R46", needLabels, func(c *C) {
			c.put(c.labelled("a1", "1", "ann", time.Hour))
			c.put(c.labelled("b1", "1", "bob", time.Hour))
			c.put(c.labelled("a2", "1", "ann", 0))
			c.put(c.rec("none", "1", time.Hour))
			c.bear("ann", "a1", "a2")
			c.bear("bob", "b1")
			c.bear("carol")
		}),
		that("ListsRightAfterTheWrite", "R46 R1", needLabels, func(c *C) {
			other := c.second()
			for i := range 20 {
				id := fmt.Sprint("id", i)
				c.put(c.labelled(id, "1", "ann", time.Hour))
				p, err := other.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 1000})
				c.ok(err, "page on another node")
				if len(p.Records) != i+1 {
					c.fail("another node lists %d records right after create %d, want %d", len(p.Records), i+1, i+1)
				}
			}
		}),
		that("ForgetsRightAfterTheDelete", "R46 R49", needLabels, func(c *C) {
			ids := c.fill(10, "ann", time.Hour)
			for i, id := range ids {
				c.del(id)
				if got := c.bearers("ann"); len(got) != 9-i {
					c.fail("%d records are listed after %d of 10 deletes, want %d", len(got), i+1, 9-i)
				}
			}
		}),
		that("MovesWithItsRecord", "R46 R25", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "v0", time.Hour))
			for i := 1; i < 6; i++ {
				_, err := c.write(c.labelled("a", "1", fmt.Sprint("v", i), time.Hour), driver.IfPresent, model.Record{})
				c.ok(err, "update")
				c.bear(fmt.Sprint("v", i-1))
				c.bear(fmt.Sprint("v", i), "a")
			}
			_, err := c.write(c.labelled("a", "1", "v0", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update back to the first value")
			c.bear("v0", "a")
		}),
		that("StaysInPlaceWhileAnotherLabelChanges", "R95 R42 R46", needTwo, func(c *C) {
			// A worker lists the jobs of an owner and changes the state of each. A
			// record that moved behind the listing would come again, for ever.
			owner, state := twoLabels(c)
			c.fillTwo(32, owner, state)
			c.listWhileChanging(driver.Query{Label: owner, Value: "ann", Limit: 1}, 32, func(r model.Record) {
				next := r
				next.Revision = model.NewRevision()
				next.Labels = map[string]string{owner: "ann", state: "done"}
				_, err := c.write(next, driver.IfMatch, r)
				c.ok(err, "update of one label")
			})
		}),
		that("StaysInPlaceWhileValueAndExpiryChange", "R95 R42 R46", needTwo, func(c *C) {
			owner, state := twoLabels(c)
			c.fillTwo(32, owner, state)
			n := 0
			c.listWhileChanging(driver.Query{Label: owner, Value: "ann", Limit: 1}, 32, func(r model.Record) {
				next := r
				next.Revision, next.Value = model.NewRevision(), []byte(fmt.Sprint("changed ", r.ID))
				var err error
				switch n++; n % 3 {
				case 0: // an upsert with the same labels
					_, err = c.b.Write(c.ctx(), c.now, driver.Write{Record: next, Cond: driver.IfAny})
				case 1:
					_, err = c.b.Write(c.ctx(), c.now, driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
				default:
					_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: c.in(time.Duration(n) * time.Hour)})
				}
				c.ok(err, "change %d", n)
			})
		}),
		that("StaysInPlaceInAListingOfAllWhileLabelsChange", "R95 R42", needTwo, func(c *C) {
			owner, state := twoLabels(c)
			c.fillTwo(32, owner, state)
			c.listWhileChanging(driver.Query{Limit: 1}, 32, func(r model.Record) {
				next := r
				next.Revision = model.NewRevision()
				next.Labels = map[string]string{owner: "bob", state: "done"}
				_, err := c.write(next, driver.IfPresent, model.Record{})
				c.ok(err, "update of both labels")
			})
		}),
		that("ComesAndGoesWithUpdates", "R46 R25", needLabels, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			_, err := c.write(c.labelled("a", "2", "ann", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.bear("ann", "a")
			_, err = c.write(c.rec("a", "3", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.bear("ann")
		}),
		that("StaysThroughATouch", "R46 R34", needLabels, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Minute))
			c.touch(r, driver.TouchExtend, c.in(48*time.Hour), c.in(48*time.Hour))
			c.advance(24 * time.Hour)
			c.bear("ann", "a")
		}),
		that("ListsRecordsWhole", "R46 R13", needLabels, func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.bearers("ann")["a"]
			c.sameHead(got, r)
			if string(got.Value) != "value" {
				c.fail("the listed value is %q, want value", got.Value)
			}
		}),
		that("PagesPastTheLimit", "R46 R43", needLabels, func(c *C) {
			ids := c.fill(50, "ann", time.Hour)
			c.put(c.labelled("other", "1", "bob", time.Hour))
			for _, limit := range []int{1, 7, 49, 50, 51} {
				c.lists(driver.Query{Label: "principal", Value: "ann", Limit: limit}, ids...)
			}
		}),
		that("ValuesAreExact", "R46", needLabels, func(c *C) {
			values := []string{"ann", "Ann", "ann ", "an", "anna", "a/n", "a:n", "../ann", "%61nn", "{ann}", "ä", "a\u0308", "😀", "*", "ann\n"}
			for i, v := range values {
				c.put(c.labelled(fmt.Sprint("id", i), "1", v, time.Hour))
			}
			for i, v := range values {
				c.bear(v, fmt.Sprint("id", i))
			}
		}),
		that("ValuesOf256Bytes", "R46", needLabels, func(c *C) {
			long := string(bytes.Repeat([]byte("x"), model.MaxLabel-1))
			c.put(c.labelled("a", "1", long+"a", time.Hour))
			c.put(c.labelled("b", "1", long+"b", time.Hour))
			c.bear(long+"a", "a")
			c.bear(long+"b", "b")
		}),
		that("ValueAndIDDoNotRunTogether", "R46 R7", needLabels, func(c *C) {
			c.put(c.labelled("bc", "1", "a", time.Hour))
			c.put(c.labelled("c", "1", "ab", time.Hour))
			c.bear("a", "bc")
			c.bear("ab", "c")
		}),
		that("UndeclaredIsInvalid", "R47", needLabels, func(c *C) {
			_, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "undeclared", Value: "x", Limit: 1})
			c.is(err, model.ErrInvalid, "page by an undeclared label")
		}),
		that("UndeclaredInAWriteIsInvalid", "R92 R28", needLabels, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			for what, labels := range map[string]map[string]string{
				"an undeclared label": {"undeclared": "x"}, "a declared and an undeclared label": {"principal": "bob", "undeclared": "x"},
			} {
				for _, cond := range []driver.Condition{driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
					r := c.rec("a", "2", time.Minute)
					r.Labels = labels
					if cond == driver.IfAbsent {
						r.ID = "b"
					}
					_, err := c.write(r, cond, old)
					c.is(err, model.ErrInvalid, "write under %v with %s", cond, what)
				}
			}
			c.holds(old)
			c.gone("b")
			c.bear("ann", "a")
			c.bear("bob")
		}),
		that("ValueWithoutALabelIsInvalid", "R47", needPaging, func(c *C) {
			c.fill(3, "", time.Hour)
			for _, q := range []driver.Query{{Value: "ann", Limit: 10}, {Value: "ann", Limit: 10, KeysOnly: true}} {
				p, err := c.b.Page(c.ctx(), c.now, q)
				c.is(err, model.ErrInvalid, "page with a label value and no label")
				if len(p.Records) > 0 {
					c.fail("a page with a label value and no label has %d records, want none", len(p.Records))
				}
			}
		}),
		that("ExpiredBearersAreNotListed", "R46 R2", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Minute))
			c.put(c.labelled("b", "1", "ann", time.Hour))
			c.advance(time.Minute)
			c.bear("ann", "b")
		}),
		that("UnderConcurrentWritersEndsExact", "R46", needLabels, func(c *C) {
			c.fill(8, "p0", time.Hour)
			for i, err := range c.concurrently(16, func(who int) error {
				for i := range 8 {
					r := c.labelled(fmt.Sprintf("r%04d", (who+i)%8), "v", fmt.Sprint("p", (who*i)%3), time.Hour)
					if _, err := c.write(r, driver.IfPresent, model.Record{}); err != nil {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "writer %d", i)
			}
			for i := range 8 {
				r := c.get(fmt.Sprintf("r%04d", i))
				for p := range 3 {
					_, listed := c.bearers(fmt.Sprint("p", p))[r.ID]
					if bears := r.Labels["principal"] == fmt.Sprint("p", p); listed != bears {
						c.fail("%q bears %v and its listing under p%d is %v, want %v", r.ID, r.Labels, p, listed, bears)
					}
				}
			}
		}),
		that("EveryLegalValueIsAValueOfItsOwn", "R46 R13", needLabels, func(c *C) {
			values := append(unusualIDs(),
				"a_c", "abc", "a%", "ab%", "10", "010", "+10", "10.0", "1e1", "0x0a", "a,b", "b,a", "a b c", "b a", `{"a":1}`, "[1]", "None", "nil", "false", "😁", "ab\x7f", "\x1b", "a''b", "a'b", "ａ", "K", "\u212a")
			values = slices.DeleteFunc(values, func(v string) bool { return len(v) > model.MaxLabel })
			slices.Sort(values)
			values = slices.Compact(values)
			for i, v := range values {
				c.put(c.labelled(fmt.Sprintf("id%03d", i), "v", v, time.Hour))
			}
			for i, v := range values {
				q := driver.Query{Label: "principal", Value: v, Limit: 7}
				p, err := c.b.Page(c.ctx(), c.now, q)
				for err == nil && len(p.Records) == 0 && p.Next != "" {
					q.After = p.Next
					p, err = c.b.Page(c.ctx(), c.now, q)
				}
				c.ok(err, "page by the label value %q", v)
				if id := fmt.Sprintf("id%03d", i); len(p.Records) != 1 || p.Records[0].ID != id || p.Records[0].Labels["principal"] != v {
					c.fail("the label value %q has %d bearers on its first page, want %s alone, which bears it", v, len(p.Records), id)
				}
			}
		}),
	)
}

// twoLabels returns two of the declared labels.
func twoLabels(c *C) (owner, state string) {
	names := c.b.Describe().Labels
	return names[0], names[1]
}

// fillTwo stores n records that bear both labels.
func (c *C) fillTwo(n int, owner, state string) {
	c.Helper()
	for i := range n {
		r := c.rec(fmt.Sprintf("id%02d", i), "1", time.Hour)
		r.Labels = map[string]string{owner: "ann", state: "new"}
		c.put(r)
	}
}

// listWhileChanging lists page by page and changes every record that it sees.
// It stops the case unless each of the n records appears once.
func (c *C) listWhileChanging(q driver.Query, n int, change func(model.Record)) {
	c.Helper()
	seen := map[string]int{}
	for range 4*n + 10 { // pages: more are a listing that need not end
		p, err := c.b.Page(c.ctx(), c.now, q)
		c.ok(err, "page")
		for _, r := range p.Records {
			if seen[r.ID]++; seen[r.ID] > 1 {
				c.fail("the record %s appears again after a change that must not move it", r.ID)
			}
			change(r)
		}
		if p.Next == "" {
			if len(seen) != n {
				c.fail("the listing showed %d records, want %d", len(seen), n)
			}
			return
		}
		q.After = p.Next
	}
	c.fail("the listing did not end after %d pages of %d records", 4*n+10, n)
}
