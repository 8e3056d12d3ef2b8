package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// gathering holds the lanes of a backend, so that calls gather.
type gathering struct {
	*Backend
	waits chan struct{} // gets one for each call that waits
	now   time.Duration // what the backend's stopwatch shows
	errs  []chan error
}

// gather takes all round trips of all lanes.
func gather(b *Backend) *gathering {
	g := &gathering{Backend: b, waits: make(chan struct{}, 4096)}
	b.watch = func() time.Duration {
		now := g.now
		g.waits <- struct{}{}
		return now
	}
	for i := range b.lanes {
		for range laneTrips {
			b.lanes[i].enter(nil, nil, nil)
		}
	}
	return g
}

// call makes a call in a goroutine of its own, and returns when it waits or ends.
func (g *gathering) call(do func() error) {
	err := make(chan error, 1)
	g.errs = append(g.errs, err)
	go func() { err <- do() }()
	select {
	case <-g.waits:
	case e := <-err:
		err <- e
	}
}

// depart ends the round trips of all lanes, one after another.
func (g *gathering) depart() {
	for i := range g.lanes {
		for range laneTrips {
			g.leave(&g.lanes[i])
		}
	}
}

// settle waits until no round trip is on its way.
func (g *gathering) settle() {
	for i := range g.lanes {
		l := &g.lanes[i]
		for away := true; away; runtime.Gosched() {
			l.mu.Lock()
			away = l.away > 0 || len(l.queue) > 0
			l.mu.Unlock()
		}
	}
}

// came returns what the calls came to.
func (g *gathering) came() (errs []error) {
	for _, err := range g.errs {
		errs = append(errs, <-err)
	}
	return errs
}

// inBucket returns ids of one bucket.
func inBucket(n int) (ids []string) {
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprint("id", i); bucketOf(id, bucketCount) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// calls returns one call of each kind that shares round trips. The records exist,
// but for the first.
func (g *gathering) calls(ctx context.Context, known []model.Record) []func() error {
	w := func(cond driver.Condition, r, of model.Record, keep driver.Keep) func() error {
		return func() error {
			r.Revision = model.NewRevision()
			_, err := g.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: cond, Known: of, Keep: keep})
			return err
		}
	}
	return []func() error{
		w(driver.IfAbsent, known[0], model.Record{}, driver.Keep{}),
		w(driver.IfAny, known[1], model.Record{}, driver.Keep{}),
		w(driver.IfPresent, known[2], model.Record{}, keepBoth),
		w(driver.IfMatch, known[3], known[3], keepBoth),
		func() error {
			_, err := g.Touch(ctx, drivertest.Now, driver.Touch{ID: known[4].ID, Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(2 * time.Hour)})
			return err
		},
		func() error {
			return g.Delete(ctx, drivertest.Now, driver.Delete{ID: known[5].ID, Cond: driver.IfMatch, Known: known[5]})
		},
		func() error {
			_, err := g.Get(ctx, drivertest.Now, driver.Get{ID: known[6].ID})
			return err
		},
	}
}

const writesOfCalls = 6 // the first ones

// stored stores what calls needs.
func stored(t *testing.T, b *Backend) (known []model.Record) {
	t.Helper()
	for _, id := range inBucket(7) {
		known = append(known, drivertest.Record(id, "ann", time.Hour))
	}
	drivertest.Seed(t, b, known[1:]...)
	b.GetMany(t.Context(), drivertest.Now, driver.Gets("id")) // so that the client has a connection for pipelines
	return known
}

var togetherOn = map[string]func(t testing.TB) (*Backend, *proxy){"client": proxied, "cluster client": proxiedCluster}

// TestTogether has calls that wait for a round trip: they share one, each is sent
// once, and each gets its own answer.
func TestTogether(t *testing.T) {
	for name, open := range togetherOn {
		t.Run(name, func(t *testing.T) {
			b, p := open(t)
			known := stored(t, b)
			g := gather(b)
			for _, do := range g.calls(t.Context(), known) {
				g.call(do)
			}
			g.call(func() error { // a conflict
				_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: known[6], Cond: driver.IfMatch, Known: known[1]})
				return err
			})
			g.call(func() error { // a miss
				_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: inBucket(8)[7]})
				return err
			})
			p.sent()
			g.depart()
			errs := g.came()
			for i, want := range slices.Concat(make([]error, len(known)), []error{model.ErrConflict, model.ErrNotFound}) {
				drivertest.WantKind(t, errs[i], want)
			}
			if trips, commands := p.sent(); trips != 1 || len(commands) != len(errs) {
				t.Errorf("%d round trips with %v, want one with %d commands", trips, commands, len(errs))
			}
			g.settle()
		})
	}
}

// TestTogetherLost loses a shared round trip: its writes were sent once and are
// ErrUnknown, and its reads are sent again.
func TestTogetherLost(t *testing.T) {
	for name, open := range togetherOn {
		for _, fault := range []faultnet.Fault{faultnet.LoseAnswer, faultnet.CutRequest} {
			t.Run(name+"/"+fault.String(), func(t *testing.T) {
				b, p := open(t)
				g := gather(b)
				for _, do := range g.calls(t.Context(), stored(t, b)) {
					g.call(do)
				}
				p.sent()
				p.Next(fault)
				g.depart()
				for i, err := range g.came() {
					switch {
					case i >= writesOfCalls:
						drivertest.WantKind(t, err, nil)
					case err == nil && fault == faultnet.CutRequest && i < writesOfCalls-1:
						// The server got this command whole, and its answer came before the end.
					default:
						drivertest.WantKind(t, err, model.ErrUnknown)
					}
				}
				if _, commands := p.sent(); countCommands(commands, "evalsha") > writesOfCalls || countCommands(commands, "get") < 1 {
					t.Errorf("on the wire: %v", commands)
				}
			})
		}
	}
}

// TestTogetherUnknownScript flushes the server's scripts: each call of a shared
// round trip sends its source.
func TestTogetherUnknownScript(t *testing.T) {
	b, _ := proxied(t)
	g := gather(b)
	for _, do := range g.calls(t.Context(), stored(t, b)) {
		g.call(do)
	}
	if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	g.depart()
	for _, err := range g.came() {
		drivertest.WantKind(t, err, nil)
	}
}

// leftByAll makes calls that wait, and cancels them: they end with the context's
// error alone.
func (g *gathering) leftByAll(t *testing.T, known []model.Record) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	for _, do := range g.calls(ctx, known) {
		g.call(do)
	}
	cancel()
	for _, err := range g.came() {
		if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("got %s, want %v alone", drivertest.Causes(err), context.Canceled)
		}
	}
}

// TestTogetherLeft cancels calls that wait: they end, and nothing of them is sent.
func TestTogetherLeft(t *testing.T) {
	b, p := proxied(t)
	known := stored(t, b)
	g := gather(b)
	g.leftByAll(t, known)
	g.errs = nil
	g.call(g.calls(t.Context(), known)[6])
	p.sent()
	g.depart()
	drivertest.WantKind(t, g.came()[0], nil)
	if _, commands := p.sent(); !slices.Equal(commands, []string{"get"}) {
		t.Errorf("on the wire: %v, want one get", commands)
	}
}

// TestTogetherAllLeft has a round trip that nobody waits for: it says nothing
// about how long answers are.
func TestTogetherAllLeft(t *testing.T) {
	b, p := proxied(t)
	known := stored(t, b)
	g := gather(b)
	g.leftByAll(t, known)
	p.sent()
	g.depart()
	g.settle()
	if _, commands := p.sent(); len(commands) > 0 || b.lanes[0].seats != maxSeats {
		t.Errorf("sent %v, and the next round trip has %d seats, want %d", commands, b.lanes[0].seats, maxSeats)
	}
}

// pipelineHook calls do before each pipeline with a script.
type pipelineHook struct {
	lateHook
	do func()
}

func (*pipelineHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (h *pipelineHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if isScript(cmds[0].Name()) {
			h.do()
		}
		return next(ctx, cmds)
	}
}

// TestTogetherLeftBeforeSending cancels calls when their pipeline has begun, and
// before it is sent: they end with the context's error alone, their scripts do
// nothing, and those of others are carried out.
func TestTogetherLeftBeforeSending(t *testing.T) {
	for name, open := range togetherOn {
		t.Run(name, func(t *testing.T) {
			b, _ := open(t)
			known := stored(t, b)
			ctx, cancel := context.WithCancel(t.Context())
			g := gather(b)
			for _, do := range g.calls(ctx, known) {
				g.call(do)
			}
			var errs []error
			b.client.AddHook(&pipelineHook{do: func() {
				cancel()
				for i := range known {
					errs = append(errs, <-g.errs[i])
				}
			}})
			other := drivertest.Record(inBucket(9)[8], "bob", time.Hour)
			g.call(func() error {
				_, err := g.Write(t.Context(), drivertest.Now, driver.Write{Record: other, Cond: driver.IfAbsent})
				return err
			})
			g.depart()
			drivertest.WantKind(t, <-g.errs[len(known)], nil)
			for _, err := range errs {
				if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
					t.Errorf("got %s, want %v alone", drivertest.Causes(err), context.Canceled)
				}
			}
			again := newOn(t, clientOf(t, options(t)), b.name, nil)
			drivertest.Gone(t, again, known[0].ID)
			for _, r := range known[1:] {
				drivertest.Holds(t, again, r.ID, r.Revision, r.ExpiresAt)
			}
			drivertest.Holds(t, again, other.ID, other.Revision, other.ExpiresAt)
		})
	}
}

// TestTogetherStalled stops the server when a shared round trip is on its way: each
// call ends with its context, and the writes may have happened. Later calls do not
// wait for it.
func TestTogetherStalled(t *testing.T) {
	o := options(t)
	p := newProxy(t)
	o = p.options(o)
	b := createOn(t, clientOf(t, o), drivertest.Name(), nil)
	known := stored(t, b)
	g := gather(b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var runs []*run
	for _, do := range g.calls(ctx, known)[:writesOfCalls] {
		g.call(do)
	}
	b.lanes[0].mu.Lock()
	for _, s := range b.lanes[0].queue[0].seats {
		runs = append(runs, s.run)
	}
	b.lanes[0].mu.Unlock()
	p.Stall()
	g.depart()
	for !runs[len(runs)-1].mark.sent() {
		runtime.Gosched()
	}
	cancel()
	for _, err := range g.came() {
		drivertest.WantKind(t, err, model.ErrUnknown)
	}
	g.settle() // since all have left
	if err := newOn(t, clientOf(t, options(t)), b.name, nil).DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTogetherDecidesLater has records expire while calls wait for a round trip:
// the calls count that wait (rule R100).
func TestTogetherDecidesLater(t *testing.T) {
	b, _ := proxied(t)
	known := stored(t, b)
	g := gather(b)
	for _, do := range g.calls(t.Context(), known)[2:] {
		g.call(do)
	}
	g.now = 2 * time.Hour
	g.depart()
	for _, err := range g.came() {
		drivertest.WantKind(t, err, model.ErrNotFound)
	}
}

// TestTogetherHooks has hooks that fail, panic or end their goroutine: each call of
// the pipeline gets that, and later calls go on.
func TestTogetherHooks(t *testing.T) {
	for name, test := range map[string]struct {
		do   func()
		want error
	}{
		"panic": {func() { panic(errBroken) }, errBroken},
		"exit":  {runtime.Goexit, errEnded},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := proxied(t)
			known := stored(t, b)
			hook := &pipelineHook{do: test.do}
			b.client.AddHook(hook)
			g := gather(b)
			for _, do := range g.calls(t.Context(), known)[:writesOfCalls] {
				g.call(func() (err error) {
					defer func() {
						if p, ok := recover().(error); ok {
							err = p
						}
					}()
					return do()
				})
			}
			g.depart()
			for _, err := range g.came() {
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			}
			hook.do = func() {}
			drivertest.WantKind(t, b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: known[5].ID, Cond: driver.IfPresent}), nil)
			g.settle()
		})
	}
}

// TestTogetherLongValues reads long values: later pipelines have fewer calls, so
// that nobody waits for the values of many others.
func TestTogetherLongValues(t *testing.T) {
	b, p := proxied(t)
	r := drivertest.Record("id", "ann", time.Hour)
	r.Value = make([]byte, 100<<10)
	drivertest.Seed(t, b, r)
	b.GetMany(t.Context(), drivertest.Now, driver.Gets("id"))
	get := func() error {
		_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: r.ID})
		return err
	}
	for _, want := range []int{1, 5} { // of 10 calls
		g := gather(b)
		for range 10 {
			g.call(get)
		}
		p.sent()
		g.depart()
		for _, err := range g.came() {
			drivertest.WantKind(t, err, nil)
		}
		if trips, _ := p.sent(); trips != want {
			t.Errorf("%d round trips, want %d", trips, want)
		}
		g.settle()
	}
}
