package driverkit

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Tally counts the removals of one sweep and keeps the error that it returns.
// It is not safe for concurrent use: a backend that removes in parallel adds
// the outcomes afterwards.
type Tally struct {
	limit    int
	onExpire func(model.Record) error
	swept    driver.Swept
	err      error
}

func newTally(s *driver.Sweep) *Tally { return &Tally{limit: s.Limit, onExpire: s.OnExpire} }

// Left returns how many removals the limit still allows.
func (t *Tally) Left() int { return t.limit - t.swept.Removed - t.swept.Unknown }

// Announces reports whether the sweep has an OnExpire.
func (t *Tally) Announces() bool { return t.onExpire != nil }

// Accepts announces a record to OnExpire and reports whether it may be
// removed. OnExpire gets a copy without the value.
func (t *Tally) Accepts(rec *model.Record) bool {
	return t.onExpire == nil || t.onExpire(rec.Head()) == nil
}

// Removed counts n removals.
func (t *Tally) Removed(n int) { t.swept.Removed += n }

// Failed notes that n removals failed with err, which may be nil. They are
// counted as unknown if err is ErrUnknown, which also takes precedence over
// the errors noted before (rule R56).
func (t *Tally) Failed(n int, err error) {
	unknown := errors.Is(err, model.ErrUnknown)
	if unknown {
		t.swept.Unknown += n
	}
	if t.err == nil || unknown && !errors.Is(t.err, model.ErrUnknown) {
		t.err = err
	}
}

// Outcome counts one removal: removed, failed with an error, or neither if the
// record stays.
func (t *Tally) Outcome(removed bool, err error) {
	if removed {
		t.Removed(1)
	}
	t.Failed(1, err)
}

// Err returns the error noted so far.
func (t *Tally) Err() error { return t.err }

// Result returns the counts and the error noted.
func (t *Tally) Result() (driver.Swept, error) {
	t.swept.More = t.swept.More || t.Left() <= 0
	return t.swept, t.err
}

// Run calls step until it reports that no more records are due, the limit is
// reached, the context ends or an error was noted. Step removes at most n
// records; the error that it returns is noted as one that stopped the sweep
// before any removal.
func (t *Tally) Run(ctx context.Context, step func(n int) (more bool, err error)) (driver.Swept, error) {
	for more := true; more && t.err == nil && t.Left() > 0; {
		err := ctx.Err()
		if err == nil {
			more, err = step(t.Left())
		}
		t.Failed(0, err)
	}
	return t.Result()
}

// Each sweeps records one by one, for a backend that can walk its records. It
// skips those that had not expired at before, announces the others and calls
// remove. Remove reports whether it removed the record.
func (t *Tally) Each(ctx context.Context, before time.Time, all iter.Seq[model.Record], remove func(*model.Record) (bool, error)) (driver.Swept, error) {
	for rec := range all {
		if t.Left() <= 0 || t.err != nil {
			break
		}
		if err := ctx.Err(); err != nil {
			t.Failed(0, err)
			break
		}
		if rec.Expired(before) && t.Accepts(&rec) {
			t.Outcome(remove(&rec))
		}
	}
	return t.Result()
}

// Steps runs a sweep in steps of at most a number of records. Due returns up to n
// that are due, beginning after those that it returned before. Accepts announces
// one with Tally.Accepts, and reports whether it may go. Remove removes those that
// may, as long as they are unchanged, and returns how many it removed. With an
// error, that number does not count.
func Steps[T any](ctx context.Context, t *Tally, most int, due func(n int) ([]T, error), accepts func(*T) bool, remove func([]T) (int, error)) (driver.Swept, error) {
	return t.Run(ctx, func(n int) (more bool, err error) {
		n = min(n, most)
		found, err := due(n)
		if err != nil {
			return false, err
		}
		accepted := make([]T, 0, len(found))
		for i := range found {
			if accepts(&found[i]) {
				accepted = append(accepted, found[i])
			}
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if len(accepted) > 0 {
			removed, err := remove(accepted)
			if err == nil {
				t.Removed(removed)
			}
			t.Failed(len(accepted), err)
		}
		return len(found) == n, nil
	})
}
