package sessiontest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Op names a method of a backend.
type Op string

// The methods that a Hook gets.
const (
	OpGet           Op = "Get"
	OpGetMany       Op = "GetMany"
	OpWrite         Op = "Write"
	OpTouch         Op = "Touch"
	OpDelete        Op = "Delete"
	OpWriteMany     Op = "WriteMany"
	OpPage          Op = "Page"
	OpDeleteExpired Op = "DeleteExpired"
)

// ops are the methods in the order in which Calls prints them.
var ops = [...]Op{OpGet, OpGetMany, OpWrite, OpTouch, OpDelete, OpWriteMany, OpPage, OpDeleteExpired}

// Hook runs in place of a call, and next makes the call. The hook can block
// before it calls next. Its result is the result of the call. So a hook that
// does not call next fails the call, and a hook that calls next and returns
// another error loses the answer. The next of a Write can be called after the hook
// has returned, for a write that arrives late. Id is empty for batches, listings
// and sweeps.
type Hook func(op Op, id string, next func() error) error

// Backend counts the calls of the backend that it wraps. A Hook can hold or fail
// them, and SetTamper changes what they read. It forwards every optional
// interface. It is safe for concurrent use.
type Backend struct {
	driverkit.Wrapper

	mu     sync.Mutex
	calls  map[Op]int
	hook   Hook
	tamper func(*model.Record)
}

// Wrap returns a Backend around b.
func Wrap(b expiry.ModelExpirySupport) *Backend {
	return &Backend{Wrapper: driverkit.Wrap(b), calls: map[Op]int{}}
}

// SetHook runs the hook around every call from now on. Nil removes it.
func (b *Backend) SetHook(h Hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = h
}

// SetTamper changes every record that is read from now on. Nil ends it.
func (b *Backend) SetTamper(change func(*model.Record)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tamper = change
}

// Calls returns the calls since the last Calls as text, for example
// "Get 1, Write 1". It returns "none" if there were none. A batch counts as one
// call if the wrapped backend makes it one. Else each of its operations counts.
func (b *Backend) Calls() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := ""
	for _, op := range ops {
		if n := b.calls[op]; n > 0 {
			if out != "" {
				out += ", "
			}
			out += fmt.Sprintf("%s %d", op, n)
		}
	}
	clear(b.calls)
	if out == "" {
		return "none"
	}
	return out
}

// Assert fails the test unless want, in the form of Calls, lists the calls since
// the last Calls or Assert.
func (b *Backend) Assert(t testing.TB, want, what string) {
	t.Helper()
	if got := b.Calls(); got != want {
		t.Errorf("calls of the store by %s: %s, want %s", what, got, want)
	}
}

func (b *Backend) around(op Op, id string, next func() error) error {
	b.mu.Lock()
	b.calls[op]++
	h := b.hook
	b.mu.Unlock()
	if h == nil {
		return next()
	}
	return h(op, id, next)
}

func (b *Backend) tampered(rec *model.Record) {
	b.mu.Lock()
	change := b.tamper
	b.mu.Unlock()
	if change != nil {
		change(rec)
	}
}

// Get counts and forwards the call.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (rec model.Record, err error) {
	err = b.around(OpGet, g.ID, func() (err error) {
		rec, err = b.ModelExpirySupport.Get(ctx, now, g)
		return err
	})
	if err == nil {
		b.tampered(&rec)
	}
	return rec, err
}

// GetMany counts and forwards the batch. A hook's error is the error of each
// request. If the wrapped backend has no batches, each request is a Get.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	batch, ok := b.ModelExpirySupport.(driver.BatchGetter)
	if !ok {
		for i, g := range gets {
			out[i].Record, out[i].Err = b.Get(ctx, now, g)
		}
		return out
	}
	err := b.around(OpGetMany, "", func() error {
		out = batch.GetMany(ctx, now, gets)
		return nil
	})
	for i := range out {
		switch {
		case err != nil:
			out[i] = driver.BatchResult{Err: err}
		case out[i].Err == nil:
			b.tampered(&out[i].Record)
		}
	}
	return out
}

// Write counts and forwards the call. A hook can carry it out later: see Late.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	var rec model.Record
	var answered atomic.Bool
	err := b.around(OpWrite, w.Record.ID, func() error {
		if answered.Load() {
			_, err := b.ModelExpirySupport.Write(context.WithoutCancel(ctx), now, w)
			return err
		}
		var err error
		rec, err = b.ModelExpirySupport.Write(ctx, now, w)
		return err
	})
	answered.Store(true)
	return rec, err
}

// WriteMany counts and forwards the batch. A hook's error is the error of each
// operation. If the wrapped backend has no batches, each operation is a Write or
// a Delete.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, batchOps []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(batchOps))
	batch, ok := b.ModelExpirySupport.(driver.BatchWriter)
	if !ok {
		for i, op := range batchOps {
			switch err := ctx.Err(); {
			case err != nil:
				out[i].Err = err
			case op.Write != nil:
				out[i].Record, out[i].Err = b.Write(ctx, now, *op.Write)
			default:
				out[i].Err = b.Delete(ctx, now, *op.Delete)
			}
		}
		return out
	}
	err := b.around(OpWriteMany, "", func() error {
		out = batch.WriteMany(ctx, now, batchOps)
		return nil
	})
	if err != nil {
		for i := range out {
			out[i] = driver.BatchResult{Err: err}
		}
	}
	return out
}

// Touch counts and forwards the call.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (rec model.Record, err error) {
	err = b.around(OpTouch, t.ID, func() (err error) {
		rec, err = b.ModelExpirySupport.Touch(ctx, now, t)
		return err
	})
	return rec, err
}

// Delete counts and forwards the call.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return b.around(OpDelete, d.ID, func() error { return b.ModelExpirySupport.Delete(ctx, now, d) })
}

// Page counts and forwards the call.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (p driver.Page, err error) {
	err = b.around(OpPage, "", func() (err error) {
		p, err = b.ModelExpirySupport.Page(ctx, now, q)
		return err
	})
	for i := range p.Records {
		b.tampered(&p.Records[i])
	}
	return p, err
}

// DeleteExpired counts and forwards the call.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (s driver.Swept, err error) {
	err = b.around(OpDeleteExpired, "", func() (err error) {
		s, err = b.ModelExpirySupport.DeleteExpired(ctx, sw)
		return err
	})
	return s, err
}
