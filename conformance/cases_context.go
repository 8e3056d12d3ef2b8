package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func contextCases() []Case {
	return group("Context",
		that("EndedBeforeTheCallReturnsItsErrorAlone", "R9", needPaging|needSweep, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			ctx, cancel := context.WithCancel(c.ctx())
			cancel()
			_, get := c.b.Get(ctx, c.now, driver.Get{ID: "a"})
			_, create := c.b.Write(ctx, c.now, driver.Write{Record: c.rec("b", "1", time.Hour), Cond: driver.IfAbsent})
			_, update := c.b.Write(ctx, c.now, driver.Write{Record: c.rec("a", "2", time.Hour), Cond: driver.IfPresent})
			_, touch := c.b.Touch(ctx, c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(3 * time.Hour)})
			_, page := c.b.Page(ctx, c.now, driver.Query{Limit: 1})
			_, sweep := c.b.DeleteExpired(ctx, driver.Sweep{Before: c.now, Limit: 1})
			for op, err := range map[string]error{
				"Get": get, "create": create, "update": update, "Touch": touch, "Page": page, "DeleteExpired": sweep,
				"Delete": c.b.Delete(ctx, c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}),
			} {
				if !errors.Is(err, context.Canceled) {
					c.fail("%s: got %v, want %v", op, err, context.Canceled)
				}
				if kind := model.Kind(err); kind != nil {
					c.fail("%s: %v matches %v, want the context's error alone", op, err, kind)
				}
			}
			c.holds(r)
			c.gone("b")
		}),
		that("EndedBeforeACallOfTheStoreReturnsItsErrorAlone", "R9", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			ctx, cancel := context.WithDeadline(c.ctx(), time.Unix(1, 0))
			defer cancel()
			_, create := s.Create(ctx, "a", doc{}, nil)
			_, many := s.GetMany(ctx, []string{"a"})
			_, bulk := s.Bulk(ctx, []expiry.Op[doc]{{Kind: expiry.OpCreate, ID: "a"}})
			_, byLabel := s.DeleteByLabel(ctx, "principal", "x")
			for op, err := range map[string]error{"Create": create, "GetMany": many, "Bulk": bulk, "DeleteByLabel": byLabel, "Ping": s.Ping(ctx)} {
				if !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
					c.fail("%s: got %v, want %v alone", op, err, context.DeadlineExceeded)
				}
			}
			c.gone("a")
		}),
		that("CanceledMidwayLeavesAWholeRecord", "R10 R23", needNothing, func(c *C) {
			// Whenever the context ends, the record is stored with its expiry or not
			// at all, and the error says which is possible.
			for i := range 20 {
				id := fmt.Sprint("id", i)
				ctx, cancel := context.WithCancel(c.ctx())
				r := c.rec(id, strings.Repeat("v", 4096), time.Hour)
				done := make(chan error, 1)
				go func() {
					_, err := c.b.Write(ctx, c.now, driver.Write{Record: r.Clone(), Cond: driver.IfAbsent})
					done <- err
				}()
				for range i * 50 {
					_ = model.NewRevision()
				}
				cancel()
				err := <-done
				switch {
				case err == nil:
					c.holds(r)
				case !errors.Is(err, context.Canceled):
					c.fail("a canceled create: got %v, want %v", err, context.Canceled)
				case model.Kind(err) == nil:
					c.gone(id)
				default:
					c.is(err, model.ErrUnknown, "a canceled create")
					if got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: id}); err == nil {
						c.sameHead(got, r)
					}
				}
			}
		}),
		that("EndedBeforeABatchReturnsItsErrorAloneForEachItem", "R9 R89 R87", needLabels, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			d := c.put(c.rec("d", "1", time.Hour))
			ctx, cancel := context.WithCancel(c.ctx())
			cancel()
			out := driver.WriteMany(ctx, c.b, c.now, []driver.BatchOp{
				{Write: &driver.Write{Record: c.rec("b", "1", time.Hour), Cond: driver.IfAbsent}},
				{Write: &driver.Write{Record: c.rec("a", "2", time.Hour), Cond: driver.IfMatch, Known: r}},
				{Write: &driver.Write{Record: c.rec("e", "2", time.Hour), Cond: driver.IfAny}},
				{Delete: &driver.Delete{ID: "d", Cond: driver.IfMatch, Known: d}},
			})
			out = append(out, driver.GetMany(ctx, c.b, c.now, driver.Gets("a", "nobody"))...)
			for i, o := range out {
				if !errors.Is(o.Err, context.Canceled) || model.Kind(o.Err) != nil {
					c.fail("result %d: got %v, want %v alone", i, o.Err, context.Canceled)
				}
			}
			_, count := driver.Count(ctx, c.b, c.now, driver.Query{Label: ""})
			_, byLabel := driver.Count(ctx, c.b, c.now, driver.Query{Label: "principal", Value: "ann"})
			_, labelled := c.b.Page(ctx, c.now, driver.Query{Label: "principal", Value: "ann", Limit: 1})
			for op, err := range map[string]error{"Count": count, "Count by label": byLabel, "Page by label": labelled} {
				if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
					c.fail("%s: got %v, want %v alone", op, err, context.Canceled)
				}
			}
			c.holds(r)
			c.holds(d)
			c.gone("b")
			c.gone("e")
		}),
		that("DeadlineBeforeTheCallReturnsItsErrorAlone", "R9", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			ctx, cancel := context.WithDeadline(c.ctx(), time.Unix(1, 0))
			defer cancel()
			for _, w := range everyWrite(c, r) {
				if err := w.do(ctx, c.b); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
					c.fail("%s: got %v, want %v alone", w.name, err, context.DeadlineExceeded)
				}
			}
			c.holds(r)
			c.gone("a-new")
		}),
		that("CanceledMidwayLeavesWhatItsErrorSays", "R10 R28 R34", needNothing, func(c *C) {
			// Each kind of write is canceled at several moments. The stored record
			// is the one before or the one after. It is the one before if the error
			// is the context's alone.
			for round := range 6 {
				for k := range everyWrite(c, model.Record{}) {
					r := c.put(c.labelled(fmt.Sprint("id", round, "-", k), "before", "ann", time.Hour))
					w := everyWrite(c, r)[k]
					ctx, cancel := context.WithCancel(c.ctx())
					done := make(chan error, 1)
					go func() { done <- w.do(ctx, c.b) }()
					for range round * 100 {
						_ = model.NewRevision()
					}
					cancel()
					c.fitsCancel(<-done, w, r)
				}
			}
		}),
		that("CanceledMidwayAReadReturnsItsErrorOrTheAnswer", "R1 R11", needLabels, func(c *C) {
			ids := c.fill(60, "ann", time.Hour)
			for round := range 8 {
				ctx, cancel := context.WithCancel(c.ctx())
				reads := []func() error{
					func() error { _, err := c.b.Get(ctx, c.now, driver.Get{ID: ids[round]}); return err },
					func() error { _, err := c.b.Page(ctx, c.now, driver.Query{Limit: 50}); return err },
					func() error {
						_, err := c.b.Page(ctx, c.now, driver.Query{Label: "principal", Value: "ann", Limit: 50})
						return err
					},
					func() error {
						_, err := driver.Count(ctx, c.b, c.now, driver.Query{Label: "principal", Value: "ann"})
						return err
					},
					func() error {
						for _, o := range driver.GetMany(ctx, c.b, c.now, driver.Gets(ids...)) {
							if o.Err != nil {
								return o.Err
							}
						}
						return nil
					},
					func() error {
						for range round * 100 {
							_ = model.NewRevision()
						}
						cancel()
						return nil
					},
				}
				for i, err := range c.concurrently(len(reads), func(i int) error { return reads[i]() }) {
					// A connection that was cut for a canceled call may make the call
					// unavailable too. A stored record is never ErrNotFound.
					if err != nil && !errors.Is(err, context.Canceled) {
						c.fail("read %d: got %v, want %v", i, err, context.Canceled)
					}
					if kind := model.Kind(err); kind != nil {
						c.is(err, model.ErrUnavailable, "read %d", i)
					}
				}
				cancel()
			}
			c.bear("ann", ids...)
		}),
		that("CanceledWhileASweepAnnouncesKeepsTheRest", "R9 R10 R50", needSweep, func(c *C) {
			c.fill(40, "ann", time.Minute)
			c.advance(time.Minute)
			ctx, cancel := context.WithCancel(c.ctx())
			n := 0
			s, err := c.b.DeleteExpired(ctx, driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(model.Record) error {
				if n++; n == 20 {
					cancel()
				}
				return nil
			}})
			cancel()
			if err == nil && s.Removed != 40 {
				c.fail("a canceled sweep returned no error and removed %d records, want all 40", s.Removed)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				c.fail("a canceled sweep: got %v, want %v", err, context.Canceled)
			}
			rest := c.sweep(100)
			if sum := s.Removed + rest; sum > 40 || sum+s.Unknown < 40 {
				c.fail("the canceled sweep removed %d records, with %d unknown, and the next one %d; want 40 in all", s.Removed, s.Unknown, rest)
			}
			c.bear("ann")
		}),
		that("EndsEachCallInTimeIfTheServerStalls", "R94", needStall|needSweep|needPaging, func(c *C) {
			c.node(c.name + "-stalled") // deletes the storage in the end
			b := c.unmade(c.name + "-stalled")
			r := c.labelled("a", "1", "ann", time.Hour)
			_, err := b.Write(c.ctx(), c.now, driver.Write{Record: r, Cond: driver.IfAbsent})
			c.ok(err, "create")
			resume := c.h.Stall(c.TB, b)
			defer resume()
			calls := everyWrite(c, r)
			read := func(name string, do func(context.Context, driver.ModelExpirySupport) error) {
				calls = append(calls, aWrite{name: name, do: do})
			}
			read("get", func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Get(ctx, c.now, driver.Get{ID: "a"})
				return err
			})
			read("get of many", func(ctx context.Context, b driver.ModelExpirySupport) error {
				return driver.GetMany(ctx, b, c.now, driver.Gets("a", "b", "c"))[0].Err
			})
			read("page", func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Page(ctx, c.now, driver.Query{Limit: 10})
				return err
			})
			read("sweep", func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.DeleteExpired(ctx, driver.Sweep{Before: c.now, Limit: 10})
				return err
			})
			for _, w := range calls {
				c.endsInTime(w, b)
			}
		}),
		that("EndedDuringAMutationEndsIt", "R9 R72", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			ctx, cancel := context.WithCancel(c.ctx())
			_, err = s.Mutate(ctx, "a", func(d *doc) error { d.N++; cancel(); return nil }, nil)
			if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
				c.fail("mutate whose context ended before the write: got %v, want %v alone", err, context.Canceled)
			}
			if got := c.get("a"); got.Revision != it.Revision {
				c.fail("a mutation was written after its context ended")
			}
		}),
	)
}

// aWrite is one kind of write of a stored record, and the record that it
// leaves.
type aWrite struct {
	name  string
	after model.Record // without a revision if nothing is left
	do    func(context.Context, driver.ModelExpirySupport) error
}

// everyWrite returns a write of each kind. All except the create write r. They
// change the label if r has one.
func everyWrite(c *C, r model.Record) []aWrite {
	next := func(id, value string) model.Record {
		if len(r.Labels) > 0 {
			return c.labelled(id, value, "bob", time.Hour)
		}
		return c.rec(id, value, time.Hour)
	}
	write := func(name string, cond driver.Condition, after model.Record) aWrite {
		return aWrite{name, after, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w := driver.Write{Record: after.Clone(), Cond: cond}
			if cond == driver.IfMatch {
				w.Known = r
			}
			_, err := b.Write(ctx, c.now, w)
			return err
		}}
	}
	touched := r.Clone()
	touched.ExpiresAt = c.in(2 * time.Hour)
	deleted := model.Record{ID: r.ID}
	batched := next(r.ID, "batched")
	return []aWrite{
		write("create", driver.IfAbsent, next(r.ID+"-new", "created")),
		write("update", driver.IfPresent, next(r.ID, "updated")),
		write("compare-and-set", driver.IfMatch, next(r.ID, "compared")),
		write("upsert", driver.IfAny, next(r.ID, "upserted")),
		{"touch", touched, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: touched.ExpiresAt, Known: r})
			return err
		}},
		{"delete", deleted, func(ctx context.Context, b driver.ModelExpirySupport) error {
			return b.Delete(ctx, c.now, driver.Delete{ID: r.ID, Cond: driver.IfPresent, Known: r})
		}},
		{"delete at the revision", deleted, func(ctx context.Context, b driver.ModelExpirySupport) error {
			return b.Delete(ctx, c.now, driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: r})
		}},
		{"batch", batched, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w := driver.Write{Record: batched.Clone(), Cond: driver.IfMatch, Known: r}
			return driver.WriteMany(ctx, b, c.now, []driver.BatchOp{{Write: &w}})[0].Err
		}},
	}
}

// fitsCancel stops the case unless the stored record fits the error of a
// canceled write.
func (c *C) fitsCancel(err error, w aWrite, before model.Record) {
	c.Helper()
	leftBefore := func() {
		c.Helper()
		if w.after.ID != before.ID {
			c.gone(w.after.ID)
		}
		c.holds(before)
	}
	leftAfter := func() {
		c.Helper()
		if w.after.Revision.IsZero() {
			c.gone(w.after.ID)
			return
		}
		c.holds(w.after)
	}
	switch {
	case err == nil:
		leftAfter()
	case !errors.Is(err, context.Canceled):
		c.fail("a canceled %s: got %v, want %v", w.name, err, context.Canceled)
	case model.Kind(err) == nil:
		leftBefore()
	default:
		c.is(err, model.ErrUnknown, "a canceled %s", w.name)
		// The write may still arrive, so a single read proves nothing. What it
		// returns is one of the two records.
		got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: w.after.ID})
		switch {
		case err != nil:
			c.is(err, model.ErrNotFound, "get after a canceled %s", w.name)
		case got.Revision != w.after.Revision && got.Revision != before.Revision:
			c.fail("a canceled %s left the revision %v, want %v or %v", w.name, got.Revision, before.Revision, w.after.Revision)
		}
	}
}

// endsInTime stops the case unless the call ends within 100 ms of its deadline.
// A call that a busy machine delayed is made again: one that ignores its
// deadline is late each time.
func (c *C) endsInTime(w aWrite, b driver.ModelExpirySupport) {
	c.Helper()
	const deadline, grace = 50 * time.Millisecond, 100 * time.Millisecond
	var late time.Duration
	for range 10 {
		began := time.Now()
		ctx, cancel := context.WithTimeout(c.ctx(), deadline)
		err := w.do(ctx, b)
		late = time.Since(began) - deadline
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			c.fail("%s on a server that does not answer: got %v, want %v", w.name, err, context.DeadlineExceeded)
		}
		if late <= grace {
			return
		}
	}
	c.fail("%s ended %v after its deadline, want at most %v", w.name, late, grace)
}
