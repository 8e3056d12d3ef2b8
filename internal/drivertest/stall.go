package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

const (
	stallDeadline = 50 * time.Millisecond
	stallMargin   = 100 * time.Millisecond // rule R94
	stallTries    = 100
)

// Stalled makes every call of the driver on a server that has stopped
// answering (rule R94). Stall stops it, as faultnet's Stall does, and is called
// once. Each call is made with a deadline and with a context that is cancelled:
// it must return the context's error within 100 ms of the end of its context.
// The calls with the names in answered need nothing of what has stopped: they
// return what is stored, or ErrNotFound.
func Stalled(t *testing.T, b driver.ModelExpirySupport, stall func(), answered ...string) {
	t.Helper()
	calls := stallCalls(b, SeedCalls(t, b))
	stall()
	for _, c := range calls {
		t.Run(c.Name, func(t *testing.T) {
			if slices.Contains(answered, c.Name) {
				if err := c.Do(t.Context(), b); err != nil && !errors.Is(err, model.ErrNotFound) {
					t.Errorf("got %s, want an answer", Causes(err))
				}
				return
			}
			endsInTime(t, b, c, "deadline", context.DeadlineExceeded, func() (context.Context, func()) {
				return context.WithTimeout(t.Context(), stallDeadline)
			})
			endsInTime(t, b, c, "cancel", context.Canceled, func() (context.Context, func()) {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(stallDeadline, cancel)
				return ctx, func() { timer.Stop(); cancel() }
			})
		})
	}
}

// endsInTime makes the call. A call that is late is made again, because a busy
// machine delays some; one that ignores its context is late every time.
func endsInTime(t *testing.T, b driver.ModelExpirySupport, c Call, how string, want error, start func() (context.Context, func())) {
	t.Helper()
	for try := 1; ; try++ {
		began := time.Now()
		ctx, end := start()
		err := c.Do(ctx, b)
		took := time.Since(began)
		end()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %s, want %v", how, Causes(err), want)
			return
		}
		// The store is seeded and does not answer, so no state of it can be known.
		if kind := model.Kind(err); kind != nil && !errors.Is(kind, model.ErrUnknown) && !errors.Is(kind, model.ErrUnavailable) {
			t.Errorf("%s: got %s, which the server has not said", how, Causes(err))
		}
		if took <= stallDeadline+stallMargin {
			return
		}
		if try == stallTries {
			t.Errorf("%s: returned after %v, %d times later than %v after the end of its context at %v",
				how, took.Round(time.Millisecond), try, stallMargin, stallDeadline)
			return
		}
	}
}

// stallCalls returns every call of the driver, with those of the storage if the
// backend has any.
func stallCalls(b driver.ModelExpirySupport, base model.Record) []Call {
	const many = 50
	call := func(name string, do func(ctx context.Context, b driver.ModelExpirySupport) error) Call {
		return Call{Name: name, Do: do}
	}
	calls := append(Writes(base), Reads()...)
	if m, ok := b.(driver.StorageManager); ok {
		calls = append(calls,
			call("create storage", func(ctx context.Context, _ driver.ModelExpirySupport) error { return m.CreateStorage(ctx) }),
			call("delete storage", func(ctx context.Context, _ driver.ModelExpirySupport) error { return m.DeleteStorage(ctx) }))
	}
	return append(calls,
		call("touch at a revision", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, Now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: Now.Add(time.Minute), Cond: driver.IfMatch, Known: base})
			return err
		}),
		call("create long", func(ctx context.Context, b driver.ModelExpirySupport) error {
			r := Record("long", "ann", time.Hour)
			r.Value = make([]byte, 64<<10)
			_, err := b.Write(ctx, Now, driver.Write{Record: r, Cond: driver.IfAbsent})
			return err
		}),
		call("get of many", func(ctx context.Context, b driver.ModelExpirySupport) error {
			gets := make([]driver.Get, many)
			for i := range gets {
				gets[i].ID = fmt.Sprint("many", i)
			}
			return batchError(driver.GetMany(ctx, b, Now, gets))
		}),
		call("write of many", func(ctx context.Context, b driver.ModelExpirySupport) error {
			ops := make([]driver.BatchOp, many)
			for i := range ops {
				ops[i].Write = &driver.Write{Record: Record(fmt.Sprint("many", i), "ann", time.Hour), Cond: driver.IfAny}
			}
			ops[0] = driver.BatchOp{Delete: &driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base}}
			return batchError(driver.WriteMany(ctx, b, Now, ops))
		}),
		call("stat", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := driver.GetStat(ctx, b, Now, driver.Get{ID: "id"})
			return err
		}),
		call("sweep", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: Now, Limit: 100})
			return err
		}),
		call("sweep with announcements", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: Now, Limit: 100, OnExpire: func(model.Record) error { return nil }})
			return err
		}),
	)
}

// batchError returns the error of a batch of which every item failed, and an
// error that matches nothing if one did not.
func batchError(out []driver.BatchResult) error {
	for i := range out {
		if out[i].Err == nil {
			return fmt.Errorf("item %d of the batch has no error", i)
		}
	}
	return out[0].Err
}
