package conformance

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// leakLabel marks the goroutines of a case. A goroutine inherits the labels of
// the one that started it, so other goroutines of the process have other
// labels.
const leakLabel = "sojourn.conformance.leak"

// leftOver returns the stacks of the goroutines with the mark.
func leftOver(mark string) []string {
	var b bytes.Buffer
	if p := pprof.Lookup("goroutine"); p != nil {
		_ = p.WriteTo(&b, 1) // a buffer returns no error
	}
	var out []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(stack, mark) {
			continue
		}
		// The idle connections of an HTTP client that the backend did not open may
		// stay.
		if strings.Contains(stack, "net/http.(*persistConn).") || strings.Contains(stack, "net/http.(*http2ClientConn).") {
			continue
		}
		out = append(out, stack)
	}
	return out
}

// cycle opens a backend, uses it and closes it, all under a mark. It returns
// the goroutines that are left after they had time to end.
func (c *C) cycle(use func(*C)) []string {
	c.Helper()
	mark := freshName()
	pprof.Do(c.ctx(), pprof.Labels(leakLabel, mark), func(context.Context) {
		s := &deferred{TB: c.TB}
		defer s.run()
		in := &C{TB: s, h: c.h, cs: c.cs, name: freshName(), now: c.now}
		in.b = in.node(in.name)
		use(in)
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	wait := c.h.leakWait
	if wait == 0 {
		wait = 10 * time.Second
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		left := leftOver(mark)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return left
		}
	}
}

// noLeak runs up to three cycles until one leaves nothing. The first one may
// fill what all backends of the harness share, such as a pool of connections.
// A leak shows in every cycle.
func noLeak(c *C, use func(*C)) {
	c.Helper()
	for tries := 1; ; tries++ {
		left := c.cycle(use)
		switch {
		case len(left) == 0:
			return
		case tries == 3:
			c.fail("every use of the backend leaves goroutines behind; the last one leaves\n%s", strings.Join(left, "\n\n"))
		}
	}
}

func leakCases() []Case {
	return alone(group("Leak",
		that("NoGoroutineOutlivesClose", "R58", needLabels|needSweep, func(c *C) {
			noLeak(c, func(c *C) {
				for i, err := range c.concurrently(4, func(who int) error {
					id := string(rune('a' + who))
					r := c.labelled(id, "v", "ann", time.Minute)
					if _, err := c.write(r, driver.IfAbsent, model.Record{}); err != nil {
						return err
					}
					if _, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchClear, Known: r}); err != nil {
						return err
					}
					if _, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 2}); err != nil {
						return err
					}
					for _, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(id)) {
						if o.Err != nil {
							return o.Err
						}
					}
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent})
				}) {
					c.ok(err, "goroutine %d", i)
				}
				c.fill(20, "ann", time.Minute)
				c.now = c.in(time.Minute)
				c.sweep(7)
				c.ok(c.b.Close(), "close")
			})
		}),
		that("NoGoroutineOutlivesACanceledCall", "R58 R9 R10", needNothing, func(c *C) {
			noLeak(c, func(c *C) {
				r := c.put(c.rec("a", "v", time.Hour))
				for range 4 {
					for _, w := range everyWrite(c, r) {
						ctx, cancel := context.WithCancel(c.ctx())
						done := make(chan struct{})
						go func() {
							defer close(done)
							_ = w.do(ctx, c.b) // the error does not matter
						}()
						cancel()
						<-done
					}
				}
				ctx, cancel := context.WithCancel(c.ctx())
				cancel()
				_, err := c.b.Page(ctx, c.now, driver.Query{Limit: 1})
				if err == nil {
					c.fail("a page with an ended context returned no error")
				}
				c.ok(c.b.Close(), "close")
			})
		}),
		that("NoGoroutineOutlivesASweeper", "R58 R59", needNothing, func(c *C) {
			noLeak(c, func(c *C) {
				swept := make(chan struct{}, 1)
				sweeper, err := expiry.NewSweeper(storeOf[any](c, nil), &expiry.SweeperOptions{
					Interval: time.Millisecond,
					OnSwept: func(driver.Swept, error) {
						select {
						case swept <- struct{}{}:
						default:
						}
					},
				})
				c.ok(err, "NewSweeper")
				done := make(chan error, 1)
				go func() { done <- sweeper.Run(c.ctx()) }()
				<-swept
				c.ok(c.b.Close(), "close under a sweeper")
				c.ok(sweeper.Close(), "close of the sweeper")
				c.ok(<-done, "Run")
			})
		}),
		that("NoGoroutineOutlivesALostAnswer", "R58 R11", needLoss, func(c *C) {
			noLeak(c, func(c *C) {
				for i := range 3 {
					c.h.LoseNext(c.TB, c.b)
					_, err := c.write(c.rec(string(rune('a'+i)), "v", time.Hour), driver.IfAbsent, model.Record{})
					c.is(err, model.ErrUnknown, "create with a lost answer")
				}
				c.ok(c.b.Close(), "close")
			})
		}),
	))
}
