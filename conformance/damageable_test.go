package conformance_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// vaultMax is in reach of a test.
const vaultMax = 1 << 20

// vault is the memory backend with a limit on values, and with records that a
// test can damage: a lawful backend that every case can run on.
type vault struct {
	driver.ModelExpirySupport
	store   string
	damaged *sync.Map // of store and id
}

// place is where a record of a store is.
type place struct{ store, id string }

func (v *vault) bad(id string) bool { _, ok := v.damaged.Load(place{v.store, id}); return ok }

func (v *vault) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	r, err := v.ModelExpirySupport.Get(ctx, now, g)
	if v.bad(g.ID) && model.Kind(err) != model.ErrClosed && ctx.Err() == nil {
		return model.Record{}, model.ErrCorrupt
	}
	return r, err
}

func (v *vault) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if len(w.Record.Value) > vaultMax {
		return model.Record{}, model.ErrTooLarge
	}
	if v.bad(w.Record.ID) && w.Check() == nil && ctx.Err() == nil {
		if w.Cond != driver.IfAny {
			return model.Record{}, model.ErrCorrupt
		}
		defer v.damaged.Delete(place{v.store, w.Record.ID})
	}
	return v.ModelExpirySupport.Write(ctx, now, w)
}

func (v *vault) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if v.bad(t.ID) {
		return model.Record{}, model.ErrCorrupt
	}
	return v.ModelExpirySupport.Touch(ctx, now, t)
}

func (v *vault) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if v.bad(d.ID) {
		return model.ErrCorrupt
	}
	return v.ModelExpirySupport.Delete(ctx, now, d)
}

func (v *vault) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	p, err := v.ModelExpirySupport.Page(ctx, now, q)
	kept := p.Records[:0]
	for _, r := range p.Records {
		if v.bad(r.ID) {
			p.Corrupt = append(p.Corrupt, r.ID)
			continue
		}
		kept = append(kept, r)
	}
	p.Records = kept
	return p, err
}

func (v *vault) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	return v.ModelExpirySupport.DeleteExpired(ctx, driver.Sweep{Before: s.Before, Limit: s.Limit, OnExpire: func(r model.Record) error {
		if v.bad(r.ID) {
			return model.ErrCorrupt
		}
		if s.OnExpire == nil {
			return nil
		}
		return s.OnExpire(r)
	}})
}

func (v *vault) Describe() driver.Description {
	d := v.ModelExpirySupport.Describe()
	d.MaxValue = vaultMax
	return d
}

func (v *vault) CreateStorage(ctx context.Context) error {
	return driver.CreateStorage(ctx, v.ModelExpirySupport)
}

func (v *vault) DeleteStorage(ctx context.Context) error {
	v.damaged.Range(func(k, _ any) bool {
		if k.(place).store == v.store {
			v.damaged.Delete(k)
		}
		return true
	})
	return driver.DeleteStorage(ctx, v.ModelExpirySupport)
}

// world is where the nodes of one harness meet.
type world struct {
	space   *memory.Space
	damaged sync.Map
}

func newWorld() *world { return &world{space: memory.NewSpace()} }

// node is a lawful backend that can lose answers.
func (w *world) node(t testing.TB, store string) *conformance.Lossy {
	t.Helper()
	b, err := memory.New(w.space, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &conformance.Lossy{ModelExpirySupport: &vault{b, store, &w.damaged}}
}

// harness is all lawful.
func (w *world) harness() conformance.Harness {
	return conformance.Harness{
		Open:     func(t testing.TB, name string) driver.ModelExpirySupport { return w.node(t, name) },
		LoseNext: conformance.LoseNext,
		Damage: func(_ testing.TB, name, id string, _ []byte) {
			w.damaged.Store(place{name, id}, true)
		},
		Server: "in process",
	}
}
