package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// failover has the writers on a cluster of which one master is killed.
type failover struct {
	*Backend
	t       *testing.T
	cluster *goredis.ClusterClient
	ctx     context.Context

	mu      sync.Mutex
	killed  bool
	tally   map[string]*tally // by id
	failed  map[error]int     // errors by kind
	written map[string]int    // acknowledged writes by the master's address
}

// tally counts the writes of one record.
type tally struct {
	sent, acknowledged, replicated int
	principal                      string
	counter                        bool
}

// TestFailover kills one master of three while writers create labelled records
// and increment others by compare-and-set. Its replica takes over. Writes are
// still stored if they were replicated, or acknowledged by the other masters. No
// counter is higher than the writes sent. Errors have a kind, the client recovers,
// and the indexes agree with the records.
func TestFailover(t *testing.T) {
	nodes := containers.RedisCluster(t)
	o := clusterOptions(t)
	o.DialTimeout, o.ReadTimeout, o.DialerRetries = time.Second, 2*time.Second, 1
	c := clusterOf(t, o)
	b := createOn(t, c, drivertest.Name(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f := &failover{
		Backend: b, t: t, cluster: c, ctx: ctx,
		tally: map[string]*tally{}, failed: map[error]int{}, written: map[string]int{},
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() { f.write(w, stop) })
	}
	finish := sync.OnceFunc(func() { close(stop); writers.Wait() })
	defer finish()

	// Every master acknowledges some writes.
	f.await("writes to all masters", func() bool { return f.masters() >= 3 })
	first := &b.buckets[0]
	dead := f.master(first)
	spared := map[*bucket]bool{} // the buckets of the other masters
	for i := range b.buckets {
		k := &b.buckets[i]
		spared[k] = f.master(k) != dead
	}
	// More than a pause of the whole machine, after which nodes would take others for dead.
	if err := nodes.SetTimeout(ctx, "3000"); err != nil {
		t.Fatal(err)
	}
	f.locked(func() { f.killed = true })
	began := time.Now()
	nodes.Kill(t, dead)
	// Another node acknowledges a write to the first bucket.
	f.await("a replica to take over", func() bool {
		now := f.master(first)
		return now != dead && f.written[now] > 0
	})
	took := time.Since(began)
	if took > 30*time.Second { // by itself the client asks for the new master once a minute
		t.Errorf("writes to the new master came after %v", took)
	}
	f.locked(func() { clear(f.written) })
	f.await("writes to all masters afterwards", func() bool { return f.masters() >= 3 })
	finish()
	f.check(spared)
	t.Logf("%s took over in %v; %d records; answers: %v", dead, took.Round(time.Millisecond), len(f.tally), f.failed)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

func (f *failover) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// await polls until the condition on the tallies holds.
func (f *failover) await(what string, done func() bool) {
	f.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(time.Minute); ; {
		met := false
		f.locked(func() { met = done() })
		if met {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			f.t.Fatalf("waited a minute for %s: %v, errors %v", what, f.written, f.failed)
		}
	}
}

// masters returns how many nodes have acknowledged some writes. The client may take
// a node for the master that is so no longer, and counts a few writes for it.
func (f *failover) masters() (n int) {
	for _, m := range f.written {
		if m >= 20 {
			n++
		}
	}
	return n
}

// master returns the address of the node that serves the bucket.
func (f *failover) master(k *bucket) string {
	c, err := f.cluster.MasterForKey(f.ctx, k.due)
	if err != nil {
		return ""
	}
	return c.Options().Addr
}

// write creates records and increments others until stop is closed.
func (f *failover) write(w int, stop <-chan struct{}) {
	principal := fmt.Sprint("user", w)
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-pace.C: // slowly, because the nodes share this machine
		}
		r := drivertest.Record(fmt.Sprintf("made-%d-%d", w, n), principal, time.Hour)
		_, err := f.Write(f.ctx, drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent})
		f.note(r.ID, principal, false, err)
		f.count(fmt.Sprintf("count-%d-%d", w, n%16), principal)
	}
}

// count increments a record that no other writer changes.
func (f *failover) count(id, principal string) {
	old, err := f.Get(f.ctx, drivertest.Now, driver.Get{ID: id})
	w := driver.Write{Record: drivertest.Record(id, principal, time.Hour), Cond: driver.IfMatch, Known: old}
	switch {
	case errors.Is(err, model.ErrNotFound):
		w.Cond = driver.IfAbsent
	case err != nil:
		f.note(id, principal, true, err)
		return
	}
	n, _ := strconv.Atoi(string(old.Value))
	w.Record.Value = []byte(strconv.Itoa(n + 1))
	_, err = f.Write(f.ctx, drivertest.Now, w)
	// A failover loses writes that were read, and one in doubt may come late.
	stale := errors.Is(err, model.ErrConflict) || errors.Is(err, model.ErrExists) || errors.Is(err, model.ErrNotFound)
	if f.locked(func() { stale = stale && f.killed }); !stale {
		f.note(id, principal, true, err)
	}
}

// note records the outcome of a write. An acknowledged write is replicated if a
// marker written after it to the same node has reached a replica, because
// replication keeps the order.
func (f *failover) note(id, principal string, counter bool, err error) {
	master, replicated := "", false
	if err == nil {
		if c, err := f.cluster.MasterForKey(f.ctx, f.bucket(id).due); err == nil {
			master = c.Options().Addr
			pipe := c.Pipeline()
			pipe.Set(f.ctx, f.bucket(id).staged+"marker", id, stageTTL)
			acks := goredis.NewIntCmd(f.ctx, "wait", 1, 200)
			_ = pipe.Process(f.ctx, acks) // queued only
			_, err = pipe.Exec(f.ctx)
			replicated = err == nil && acks.Val() > 0
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tally[id]
	if t == nil {
		t = &tally{principal: principal, counter: counter}
		f.tally[id] = t
	}
	t.sent++
	if err != nil {
		f.failed[model.Kind(err)]++
		if !errors.Is(err, model.ErrUnavailable) { // which ErrUnknown matches too
			f.t.Errorf("%s: %v", id, err)
		}
		return
	}
	t.acknowledged++
	f.written[master]++
	if replicated {
		t.replicated = t.acknowledged
	}
}

// check compares the store with the tallies.
func (f *failover) check(spared map[*bucket]bool) {
	f.t.Helper()
	stored := map[string]int{} // records by principal
	all, lost, replicated := 0, 0, 0
	for id, t := range f.tally {
		rec, err := f.Get(f.ctx, drivertest.Now, driver.Get{ID: id})
		n := 0
		switch {
		case err == nil:
			stored[t.principal]++
			all++
			if n = 1; t.counter {
				n, _ = strconv.Atoi(string(rec.Value))
			}
		case !errors.Is(err, model.ErrNotFound):
			f.t.Errorf("%s: %v", id, err)
		}
		replicated += t.replicated
		lost += max(t.acknowledged-n, 0)
		switch {
		case n < t.replicated:
			f.t.Errorf("%s: %d writes were replicated, %d are stored", id, t.replicated, n)
		case spared[f.bucket(id)] && n < t.acknowledged:
			f.t.Errorf("%s: the living masters acknowledged %d writes, %d are stored", id, t.acknowledged, n)
		case n > t.sent:
			f.t.Errorf("%s: %d writes were sent, %d are stored", id, t.sent, n)
		}
	}
	if replicated == 0 {
		f.t.Error("no write was replicated")
	}
	f.t.Logf("%d writes were acknowledged and replicated, %d were acknowledged and are lost", replicated, lost)
	count := func(label, value string, want int) {
		f.t.Helper()
		wantCount(f.t, f.Backend, label, value, want)
		if n := len(listed(f.t, f.Backend, driver.Query{Label: label, Value: value, Limit: 500})); n != want {
			f.t.Errorf("listed %d records under %q, %d are stored", n, value, want)
		}
	}
	count("", "", all)
	for principal, n := range stored {
		count("principal", principal, n)
	}
}
