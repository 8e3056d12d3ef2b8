// Package expvars counts the calls of stores with package expvar, for programs that
// want nothing else.
//
// It is a package of its own because of what expvar does: a program that compiles
// it serves its variables at /debug/vars of [net/http.DefaultServeMux].
package expvars

import (
	"context"
	"expvar"
	"sync"

	"github.com/sojourn-go/sojourn/expiry"
)

// The names of the other figures, beside those of outcomes.
const (
	nameSeconds = "seconds"
	nameCalls   = "backend_calls"
	nameItems   = "items"
)

// Observer returns an Observer that counts into m. For each method of a store, m
// gets a map with the number of calls by their outcome, in the words of
// [expiry.Observation.Outcome], such as "ok" and "unavailable". It also has
// "seconds", the time spent, and "backend_calls". "items" is a map with the records
// of calls about many, by outcome. No figure has an id, a value or a principal.
//
// The caller publishes m, under a name of its choice. Stores may share one Observer,
// whose figures are then sums. Two Observers must not share a map. A nil m counts
// nothing.
func Observer(m *expvar.Map) expiry.Observer {
	if m == nil {
		return func(context.Context, expiry.Observation) {}
	}
	o := &observer{m: m, methods: map[string]*method{}}
	return o.observe
}

type observer struct {
	m       *expvar.Map
	mu      sync.Mutex
	methods map[string]*method
}

// method has the figures of one method.
type method struct{ figures, items *expvar.Map }

func (o *observer) observe(_ context.Context, c expiry.Observation) {
	m := o.method(c.Op)
	m.figures.Add(c.Outcome(), 1)
	m.figures.AddFloat(nameSeconds, c.Duration.Seconds())
	m.figures.Add(nameCalls, int64(c.Calls))
	for outcome, n := range c.Items {
		m.items.Add(outcome, int64(n))
	}
}

// method returns the figures of a method. They appear with its first call.
func (o *observer) method(op string) *method {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.methods[op]
	if m == nil {
		m = &method{new(expvar.Map), new(expvar.Map)}
		m.figures.Set(nameItems, m.items)
		o.methods[op] = m
		o.m.Set(op, m.figures)
	}
	return m
}
