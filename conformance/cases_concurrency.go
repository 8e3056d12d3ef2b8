package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func concurrencyCases() []Case {
	return group("Concurrency",
		that("ReadersNeverSeeATornRecord", "R1 R13", needLabels, func(c *C) {
			// Each value is one letter, repeated. The label names the letter.
			value := func(i int) model.Record {
				l := string(rune('a' + i%26))
				return c.labelled("a", strings.Repeat(l, 20000), l, time.Hour)
			}
			c.put(value(0))
			for i, err := range c.concurrently(12, func(who int) error {
				for i := range 25 {
					if who < 4 {
						if _, err := c.write(value(who*7+i), driver.IfAny, model.Record{}); err != nil {
							return err
						}
						continue
					}
					r, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
					if err != nil {
						return err
					}
					l := r.Labels["principal"]
					if len(r.Value) != 20000 || l == "" || bytes.Count(r.Value, []byte(l)) != 20000 {
						return fmt.Errorf("the record is torn: %d bytes, label %q, want 20000 bytes of the label's letter", len(r.Value), l)
					}
				}
				return nil
			}) {
				c.ok(err, "goroutine %d", i)
			}
		}),
		that("EverythingAtOnceKeepsItsErrorsTyped", "R11 R62", needLabels|needSweep, func(c *C) {
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			allowed := []error{model.ErrNotFound, model.ErrExists, model.ErrConflict}
			for i, err := range c.concurrently(16, func(who int) error {
				b := nodes[who%2]
				for i := range 30 {
					id := fmt.Sprint("id", (who*5+i*3)%6)
					var err error
					switch (who + i) % 8 {
					case 0:
						_, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.labelled(id, "v", "ann", time.Hour), Cond: driver.IfAbsent})
					case 1:
						_, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.labelled(id, "v", "bob", time.Minute), Cond: driver.IfPresent})
					case 2:
						_, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(id, "v", time.Hour), Cond: driver.IfAny})
					case 3:
						_, err = b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour)})
					case 4:
						err = b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent})
					case 5:
						_, err = b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 3})
					case 6:
						_, err = b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.in(time.Minute), Limit: 3})
					case 7:
						_, err = b.Get(c.ctx(), c.now, driver.Get{ID: id})
					}
					ok := err == nil
					for _, l := range allowed {
						ok = ok || errors.Is(err, l)
					}
					if !ok {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "goroutine %d", i)
			}
			// Afterwards the indexes match the records.
			for id, r := range c.list(driver.Query{}) {
				got := c.get(id)
				c.sameHead(got, r)
				if p := got.Labels["principal"]; p != "" {
					if _, ok := c.bearers(p)[id]; !ok {
						c.fail("%q bears %q and is not listed under it", id, p)
					}
				}
			}
		}),
		that("ManyRecordsByManyWritersAreAllThere", "R1 R42", needLabels, func(c *C) {
			for i, err := range c.concurrently(10, func(who int) error {
				for i := range 20 {
					if _, err := c.write(c.labelled(fmt.Sprint(who, "-", i), "v", fmt.Sprint("p", who), time.Hour), driver.IfAbsent, model.Record{}); err != nil {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "writer %d", i)
			}
			if n := len(c.list(driver.Query{Limit: 50})); n != 200 {
				c.fail("%d records are listed, want 200", n)
			}
			for who := range 10 {
				if n := len(c.bearers(fmt.Sprint("p", who))); n != 20 {
					c.fail("%d records of writer %d are listed, want 20", n, who)
				}
			}
		}),
		that("DeletedUnderAListingIsNoError", "R42 R46", needLabels, func(c *C) {
			for i, err := range c.concurrently(4, func(who int) error {
				for i := range 15 {
					id := fmt.Sprint("id", i)
					switch who {
					case 0:
						_, err := c.write(c.labelled(id, "v", "ann", time.Hour), driver.IfAny, model.Record{})
						if err != nil {
							return err
						}
					case 1:
						if err := c.b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil && !errors.Is(err, model.ErrNotFound) {
							return err
						}
					default:
						q := driver.Query{Limit: 4}
						if who == 3 {
							q.Label, q.Value = "principal", "ann"
						}
						p, err := c.b.Page(c.ctx(), c.now, q)
						if err != nil {
							return err
						}
						if len(p.Corrupt) > 0 {
							return fmt.Errorf("Page.Corrupt names %q, want none", p.Corrupt)
						}
					}
				}
				return nil
			}) {
				c.ok(err, "goroutine %d", i)
			}
		}),
	)
}
