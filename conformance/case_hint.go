package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// misled is everything that a caller may wrongly believe of a record whose
// revision it knows: all of it lawful, and none of it to be trusted.
func misled(c *C, rev model.Revision) map[string]model.Record {
	c.Helper()
	other := c.put(c.labelled("another", "another's", "carol", 3*time.Hour))
	return map[string]model.Record{
		"nothing but the revision": {Rev: rev},
		"a nonsense hint":          {Rev: rev, Hint: "nonsense"},
		"a long hint":              {Rev: rev, Hint: fmt.Sprintf("%01000d", 7)},
		"another record's hint":    {Rev: rev, Hint: other.Hint},
		"another record": {
			ID: other.ID, Rev: rev, Hint: other.Hint, ExpiresAt: other.ExpiresAt,
			Labels: other.Labels, Value: other.Value, Encoding: other.Encoding,
		},
		"an expiry that is past":  {ID: "a", Rev: rev, ExpiresAt: c.in(-time.Hour), Value: []byte("stale"), Encoding: "json"},
		"an expiry far off":       {ID: "a", Rev: rev, ExpiresAt: c.in(1000 * time.Hour), Labels: map[string]string{"principal": "bob"}},
		"another value, encoding": {ID: "a", Rev: rev, ExpiresAt: c.in(time.Hour), Value: []byte{0, 0xff}, Encoding: "gob"},
	}
}

// hintOf is what the backend says of the record now.
func (c *C) hintOf(id string) string { c.Helper(); return c.get(id).Hint }

func hintCases() []Case {
	return group("Hint",
		that("OfAnyKindLeavesACompareAndSetAsItIs", "R21 R19 R23 R24", func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			for what, prev := range misled(c, cur.Rev) {
				prev.Rev = cur.Rev
				w := expiry.Write{Record: c.rec("a", what, 0), Cond: model.Match, Prev: prev, KeepExpiry: true, KeepLabels: true}
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "compare-and-set with %s", what)
				w.ExpiresAt, w.Labels = cur.ExpiresAt, cur.Labels
				c.holds(w.Record)
				cur.Rev = w.Rev
			}
			c.ids(c.bearers("ann"), "a")
			c.ids(c.bearers("carol"), "another")
		}),
		that("OfAnyKindNeverMakesAWrongRevisionRight", "R21 R19 R39 R28", func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			all := misled(c, model.NewRevision())
			all["the record itself, but for the revision"] = model.Record{
				ID: "a", Rev: model.NewRevision(), Hint: cur.Hint, ExpiresAt: cur.ExpiresAt, Labels: cur.Labels, Value: cur.Value, Encoding: cur.Encoding,
			}
			for what, prev := range all {
				_, err := c.write(c.rec("a", "1", time.Hour), model.Match, prev)
				c.is(err, model.ErrConflict, "compare-and-set at another revision with %s", what)
				c.is(c.b.Delete(c.ctx(), c.now, "a", model.Match, prev), model.ErrConflict, "delete at another revision with %s", what)
			}
			c.holds(cur)
		}),
		that("OfAnyKindLeavesATouchAsItIs", "R21 R30 R31 R34", func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			n := 0
			for what, prev := range misled(c, cur.Rev) {
				n++
				until := c.in(time.Hour + time.Duration(n)*time.Minute)
				mode := expiry.Set
				if n%2 == 0 {
					mode = expiry.Extend
				}
				got, err := c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: mode, ExpiresAt: until, Prev: prev})
				c.ok(err, "touch with %s", what)
				cur.ExpiresAt = until
				c.sameHead(got, cur)
				c.holds(cur)
			}
		}),
		that("OfAnyKindLeavesADeleteAsItIs", "R21 R38 R39", func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			n := 0
			for what, prev := range misled(c, cur.Rev) {
				prev.Rev = cur.Rev
				cond := model.Match
				if n++; n%2 == 0 {
					cond = model.Live
				}
				c.ok(c.b.Delete(c.ctx(), c.now, "a", cond, prev), "delete under %v with %s", cond, what)
				c.gone("a")
				c.ids(c.bearers("ann"))
				cur = c.put(c.labelled("a", "0", "ann", time.Hour))
			}
		}),
		that("FromBeforeATouchIsGoodForAll", "R21 R34", func(c *C) {
			// A touch may change what the server calls the version; the revision
			// stays.
			stale := c.put(c.labelled("a", "0", "ann", time.Hour))
			stale.Hint = c.hintOf("a")
			touch := func(i int) time.Time {
				c.Helper()
				until := c.in(time.Hour + time.Duration(i)*time.Minute)
				_, err := c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: expiry.Set, ExpiresAt: until, Prev: stale})
				c.ok(err, "touch with a prev from before the touch before")
				return until
			}
			touch(1)
			until := touch(2)
			next := c.rec("a", "1", 0)
			_, err := c.b.Write(c.ctx(), c.now, expiry.Write{Record: next.Clone(), Cond: model.Match, Prev: stale, KeepExpiry: true, KeepLabels: true})
			c.ok(err, "compare-and-set with a prev from before two touches")
			next.ExpiresAt, next.Labels = until, stale.Labels
			c.holds(next)
			next.Hint = c.hintOf("a")
			stale = next
			touch(3)
			c.ok(c.b.Delete(c.ctx(), c.now, "a", model.Match, stale), "delete with a prev from before a touch")
			c.gone("a")
			c.ids(c.bearers("ann"))
		}),
		that("FromBeforeADeleteAndCreateIsAConflict", "R21 R66 R4", func(c *C) {
			old := c.put(c.rec("a", "same", time.Hour))
			old.Hint = c.hintOf("a")
			c.del("a")
			cur := c.put(c.rec("a", "same", time.Hour))
			c.is(c.b.Delete(c.ctx(), c.now, "a", model.Match, old), model.ErrConflict, "delete at a revision from before")
			_, err := c.write(c.rec("a", "2", time.Hour), model.Match, old)
			c.is(err, model.ErrConflict, "compare-and-set at a revision from before")
			got, err := c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: expiry.Extend, ExpiresAt: c.in(2 * time.Hour), Prev: old})
			c.ok(err, "touch with a prev from before")
			cur.ExpiresAt = c.in(2 * time.Hour)
			c.sameHead(got, cur)
			c.holds(cur)
		}),
		that("OfEveryAnswerIsGoodForTheNextCall", "R21 R26 R36", func(c *C) {
			// What each call answers is what the next one is told.
			prev, err := c.write(c.labelled("a", "0", "ann", time.Hour), model.Absent, model.Record{})
			c.ok(err, "create")
			for i := range 3 {
				prev, err = c.write(c.labelled("a", fmt.Sprint(i), "ann", time.Hour), model.Match, prev)
				c.ok(err, "compare-and-set with the answer before as prev")
				prev, err = c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: expiry.Set, ExpiresAt: c.in(2 * time.Hour), Prev: prev})
				c.ok(err, "touch with the answer before as prev")
			}
			c.ok(c.b.Delete(c.ctx(), c.now, "a", model.Match, prev), "delete with the answer before as prev")
			c.gone("a")
		}),
		that("OfAConflictsWinnerIsGoodForTheNextCall", "R21 R27", func(c *C) {
			old := c.put(c.rec("a", "0", time.Hour))
			_, err := c.write(c.rec("a", "1", time.Hour), model.Match, old)
			c.ok(err, "compare-and-set")
			winner, err := c.write(c.rec("a", "2", time.Hour), model.Match, old)
			c.is(err, model.ErrConflict, "compare-and-set at an old revision")
			next := c.rec("a", "3", time.Hour)
			_, err = c.write(next, model.Match, winner)
			c.ok(err, "compare-and-set with the winner as prev")
			c.holds(next)
		}),
	)
}
