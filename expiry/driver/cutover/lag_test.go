package cutover_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// down is a backend whose changes fail.
type down struct{ driverkit.Wrapper }

func (down) Write(context.Context, time.Time, driver.Write) (model.Record, error) {
	return model.Record{}, model.ErrUnavailable
}

func (down) Touch(context.Context, time.Time, driver.Touch) (model.Record, error) {
	return model.Record{}, model.ErrUnavailable
}

func (down) Delete(context.Context, time.Time, driver.Delete) error { return model.ErrUnavailable }

func (down) WriteMany(_ context.Context, _ time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	for i := range out {
		out[i].Err = model.ErrUnavailable
	}
	return out
}

// TestAFailureOfTheOtherSideLagsBehind makes every kind of change while the other
// side fails. Each succeeds and is reported, and a Copy fixes all.
func TestAFailureOfTheOtherSideLagsBehind(t *testing.T) {
	for name, wrap := range map[string]wrapper{"DualWrite": dualWrite, "DualRead": dualRead} {
		t.Run(name, func(t *testing.T) {
			main, other := open(t, nil, "main"), open(t, nil, "other")
			for _, id := range []string{"touched", "deleted"} {
				r := put(t, main, id, "v")
				if _, err := other.Write(t.Context(), now(), driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
					t.Fatal(err)
				}
			}
			var lagging []string
			b, err := wrap(main, down{driverkit.Wrap(other)}, &cutover.Options{OnLag: func(_ context.Context, id string, err error) {
				if !errors.Is(err, model.ErrUnavailable) {
					t.Errorf("%s lags because of %v", id, err)
				}
				lagging = append(lagging, id)
			}})
			if err != nil {
				t.Fatal(err)
			}
			put(t, b, "written", "v")
			if _, err := b.Touch(t.Context(), now(), driver.Touch{ID: "touched", Mode: driver.TouchClear}); err != nil {
				t.Error(err)
			}
			if err := b.Delete(t.Context(), now(), driver.Delete{ID: "deleted", Cond: driver.IfPresent}); err != nil {
				t.Error(err)
			}
			for _, res := range driver.WriteMany(t.Context(), b, now(), []driver.BatchOp{{Write: &driver.Write{Record: rec("batch", "v"), Cond: driver.IfAbsent}}}) {
				if res.Err != nil {
					t.Error(res.Err)
				}
			}
			slices.Sort(lagging)
			if want := []string{"batch", "deleted", "touched", "written"}; !slices.Equal(lagging, want) {
				t.Errorf("%v lag, want %v", lagging, want)
			}
			if _, err := cutover.Copy(t.Context(), main, other, nil); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, main, other)
		})
	}
}

// TestDualReadMendsWhatDiffers reads records that the other side lacks, has with
// another value or expiry, or should not have.
func TestDualReadMendsWhatDiffers(t *testing.T) {
	main, other := open(t, nil, "main"), open(t, nil, "other")
	ids := []string{"expiry", "extra", "missing", "same", "value"}
	for _, id := range ids {
		r := put(t, main, id, "v")
		if _, err := other.Write(t.Context(), now(), driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func() {
		put(t, other, "value", "another")
		put(t, other, "extra", "v")
		_ = main.Delete(t.Context(), now(), driver.Delete{ID: "extra", Cond: driver.IfPresent})
		_ = other.Delete(t.Context(), now(), driver.Delete{ID: "missing", Cond: driver.IfPresent})
		_, _ = other.Touch(t.Context(), now(), driver.Touch{ID: "expiry", Mode: driver.TouchSet, ExpiresAt: now().Add(9 * time.Hour)})
	}
	var differ []string
	b, err := cutover.NewDualRead(main, other, &cutover.Options{OnDifference: func(_ context.Context, id string) { differ = append(differ, id) }})
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(){
		"Get": func() {
			for _, id := range ids {
				_, _ = b.Get(t.Context(), now(), driver.Get{ID: id})
			}
		},
		"GetMany": func() { b.GetMany(t.Context(), now(), driver.Gets(ids...)) },
		"Stat": func() {
			for _, id := range ids {
				_, _ = b.Stat(t.Context(), now(), driver.Get{ID: id})
			}
		},
	} {
		spoil()
		differ = nil
		read()
		if want := []string{"expiry", "extra", "missing", "value"}; !slices.Equal(differ, want) {
			t.Errorf("%s: %v differed, want %v", name, differ, want)
		}
		wantEqual(t, main, other)
	}
}

func TestBothSidesFit(t *testing.T) {
	few, err := memory.New(nil, "few", &memory.Options{Labels: []string{"principal"}})
	if err != nil {
		t.Fatal(err)
	}
	many := open(t, nil, "many")
	if _, err := cutover.NewDualWrite(many, few, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("a label that the other side lacks: %v", err)
	}
	if _, err := cutover.NewDualRead(few, nil, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("no other side: %v", err)
	}
	b, err := cutover.NewDualWrite(few, described{driverkit.Wrap(many)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := b.Describe(); d.MaxValue != 3 || d.MaxTTL != time.Hour || len(d.Labels) != 1 {
		t.Errorf("described as %+v", d)
	}
	if _, err := b.Write(t.Context(), now(), driver.Write{Record: rec("a", "four"), Cond: driver.IfAny}); !errors.Is(err, model.ErrTooLarge) {
		t.Errorf("a value that the other side cannot hold: %v", err)
	}
	if n := len(all(t, few)); n != 0 {
		t.Error("the value was stored")
	}
}

// described has limits.
type described struct{ driverkit.Wrapper }

func (described) Describe() driver.Description {
	return driver.Description{Backend: "small", Labels: []string{"principal", "state"}, MaxValue: 3, MaxTTL: time.Hour}
}
