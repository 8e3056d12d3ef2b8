package conformance

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// fill creates n records with the ids "r0000" and so on, and returns the ids.
// They bear the principal unless it is empty.
func (c *C) fill(n int, principal string, life time.Duration) []string {
	c.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("r%04d", i)
		r := c.rec(ids[i], fmt.Sprint(i), life)
		if principal != "" {
			r = c.labelled(r.ID, string(r.Value), principal, life)
		}
		c.put(r)
	}
	return ids
}

func pageCases() []Case {
	return group("Page",
		that("OfAnEmptyStoreIsEmpty", "R43", needPaging, func(c *C) { c.lists(driver.Query{}) }),
		that("ListsEveryLiveRecordWhole", "R42 R13", needLabels, func(c *C) {
			want := map[string]model.Record{}
			for i := range 30 {
				r := c.rec(fmt.Sprint("id", i), fmt.Sprint("value", i), time.Duration(i)*time.Hour)
				if i%3 == 0 {
					r.Labels = map[string]string{"principal": "ann"}
				}
				want[r.ID] = c.put(r)
			}
			got := c.list(driver.Query{})
			for id, w := range want {
				g, ok := got[id]
				if !ok {
					c.fail("%q is not listed", id)
				}
				c.sameHead(g, w)
				if !bytes.Equal(g.Value, w.Value) {
					c.fail("%q is listed with the value %q, want %q", id, g.Value, w.Value)
				}
			}
			if len(got) != len(want) {
				c.fail("%d records are listed, want %d", len(got), len(want))
			}
		}),
		that("KeepsToTheLimit", "R43", needPaging, func(c *C) {
			ids := c.fill(25, "", time.Hour)
			for _, limit := range []int{1, 2, 3, 24, 25, 26, 1000} {
				c.lists(driver.Query{Limit: limit}, ids...)
			}
		}),
		that("GoesPastTheServersPageSize", "R42 R43", needPaging, func(c *C) {
			ids := make([]string, 2100)
			for i := range ids {
				ids[i] = fmt.Sprintf("r%04d", i)
			}
			errs := c.concurrently(16, func(who int) error {
				for i := who; i < len(ids); i += 16 {
					if _, err := c.write(c.rec(ids[i], "v", time.Hour), driver.IfAbsent, model.Record{}); err != nil {
						return err
					}
				}
				return nil
			})
			for _, err := range errs {
				c.ok(err, "create")
			}
			c.lists(driver.Query{Limit: 1000, KeysOnly: true}, ids...)
			c.lists(driver.Query{Limit: 333}, ids...)
		}),
		that("StopsAtBytes", "R101 R43", needPaging, func(c *C) {
			size := 2 << 20
			if limit := c.b.Describe().MaxValue; limit > 0 && limit < size {
				size = limit
			}
			ids := make([]string, driver.PageBytes/size+3)
			for i := range ids {
				ids[i] = fmt.Sprintf("r%04d", i)
				r := c.rec(ids[i], "", time.Hour)
				r.Value = bytes.Repeat([]byte("x"), size)
				c.put(r)
			}
			seen := map[string]bool{}
			for q := (driver.Query{Limit: 1000}); ; {
				p, err := c.b.Page(c.ctx(), c.now, q)
				c.ok(err, "page")
				total := 0
				for _, r := range p.Records {
					if total >= driver.PageBytes {
						c.fail("a page has more records after %d bytes of values, want its end at %d", total, driver.PageBytes)
					}
					total += len(r.Value)
					seen[r.ID] = true
				}
				if q.After = p.Next; p.Next == "" {
					break
				}
			}
			if len(seen) != len(ids) {
				c.fail("%d records are listed, want %d", len(seen), len(ids))
			}
			c.lists(driver.Query{Limit: 1000, KeysOnly: true}, ids...)
		}),
		that("InTheSameOrderEachTime", "R42 R44", needPaging, func(c *C) {
			c.fill(20, "", time.Hour)
			order := func() string {
				s, q := "", driver.Query{Limit: 6}
				for {
					p, err := c.b.Page(c.ctx(), c.now, q)
					c.ok(err, "page")
					for _, r := range p.Records {
						s += r.ID + " "
					}
					if q.After = p.Next; p.Next == "" {
						return s
					}
				}
			}
			before := order()
			for i := range 20 {
				_, err := c.write(c.rec(fmt.Sprintf("r%04d", i), "new", 2*time.Hour), driver.IfPresent, model.Record{})
				c.ok(err, "update")
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: fmt.Sprintf("r%04d", i), Mode: driver.TouchSet, ExpiresAt: c.in(time.Duration(20-i) * time.Hour)})
				c.ok(err, "touch")
			}
			if after := order(); after != before {
				c.fail("the order changed from %s to %s", before, after)
			}
		}),
		that("ShowsWhatLivesThroughoutExactlyOnceWhileOthersWrite", "R42", needPaging, func(c *C) {
			ids := c.fill(60, "", time.Hour)
			seen := map[string]int{}
			q := driver.Query{Limit: 7}
			for page := 0; ; page++ {
				p, err := c.b.Page(c.ctx(), c.now, q)
				c.ok(err, "page")
				for _, r := range p.Records {
					seen[r.ID]++
				}
				// Between two pages, ids are created everywhere, some unchecked
				// records are deleted, and some checked records are written again.
				for i := range 5 {
					c.put(c.rec(fmt.Sprintf("r%04d-%d-%d", (page*13+i*17)%60, page, i), "new", time.Hour))
				}
				id := ids[(page*11)%50]
				_, err = c.write(c.rec(id, "changed", 2*time.Hour), driver.IfPresent, model.Record{})
				c.ok(err, "update")
				if page < 10 {
					c.del(ids[50+page])
				}
				if q.After = p.Next; p.Next == "" {
					break
				}
				if page > 500 {
					c.fail("the listing has not ended after %d pages", page)
				}
			}
			for _, id := range ids[:50] {
				if seen[id] != 1 {
					c.fail("%q was live throughout and appeared %d times, want once", id, seen[id])
				}
			}
		}),
		that("GoesOnWhereTheLastRecordWasDeleted", "R44 R42", needPaging, func(c *C) {
			ids := c.fill(12, "", time.Hour)
			p, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5})
			c.ok(err, "page")
			seen := map[string]bool{}
			for _, r := range p.Records {
				seen[r.ID] = true
				c.del(r.ID)
			}
			for q := (driver.Query{Limit: 5, After: p.Next}); q.After != ""; {
				p, err = c.b.Page(c.ctx(), c.now, q)
				c.ok(err, "page after the deletes")
				for _, r := range p.Records {
					if seen[r.ID] {
						c.fail("%q appears again", r.ID)
					}
					seen[r.ID] = true
				}
				q.After = p.Next
			}
			if len(seen) != len(ids) {
				c.fail("%d of %d records appeared", len(seen), len(ids))
			}
		}),
		that("TokenIsGoodOnAnotherNode", "R44", needPaging, func(c *C) {
			ids := c.fill(12, "", time.Hour)
			p, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5})
			c.ok(err, "page")
			n := len(p.Records)
			other := c.second()
			for next := p.Next; next != ""; next = p.Next {
				p, err = other.Page(c.ctx(), c.now, driver.Query{Limit: 5, After: next})
				c.ok(err, "page on another node")
				n += len(p.Records)
			}
			if n != len(ids) {
				c.fail("both nodes list %d records together, want %d", n, len(ids))
			}
		}),
		that("TokenIsGoodTwice", "R44", needPaging, func(c *C) {
			c.fill(12, "", time.Hour)
			p, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5})
			c.ok(err, "page")
			for p.Next != "" && len(p.Records) == 0 {
				p, err = c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5, After: p.Next})
				c.ok(err, "page")
			}
			var first driver.Page
			for i := range 2 {
				again, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5, After: p.Next})
				c.ok(err, "page")
				if i == 0 {
					first = again
					continue
				}
				if len(first.Records) != len(again.Records) || first.Next != again.Next {
					c.fail("the same token returned %d records, then %d", len(first.Records), len(again.Records))
				}
			}
		}),
		that("AfterAnInventedTokenIsInvalid", "R45", needPaging, func(c *C) {
			c.fill(3, "", time.Hour)
			for _, token := range []string{"x", "nonsense", "!!!", "AAAA", "eyJhIjoxfQ==", "../../etc/passwd", "\x00", "-1", "é"} {
				_, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 5, After: token})
				c.is(err, model.ErrInvalid, "page after %q", token)
			}
		}),
		that("OfKeysOnlyLeavesOutTheValues", "R48", needPaging, func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.list(driver.Query{KeysOnly: true})["a"]
			c.sameHead(got, r)
			if got.Value != nil {
				c.fail("the listing of keys has the value %q, want none", got.Value)
			}
		}),
		that("OfKeysOnlyIsEnoughToDeleteAtTheRevision", "R48 R39", needPaging, func(c *C) {
			c.put(c.labelled("a", "value", "ann", time.Hour))
			got := c.list(driver.Query{KeysOnly: true})["a"]
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: got}), "delete at the listed revision")
			c.gone("a")
		}),
		that("WithALimitBelowOneIsInvalid", "R91", needPaging, func(c *C) {
			c.fill(3, "", time.Hour)
			for _, limit := range []int{0, -1, math.MinInt} {
				p, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: limit})
				c.is(err, model.ErrInvalid, "page with the limit %d", limit)
				if len(p.Records) > 0 || p.Next != "" {
					c.fail("the page with the limit %d has %d records and the token %q, want none", limit, len(p.Records), p.Next)
				}
				_, err = c.b.Page(c.ctx(), c.now, driver.Query{Limit: limit, KeysOnly: true})
				c.is(err, model.ErrInvalid, "page of keys with the limit %d", limit)
			}
		}),
		that("SkipsExpiredRecords", "R2 R43", needPaging, func(c *C) {
			for i := range 40 {
				life := time.Hour
				if i%2 == 0 {
					life = time.Minute
				}
				c.put(c.rec(fmt.Sprint("id", i), "v", life))
			}
			c.advance(time.Minute)
			if got := c.list(driver.Query{Limit: 3}); len(got) != 20 {
				c.fail("%d records are listed, want 20", len(got))
			}
		}),
		that("LeavesOutWhatExpiresBetweenPages", "R2 R42", needPaging, func(c *C) {
			for i := range 20 {
				life := time.Minute
				if i%2 == 0 {
					life = time.Hour
				}
				c.put(c.rec(fmt.Sprintf("id%02d", i), "v", life))
			}
			seen := map[string]bool{}
			q := driver.Query{Limit: 3}
			for page := range 40 { // more are a listing without an end
				p, err := c.b.Page(c.ctx(), c.now, q)
				c.ok(err, "page")
				for _, r := range p.Records {
					if r.Expired(c.now) {
						c.fail("page %d lists %q, which expired at %v, at %v", page, r.ID, r.ExpiresAt, c.now)
					}
					seen[r.ID] = true
				}
				if q.After = p.Next; p.Next == "" {
					break
				}
				c.now = c.now.Add(time.Minute)
			}
			for i := 0; i < 20; i += 2 {
				if id := fmt.Sprintf("id%02d", i); !seen[id] {
					c.fail("%q is not listed, which lives longer than the listing took", id)
				}
			}
		}),
	)
}
