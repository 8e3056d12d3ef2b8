package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// lacking is a backend without some features. It declares them absent and
// returns ErrUnsupported if a call needs one of them.
type lacking struct {
	driverkit.Wrapper
	gate *driverkit.Gate
}

// withoutFeatures returns b without the features.
func withoutFeatures(b driver.ModelExpirySupport, store string, absent ...driver.Feature) *lacking {
	d := b.Describe()
	for _, f := range absent {
		d.Absent = append(d.Absent, driver.Absence{Feature: f, Reason: "the server has no index"})
		if f == driver.FeatureLabels {
			d.Labels = nil
		}
	}
	return &lacking{driverkit.Wrap(b), driverkit.NewGate(d, store)}
}

// unsupported returns err if it is ErrUnsupported. The wrapped backend makes
// all other checks.
func unsupported(err error) error {
	if errors.Is(err, model.ErrUnsupported) {
		return err
	}
	return nil
}

func (b *lacking) Describe() driver.Description { return b.gate.Describe() }

func (b *lacking) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := unsupported(b.gate.Write(ctx, &w)); err != nil {
		return model.Record{}, err
	}
	return b.Wrapper.Write(ctx, now, w)
}

func (b *lacking) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(ctx, plain{b}, now, ops)
}

func (b *lacking) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after := q.After
	q.After = "" // the gate cannot check the tokens of another
	_, err := b.gate.Page(ctx, &q)
	if err := unsupported(err); err != nil {
		return driver.Page{}, err
	}
	q.After = after
	return b.Wrapper.Page(ctx, now, q)
}

func (b *lacking) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	return driver.Count(ctx, plain{b}, now, q)
}

func (b *lacking) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	_, err := b.gate.Sweep(ctx, &s)
	if err := unsupported(err); err != nil {
		return driver.Swept{}, err
	}
	return b.Wrapper.DeleteExpired(ctx, s)
}

var allFeatures = []driver.Feature{driver.FeatureLabels, driver.FeaturePaging, driver.FeatureSweep}

// lackingHarness opens backends that lack the features.
func lackingHarness(absent ...driver.Feature) conformance.Harness {
	c := newCluster()
	h := c.harness()
	h.Allow = absent
	h.Open = func(t testing.TB, name string) driver.ModelExpirySupport {
		return withoutFeatures(c.node(t, name), name, absent...)
	}
	return h
}

func TestBackendsMayLackFeatures(t *testing.T) {
	for name, absent := range map[string][]driver.Feature{
		"labels":    {driver.FeatureLabels},
		"paging":    {driver.FeaturePaging},
		"sweep":     {driver.FeatureSweep},
		"all three": allFeatures,
	} {
		t.Run(name, func(t *testing.T) {
			if err := conformance.Check(t.Context(), lackingHarness(absent...)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBackendsMayLackInterfaces has a backend with the five methods alone, of a
// harness that shows what a store holds and loses answers.
func TestBackendsMayLackInterfaces(t *testing.T) {
	h := shelfHarness(shelfFaults{})
	open := h.Open
	h.Open = func(t testing.TB, name string) driver.ModelExpirySupport {
		return conformance.NewLossy(plain{open(t, name).(driver.Unwrapper).Unwrap()})
	}
	optional := []string{"Batch", "Close", "Context", "Count", "Error", "Known", "Left", "Lost", "Many", "Order", "Storage", "Store"}
	var names []string
	for _, c := range conformance.Cases() {
		if group, _, _ := strings.Cut(c.Name, "/"); slices.Contains(optional, group) {
			names = append(names, c.Name)
		}
	}
	if err := conformance.Check(t.Context(), h, names...); err != nil {
		t.Error(err)
	}
}

func TestAnAbsentFeatureMustBeAllowed(t *testing.T) {
	for _, f := range allFeatures {
		h := lackingHarness(f)
		h.Allow = nil
		err := conformance.Check(t.Context(), h, "Get/UnknownIDIsNotFound")
		if err == nil || !strings.Contains(err.Error(), "Harness.Allow does not list it") {
			t.Errorf("%s: got %v, want a failure that names Harness.Allow", f, err)
		}
	}
}

// TestAnAbsentFeatureMustBeUnsupported checks that a case on an absent feature
// fails if the backend has the feature after all.
func TestAnAbsentFeatureMustBeUnsupported(t *testing.T) {
	for f, name := range map[driver.Feature]string{
		driver.FeatureLabels: "Label/ListsExactlyItsBearers",
		driver.FeaturePaging: "Page/KeepsToTheLimit",
		driver.FeatureSweep:  "Sweep/RemovesPhysically",
	} {
		c := newCluster()
		h := c.harness()
		h.Allow = []driver.Feature{f}
		h.Open = func(t testing.TB, store string) driver.ModelExpirySupport {
			b := c.node(t, store)
			return &mutant{Wrapper: driverkit.Wrap(b), describe: func() driver.Description {
				d := b.Describe()
				d.Absent = []driver.Absence{{Feature: f, Reason: "it is declared absent by mistake"}}
				return d
			}}
		}
		var failed *conformance.CaseError
		if err := conformance.Check(t.Context(), h, name); !errors.As(err, &failed) || failed.Case != name {
			t.Errorf("%s: got %v, want a failure of %s", f, err, name)
		}
	}
}

func TestAnAbsentFeatureNeedsAReason(t *testing.T) {
	c := newCluster()
	h := c.harness()
	h.Allow = []driver.Feature{driver.FeatureSweep}
	h.Open = func(t testing.TB, store string) driver.ModelExpirySupport {
		b := c.node(t, store)
		return &mutant{Wrapper: driverkit.Wrap(b), describe: func() driver.Description {
			return driver.Description{Backend: "memory", Absent: []driver.Absence{{Feature: driver.FeatureSweep}}}
		}}
	}
	err := conformance.Check(t.Context(), h, "Get/UnknownIDIsNotFound")
	if err == nil || !strings.Contains(err.Error(), "without a reason") {
		t.Errorf("got %v, want a failure that asks for a reason", err)
	}
}
