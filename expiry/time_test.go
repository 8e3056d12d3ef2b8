package expiry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// timed notes the time of each driver call, batched or not.
type timed struct {
	driverkit.Wrapper
	mu  sync.Mutex
	got []time.Time
}

func (b *timed) note(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, now)
}

func (b *timed) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	b.note(now)
	return b.Wrapper.Get(ctx, now, g)
}

func (b *timed) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	b.note(now)
	return b.Wrapper.Write(ctx, now, w)
}

func (b *timed) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	b.note(now)
	return b.Wrapper.Touch(ctx, now, t)
}

func (b *timed) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	b.note(now)
	return b.Wrapper.Delete(ctx, now, d)
}

func (b *timed) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	b.note(now)
	return b.Wrapper.Page(ctx, now, q)
}

func (b *timed) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	b.note(s.Before)
	return b.Wrapper.DeleteExpired(ctx, s)
}

func (b *timed) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	b.note(now)
	return b.Wrapper.GetMany(ctx, now, gets)
}

func (b *timed) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	b.note(now)
	return b.Wrapper.WriteMany(ctx, now, ops)
}

func (b *timed) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	b.note(now)
	return b.Wrapper.Count(ctx, now, q)
}

func (b *timed) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	b.note(now)
	return b.Wrapper.Stat(ctx, now, g)
}

// bare has no optional interfaces.
type bare struct{ driver.ModelExpirySupport }

// TestEveryDriverCallHasATimeOfItsOwn calls every method of a Store with a
// clock that moves by a millisecond with each look at it.
func TestEveryDriverCallHasATimeOfItsOwn(t *testing.T) {
	ctx := t.Context()
	label := map[string]string{"principal": "ann"}
	count := func(v *value) error { v.N++; return nil }
	many := func(kind expiry.OpKind, prefix string) []expiry.Op[value] {
		ops := make([]expiry.Op[value], 1200) // three batches
		for i := range ops {
			ops[i] = expiry.Op[value]{Kind: kind, ID: fmt.Sprint(prefix, i), Opts: &expiry.WriteOptions{Expiry: expiry.After(time.Hour), Labels: label}}
		}
		return ops
	}
	ids := make([]string, 1200)
	for i := range ids {
		ids[i] = fmt.Sprint("many", i)
	}
	methods := []struct {
		name string
		do   func(s *expiry.Store[value]) error
	}{
		{"Create", func(s *expiry.Store[value]) error {
			_, err := s.Create(ctx, "a", value{}, &expiry.WriteOptions{Labels: label})
			return err
		}},
		{"Get", func(s *expiry.Store[value]) error { _, err := s.Get(ctx, "a"); return err }},
		{"Stat", func(s *expiry.Store[value]) error { _, err := s.Stat(ctx, "a"); return err }},
		{"Update", func(s *expiry.Store[value]) error { _, err := s.Update(ctx, "a", value{2}, nil); return err }},
		{"Upsert", func(s *expiry.Store[value]) error { _, err := s.Upsert(ctx, "b", value{2}, nil); return err }},
		{"Touch", func(s *expiry.Store[value]) error {
			_, err := s.Touch(ctx, "a", expiry.After(time.Hour), nil)
			return err
		}},
		{"Mutate", func(s *expiry.Store[value]) error { _, err := s.Mutate(ctx, "a", count, nil); return err }},
		{"MutateOrCreate", func(s *expiry.Store[value]) error { _, err := s.MutateOrCreate(ctx, "new", count, nil); return err }},
		{"UpdatePartial", func(s *expiry.Store[value]) error {
			_, err := s.UpdatePartial(ctx, "a", map[string]any{"N": 7}, nil)
			return err
		}},
		{"Take", func(s *expiry.Store[value]) error { _, err := s.Take(ctx, "b"); return err }},
		{"Delete", func(s *expiry.Store[value]) error { return s.Delete(ctx, "a", nil) }},
		{"Bulk", func(s *expiry.Store[value]) error {
			res, err := s.Bulk(ctx, many(expiry.OpCreate, "many"))
			return errors.Join(err, res.Err())
		}},
		{"GetMany", func(s *expiry.Store[value]) error { _, err := s.GetMany(ctx, ids); return err }},
		{"Page", func(s *expiry.Store[value]) error { _, err := s.Page(ctx, nil); return err }},
		{"All", func(s *expiry.Store[value]) error {
			for _, err := range s.All(ctx, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"Count", func(s *expiry.Store[value]) error { _, err := s.Count(ctx, nil); return err }},
		{"Reindex", func(s *expiry.Store[value]) error {
			_, err := s.Reindex(ctx, func(expiry.Item[value]) map[string]string { return map[string]string{"principal": "bob"} })
			return err
		}},
		{"DeleteByLabel", func(s *expiry.Store[value]) error { _, err := s.DeleteByLabel(ctx, "principal", "bob"); return err }},
		{"DeleteAll", func(s *expiry.Store[value]) error { _, err := s.DeleteAll(ctx); return err }},
		{"DeleteExpired", func(s *expiry.Store[value]) error { _, err := s.DeleteExpired(ctx, nil); return err }},
	}
	for _, kind := range []string{"batched", "one by one"} {
		t.Run(kind, func(t *testing.T) {
			m, err := memory.New(nil, "x", nil)
			if err != nil {
				t.Fatal(err)
			}
			b := &timed{Wrapper: driverkit.Wrap(m)}
			var backend driver.ModelExpirySupport = b
			if kind != "batched" {
				backend = bare{b}
			}
			now, looks := time.Now().Truncate(time.Millisecond), 0
			s := storeOn(t, backend, &expiry.StoreOptions{Grace: -1, Clock: expiry.ClockFunc(func() time.Time {
				looks++
				now = now.Add(time.Millisecond)
				return now
			})})
			for _, method := range methods {
				b.got, looks = nil, 0
				if err := method.do(s); err != nil {
					t.Errorf("%s: %v", method.name, err)
				}
				distinct := map[time.Time]bool{}
				for _, at := range b.got {
					distinct[at] = true
				}
				if len(b.got) == 0 || len(distinct) != len(b.got) || looks != len(b.got) {
					t.Errorf("%s made %d driver calls at %d times, and looked at the clock %d times", method.name, len(b.got), len(distinct), looks)
				}
			}
		})
	}
}

// stopped is a server that has stopped: every call ends with its context, and
// the answer of a write is lost.
type stopped struct{ driver.ModelExpirySupport }

func (stopped) Get(ctx context.Context, _ time.Time, _ driver.Get) (model.Record, error) {
	<-ctx.Done()
	return model.Record{}, model.NewError(model.ErrUnavailable, "", ctx.Err())
}

func (stopped) Write(ctx context.Context, _ time.Time, _ driver.Write) (model.Record, error) {
	<-ctx.Done()
	return model.Record{}, model.NewError(model.ErrUnknown, "", ctx.Err())
}

func (stopped) Touch(ctx context.Context, _ time.Time, _ driver.Touch) (model.Record, error) {
	<-ctx.Done()
	return model.Record{}, model.NewError(model.ErrUnknown, "", ctx.Err())
}

func (stopped) Delete(ctx context.Context, _ time.Time, _ driver.Delete) error {
	<-ctx.Done()
	return model.NewError(model.ErrUnknown, "", ctx.Err())
}

// stoppedBatches is the same with batches.
type stoppedBatches struct{ stopped }

func (s stoppedBatches) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	return driver.GetMany(ctx, s.stopped, now, gets)
}

func (s stoppedBatches) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(ctx, s.stopped, now, ops)
}

func TestACallEndsSoonAfterItsContextOnAStoppedServer(t *testing.T) {
	m, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := &expiry.WriteOptions{IfMatch: expiry.AtRevision(model.NewRevision())}
	ops := make([]expiry.Op[value], 50)
	ids := make([]string, 50)
	for i := range ops {
		ids[i] = fmt.Sprint("id", i)
		ops[i] = expiry.Op[value]{Kind: expiry.OpUpdate, ID: ids[i], Opts: at}
	}
	for name, b := range map[string]driver.ModelExpirySupport{"one by one": stopped{m}, "batched": stoppedBatches{stopped{m}}} {
		for verb, do := range map[string]func(context.Context, *expiry.Store[value]) error{
			"Update": func(ctx context.Context, s *expiry.Store[value]) error {
				_, err := s.Update(ctx, "a", value{}, at)
				return err
			},
			"Delete": func(ctx context.Context, s *expiry.Store[value]) error {
				return s.Delete(ctx, "a", &expiry.DeleteOptions{IfMatch: at.IfMatch})
			},
			"Touch": func(ctx context.Context, s *expiry.Store[value]) error {
				_, err := s.Touch(ctx, "a", expiry.After(time.Hour), nil)
				return err
			},
			"Bulk":    func(ctx context.Context, s *expiry.Store[value]) error { _, err := s.Bulk(ctx, ops); return err },
			"GetMany": func(ctx context.Context, s *expiry.Store[value]) error { _, _ = s.GetMany(ctx, ids); return ctx.Err() },
		} {
			t.Run(name+"/"+verb, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := storeOn(t, b, &expiry.StoreOptions{LookTimeout: 200 * time.Millisecond})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					began := time.Now()
					if err := do(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					if took := time.Since(began); took > time.Second+100*time.Millisecond {
						t.Errorf("took %v with a deadline of 1 s", took)
					}
				})
			})
		}
	}
}

func TestLostAnswersOfABatchAreLookedUpTogether(t *testing.T) {
	m, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &losing{Wrapper: driverkit.Wrap(m)}
	s := storeOn(t, b, nil)
	var ops []expiry.Op[value]
	for i := range 6 {
		it, err := s.Create(t.Context(), fmt.Sprint("id", i), value{i}, nil)
		if err != nil {
			t.Fatal(err)
		}
		op := expiry.Op[value]{Kind: expiry.OpUpdate, ID: it.ID, Value: value{10 + i}, Opts: &expiry.WriteOptions{IfMatch: it.Known()}}
		if i == 5 {
			op.Kind = expiry.OpDelete
		}
		ops = append(ops, op)
	}
	b.calls = nil
	// The answers of all are lost: the odd ones were carried out, and the even
	// ones and the delete never arrived.
	b.lose = func(i int) (carriedOut bool) { return i%2 == 1 && i != 5 }
	res, err := s.Bulk(t.Context(), ops)
	if err != nil || res.Err() != nil || res.Updated != 5 || res.Deleted != 1 {
		t.Errorf("got %+v, %v, %v", res, err, res.Err())
	}
	if want := []string{"WriteMany 6", "GetMany 6", "WriteMany 4"}; fmt.Sprint(b.calls) != fmt.Sprint(want) {
		t.Errorf("calls %v, want %v", b.calls, want)
	}
	for i := range 5 {
		if it, err := s.Get(t.Context(), fmt.Sprint("id", i)); err != nil || it.Value.N != 10+i {
			t.Errorf("record %d: %+v, %v", i, it, err)
		}
	}
}

// losing loses the answers of the next batch.
type losing struct {
	driverkit.Wrapper
	lose  func(i int) (carriedOut bool)
	calls []string
}

func (b *losing) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	b.calls = append(b.calls, fmt.Sprint("GetMany ", len(gets)))
	return b.Wrapper.GetMany(ctx, now, gets)
}

func (b *losing) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	b.calls = append(b.calls, fmt.Sprint("WriteMany ", len(ops)))
	if b.lose == nil {
		return b.Wrapper.WriteMany(ctx, now, ops)
	}
	out := make([]driver.BatchResult, len(ops))
	for i := range ops {
		if b.lose(i) {
			b.Wrapper.WriteMany(ctx, now, ops[i:i+1])
		}
		out[i].Err = lost()
	}
	b.lose = nil
	return out
}

func TestMutateWithHundredsOfWritersOfOneRecord(t *testing.T) {
	m, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 500, 4
	synctest.Test(t, func(t *testing.T) {
		// Each driver call takes a millisecond, as on a server.
		s := storeOn(t, slow{m}, nil)
		if _, err := s.Create(t.Context(), "a", value{}, nil); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if _, err := s.Mutate(t.Context(), "a", func(v *value) error { v.N++; return nil }, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != writers*each {
			t.Errorf("%d mutations made %+v, %v", writers*each, it.Value, err)
		}
	})
}

// slow takes a millisecond of the bubble's time for a call.
type slow struct{ driver.ModelExpirySupport }

func (s slow) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
	return s.ModelExpirySupport.Get(ctx, now, g)
}

func (s slow) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
	return s.ModelExpirySupport.Write(ctx, now, w)
}

// TestADeadlineIsLogged logs the end of a call by its deadline as a warning: the
// server may have stopped. The end of a canceled call is not a warning.
func TestADeadlineIsLogged(t *testing.T) {
	for err, want := range map[error]string{context.DeadlineExceeded: "level=WARN outcome=deadline", context.Canceled: "level=DEBUG outcome=canceled"} {
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		expiry.LogObserver(log)(t.Context(), expiry.Observation{Op: "Get", Err: err})
		for _, part := range strings.Fields(want) {
			if !strings.Contains(b.String(), part) {
				t.Errorf("logged %q for %v, want %s", b.String(), err, part)
			}
		}
	}
}
