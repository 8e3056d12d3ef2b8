package expiry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestAnErrorWithoutAKindGetsOne(t *testing.T) {
	odd := errors.New("odd")
	b := newScripted(t, step{"Get", answer(model.Record{}, odd)})
	_, err := storeOn(t, b, nil).Get(t.Context(), "a")
	wantKind(t, err, model.ErrUnavailable)
	if !errors.Is(err, odd) {
		t.Errorf("%v does not unwrap to the cause", err)
	}

	b = newScripted(t, step{"Write", answer(model.Record{}, odd)}, step{"Get", answer(model.Record{}, model.ErrNotFound)})
	_, err = storeOn(t, b, nil).Create(t.Context(), "a", value{}, nil)
	wantKind(t, err, model.ErrUnknown)
}

func TestARecordOfAnotherIDIsCorrupt(t *testing.T) {
	b := newScripted(t, step{"Get", answer(stored("b", model.NewRevision()), nil)})
	_, err := storeOn(t, b, nil).Get(t.Context(), "a")
	wantKind(t, err, model.ErrCorrupt)
}

func TestGetChecksTheExpiryOnceMore(t *testing.T) {
	now := time.Now()
	r := stored("a", model.NewRevision())
	r.ExpiresAt = model.Millis(now.Add(-time.Second))
	b := newScripted(t, step{"Get", answer(r, nil)})
	_, err := storeOn(t, b, nil).Get(t.Context(), "a")
	wantKind(t, err, model.ErrNotFound)
}

func TestLimitsOfTheBackendAreCheckedBeforeAnyCall(t *testing.T) {
	b := newScripted(t)
	b.desc.MaxValue, b.desc.MaxTTL = 10, time.Hour
	s := storeOn(t, b, nil)
	soon := &expiry.WriteOptions{Expiry: expiry.After(time.Minute)}
	_, err := s.Create(t.Context(), "a", value{N: 123456789}, soon)
	wantKind(t, err, model.ErrTooLarge)
	_, err = s.Create(t.Context(), "a", value{}, &expiry.WriteOptions{Expiry: expiry.After(2 * time.Hour)})
	wantKind(t, err, model.ErrInvalid)
	_, err = s.Create(t.Context(), "a", value{}, nil)
	wantKind(t, err, model.ErrInvalid) // never is further than any limit
	b.wants()
}

func TestAbsentLabelsAreUnsupported(t *testing.T) {
	b := newScripted(t)
	b.desc.Absent = []driver.Absence{{Feature: driver.FeatureLabels, Reason: "it has no index"}}
	_, err := storeOn(t, b, nil).Create(t.Context(), "a", value{}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
	wantKind(t, err, model.ErrUnsupported)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "it has no index") {
		t.Errorf("got %v", err)
	}
	b.wants()
}

func TestBoundedLoops(t *testing.T) {
	// Every compare-and-set loses, for ever.
	conflict := newEndless()
	s := storeOn(t, conflict, &expiry.StoreOptions{Attempts: 5})
	_, err := s.Mutate(t.Context(), "a", func(v *value) error { v.N++; return nil }, nil)
	wantKind(t, err, model.ErrConflict)
	if conflict.writes != 5 {
		t.Errorf("%d attempts, want 5", conflict.writes)
	}
	if n, err := s.DeleteByLabel(t.Context(), "principal", "ann"); n != 0 || !errors.Is(err, model.ErrConflict) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestTheCheckThatEndsTheWorkIsNoAttempt(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, b, &expiry.StoreOptions{Attempts: 1})
	for i, remove := range []func() (int, error){
		func() (int, error) { return s.DeleteByLabel(t.Context(), "principal", "ann") },
		func() (int, error) { return s.DeleteAll(t.Context()) },
	} {
		for k := range 250 {
			if _, err := s.Create(t.Context(), fmt.Sprint(k), value{}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := remove(); n != 250 || err != nil {
			t.Errorf("removal %d: %d, %v", i, n, err)
		}
	}
}

func TestAllEndsWithItsContext(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, b, nil)
	for k := range 90 {
		if _, err := s.Create(t.Context(), fmt.Sprint(k), value{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got int
	var last error
	for _, err := range s.All(ctx, nil) {
		if last = err; err != nil {
			break
		}
		got++
		cancel()
	}
	if got != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d records after the context ended, the last error is %v", got-1, last)
	}
}

func TestATouchWithoutAnExpiryIsInvalid(t *testing.T) {
	b := newScripted(t)
	_, err := storeOn(t, b, nil).Touch(t.Context(), "a", expiry.Expiry{}, nil)
	wantKind(t, err, model.ErrInvalid)
	_, err = storeOn(t, b, &expiry.StoreOptions{TTL: time.Hour}).Touch(t.Context(), "a", expiry.Keep(), nil)
	wantKind(t, err, model.ErrInvalid)
	b.wants()
}

func TestTheObserverSeesTheWorstItem(t *testing.T) {
	var seen []expiry.Observation
	observe := func(_ context.Context, o expiry.Observation) { seen = append(seen, o) }
	m, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	fails := model.NewError(model.ErrUnavailable, "", nil)
	s := storeOn(t, failing{m, fails}, &expiry.StoreOptions{Observe: observe})
	if _, err := s.GetMany(t.Context(), []string{"a", "b", "bad\x00id"}); err != nil {
		t.Error(err)
	}
	if _, err := s.Bulk(t.Context(), []expiry.Op[value]{{Kind: expiry.OpCreate, ID: "a"}, {Kind: expiry.OpDelete, ID: "b"}, {ID: "c"}}); err != nil {
		t.Error(err)
	}
	good := storeOn(t, m, nil)
	for _, id := range []string{"x", "y"} {
		if _, err := good.Create(t.Context(), id, value{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Reindex(t.Context(), func(expiry.Item[value]) map[string]string { return map[string]string{"principal": "ann"} }); !errors.Is(err, model.ErrUnavailable) {
		t.Error(err)
	}
	put(t, m, model.Record{ID: "z", Revision: model.NewRevision(), Value: []byte("{"), Encoding: "json"})
	if l, err := s.Page(t.Context(), nil); err != nil || len(l.Failed) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	var got []string
	for _, o := range seen {
		got = append(got, fmt.Sprint(o.Op, " ", o.Outcome(), " ", o.Items))
		if o.Err != nil || o.ItemErr == nil {
			t.Errorf("%s: the errors are %v and %v", o.Op, o.Err, o.ItemErr)
		}
	}
	want := []string{
		"GetMany unavailable map[invalid:1 unavailable:2]",
		"Bulk unavailable map[invalid:1 unavailable:2]",
		"Reindex unavailable map[unavailable:2]",
		"Page corrupt map[corrupt:1]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
	var b bytes.Buffer
	expiry.LogObserver(slog.New(slog.NewTextHandler(&b, nil)))(t.Context(), seen[0])
	if !strings.Contains(b.String(), "level=WARN") || !strings.Contains(b.String(), "unavailable") {
		t.Errorf("logged %q", b.String())
	}
}

// failing fails every call about one record, and lists.
type failing struct {
	driver.ModelExpirySupport
	err error
}

func (f failing) Get(context.Context, time.Time, driver.Get) (model.Record, error) {
	return model.Record{}, f.err
}

func (f failing) Write(context.Context, time.Time, driver.Write) (model.Record, error) {
	return model.Record{}, f.err
}

func (f failing) Delete(context.Context, time.Time, driver.Delete) error { return f.err }

// endless has one record that somebody else changes before every write.
type endless struct {
	driver.ModelExpirySupport
	writes int
}

func newEndless() *endless {
	b, _ := memory.New(nil, "x", nil)
	return &endless{ModelExpirySupport: b}
}

func (e *endless) Get(context.Context, time.Time, driver.Get) (model.Record, error) {
	return stored("a", model.NewRevision()), nil
}

func (e *endless) Write(context.Context, time.Time, driver.Write) (model.Record, error) {
	e.writes++
	return stored("a", model.NewRevision()).Head(), model.ErrConflict
}

func (e *endless) Delete(context.Context, time.Time, driver.Delete) error {
	return model.ErrConflict
}

func (e *endless) Page(context.Context, time.Time, driver.Query) (driver.Page, error) {
	return driver.Page{Records: []model.Record{stored("a", model.NewRevision())}}, nil
}

func TestMutateUsesTheWinnersValue(t *testing.T) {
	first, second := model.NewRevision(), model.NewRevision()
	winner := stored("a", second)
	winner.Value = []byte(`{"N":41}`)
	var wrote string
	b := newScripted(t,
		step{"Get", answer(stored("a", first), nil)},
		step{"Write", answer(winner, model.ErrConflict)},
		step{"Write", func(_ context.Context, arg any) (model.Record, error) {
			w := arg.(driver.Write)
			wrote = string(w.Record.Value)
			if w.Known.Revision != second {
				t.Errorf("written at %v, want the winner's revision", w.Known.Revision)
			}
			return w.Record.Head(), nil
		}},
	)
	it, err := storeOn(t, b, nil).Mutate(t.Context(), "a", func(v *value) error { v.N++; return nil }, nil)
	if err != nil || it.Value.N != 42 || wrote != `{"N":42}` {
		t.Errorf("got %+v, %v, wrote %s", it, err, wrote)
	}
	b.wants("Get", "Write", "Write")
}

func TestUpdateTellsTheWinner(t *testing.T) {
	whole := stored("a", model.NewRevision())
	headless, another, garbled, past := whole, whole, whole, whole
	headless.Value = nil
	another.ID = "b"
	garbled.Value = []byte("{")
	past.ExpiresAt = time.Unix(1, 0)
	for name, rec := range map[string]model.Record{"whole": whole, "headless": headless, "another": another, "garbled": garbled, "past": past} {
		b := newScripted(t, step{"Write", answer(rec, model.ErrConflict)})
		it, err := storeOn(t, b, nil).Update(t.Context(), "a", value{2}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(model.NewRevision())})
		wantKind(t, err, model.ErrConflict)
		told := it.ID == "a" && it.Value.N == 1 && it.Revision == whole.Revision
		if told != (name == "whole") || !told && (it.ID != "" || it.Value.N != 0) {
			t.Errorf("%s: %+v", name, it)
		}
	}
}

func TestObserver(t *testing.T) {
	var seen []expiry.Observation
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := storeOn(t, b, &expiry.StoreOptions{Observe: expiry.Observers(
		func(_ context.Context, o expiry.Observation) { seen = append(seen, o) },
		nil,
		expiry.LogObserver(logger),
	)})
	ctx := t.Context()
	_, _ = s.Get(ctx, "a")
	_, _ = s.Create(ctx, "a", value{N: 987654}, nil)
	_, _ = s.Create(ctx, "a", value{}, nil)
	_, _ = s.Create(ctx, "", value{}, nil)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = s.Get(ended, "a")
	_ = s.Close()
	_, _ = s.Get(ctx, "a")

	want := []struct {
		op, outcome string
		calls       int
	}{
		{"Get", "not_found", 1},
		{"Create", "ok", 1},
		{"Create", "exists", 1},
		{"Create", "invalid", 0},
		{"Get", "canceled", 0},
		{"Close", "ok", 0},
		{"Get", "closed", 1},
	}
	if len(seen) != len(want) {
		t.Fatalf("%d observations, want %d", len(seen), len(want))
	}
	for i, w := range want {
		if o := seen[i]; o.Op != w.op || o.Outcome() != w.outcome || o.Calls != w.calls || o.Backend != "memory" {
			t.Errorf("observation %d is %s %s with %d calls on %s, want %+v", i, o.Op, o.Outcome(), o.Calls, o.Backend, w)
		}
	}
	if strings.Contains(log.String(), "987654") || !strings.Contains(log.String(), "outcome=exists") {
		t.Errorf("the log is %s", log.String())
	}
}

func TestOutcomesOfEveryKind(t *testing.T) {
	for kind, want := range map[error]string{
		model.ErrUnknown: "unknown", model.ErrUnavailable: "unavailable", model.ErrCorrupt: "corrupt", model.ErrTooLarge: "too_large",
		model.ErrUnsupported: "unsupported", model.ErrConflict: "conflict", errors.New("x"): "error", context.DeadlineExceeded: "deadline",
		context.Canceled: "canceled",
		model.NewError(model.ErrUnknown, "", context.Canceled): "canceled",
		// A write that a stopped server let time out is not the wish of the caller.
		model.NewError(model.ErrUnknown, "", context.DeadlineExceeded): "unknown",
	} {
		if got := (expiry.Observation{Err: kind}).Outcome(); got != want {
			t.Errorf("%v is %q, want %q", kind, got, want)
		}
	}
}

func TestNewStoreRefuses(t *testing.T) {
	b, _ := memory.New(nil, "x", nil)
	if _, err := expiry.NewStore[int](nil, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("no backend: %v", err)
	}
	for _, o := range []expiry.StoreOptions{{TTL: -1}, {LookTimeout: -1}, {Attempts: -1}, {Codec: badCodec{}}} {
		if _, err := expiry.NewStore[int](b, &o); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

type badCodec struct{ expiry.Codec }

func (badCodec) Name() string { return "" }

func TestUpdatePartialNeedsJSON(t *testing.T) {
	b := newScripted(t)
	s := storeOn(t, b, &expiry.StoreOptions{Codec: otherCodec{expiry.JSON()}})
	_, err := s.UpdatePartial(t.Context(), "a", map[string]any{"N": 1}, nil)
	wantKind(t, err, model.ErrUnsupported)
	b.wants()
}

type otherCodec struct{ expiry.Codec }

func (otherCodec) Name() string { return "other" }

func TestAsFindsTheBackendThroughWrappers(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, wrapper{wrapper{b}}, nil)
	var got *memory.Backend
	if !s.As(&got) || got != b {
		t.Errorf("got %v", got)
	}
	var other *scripted
	if s.As(&other) || s.As(nil) || s.As(7) {
		t.Error("found what is not there")
	}
	var counter driver.Counter
	if !s.As(&counter) {
		t.Error("an interface that the backend implements was not found")
	}
}

type wrapper struct{ driver.ModelExpirySupport }

func (w wrapper) Unwrap() driver.ModelExpirySupport { return w.ModelExpirySupport }
