package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// firstPages lists until some records have been seen, and returns their ids
// and the token of what is left.
func (c *C) firstPages(b driver.ModelExpirySupport, q driver.Query, least int) (map[string]bool, string) {
	c.Helper()
	seen := map[string]bool{}
	for len(seen) < least {
		p, err := b.Page(c.ctx(), c.now, q)
		c.ok(err, "page")
		for _, r := range p.Records {
			seen[r.ID] = true
		}
		if q.After = p.Next; q.After == "" {
			c.fail("the listing ended after %d records", len(seen))
		}
	}
	return seen, q.After
}

// rest adds what follows the token; a record that was seen before appears
// twice.
func (c *C) rest(b driver.ModelExpirySupport, q driver.Query, seen map[string]bool) {
	c.Helper()
	for q.After != "" {
		p, err := b.Page(c.ctx(), c.now, q)
		c.ok(err, "page after a token")
		for _, r := range p.Records {
			if seen[r.ID] {
				c.fail("%q appears again", r.ID)
			}
			seen[r.ID] = true
		}
		q.After = p.Next
	}
}

func tokenCases() []Case {
	return group("Token",
		thatPages("OutlivesTheNodeThatGaveIt", "R44", func(c *C) {
			ids := c.fill(20, "ann", time.Hour)
			for _, q := range []driver.Query{{Limit: 4}, {Label: "principal", Value: "ann", Limit: 4}} {
				node := c.second()
				seen, next := c.firstPages(node, q, 5)
				c.ok(node.Close(), "close")
				q.After = next
				c.rest(c.b, q, seen)
				if len(seen) != len(ids) {
					c.fail("%d of %d records appeared", len(seen), len(ids))
				}
			}
		}),
		thatPages("IsGoodHoursLater", "R44 R42", func(c *C) {
			ids := c.fill(20, "", 1000*time.Hour)
			q := driver.Query{Limit: 4}
			seen, next := c.firstPages(c.b, q, 5)
			c.advance(100 * time.Hour)
			q.After = next
			c.rest(c.second(), q, seen)
			if len(seen) != len(ids) {
				c.fail("%d of %d records appeared", len(seen), len(ids))
			}
		}),
		thatPages("IsGoodAfterEverythingWasDeleted", "R44 R43", func(c *C) {
			ids := c.fill(20, "ann", time.Hour)
			var tokens []driver.Query
			for _, q := range []driver.Query{{Limit: 4}, {Label: "principal", Value: "ann", Limit: 4}} {
				_, q.After = c.firstPages(c.b, q, 5)
				tokens = append(tokens, q)
			}
			for _, id := range ids {
				c.del(id)
			}
			for _, q := range tokens {
				seen := map[string]bool{}
				c.rest(c.b, q, seen)
				if len(seen) != 0 {
					c.fail("%d records appeared after all were deleted", len(seen))
				}
			}
		}),
		thatSweeps("IsGoodAfterASweep", "R44 R42", func(c *C) {
			for i := range 30 {
				life := time.Hour
				if i%2 == 0 {
					life = time.Minute
				}
				c.put(c.labelled(fmt.Sprintf("r%04d", i), "v", "ann", life))
			}
			q := driver.Query{Label: "principal", Value: "ann", Limit: 4}
			seen, next := c.firstPages(c.b, q, 6)
			c.advance(time.Minute)
			c.sweep(100)
			q.After = next
			c.rest(c.b, q, seen)
			for i := 1; i < 30; i += 2 {
				if id := fmt.Sprintf("r%04d", i); !seen[id] {
					c.fail("%q lived through the sweep and did not appear", id)
				}
			}
		}),
		thatLabels("IsGoodWhereTheRecordsBeforeItMovedAway", "R44 R42 R46", func(c *C) {
			ids := c.fill(20, "ann", time.Hour)
			q := driver.Query{Label: "principal", Value: "ann", Limit: 4}
			seen, next := c.firstPages(c.b, q, 5)
			for id := range seen {
				_, err := c.write(c.labelled(id, "v", "bob", time.Hour), driver.IfPresent, model.Record{})
				c.ok(err, "update to another label")
			}
			q.After = next
			c.rest(c.b, q, seen)
			if len(seen) != len(ids) {
				c.fail("%d of %d records appeared", len(seen), len(ids))
			}
		}),
		thatPages("IsGoodWhereNewRecordsCame", "R44 R42", func(c *C) {
			ids := c.fill(20, "", time.Hour)
			q := driver.Query{Limit: 4}
			seen, next := c.firstPages(c.b, q, 5)
			for i := range 40 {
				c.put(c.rec(fmt.Sprintf("r%04d+%d", i%20, i), "v", time.Hour))
			}
			q.After, q.Limit = next, 9 // the limit may change between pages
			c.rest(c.b, q, seen)
			for _, id := range ids {
				if !seen[id] {
					c.fail("%q was live throughout and did not appear", id)
				}
			}
		}),
		thatLabels("ThatNoListingByLabelGaveIsInvalid", "R45", func(c *C) {
			c.fill(3, "ann", time.Hour)
			for _, token := range []string{"x", "nonsense", "!!!", "AAAA", "eyJhIjoxfQ==", "../x", "\x00", "-1", "0", "é"} {
				_, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 5, After: token})
				c.is(err, model.ErrInvalid, "page by label after %q", token)
			}
		}),
		thatLabels("OfAListingByLabelGoesPastEveryServersPage", "R42 R46 R43", func(c *C) {
			var ops []driver.BatchOp
			ids := make([]string, 1100)
			for i := range ids {
				ids[i] = fmt.Sprintf("r%04d", i)
				ops = append(ops, writing(c.labelled(ids[i], "v", "ann", time.Hour), driver.IfAbsent, model.Record{}))
				if i%4 == 0 {
					ops = append(ops, writing(c.labelled(fmt.Sprintf("s%04d", i), "v", "bob", time.Hour), driver.IfAbsent, model.Record{}))
				}
			}
			for len(ops) > 0 {
				n := min(500, len(ops))
				c.batch(ops[:n], make([]error, n))
				ops = ops[n:]
			}
			q := driver.Query{Label: "principal", Value: "ann", Limit: 1000, KeysOnly: true}
			c.ids(c.list(q), ids...)
			q.Limit, q.KeysOnly = 300, false
			c.ids(c.list(q), ids...)
			n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: "ann"})
			c.ok(err, "count")
			if n != len(ids) {
				c.fail("%d counted, want %d", n, len(ids))
			}
		}),
		thatLabels("OfAListingOfKeysByLabelLeavesOutTheValues", "R48 R46", func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.list(driver.Query{Label: "principal", Value: "ann", KeysOnly: true})["a"]
			c.sameHead(got, r)
			if got.Value != nil {
				c.fail("a value was listed: %q", got.Value)
			}
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: got}), "delete at the listed revision")
		}),
	)
}
