package otelsojourn_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// TestThePageHasEveryMetric compares the table of docs/telemetry.md with what the
// module reports.
func TestThePageHasEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- tested by adapters/otel: metrics -->\n", "<!-- end of metrics -->"
	_, rest, _ := strings.Cut(string(page), begin)
	have, _, found := strings.Cut(rest, end)
	if want := table(t); !found || have != want {
		t.Errorf("docs/telemetry.md has another table, between %q and %q. It must be\n%s", begin, end, want)
	}
}

// table returns the table, of all that every metric can report.
func table(t *testing.T) string {
	t.Helper()
	r, b := measured(t, newMemory(t))
	down := measuredBy(t, r, &failing{Wrapper: driverkit.Wrap(newMemory(t)), err: model.ErrUnavailable})
	for _, op := range operations {
		_, _ = op.do(t.Context(), b), op.do(t.Context(), down)
	}
	o := r.opts
	o.Collection = "sessions"
	s, err := otelsojourn.NewSessions(&o)
	if err != nil {
		t.Fatal(err)
	}
	for k := session.EventKind(1); k.String() != "unknown"; k++ {
		s.OnEvent(t.Context(), session.Event{Kind: k})
	}
	s.SetLive(1)
	sweeps, err := otelsojourn.NewSweeps(&o)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{nil, model.ErrUnavailable} {
		sweeps.OnSwept(driver.Swept{Removed: 1, Unknown: 1}, err)
		sweeps.Observe(t.Context(), expiry.Observation{Op: "DeleteExpired", Err: err})
	}
	all := r.metrics(t)
	var out strings.Builder
	out.WriteString("| metric | kind | unit | attributes | meaning |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		kind, sets := shape(m)
		keys := map[string]bool{}
		for _, set := range sets {
			for _, kv := range set.ToSlice() {
				keys["`"+string(kv.Key)+"`"] = true
			}
		}
		fmt.Fprintf(&out, "| `%s` | %s | `%s` | %s | %s |\n", name, kind, m.Unit, strings.Join(slices.Sorted(maps.Keys(keys)), ", "), m.Description)
	}
	return out.String()
}

// shape returns the kind of a metric and the attributes of its points.
func shape(m metricdata.Metrics) (kind string, sets []attribute.Set) {
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
		return "counter", sets
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
		return "gauge", sets
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
		return "histogram", sets
	}
	return "unknown", nil
}
