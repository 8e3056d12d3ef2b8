package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Map holds the records behind a mutex. Any number of backends share it.
type Map struct {
	name    string // tells its page tokens from those of other maps
	mu      sync.Mutex
	records map[string]model.Record
}

// NewMap returns an empty map.
func NewMap(name string) *Map { return &Map{name: name, records: map[string]model.Record{}} }

// MapBackend is the smallest complete backend. The embedded Gate makes the
// checks, and has the methods Describe and Close.
type MapBackend struct {
	*Map
	*driverkit.Gate
}

// NewBackend returns a backend on the map.
func NewBackend(m *Map) *MapBackend {
	return &MapBackend{m, driverkit.NewGate(driver.Description{Backend: "map", Labels: []string{"principal"}}, m.name)}
}

// judged returns the result of do on the stored record, under the lock, if the
// condition holds.
func (b *MapBackend) judged(now time.Time, id string, w driver.Write, do func(cur *model.Record) model.Record) (model.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cur *model.Record
	if r, ok := b.records[id]; ok {
		cur = &r
	}
	winner, err := driverkit.JudgeWrite(now, cur, nil, &w)
	if err != nil {
		return winner, err
	}
	return do(cur), nil
}

func (b *MapBackend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	return b.judged(now, g.ID, driver.Write{Cond: driver.IfPresent}, func(cur *model.Record) model.Record { return cur.Clone() })
}

func (b *MapBackend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.Gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.judged(now, w.Record.ID, w, func(cur *model.Record) model.Record {
		next := driverkit.Own(w.Result(cur))
		b.records[next.ID] = next
		return next.Head()
	})
}

func (b *MapBackend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.Gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	return b.judged(now, t.ID, driver.Write{Cond: max(t.Cond, driver.IfPresent), Known: t.Known}, func(cur *model.Record) model.Record {
		cur.ExpiresAt = t.Result(cur.ExpiresAt)
		b.records[cur.ID] = *cur
		return cur.Head()
	})
}

func (b *MapBackend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.Gate.Delete(ctx, &d); err != nil {
		return err
	}
	remove := func(cur *model.Record) model.Record { delete(b.records, d.ID); return *cur }
	_, err := b.judged(now, d.ID, driver.Write{Cond: d.Cond, Known: d.Known}, remove)
	return err
}

func (b *MapBackend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.Gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.SortedPage(now, &q, position, maps.Values(b.records)), nil
}

func (b *MapBackend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	b.mu.Lock()
	all := slices.Collect(maps.Values(b.records))
	b.mu.Unlock()
	return tally.Each(ctx, s.Before, slices.Values(all), func(r *model.Record) (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		cur, ok := b.records[r.ID]
		if ok = ok && cur.Revision == r.Revision && cur.Expired(s.Before); ok {
			delete(b.records, r.ID)
		}
		return ok, nil
	})
}
