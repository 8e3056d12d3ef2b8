package conformance

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// request is a call of one method of a backend.
type request struct {
	name string
	want error // what an invalid request returns; nil means the request is valid
	do   func(ctx context.Context, b driver.ModelExpirySupport) error
}

// invalidOps returns batch operations that are invalid, and their errors.
func (c *C) invalidOps() (ops []driver.BatchOp, wants []error) {
	add := func(op driver.BatchOp, want error) { ops, wants = append(ops, op), append(wants, want) }
	add(writing(c.rec("no-condition", "1", time.Hour), 0, model.Record{}), model.ErrInvalid)
	add(writing(c.rec("no-known-revision", "1", time.Hour), driver.IfMatch, model.Record{}), model.ErrInvalid)
	keep := writing(c.rec("keep", "1", time.Hour), driver.IfAny, model.Record{})
	keep.Write.Keep.Expiry = true
	add(keep, model.ErrInvalid)
	noRevision := writing(c.rec("no-revision", "1", time.Hour), driver.IfAny, model.Record{})
	noRevision.Write.Record.Revision = model.Revision{}
	add(noRevision, model.ErrInvalid)
	if c.has(driver.FeatureLabels) {
		label := writing(c.rec("undeclared-label", "1", time.Hour), driver.IfAny, model.Record{})
		label.Write.Record.Labels = map[string]string{"undeclared": "x"}
		add(label, model.ErrInvalid)
	}
	if limit := c.b.Describe().MaxValue; limit > 0 && limit <= 4<<20 {
		add(writing(c.rec("too-large", strings.Repeat("x", limit+1), time.Hour), driver.IfAny, model.Record{}), model.ErrTooLarge)
	}
	add(removing("delete-under-any-condition", driver.IfAny, model.Record{}), model.ErrInvalid)
	add(removing("delete-without-known-revision", driver.IfMatch, model.Record{}), model.ErrInvalid)
	return ops, wants
}

// invalidRequests returns a call of each method with each kind of invalid
// request. GetMany and Get have none: the caller validates ids.
func (c *C) invalidRequests() []request {
	var all []request
	add := func(name string, want error, do func(context.Context, driver.ModelExpirySupport) error) {
		all = append(all, request{name, want, do})
	}
	ops, wants := c.invalidOps()
	for i, op := range ops {
		if op.Write != nil {
			add("Write "+op.ID(), wants[i], func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Write(ctx, c.now, *op.Write)
				return err
			})
			continue
		}
		add("Delete "+op.ID(), wants[i], func(ctx context.Context, b driver.ModelExpirySupport) error {
			return b.Delete(ctx, c.now, *op.Delete)
		})
	}
	for name, t := range map[string]driver.Touch{
		"Touch without a mode":    {ID: "a", ExpiresAt: c.in(time.Hour)},
		"Touch without an expiry": {ID: "a", Mode: driver.TouchSet},
	} {
		add(name, model.ErrInvalid, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, c.now, t)
			return err
		})
	}
	queries := map[string]driver.Query{"with a value but no label": {Value: "x", Limit: 1}}
	if c.has(driver.FeatureLabels) {
		queries["by an undeclared label"] = driver.Query{Label: "undeclared", Value: "x", Limit: 1}
	}
	if c.has(driver.FeaturePaging) {
		for name, q := range queries {
			add("Count "+name, model.ErrInvalid, func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := driver.Count(ctx, b, c.now, q)
				return err
			})
		}
		queries["without a limit"] = driver.Query{}
		queries["after an invented token"] = driver.Query{Limit: 1, After: "invented"}
		for name, q := range queries {
			add("Page "+name, model.ErrInvalid, func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Page(ctx, c.now, q)
				return err
			})
		}
	}
	if c.has(driver.FeatureSweep) {
		add("DeleteExpired without a limit", model.ErrInvalid, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: c.now})
			return err
		})
	}
	return all
}

// validRequests returns a valid call of each method, with the record "a".
func (c *C) validRequests(b driver.ModelExpirySupport) []request {
	a := c.rec("a", "2", time.Hour)
	all := []request{
		{"Get", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Get(ctx, c.now, driver.Get{ID: "a"})
			return err
		}},
		{"Stat", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := driver.GetStat(ctx, b, c.now, driver.Get{ID: "a"})
			return err
		}},
		{"Write", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Write(ctx, c.now, driver.Write{Record: a.Clone(), Cond: driver.IfAny})
			return err
		}},
		{"Touch", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, c.now, driver.Touch{ID: "a", Mode: driver.TouchClear})
			return err
		}},
		{"Delete", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			return b.Delete(ctx, c.now, driver.Delete{ID: "a", Cond: driver.IfPresent})
		}},
		{"GetMany", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			return driver.GetMany(ctx, b, c.now, driver.Gets("a"))[0].Err
		}},
		{"WriteMany", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			return driver.WriteMany(ctx, b, c.now, []driver.BatchOp{removing("a", driver.IfPresent, model.Record{})})[0].Err
		}},
		{"Ping", nil, func(ctx context.Context, b driver.ModelExpirySupport) error { return driver.Ping(ctx, b, c.now) }},
	}
	if c.has(driver.FeaturePaging) {
		all = append(all,
			request{"Page", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Page(ctx, c.now, driver.Query{Limit: 1})
				return err
			}},
			request{"Count", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := driver.Count(ctx, b, c.now, driver.Query{})
				return err
			}})
	}
	if c.has(driver.FeatureSweep) {
		all = append(all, request{"DeleteExpired", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: c.now, Limit: 1})
			return err
		}})
	}
	if m, ok := storageManager(b); ok {
		all = append(all,
			request{"CreateStorage", nil, func(ctx context.Context, _ driver.ModelExpirySupport) error { return m.CreateStorage(ctx) }},
			request{"DeleteStorage", nil, func(ctx context.Context, _ driver.ModelExpirySupport) error { return m.DeleteStorage(ctx) }})
	}
	return all
}

// storageManager returns b as a StorageManager, if it is one. A wrapper is one
// if the backend that it wraps is.
func storageManager(b driver.ModelExpirySupport) (driver.StorageManager, bool) {
	m, _ := b.(driver.StorageManager)
	return m, implements[driver.StorageManager](b)
}

// implements reports whether the backend has the optional interface. A wrapper
// has it if the backend that it wraps has it: driverkit.Wrapper and Lossy have
// all methods, and do for one that lacks them what expiry.Store would do.
func implements[I any](b driver.ModelExpirySupport) bool {
	for {
		if _, ok := b.(I); !ok {
			return false
		}
		w, wraps := b.(driver.Unwrapper)
		if !wraps {
			return true
		}
		b = w.Unwrap()
	}
}

// ended returns a context that was canceled.
func (c *C) ended() context.Context {
	ctx, cancel := context.WithCancel(c.ctx())
	cancel()
	return ctx
}

// onlyCanceled stops the case unless err is the error of the ended context and
// matches no sentinel.
func (c *C) onlyCanceled(err error, what string) {
	c.Helper()
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		c.fail("%s: got %v, want %v alone", what, err, context.Canceled)
	}
}

// onlyInvalid stops the case unless err is the error that the invalid request
// returns and does not match the error of the ended context.
func (c *C) onlyInvalid(err, want error, what string) {
	c.Helper()
	c.is(err, want, "%s", what)
	if errors.Is(err, context.Canceled) {
		c.fail("%s: got %v, want %v without the context's error", what, err, want)
	}
}

func orderCases() []Case {
	return group("Order",
		that("AnInvalidRequestComesBeforeAnEndedContext", "R90", needNothing, func(c *C) {
			for _, r := range c.invalidRequests() {
				c.onlyInvalid(r.do(c.ended(), c.b), r.want, r.name+" with an ended context")
			}
		}),
		that("AnInvalidRequestComesBeforeAClosedBackend", "R90 R59", needNothing, func(c *C) {
			b := c.second()
			c.ok(b.Close(), "close")
			for _, r := range c.invalidRequests() {
				c.onlyInvalid(r.do(c.ctx(), b), r.want, r.name+" after Close")
				c.onlyInvalid(r.do(c.ended(), b), r.want, r.name+" after Close with an ended context")
			}
		}),
		that("AnEndedContextComesBeforeAClosedBackend", "R90 R9 R59", needNothing, func(c *C) {
			a := c.put(c.rec("a", "1", time.Hour))
			b := c.second()
			valid := c.validRequests(b)
			c.ok(b.Close(), "close")
			for _, r := range valid {
				c.onlyCanceled(r.do(c.ended(), b), r.name+" after Close with an ended context")
				c.is(r.do(c.ctx(), b), model.ErrClosed, "%s after Close", r.name)
			}
			c.holds(a)
		}),
		that("OfABatchHoldsForEachItem", "R90 R88 R89", needNothing, func(c *C) {
			// Between the invalid operations stand valid ones, which return the
			// error of the context or of the closed backend.
			a := c.put(c.rec("a", "1", time.Hour))
			invalid, wants := c.invalidOps()
			var ops []driver.BatchOp
			for _, op := range invalid {
				valid := removing("a", driver.IfPresent, model.Record{})
				if len(ops) > 0 {
					valid = writing(c.rec("valid-for-"+op.ID(), "1", time.Hour), driver.IfAny, model.Record{})
				}
				ops = append(ops, valid, op)
			}
			b := c.second()
			check := func(ctx context.Context, situation string, isValid func(error, string)) {
				c.Helper()
				out := driver.WriteMany(ctx, b, c.now, ops)
				if len(out) != len(ops) {
					c.fail("%d results for %d operations", len(out), len(ops))
				}
				for i, o := range out {
					if i%2 == 0 {
						isValid(o.Err, "a valid operation "+situation)
						continue
					}
					c.onlyInvalid(o.Err, wants[i/2], ops[i].ID()+" "+situation)
				}
			}
			check(c.ended(), "with an ended context", c.onlyCanceled)
			c.ok(b.Close(), "close")
			check(c.ctx(), "after Close", func(err error, what string) { c.is(err, model.ErrClosed, "%s", what) })
			check(c.ended(), "after Close with an ended context", c.onlyCanceled)
			c.holds(a)
			for _, op := range ops[1:] {
				c.gone(op.ID())
			}
		}),
	)
}
