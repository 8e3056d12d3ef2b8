package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// errCut is the error of a client library whose connection broke.
var errCut = errors.New("the connection broke")

// unsent returns an interceptor that loses the request of the first write:
// nothing reaches the store. It forwards later writes.
func unsent(c *C, b driver.ModelExpirySupport, sent *int) *interceptor {
	return &interceptor{Wrapper: driverkit.Wrap(b), instead: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
		if *sent++; *sent == 1 {
			return model.Record{}, model.NewError(model.ErrUnknown, "the request was lost", errCut)
		}
		return c.b.Write(ctx, now, w)
	}}
}

// deliveryCases need no function of the harness. The interceptor decides what
// happens between the Store and the backend.
func deliveryCases() []Case {
	return group("Delivery",
		that("LostRequestOfACompareAndSetIsSentOnceMore", "R67 R12", needNothing, func(c *C) {
			_, at := c.start()
			sent := 0
			it, err := storeOn[doc](c, unsent(c, c.b, &sent), nil).Update(c.ctx(), "a", doc{N: 2}, at)
			c.ok(err, "compare-and-set whose request was lost")
			if got := c.get("a"); got.Revision != it.Revision || sent != 2 {
				c.fail("the write was sent %d times, returned the revision %v and stored %v; want 2 times and the same revision", sent, it.Revision, got.Revision)
			}
		}),
		that("LostRequestOfAnotherWriteIsUnknownAndNotRepeated", "R67 R12", needNothing, func(c *C) {
			r, _ := c.start()
			for what, do := range map[string]func(*expiry.Store[doc]) error{
				"create": func(s *expiry.Store[doc]) error { _, err := s.Create(c.ctx(), "b", doc{}, nil); return err },
				"update": func(s *expiry.Store[doc]) error { _, err := s.Update(c.ctx(), "a", doc{N: 2}, nil); return err },
				"upsert": func(s *expiry.Store[doc]) error { _, err := s.Upsert(c.ctx(), "a", doc{N: 2}, nil); return err },
			} {
				sent := 0
				err := do(storeOn[doc](c, unsent(c, c.b, &sent), nil))
				c.is(err, model.ErrUnknown, "%s whose request was lost", what)
				if !errors.Is(err, errCut) {
					c.fail("%s: got %v, want an error that wraps %v", what, err, errCut)
				}
				if sent != 1 {
					c.fail("%s was sent %d times, want once", what, sent)
				}
			}
			c.holds(r)
			c.gone("b")
		}),
		that("LateCompareAndSetSucceedsOnce", "R67 R27 R20", needNothing, func(c *C) {
			// The first request arrives after the Store's read and just before the
			// second request. One of the two matches, and the conflict returns the
			// other as the winner.
			_, at := c.start()
			var first driver.Write
			sent := 0
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), instead: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				if sent++; sent == 1 {
					first = w
					first.Record = w.Record.Clone()
					return model.Record{}, model.NewError(model.ErrUnknown, "the request is still on its way", errCut)
				}
				_, err := c.b.Write(ctx, now, first)
				c.ok(err, "the late arrival")
				return c.b.Write(ctx, now, w)
			}}
			it, err := storeOn[doc](c, b, nil).Update(c.ctx(), "a", doc{N: 2}, at)
			c.ok(err, "compare-and-set that arrived late")
			if got := c.get("a"); got.Revision != it.Revision || got.Revision != first.Record.Revision {
				c.fail("the write returned the revision %v and stored %v, want %v", it.Revision, got.Revision, first.Record.Revision)
			}
		}),
		that("AppliedBeforeTheCancelIsRecognised", "R67 R10", needNothing, func(c *C) {
			// The context ends after the write was applied. The Store's read has a
			// time limit of its own.
			ctx, cancel := context.WithCancel(c.ctx())
			defer cancel()
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), instead: func(_ context.Context, now time.Time, w driver.Write) (model.Record, error) {
				_, err := c.b.Write(c.ctx(), now, w)
				c.ok(err, "write")
				cancel()
				return model.Record{}, model.NewError(model.ErrUnknown, "canceled midway", ctx.Err())
			}}
			it, err := storeOn[doc](c, b, nil).Create(ctx, "a", doc{N: 1}, nil)
			c.ok(err, "create whose caller canceled after it was applied")
			if got := c.get("a"); got.Revision != it.Revision {
				c.fail("the write returned the revision %v and stored %v, want the same", it.Revision, got.Revision)
			}
		}),
		that("LostRequestOfACanceledCallIsNotRepeated", "R67 R10", needNothing, func(c *C) {
			r, at := c.start()
			ctx, cancel := context.WithCancel(c.ctx())
			defer cancel()
			sent := 0
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), instead: func(_ context.Context, now time.Time, w driver.Write) (model.Record, error) {
				if sent++; sent == 1 {
					cancel()
					return model.Record{}, model.NewError(model.ErrUnknown, "canceled midway", ctx.Err())
				}
				return c.b.Write(c.ctx(), now, w)
			}}
			_, err := storeOn[doc](c, b, nil).Update(ctx, "a", doc{N: 2}, at)
			c.is(err, model.ErrUnknown, "compare-and-set whose caller canceled")
			if !errors.Is(err, context.Canceled) {
				c.fail("got %v, want an error that matches %v", err, context.Canceled)
			}
			if sent != 1 {
				c.fail("the write was sent %d times, want once", sent)
			}
			c.holds(r)
		}),
		that("UndecidableIsUnknownWithoutARead", "R67", needNothing, func(c *C) {
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), instead: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				_, err := c.b.Write(ctx, now, w)
				c.ok(err, "write")
				return model.Record{}, driver.MarkUndecidable(model.NewError(model.ErrUnknown, "not known to be durable", errCut))
			}}
			_, err := storeOn[doc](c, b, nil).Create(c.ctx(), "a", doc{N: 1}, nil)
			c.is(err, model.ErrUnknown, "create that the backend marks with MarkUndecidable")
			calls := b.calls.Load()
			if calls != 1 {
				c.fail("the Store made %d driver calls, want only the write", calls)
			}
		}),
	)
}
