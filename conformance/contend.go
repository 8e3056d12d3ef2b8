package conformance

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Contenders of a store in the process finish a call before another goroutine
// wakes: they never meet. So the world is stopped again and again while they
// run, which takes the processor from each wherever it is. One that was stopped
// between two steps of a call goes on when others have made calls. A server is
// slow enough without that.
const (
	stops           = 300                   // of the world, while contenders run
	untilStop       = 20 * time.Microsecond // at least
	callsPerYield   = 7                     // so that the others are in the midst of something
	roundsOfServers = 8                     // of each contender
	mostRounds      = 1 << 20
)

// quick is the longest time of a write to a store in the process.
const quick = 50 * time.Microsecond

// role is what a contender does in each round, on the node that it gets.
type role struct {
	do   func(b driver.ModelExpirySupport, who, round int) error
	many bool // several contenders have the role
}

// one is a role of one contender.
func one(do func(b driver.ModelExpirySupport, who, round int) error) role { return role{do: do} }

// many is a role of several contenders.
func many(do func(b driver.ModelExpirySupport, who, round int) error) role {
	return role{do: do, many: true}
}

// arena is where contenders meet. Only one case at a time stops the world and
// changes the number of processors.
var arena sync.Mutex

// contest is a number of contenders and rounds.
type contest struct {
	contenders, rounds int
	stops              int // of the world: the contenders run until the last one
}

// contest returns how many contenders and rounds it takes on this backend.
func (c *C) contest() contest {
	c.Helper()
	quickest := time.Hour
	for range 8 {
		r := c.rec("quick", "v", time.Hour)
		began := time.Now()
		_, err := c.write(r, driver.IfAny, model.Record{})
		quickest = min(quickest, time.Since(began))
		c.ok(err, "upsert")
	}
	c.del("quick")
	if quickest > quick {
		return contest{contenders: 4, rounds: roundsOfServers}
	}
	// More contenders than processors, so that one that was stopped waits.
	return contest{contenders: 2*processors() + 6, rounds: mostRounds, stops: stops}
}

// processors returns how many processors contenders of a store in the process
// use. They may be more than the machine has: its scheduler then stops them too.
func processors() int { return min(max(runtime.GOMAXPROCS(0), 4), 8) }

// contend makes contenders with the roles run at the same time, on two nodes.
// Each has a number below ct.contenders. The first error stops the case.
func (c *C) contend(ct contest, roles ...role) {
	c.Helper()
	c.contendIn(ct, func(driver.ModelExpirySupport) {}, roles...)
}

// contendIn is contend, with a call of prepare for each node before.
func (c *C) contendIn(ct contest, prepare func(b driver.ModelExpirySupport), roles ...role) {
	c.Helper()
	var crowd []role
	for _, r := range roles {
		if r.many {
			crowd = append(crowd, r)
		}
	}
	for i := 0; len(roles) < ct.contenders && len(crowd) > 0; i++ {
		roles = append(roles, crowd[i%len(crowd)])
	}
	nodes := []driver.ModelExpirySupport{bare(c.b), bare(c.second())} // nothing between the calls and the store
	marked := make([]driver.ModelExpirySupport, len(roles))
	for i := range marked {
		marked[i] = nodes[i%2]
		if ct.stops > 0 {
			marked[i] = &yielding{driverkit.Wrap(nodes[i%2]), new(int)}
		}
		prepare(marked[i])
	}
	if ct.stops > 0 {
		arena.Lock()
		defer arena.Unlock()
		if procs := runtime.GOMAXPROCS(0); procs != processors() {
			runtime.GOMAXPROCS(processors())
			defer runtime.GOMAXPROCS(procs)
		}
	}
	var over atomic.Bool
	for who, err := range c.concurrently(len(roles)+1, func(who int) error {
		if who == len(roles) {
			stopTheWorld(ct.stops, &over)
			return nil
		}
		for round := 0; round < ct.rounds && !over.Load(); round++ {
			if err := roles[who].do(marked[who], who, round); err != nil {
				over.Store(true)
				return err
			}
		}
		return nil
	}) {
		c.ok(err, "contender %d of %d", who, len(roles))
	}
}

// stopTheWorld does so n times, unless it is over before. Then it is over. It
// does nothing if n is zero.
func stopTheWorld(n int, over *atomic.Bool) {
	if n == 0 {
		return
	}
	var stats runtime.MemStats
	next := time.NewTimer(untilStop)
	defer next.Stop()
	for range n {
		if over.Load() {
			return
		}
		<-next.C
		runtime.ReadMemStats(&stats) // it stops the world
		next.Reset(untilStop)
	}
	over.Store(true)
}

// yielding is the node of one contender. It lets the others go on after some of
// its calls. Contenders share nothing else, so that they do not order each
// other's calls.
type yielding struct {
	driverkit.Wrapper
	calls *int
}

func (y *yielding) end() {
	if *y.calls++; *y.calls%callsPerYield == 0 {
		runtime.Gosched()
	}
}

func (y *yielding) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	defer y.end()
	return y.ModelExpirySupport.Get(ctx, now, g)
}

func (y *yielding) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	defer y.end()
	return y.ModelExpirySupport.Write(ctx, now, w)
}

func (y *yielding) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	defer y.end()
	return y.ModelExpirySupport.Touch(ctx, now, t)
}

func (y *yielding) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	defer y.end()
	return y.ModelExpirySupport.Delete(ctx, now, d)
}

func (y *yielding) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	defer y.end()
	return y.ModelExpirySupport.Page(ctx, now, q)
}

func (y *yielding) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	defer y.end()
	return y.ModelExpirySupport.DeleteExpired(ctx, s)
}

// most returns nil for an error of one of the kinds, which a contender may get.
func most(err error, kinds ...error) error {
	for _, k := range kinds {
		if errors.Is(err, k) {
			return nil
		}
	}
	return err
}
