package conformance_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// damageableMax is the largest value of a damageable backend, in bytes. It is
// small enough for a test to exceed.
const damageableMax = 2 << 20

// damageable is the memory backend with a limit on values, and with records
// that a test can damage. It follows every rule, so that every case can run.
type damageable struct {
	driverkit.Wrapper
	gate    *driverkit.Gate
	store   string
	damaged *sync.Map // what is wrong with a record, as an error, by its recordKey
	foreign *sync.Map // stores in whose place another program is
	stalled atomic.Bool
	waits   atomic.Int64 // for how long the next write waits, as a time.Duration
}

// recordKey names a record of a store.
type recordKey struct{ store, id string }

// plain hides the optional interfaces of a backend.
type plain struct{ driver.ModelExpirySupport }

// errUnreadable is the error of a record that the store does not give.
var errUnreadable = model.NewError(model.ErrUnavailable, "the record cannot be read", nil)

// broken returns what is wrong with a record.
func (b *damageable) broken(id string) error {
	err, _ := b.damaged.Load(recordKey{b.store, id})
	broken, _ := err.(error)
	return broken
}

// hasUnreadable reports whether the store does not give one of its records.
func (b *damageable) hasUnreadable() (has bool) {
	b.damaged.Range(func(k, err any) bool {
		has = k.(recordKey).store == b.store && errors.Is(err.(error), errUnreadable)
		return !has
	})
	return has
}

// answers waits for the end of the context if the backend is stalled.
func (b *damageable) answers(ctx context.Context) error {
	if b.stalled.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// waited adds to now what the call waits.
func (b *damageable) waited(now time.Time) time.Time {
	return now.Add(time.Duration(b.waits.Swap(0)))
}

// damageableOf returns the damageable backend below wrappers.
func damageableOf(b driver.ModelExpirySupport) *damageable {
	for {
		if d, ok := b.(*damageable); ok {
			return d
		}
		b = b.(driver.Unwrapper).Unwrap()
	}
}

func (b *damageable) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := cmp.Or(b.gate.Enter(ctx), b.answers(ctx)); err != nil {
		return model.Record{}, err
	}
	if err := b.broken(g.ID); err != nil {
		return model.Record{}, err
	}
	return b.Wrapper.Get(ctx, now, g)
}

func (b *damageable) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := cmp.Or(b.gate.Write(ctx, &w), b.answers(ctx)); err != nil {
		return model.Record{}, err
	}
	if err := b.broken(w.Record.ID); err != nil {
		if w.Cond != driver.IfAny || errors.Is(err, errUnreadable) {
			return model.Record{}, err
		}
		defer b.damaged.Delete(recordKey{b.store, w.Record.ID})
	}
	return b.Wrapper.Write(ctx, b.waited(now), w)
}

func (b *damageable) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := cmp.Or(b.gate.Touch(ctx, &t), b.answers(ctx)); err != nil {
		return model.Record{}, err
	}
	if err := b.broken(t.ID); err != nil {
		return model.Record{}, err
	}
	return b.Wrapper.Touch(ctx, b.waited(now), t)
}

func (b *damageable) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := cmp.Or(b.gate.Delete(ctx, &d), b.answers(ctx)); err != nil {
		return err
	}
	if err := b.broken(d.ID); err != nil {
		return err
	}
	return b.Wrapper.Delete(ctx, b.waited(now), d)
}

func (b *damageable) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if err := b.answers(ctx); err != nil {
		return driver.Page{}, err
	}
	p, err := b.Wrapper.Page(ctx, now, q)
	kept := p.Records[:0]
	for _, r := range p.Records {
		if b.broken(r.ID) != nil {
			p.Corrupt = append(p.Corrupt, r.ID)
			continue
		}
		kept = append(kept, r)
	}
	p.Records = kept
	return p, err
}

func (b *damageable) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	if err := b.answers(ctx); err != nil {
		return driver.Swept{}, err
	}
	onExpire := s.OnExpire
	s.OnExpire = func(r model.Record) error {
		if err := b.broken(r.ID); err != nil {
			return err
		}
		if onExpire == nil {
			return nil
		}
		return onExpire(r)
	}
	return b.Wrapper.DeleteExpired(ctx, s)
}

// GetMany, WriteMany, Stat and Count use the methods above, not those of the memory
// backend.

func (b *damageable) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	return driver.GetMany(ctx, plain{b}, now, gets)
}

func (b *damageable) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(ctx, plain{b}, now, ops)
}

func (b *damageable) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	return driver.GetStat(ctx, plain{b}, now, g)
}

func (b *damageable) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	return driver.Count(ctx, plain{b}, now, q)
}

var errForeign = model.NewError(model.ErrCorrupt, "another program is in the place", nil)

// occupied returns errForeign if another program is in the store's place.
func (b *damageable) occupied() error {
	if _, ok := b.foreign.Load(b.store); ok {
		return errForeign
	}
	return nil
}

func (b *damageable) CreateStorage(ctx context.Context) error {
	return cmp.Or(b.gate.Enter(ctx), b.occupied(), b.Wrapper.CreateStorage(ctx))
}

func (b *damageable) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	b.damaged.Range(func(k, _ any) bool {
		if k.(recordKey).store == b.store {
			b.damaged.Delete(k)
		}
		return true
	})
	return cmp.Or(b.Wrapper.DeleteStorage(ctx), b.occupied())
}

func (b *damageable) Describe() driver.Description { return b.gate.Describe() }

func (b *damageable) Close() error {
	_ = b.gate.Close()
	return b.Wrapper.Close()
}

// cluster is the data that the nodes of one harness share.
type cluster struct {
	space   *memory.Space
	damaged sync.Map
	foreign sync.Map
}

func newCluster() *cluster { return &cluster{space: memory.NewSpace()} }

// node returns a backend that follows every rule and can lose answers.
func (c *cluster) node(t testing.TB, store string) *conformance.Lossy {
	t.Helper()
	b, err := memory.New(c.space, store, &memory.Options{Labels: []string{"principal", "state"}})
	if err != nil {
		t.Fatal(err)
	}
	d := b.Describe()
	d.MaxValue = damageableMax
	return conformance.NewLossy(&damageable{Wrapper: driverkit.Wrap(b), gate: driverkit.NewGate(d, store), store: store, damaged: &c.damaged, foreign: &c.foreign})
}

// harness returns the harness of a backend that follows every rule.
func (c *cluster) harness() conformance.Harness {
	return conformance.Harness{
		Open:     func(t testing.TB, name string) driver.ModelExpirySupport { return c.node(t, name) },
		LoseNext: conformance.LoseNext,
		Damage: func(_ testing.TB, name, id string, _ []byte) {
			c.damaged.Store(recordKey{name, id}, model.ErrCorrupt)
		},
		Unreadable: func(_ testing.TB, name, id string) func() {
			c.damaged.Store(recordKey{name, id}, errUnreadable)
			return func() { c.damaged.Delete(recordKey{name, id}) }
		},
		Occupy: func(_ testing.TB, name string) func(testing.TB) {
			c.foreign.Store(name, true)
			return func(t testing.TB) {
				t.Helper()
				if _, there := c.foreign.Load(name); !there {
					t.Fatal("what another program made is gone")
				}
			}
		},
		Stall: func(_ testing.TB, b driver.ModelExpirySupport) func() {
			d := damageableOf(b)
			d.stalled.Store(true)
			return func() { d.stalled.Store(false) }
		},
		Delay: func(_ testing.TB, b driver.ModelExpirySupport, d time.Duration) {
			damageableOf(b).waits.Store(int64(d))
		},
		Server: "in process",
	}
}
