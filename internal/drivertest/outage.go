package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Outage describes a server that changes or dies in the middle of a run, such as
// a primary that steps down.
type Outage struct {
	Backend driver.ModelExpirySupport
	// Happen makes the outage, and returns when another node may serve.
	Happen func(ctx context.Context, t testing.TB)
	// Replicated reports whether the write that was just acknowledged is on
	// another node. Nil means that every acknowledged write is.
	Replicated func(ctx context.Context, id string) bool
	// Part names the node that a record is on, of so many Parts that hold the store.
	// Nil means that one node holds all.
	Part  func(id string) string
	Parts int
	// Spared reports whether the node of a record lives, so that no acknowledged write
	// may be lost. RunOutage calls it after Happen. Nil means that none is known to.
	Spared func(id string) bool
}

const (
	outageWriters = 4
	outageWrites  = 80 // acknowledged by each part before and after
	outageLimit   = 3 * time.Minute
)

// outageTally counts the writes of one record.
type outageTally struct {
	principal                      string
	sent, acknowledged, replicated int
	counter, doubt                 bool // doubt: a write may arrive late
}

type outage struct {
	Outage
	t   testing.TB
	ctx context.Context

	mu     sync.Mutex
	began  bool
	tally  map[string]*outageTally // by id
	failed map[error]int           // errors by kind
	acked  map[string]int          // since the last phase began, by part
}

// RunOutage has writers create labelled records and increment others by
// compare-and-set, before, during and after the outage. Afterwards every write
// that was replicated is stored, no counter is higher than the writes sent, the
// errors have a kind, and the indexes agree with the records. It returns how long it
// took until all parts had acknowledged some writes again.
func RunOutage(t testing.TB, with Outage) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), outageLimit)
	defer cancel()
	if with.Part == nil {
		with.Part, with.Parts = func(string) string { return "" }, 1
	}
	o := &outage{Outage: with, t: t, ctx: ctx, tally: map[string]*outageTally{}, failed: map[error]int{}, acked: map[string]int{}}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range outageWriters {
		writers.Go(func() { o.write(w, stop) })
	}
	finish := sync.OnceFunc(func() { close(stop); writers.Wait() })
	defer finish()

	o.await("writes before the outage")
	o.mu.Lock()
	o.began = true
	o.mu.Unlock()
	began := time.Now()
	with.Happen(ctx, t)
	o.mu.Lock()
	clear(o.acked)
	o.mu.Unlock()
	o.await("writes after the outage")
	took := time.Since(began)
	finish()
	o.check()
	t.Logf("writes went on after %v; %d records; errors: %v", took.Round(time.Millisecond), len(o.tally), o.failed)
	return took
}

// await polls until all parts have acknowledged some writes. A client may take a node
// for the master that is so no longer, and count a few writes for it.
func (o *outage) await(what string) {
	o.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		acked, failed := o.progress()
		enough := 0
		for _, n := range acked {
			if n >= outageWrites {
				enough++
			}
		}
		if enough >= o.Parts {
			return
		}
		select {
		case <-ticker.C:
		case <-o.ctx.Done():
			o.t.Fatalf("waited for %s: %v, errors %v", what, acked, failed)
		}
	}
}

// progress returns the acknowledged writes of this phase, and all errors.
func (o *outage) progress() (map[string]int, map[error]int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.acked), maps.Clone(o.failed)
}

func (o *outage) write(w int, stop <-chan struct{}) {
	principal := fmt.Sprint("user", w)
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-pace.C: // slowly, because the nodes share this machine
		}
		r := Record(fmt.Sprintf("made-%d-%d", w, n), principal, time.Hour)
		_, err := o.Backend.Write(o.ctx, Now, driver.Write{Record: r, Cond: driver.IfAbsent})
		o.note(r.ID, principal, false, err)
		o.count(fmt.Sprintf("count-%d-%d", w, n%8), principal)
	}
}

// count increments a record that no other writer changes.
func (o *outage) count(id, principal string) {
	old, err := o.Backend.Get(o.ctx, Now, driver.Get{ID: id})
	next := driver.Write{Record: Record(id, principal, time.Hour), Cond: driver.IfMatch, Known: old}
	switch {
	case errors.Is(err, model.ErrNotFound):
		next.Cond = driver.IfAbsent
	case err != nil:
		o.note(id, principal, true, err)
		return
	}
	n, _ := strconv.Atoi(string(old.Value))
	next.Record.Value = []byte(strconv.Itoa(n + 1))
	_, err = o.Backend.Write(o.ctx, Now, next)
	stale := errors.Is(err, model.ErrConflict) || errors.Is(err, model.ErrExists) || errors.Is(err, model.ErrNotFound)
	if stale && o.mayBeStale(id) {
		return
	}
	o.note(id, principal, true, err)
}

// mayBeStale reports whether a record may have changed since its only writer
// read it: a write in doubt arrives late, or an outage loses one.
func (o *outage) mayBeStale(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.tally[id]
	return o.began && (o.Replicated != nil || one != nil && one.doubt)
}

func (o *outage) note(id, principal string, counter bool, err error) {
	o.mu.Lock()
	began := o.began
	o.mu.Unlock()
	part := ""
	if err == nil {
		part = o.Part(id)
	}
	replicated := err == nil && (o.Replicated == nil || !began && o.Replicated(o.ctx, id))
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.tally[id]
	if one == nil {
		one = &outageTally{principal: principal, counter: counter}
		o.tally[id] = one
	}
	one.sent++
	if err != nil {
		o.failed[model.Kind(err)]++
		one.doubt = true
		if !errors.Is(err, model.ErrUnavailable) { // which ErrUnknown matches too
			o.t.Errorf("%s: %s", id, Causes(err))
		}
		return
	}
	one.acknowledged++
	o.acked[part]++
	if replicated {
		one.replicated = one.acknowledged
	}
}

// check compares the store with the tallies.
func (o *outage) check() {
	o.t.Helper()
	stored := map[string]int{} // records by principal
	all, lost, replicated := 0, 0, 0
	for id, one := range o.tally {
		rec, err := o.Backend.Get(o.ctx, Now, driver.Get{ID: id})
		n := 0
		switch {
		case err == nil:
			stored[one.principal]++
			all++
			if n = 1; one.counter {
				n, _ = strconv.Atoi(string(rec.Value))
			}
		case !errors.Is(err, model.ErrNotFound):
			o.t.Errorf("%s: %v", id, err)
		}
		replicated += one.replicated
		lost += max(one.acknowledged-n, 0)
		if n < one.replicated || n > one.sent {
			o.t.Errorf("%s: %d writes were sent, %d acknowledged, %d replicated, and %d are stored", id, one.sent, one.acknowledged, one.replicated, n)
		}
		if n < one.acknowledged && o.Spared != nil && o.Spared(id) {
			o.t.Errorf("%s: a node that lives acknowledged %d writes, and %d are stored", id, one.acknowledged, n)
		}
	}
	if replicated == 0 {
		o.t.Error("no write was replicated")
	}
	o.t.Logf("%d writes were acknowledged and replicated, %d were acknowledged and are lost", replicated, lost)
	o.agrees("", "", all)
	for principal, n := range stored {
		o.agrees("principal", principal, n)
	}
}

// agrees compares a count and a listing with the number of records that are stored.
func (o *outage) agrees(label, value string, want int) {
	o.t.Helper()
	q := driver.Query{Label: label, Value: value, Limit: 500}
	if n, err := driver.Count(o.ctx, o.Backend, Now, q); err != nil || n != want {
		o.t.Errorf("counted %d under %q, %v; %d are stored", n, value, err, want)
	}
	listed := 0
	for {
		page, err := o.Backend.Page(o.ctx, Now, q)
		if err != nil || len(page.Corrupt) > 0 {
			o.t.Errorf("listing %q: corrupt %v, %v", value, page.Corrupt, err)
			return
		}
		listed += len(page.Records)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if listed != want {
		o.t.Errorf("listed %d records under %q, %d are stored", listed, value, want)
	}
}
