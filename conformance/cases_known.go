package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// misleading returns what a caller may wrongly know of the record "a".
// Everything is allowed and nothing but the revision may be trusted.
func misleading(c *C, rev model.Revision) map[string]model.Record {
	c.Helper()
	other := c.put(c.labelled("another", "another's", "carol", 3*time.Hour))
	return map[string]model.Record{
		"nothing but the revision":        {Revision: rev},
		"a nonsense server version":       {Revision: rev, ServerVersion: "nonsense"},
		"a long server version":           {Revision: rev, ServerVersion: fmt.Sprintf("%01000d", 7)},
		"another record's server version": {Revision: rev, ServerVersion: other.ServerVersion},
		"another record": {
			ID: other.ID, Revision: rev, ServerVersion: other.ServerVersion, ExpiresAt: other.ExpiresAt,
			Labels: other.Labels, Value: other.Value, Encoding: other.Encoding,
		},
		"an expiry that is past":  {ID: "a", Revision: rev, ExpiresAt: c.in(-time.Hour), Value: []byte("stale"), Encoding: "json"},
		"an expiry far off":       {ID: "a", Revision: rev, ExpiresAt: c.in(1000 * time.Hour), Labels: map[string]string{"principal": "bob"}},
		"another value, encoding": {ID: "a", Revision: rev, ExpiresAt: c.in(time.Hour), Value: []byte{0, 0xff}, Encoding: "gob"},
	}
}

// serverVersion returns the record's present server version.
func (c *C) serverVersion(id string) string { c.Helper(); return c.get(id).ServerVersion }

func knownCases() []Case {
	return group("Known",
		that("DoesNotChangeACompareAndSet", "R21 R19 R23 R24", needNothing, func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			for what, known := range misleading(c, cur.Revision) {
				known.Revision = cur.Revision
				w := driver.Write{Record: c.rec("a", what, 0), Cond: driver.IfMatch, Known: known, Keep: driver.Keep{Expiry: true, Labels: true}}
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "compare-and-set with %s", what)
				w.Record.ExpiresAt, w.Record.Labels = cur.ExpiresAt, cur.Labels
				c.holds(w.Record)
				cur.Revision = w.Record.Revision
			}
			c.bear("ann", "a")
			c.bear("carol", "another")
		}),
		that("NeverReplacesTheRevision", "R21 R19 R39 R28", needNothing, func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			all := misleading(c, model.NewRevision())
			all["the record itself with another revision"] = model.Record{
				ID: "a", Revision: model.NewRevision(), ServerVersion: cur.ServerVersion, ExpiresAt: cur.ExpiresAt, Labels: cur.Labels, Value: cur.Value, Encoding: cur.Encoding,
			}
			for what, known := range all {
				_, err := c.write(c.rec("a", "1", time.Hour), driver.IfMatch, known)
				c.is(err, model.ErrConflict, "compare-and-set at another revision with %s", what)
				c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: known}), model.ErrConflict, "delete at another revision with %s", what)
			}
			c.holds(cur)
		}),
		that("OfAnotherRevisionDecidesOnlyUnderMatch", "R21 R18 R22 R30 R38", needNothing, func(c *C) {
			for what, known := range misleading(c, model.NewRevision()) {
				r := c.rec("of "+what, "0", time.Hour)
				known.ID = r.ID
				_, err := c.write(r, driver.IfAbsent, known)
				c.ok(err, "create that knows %s of another revision", what)
				for _, cond := range []driver.Condition{driver.IfPresent, driver.IfAny} {
					r = c.rec(r.ID, cond.String(), time.Hour)
					_, err = c.write(r, cond, known)
					c.ok(err, "write under %v that knows %s of another revision", cond, what)
					c.holds(r)
				}
				r.ExpiresAt = c.in(2 * time.Hour)
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt, Known: known})
				c.ok(err, "touch that knows %s of another revision", what)
				c.holds(r)
				c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: driver.IfPresent, Known: known}), "delete that knows %s of another revision", what)
				c.gone(r.ID)
			}
		}),
		that("DoesNotChangeATouch", "R21 R30 R31 R34", needNothing, func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			n := 0
			for what, known := range misleading(c, cur.Revision) {
				n++
				until := c.in(time.Hour + time.Duration(n)*time.Minute)
				mode := driver.TouchSet
				if n%2 == 0 {
					mode = driver.TouchExtend
				}
				got, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: mode, ExpiresAt: until, Known: known})
				c.ok(err, "touch with %s", what)
				cur.ExpiresAt = until
				c.sameHead(got, cur)
				c.holds(cur)
			}
		}),
		that("DoesNotChangeADelete", "R21 R38 R39", needNothing, func(c *C) {
			cur := c.put(c.labelled("a", "0", "ann", time.Hour))
			n := 0
			for what, known := range misleading(c, cur.Revision) {
				known.Revision = cur.Revision
				cond := driver.IfMatch
				if n++; n%2 == 0 {
					cond = driver.IfPresent
				}
				c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: cond, Known: known}), "delete under %v with %s", cond, what)
				c.gone("a")
				c.bear("ann")
				cur = c.put(c.labelled("a", "0", "ann", time.Hour))
			}
		}),
		that("FromBeforeATouchStaysValid", "R21 R34", needNothing, func(c *C) {
			// A touch may change the server version. The revision stays.
			stale := c.put(c.labelled("a", "0", "ann", time.Hour))
			stale.ServerVersion = c.serverVersion("a")
			touch := func(i int) time.Time {
				c.Helper()
				until := c.in(time.Hour + time.Duration(i)*time.Minute)
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: until, Known: stale})
				c.ok(err, "touch with a Known from before the previous touch")
				return until
			}
			touch(1)
			until := touch(2)
			next := c.rec("a", "1", 0)
			_, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: next.Clone(), Cond: driver.IfMatch, Known: stale, Keep: driver.Keep{Expiry: true, Labels: true}})
			c.ok(err, "compare-and-set with a Known from before two touches")
			next.ExpiresAt, next.Labels = until, stale.Labels
			c.holds(next)
			next.ServerVersion = c.serverVersion("a")
			stale = next
			touch(3)
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: stale}), "delete with a Known from before a touch")
			c.gone("a")
			c.bear("ann")
		}),
		that("FromBeforeADeleteAndCreateIsAConflict", "R21 R66 R4", needNothing, func(c *C) {
			old := c.put(c.rec("a", "same", time.Hour))
			old.ServerVersion = c.serverVersion("a")
			c.del("a")
			cur := c.put(c.rec("a", "same", time.Hour))
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: old}), model.ErrConflict, "delete at an earlier revision")
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an earlier revision")
			got, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour), Known: old})
			c.ok(err, "touch with an earlier Known")
			cur.ExpiresAt = c.in(2 * time.Hour)
			c.sameHead(got, cur)
			c.holds(cur)
		}),
		that("FromEachAnswerFitsTheNextCall", "R21 R26 R36", needNothing, func(c *C) {
			// Each call is told what the call before returned.
			known, err := c.write(c.labelled("a", "0", "ann", time.Hour), driver.IfAbsent, model.Record{})
			c.ok(err, "create")
			for i := range 3 {
				known, err = c.write(c.labelled("a", fmt.Sprint(i), "ann", time.Hour), driver.IfMatch, known)
				c.ok(err, "compare-and-set with the previous result as Known")
				known, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour), Known: known})
				c.ok(err, "touch with the previous result as Known")
			}
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: known}), "delete with the previous result as Known")
			c.gone("a")
		}),
		that("FromAConflictFitsTheNextCall", "R21 R27", needNothing, func(c *C) {
			old := c.put(c.rec("a", "0", time.Hour))
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			winner, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an old revision")
			next := c.rec("a", "3", time.Hour)
			_, err = c.write(next, driver.IfMatch, winner)
			c.ok(err, "compare-and-set with the winner as Known")
			c.holds(next)
		}),
	)
}
