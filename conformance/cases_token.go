package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// firstPages lists until at least the given number of records was seen. It
// returns their ids and the token for the rest.
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

// rest lists from the token on and adds the ids to seen. It stops the case if
// a record appears twice.
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
		that("OutlivesTheNodeThatGaveIt", "R44", needLabels, func(c *C) {
			ids := c.fill(20, "ann", time.Hour)
			for _, q := range []driver.Query{{Limit: 4}, {Label: "principal", Value: "ann", Limit: 4}} {
				node := c.second()
				seen, next := c.firstPages(node, q, 5)
				c.ok(node.Close(), "close")
				q.After = next
				c.rest(c.b, q, seen)
				if len(seen) != len(ids) {
					c.fail("%d of %d records are listed", len(seen), len(ids))
				}
			}
		}),
		that("IsGoodHoursLater", "R44 R42", needPaging, func(c *C) {
			ids := c.fill(20, "", 1000*time.Hour)
			q := driver.Query{Limit: 4}
			seen, next := c.firstPages(c.b, q, 5)
			c.advance(100 * time.Hour)
			q.After = next
			c.rest(c.second(), q, seen)
			if len(seen) != len(ids) {
				c.fail("%d of %d records are listed", len(seen), len(ids))
			}
		}),
		that("IsGoodAfterEverythingWasDeleted", "R44 R43", needLabels, func(c *C) {
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
					c.fail("%d records are listed after all were deleted", len(seen))
				}
			}
		}),
		that("IsGoodAfterASweep", "R44 R42", needSweep|needLabels, func(c *C) {
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
					c.fail("%q lived through the sweep and is not listed", id)
				}
			}
		}),
		that("IsGoodAfterTheRecordsBeforeItMovedAway", "R44 R42 R46", needLabels, func(c *C) {
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
				c.fail("%d of %d records are listed", len(seen), len(ids))
			}
		}),
		that("IsGoodAfterNewRecordsCame", "R44 R42", needPaging, func(c *C) {
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
					c.fail("%q was live throughout and is not listed", id)
				}
			}
		}),
		that("InventedForALabelIsInvalid", "R45", needLabels, func(c *C) {
			c.fill(3, "ann", time.Hour)
			for _, token := range []string{"x", "nonsense", "!!!", "AAAA", "eyJhIjoxfQ==", "../x", "\x00", "-1", "0", "é"} {
				_, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 5, After: token})
				c.is(err, model.ErrInvalid, "page by label after %q", token)
			}
		}),
		that("OfAnotherListingIsInvalid", "R45", needLabels, func(c *C) {
			// Every record bears the label, so both listings have the same records.
			ids := c.fill(20, "ann", time.Hour)
			listings := map[string]driver.Query{
				"of all records":       {Limit: 4},
				"by a label":           {Label: "principal", Value: "ann", Limit: 4},
				"by another value":     {Label: "principal", Value: "bob", Limit: 4},
				"by a similar value":   {Label: "principal", Value: "an", Limit: 4},
				"by a longer value":    {Label: "principal", Value: "annn", Limit: 4},
				"by the label's name":  {Label: "principal", Value: "principal", Limit: 4},
				"by a value with a \"": {Label: "principal", Value: "ann\"", Limit: 4},
			}
			for _, from := range []string{"of all records", "by a label"} {
				seen, token := c.firstPages(c.b, listings[from], 5)
				for name, q := range listings {
					q.After = token
					if name == from {
						c.rest(c.b, q, seen)
						if len(seen) != len(ids) {
							c.fail("%d records are listed, want %d", len(seen), len(ids))
						}
						continue
					}
					_, err := c.b.Page(c.ctx(), c.now, q)
					c.is(err, model.ErrInvalid, "page %s after a token of the listing %s", name, from)
				}
			}
		}),
		that("OfAnotherStoreIsInvalid", "R45 R6", needPaging, func(c *C) {
			other := c.node(c.name + "-b")
			c.fill(20, "", time.Hour)
			for i := range 20 {
				_, err := other.Write(c.ctx(), c.now, driver.Write{Record: c.rec(fmt.Sprintf("r%04d", i), "v", time.Hour), Cond: driver.IfAbsent})
				c.ok(err, "create in the other store")
			}
			q := driver.Query{Limit: 4}
			_, q.After = c.firstPages(c.b, q, 5)
			_, err := other.Page(c.ctx(), c.now, q)
			c.is(err, model.ErrInvalid, "page after a token of another store")
		}),
		that("ThatWasChangedIsInvalid", "R45", needPaging, func(c *C) {
			c.fill(20, "", time.Hour)
			q := driver.Query{Limit: 4}
			_, token := c.firstPages(c.b, q, 5)
			refused := func(changed, what string) {
				c.Helper()
				q.After = changed
				_, err := c.b.Page(c.ctx(), c.now, q)
				c.is(err, model.ErrInvalid, "page after a token %s", what)
			}
			for n := 1; n < len(token); n++ {
				refused(token[:n], fmt.Sprintf("cut after %d of %d bytes", n, len(token)))
			}
			refused(token+"A", "with one character more")
			refused(token+token, "that is repeated")
			refused(" "+token, "with a space before it")
			refused(token+"\n", "with a line break after it")
			for i := range len(token) {
				changed := []byte(token)
				if changed[i]++; changed[i] == 'Z'+1 || changed[i] == 'z'+1 || changed[i] == '9'+1 {
					changed[i] = 'b'
				}
				refused(string(changed), fmt.Sprintf("with another byte at %d", i))
			}
		}),
		that("OfAListingByLabelGoesPastTheServersPageSize", "R42 R46 R43", needLabels, func(c *C) {
			var ops []driver.BatchOp
			ids := make([]string, 1050)
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
			c.lists(q, ids...)
			q.Limit, q.KeysOnly = 300, false
			c.lists(q, ids...)
			n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: "ann"})
			c.ok(err, "count")
			if n != len(ids) {
				c.fail("Count returned %d, want %d", n, len(ids))
			}
		}),
		that("OfAListingOfKeysByLabelLeavesOutTheValues", "R48 R46", needLabels, func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.list(driver.Query{Label: "principal", Value: "ann", KeysOnly: true})["a"]
			c.sameHead(got, r)
			if got.Value != nil {
				c.fail("the listing of keys has the value %q, want none", got.Value)
			}
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: got}), "delete at the listed revision")
		}),
	)
}
