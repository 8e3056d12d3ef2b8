package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// bothLabels returns a record with the values of two declared labels. An empty
// value leaves the label out.
func (c *C) bothLabels(id, first, second string, life time.Duration) model.Record {
	c.Helper()
	r := c.rec(id, "v", life)
	names := c.b.Describe().Labels
	r.Labels = map[string]string{}
	for i, value := range []string{first, second} {
		if value != "" {
			r.Labels[names[i]] = value
		}
	}
	return r
}

// listed stops the case unless the listing and the count by the n-th declared
// label have exactly the ids.
func (c *C) listed(n int, value string, ids ...string) {
	c.Helper()
	q := driver.Query{Label: c.b.Describe().Labels[n], Value: value}
	c.lists(q, ids...)
	got, err := driver.Count(c.ctx(), c.b, c.now, q)
	c.ok(err, "count by %q", q.Label)
	if got != len(ids) {
		c.fail("Count returned %d for %q under %q, want %d", got, value, q.Label, len(ids))
	}
}

// labelTwoCases use two declared labels, and values that a separator could
// split.
func labelTwoCases() []Case {
	return group("Label",
		that("EachOfTwoIsListed", "R46", needTwo, func(c *C) {
			c.put(c.bothLabels("both", "x1", "y1", time.Hour))
			c.put(c.bothLabels("first", "x1", "", time.Hour))
			c.put(c.bothLabels("second", "", "y1", time.Hour))
			c.listed(0, "x1", "both", "first")
			c.listed(1, "y1", "both", "second")
			c.del("both")
			c.listed(0, "x1", "first")
			c.listed(1, "y1", "second")
		}),
		that("ListsTheOtherLabelsToo", "R46 R13 R48", needTwo, func(c *C) {
			// A listing by one label has the others of each record, as they are now.
			records := map[string]model.Record{}
			for _, r := range []model.Record{c.bothLabels("both", "x", "y1", time.Hour), c.bothLabels("moved", "x", "y1", time.Hour), c.bothLabels("alone", "x", "", time.Hour)} {
				records[r.ID] = c.put(r)
			}
			names := c.b.Describe().Labels
			whole := func(label, value string, want int) {
				c.Helper()
				for _, q := range []driver.Query{{Label: label, Value: value}, {Label: label, Value: value, KeysOnly: true}} {
					got := c.list(q)
					if len(got) != want {
						c.fail("%d records are listed under %q, want %d", len(got), value, want)
					}
					for id, r := range got {
						c.sameHead(r, records[id])
					}
				}
			}
			whole(names[0], "x", 3)
			whole(names[1], "y1", 2)
			next := c.bothLabels("moved", "x", "y2", time.Hour)
			_, err := c.write(next, driver.IfMatch, records["moved"])
			c.ok(err, "update of the second label")
			records["moved"] = c.touch(next, driver.TouchExtend, c.in(2*time.Hour), c.in(2*time.Hour))
			whole(names[0], "x", 3)
			whole(names[1], "y1", 1)
			whole(names[1], "y2", 1)
		}),
		that("OneValueUnderTwoNamesIsTwo", "R46", needTwo, func(c *C) {
			c.put(c.bothLabels("a", "same", "", time.Hour))
			c.put(c.bothLabels("b", "", "same", time.Hour))
			c.put(c.bothLabels("c", "one", "other", time.Hour))
			c.put(c.bothLabels("d", "other", "one", time.Hour))
			c.listed(0, "same", "a")
			c.listed(1, "same", "b")
			c.listed(0, "one", "c")
			c.listed(1, "one", "d")
		}),
		that("EachOfTwoMovesAlone", "R46 R25 R22", needTwo, func(c *C) {
			cur := c.put(c.bothLabels("a", "x0", "y0", time.Hour))
			first, second := "x0", "y0"
			for i, next := range [][2]string{{"x0", "y1"}, {"x1", "y1"}, {"x1", ""}, {"x1", "y2"}, {"", "y2"}, {"x2", "y3"}, {"", ""}, {"x3", "y4"}} {
				w := driver.Write{Record: c.bothLabels("a", next[0], next[1], time.Hour), Cond: []driver.Condition{driver.IfPresent, driver.IfMatch, driver.IfAny}[i%3], Known: cur}
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "write %d under %v", i, w.Cond)
				for n, values := range [][2]string{{first, next[0]}, {second, next[1]}} {
					if values[0] != "" && values[0] != values[1] {
						c.listed(n, values[0])
					}
					if values[1] != "" {
						c.listed(n, values[1], "a")
					}
				}
				cur, first, second = w.Record, next[0], next[1]
			}
		}),
		that("EachOfTwoLeavesWithASweep", "R50 R46", needTwo|needSweep, func(c *C) {
			earlier := c.now
			c.put(c.bothLabels("a", "x", "y", time.Minute))
			c.put(c.bothLabels("b", "x", "y", 2*time.Hour))
			c.advance(time.Hour)
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep removed %d records, want 1", n)
			}
			c.now = earlier // by this clock the removed record would be live
			c.listed(0, "x", "b")
			c.listed(1, "y", "b")
		}),
		that("ValueAndIDAreApartWhateverSeparatesThem", "R46 R7", needLabels, func(c *C) {
			// Joined by the separator, the label and the id of a pair are the same
			// text, split in another place.
			var ops []driver.BatchOp
			add := func(id, value string) {
				ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: c.labelled(id, "v", value, time.Hour), Cond: driver.IfAbsent}})
			}
			for b := byte(1); b < 0x80; b++ {
				sep, n := string(rune(b)), fmt.Sprintf("%02x", b)
				add("c"+n, "a"+sep+"b")
				add("b"+sep+"c"+n, "z")
			}
			for len(ops) > 0 {
				some := ops[:min(len(ops), 50)]
				ops = ops[len(some):]
				for i, o := range driver.WriteMany(c.ctx(), c.b, c.now, some) {
					c.ok(o.Err, "create of %q with the label %q", some[i].Write.Record.ID, some[i].Write.Record.Labels)
				}
			}
			c.bear("a")
			for b := byte(1); b < 0x80; b++ {
				c.bear("a"+string(rune(b))+"b", fmt.Sprintf("c%02x", b))
			}
			if n := len(c.list(driver.Query{Label: "principal", Value: "z", Limit: 50})); n != 127 {
				c.fail("%d records are listed under z, want 127", n)
			}
		}),
	)
}
