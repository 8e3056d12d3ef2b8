package driverkit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const gateMax = 10

func newGate(absent ...driver.Absence) *driverkit.Gate {
	return driverkit.NewGate(driver.Description{
		Backend: "test", Labels: []string{"principal"}, MaxValue: gateMax, Absent: absent,
	}, "store")
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func validWrite() *driver.Write {
	return &driver.Write{Record: model.Record{ID: "a", Revision: model.NewRevision()}, Cond: driver.IfAny}
}

// check is one check of a Gate, with a valid or an invalid request.
type check func(ctx context.Context, g *driverkit.Gate) error

func writeCheck(change func(w *driver.Write)) check {
	return func(ctx context.Context, g *driverkit.Gate) error {
		w := validWrite()
		change(w)
		return g.Write(ctx, w)
	}
}

func touchCheck(t driver.Touch) check {
	return func(ctx context.Context, g *driverkit.Gate) error { return g.Touch(ctx, &t) }
}

func deleteCheck(d driver.Delete) check {
	return func(ctx context.Context, g *driverkit.Gate) error { return g.Delete(ctx, &d) }
}

func countCheck(q driver.Query) check {
	return func(ctx context.Context, g *driverkit.Gate) error { return g.Count(ctx, &q) }
}

func pageCheck(q driver.Query) check {
	return func(ctx context.Context, g *driverkit.Gate) error { _, err := g.Page(ctx, &q); return err }
}

func sweepCheck(s driver.Sweep) check {
	return func(ctx context.Context, g *driverkit.Gate) error { _, err := g.Sweep(ctx, &s); return err }
}

func validChecks() map[string]check {
	return map[string]check{
		"Enter":  func(ctx context.Context, g *driverkit.Gate) error { return g.Enter(ctx) },
		"Write":  writeCheck(func(*driver.Write) {}),
		"Touch":  touchCheck(driver.Touch{ID: "a", Mode: driver.TouchClear}),
		"Delete": deleteCheck(driver.Delete{ID: "a", Cond: driver.IfPresent}),
		"Count":  countCheck(driver.Query{}),
		"Page":   pageCheck(driver.Query{Limit: 1}),
		"Sweep":  sweepCheck(driver.Sweep{Limit: 1}),
		"Gets": func(ctx context.Context, g *driverkit.Gate) error {
			out, ok := g.Gets(ctx, driver.Gets("a"))
			if ok != (out[0].Err == nil) {
				return errors.New("Gets returns an error and goes on, or stops without one")
			}
			return out[0].Err
		},
		"Batch": func(ctx context.Context, g *driverkit.Gate) error {
			out, valid := g.Batch(ctx, []driver.BatchOp{{Write: validWrite()}})
			if (len(valid) == 1) != (out[0].Err == nil) {
				return errors.New("Batch returns an error and goes on, or stops without one")
			}
			return out[0].Err
		},
	}
}

func invalidChecks() map[string]check {
	return map[string]check{
		"Write without a condition": writeCheck(func(w *driver.Write) { w.Cond = 0 }),
		"Write without a revision":  writeCheck(func(w *driver.Write) { w.Record.Revision = model.Revision{} }),
		"Write of an undeclared label": writeCheck(func(w *driver.Write) {
			w.Record.Labels = map[string]string{"tenant": "x"}
		}),
		"Write of a long encoding": writeCheck(func(w *driver.Write) {
			w.Record.Encoding = strings.Repeat("e", driverkit.MaxEncoding+1)
		}),
		"Touch without a mode":         touchCheck(driver.Touch{ID: "a"}),
		"Delete under IfAny":           deleteCheck(driver.Delete{ID: "a", Cond: driver.IfAny}),
		"Count of an undeclared label": countCheck(driver.Query{Label: "tenant", Value: "x"}),
		"Count of a value alone":       countCheck(driver.Query{Value: "x"}),
		"Page of an undeclared label":  pageCheck(driver.Query{Label: "tenant", Value: "x", Limit: 1}),
		"Page of a value alone":        pageCheck(driver.Query{Value: "x", Limit: 1}),
		"Page without a limit":         pageCheck(driver.Query{}),
		"Page with a negative limit":   pageCheck(driver.Query{Limit: -1}),
		"Page after an invented token": pageCheck(driver.Query{Limit: 1, After: "x"}),
		"Sweep without a limit":        sweepCheck(driver.Sweep{}),
		"Sweep with a negative limit":  sweepCheck(driver.Sweep{Limit: -1}),
		"Batch of an invalid operation": func(ctx context.Context, g *driverkit.Gate) error {
			out, _ := g.Batch(ctx, []driver.BatchOp{{Delete: &driver.Delete{ID: "a"}}})
			return out[0].Err
		},
	}
}

func TestGateChecksRequestContextAndCloseInThisOrder(t *testing.T) {
	closed := newGate()
	_ = closed.Close()
	for name, c := range validChecks() {
		if err := c(t.Context(), newGate()); err != nil {
			t.Errorf("%s: got %v, want nil", name, err)
		}
		if err := c(ended(), newGate()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: got %v, want %v", name, err, context.Canceled)
		}
		if err := c(t.Context(), closed); !errors.Is(err, model.ErrClosed) {
			t.Errorf("%s after Close: got %v, want %v", name, err, model.ErrClosed)
		}
		if err := c(ended(), closed); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after Close with an ended context: got %v, want %v", name, err, context.Canceled)
		}
	}
	for name, c := range invalidChecks() {
		for situation, err := range map[string]error{
			"": c(t.Context(), newGate()), " with an ended context": c(ended(), newGate()),
			" after Close": c(t.Context(), closed), " after Close with an ended context": c(ended(), closed),
		} {
			if !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%s%s: got %v, want %v", name, situation, err, model.ErrInvalid)
			}
		}
	}
}

func TestGateRefusesALargeValue(t *testing.T) {
	for n, want := range map[int]error{gateMax: nil, gateMax + 1: model.ErrTooLarge} {
		w := validWrite()
		w.Record.Value = make([]byte, n)
		if err := newGate().Write(ended(), w); want != nil && !errors.Is(err, want) || want == nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%d bytes: got %v, want %v", n, err, want)
		}
	}
}

func TestGateReturnsErrUnsupportedForAbsentFeatures(t *testing.T) {
	for f, checks := range map[driver.Feature][]check{
		driver.FeatureLabels: {
			pageCheck(driver.Query{Label: "tenant", Value: "x", Limit: 1}), countCheck(driver.Query{Label: "tenant", Value: "x"}),
			writeCheck(func(w *driver.Write) { w.Record.Labels = map[string]string{"tenant": "x"} }),
		},
		driver.FeaturePaging: {pageCheck(driver.Query{Limit: 1}), pageCheck(driver.Query{Limit: -1})},
		driver.FeatureSweep:  {sweepCheck(driver.Sweep{Limit: 1}), sweepCheck(driver.Sweep{Limit: -1})},
	} {
		g := newGate(driver.Absence{Feature: f, Reason: "the server has no index"})
		for i, c := range checks {
			err := c(t.Context(), g)
			if !errors.Is(err, model.ErrUnsupported) || !strings.Contains(err.Error(), "the server has no index") {
				t.Errorf("check %d without %s: got %v, want ErrUnsupported with the reason", i, f, err)
			}
		}
	}
}

func TestGateBatchSeparatesValidFromInvalid(t *testing.T) {
	invalid := driver.BatchOp{Delete: &driver.Delete{ID: "b", Cond: driver.IfAny}}
	large := validWrite()
	large.Record.Value = make([]byte, gateMax+1)
	remove := &driver.Delete{ID: "c", Cond: driver.IfPresent}
	ops := []driver.BatchOp{{Write: validWrite()}, invalid, {Write: large}, {Delete: remove}, {}, {Write: validWrite(), Delete: remove}}
	out, valid := newGate().Batch(t.Context(), ops)
	if !slices.Equal(valid, []int{0, 3}) {
		t.Errorf("the operations %v may go on, want 0 and 3", valid)
	}
	for i, want := range []error{nil, model.ErrInvalid, model.ErrTooLarge, nil, model.ErrInvalid, model.ErrInvalid} {
		if !errors.Is(out[i].Err, want) {
			t.Errorf("operation %d: got %v, want %v", i, out[i].Err, want)
		}
	}
	out, valid = newGate().Batch(ended(), ops)
	for i, want := range []error{context.Canceled, model.ErrInvalid, model.ErrTooLarge, context.Canceled, model.ErrInvalid, model.ErrInvalid} {
		if !errors.Is(out[i].Err, want) || len(valid) > 0 {
			t.Errorf("operation %d with an ended context: got %v, want %v", i, out[i].Err, want)
		}
	}
}

// closeCounter counts its calls and fails.
type closeCounter struct{ n int }

func (c *closeCounter) Close() error { c.n++; return errors.New("cannot close") }

func TestGateClosesWhatItOwnsOnce(t *testing.T) {
	var c closeCounter
	g := newGate()
	g.Own(&c)
	for range 3 {
		if err := g.Close(); err != nil {
			t.Errorf("Close returns %v, want nil", err)
		}
	}
	if c.n != 1 {
		t.Errorf("the owned client was closed %d times, want once", c.n)
	}
}

func TestGateDescribeReturnsACopy(t *testing.T) {
	g := newGate(driver.Absence{Feature: driver.FeatureSweep, Reason: "r"})
	_ = g.Close()
	d := g.Describe()
	d.Labels[0], d.Absent[0].Reason = "changed", "changed"
	if d := g.Describe(); d.Backend != "test" || d.Labels[0] != "principal" || d.Absent[0].Reason != "r" || d.MaxValue != gateMax {
		t.Errorf("Describe returns %+v after a caller changed its copy", d)
	}
}

func TestDeclaredLabelsRefusesBadNames(t *testing.T) {
	for name, names := range map[string][]string{
		"too many": {"a", "b", "c"}, "duplicate": {"a", "a"}, "empty": {""}, "illegal": {"a b"},
	} {
		if got, err := driverkit.DeclaredLabels(names, 2); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, model.ErrInvalid)
		}
	}
	if got, err := driverkit.DeclaredLabels([]string{}, 2); len(got) != 0 || err != nil {
		t.Errorf("an empty list: got %v, %v, want no labels", got, err)
	}
}
