package otelsojourn_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// recorder has the SDK's providers and keeps what they got.
type recorder struct {
	spans  *tracetest.SpanRecorder
	reader *metric.ManualReader
	opts   otelsojourn.Options
}

func newRecorder(views ...metric.View) *recorder {
	r := &recorder{spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r.opts.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.opts.MeterProvider = metric.NewMeterProvider(metric.WithReader(r.reader), metric.WithView(views...))
	return r
}

// metrics returns what was measured, by the name of the metric.
func (r *recorder) metrics(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != otelsojourn.ScopeName {
			t.Errorf("the scope is %q, want %q", scope.Scope.Name, otelsojourn.ScopeName)
		}
		for _, m := range scope.Metrics {
			out[m.Name] = m
		}
	}
	return out
}

// text returns attributes sorted by key: "a=1 b=2".
func text(set attribute.Set) string {
	var out []string
	for _, kv := range set.ToSlice() {
		out = append(out, string(kv.Key)+"="+kv.Value.String())
	}
	return strings.Join(out, " ")
}

// points returns the measurements of a metric by their attributes.
func points(m metricdata.Metrics) map[string]int64 {
	out := map[string]int64{}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			out[text(p.Attributes)] = p.Value
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			out[text(p.Attributes)] = p.Value
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			out[text(p.Attributes)] = int64(p.Count)
		}
	}
	return out
}

func newMemory(t testing.TB) driver.ModelExpirySupport {
	t.Helper()
	b, err := memory.New(nil, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wrap(t testing.TB, b driver.ModelExpirySupport, o otelsojourn.Options) driver.ModelExpirySupport {
	t.Helper()
	out, err := otelsojourn.Wrap(b, &o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// full is a wrapped backend with every optional interface.
type full interface {
	driver.ModelExpirySupport
	driver.BatchGetter
	driver.BatchWriter
	driver.Counter
	driver.StorageManager
	driver.Pinger
	driver.Statter
	driver.Checker
}

// operations call each method that asks the server, by its db.operation.name. None
// panics or changes what another one needs.
var operations = []struct {
	name  string
	batch int // db.operation.batch.size, or -1
	do    func(context.Context, full) error
}{
	{"CreateStorage", -1, func(ctx context.Context, b full) error { return b.CreateStorage(ctx) }},
	{"Write", -1, func(ctx context.Context, b full) error { _, err := b.Write(ctx, now, upsert("a")); return err }},
	{"Get", -1, func(ctx context.Context, b full) error { _, err := b.Get(ctx, now, driver.Get{ID: "a"}); return err }},
	{"Touch", -1, func(ctx context.Context, b full) error {
		_, err := b.Touch(ctx, now, driver.Touch{ID: "a", Mode: driver.TouchClear})
		return err
	}},
	{"Page", -1, func(ctx context.Context, b full) error {
		_, err := b.Page(ctx, now, driver.Query{Limit: 9})
		return err
	}},
	{"Count", -1, func(ctx context.Context, b full) error { _, err := b.Count(ctx, now, driver.Query{}); return err }},
	{"Stat", -1, func(ctx context.Context, b full) error { _, err := b.Stat(ctx, now, driver.Get{ID: "a"}); return err }},
	{"Ping", -1, func(ctx context.Context, b full) error { return b.Ping(ctx) }},
	{"Check", -1, func(ctx context.Context, b full) error { _, err := b.Check(ctx); return err }},
	{"BATCH Get", 2, func(ctx context.Context, b full) error { return worst(b.GetMany(ctx, now, driver.Gets("a", "a2"))) }},
	{"BATCH Get", 0, func(ctx context.Context, b full) error { return worst(b.GetMany(ctx, now, nil)) }},
	{"Get", -1, func(ctx context.Context, b full) error { return worst(b.GetMany(ctx, now, driver.Gets("a"))) }},
	{"BATCH Write", 2, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, list("w", "w"))) }},
	{"Write", -1, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, list("w"))) }},
	{"BATCH Delete", 2, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, list("d", "d"))) }},
	{"Delete", -1, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, list("d"))) }},
	{"BATCH", 2, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, list("w", "d"))) }},
	{"BATCH", 0, func(ctx context.Context, b full) error { return worst(b.WriteMany(ctx, now, nil)) }},
	{"Delete", -1, func(ctx context.Context, b full) error {
		return b.Delete(ctx, now, driver.Delete{ID: "a", Cond: driver.IfPresent})
	}},
	{"DeleteExpired", -1, func(ctx context.Context, b full) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: now, Limit: 9})
		return err
	}},
	{"DeleteStorage", -1, func(ctx context.Context, b full) error { return b.DeleteStorage(ctx) }},
}

func upsert(id string) driver.Write {
	return driver.Write{
		Record: model.Record{ID: id, Revision: model.NewRevision(), Value: []byte(secret), Labels: map[string]string{"principal": secret}},
		Cond:   driver.IfAny,
	}
}

// secret is in every id, value and label that the tests use, in errors and panics.
const secret = "0xSECRET"

func list(kinds ...string) (out []driver.BatchOp) {
	for i, k := range kinds {
		id := secret + string(rune('0'+i))
		if k == "w" {
			w := upsert(id)
			out = append(out, driver.BatchOp{Write: &w})
		} else {
			out = append(out, driver.BatchOp{Delete: &driver.Delete{ID: id, Cond: driver.IfPresent}})
		}
	}
	return out
}

// worst returns the first error of the items.
func worst(results []driver.BatchResult) error {
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// failing is a backend of which every call that asks the server returns the error,
// or panics.
type failing struct {
	driverkit.Wrapper
	err   error
	panic any
}

func (f *failing) fail() error {
	if f.panic != nil {
		panic(f.panic)
	}
	return f.err
}

func (f *failing) items(n int) []driver.BatchResult {
	out := make([]driver.BatchResult, n)
	for i := range out {
		out[i].Err = f.fail()
	}
	if n == 0 {
		_ = f.fail()
	}
	return out
}

func (f *failing) Get(context.Context, time.Time, driver.Get) (model.Record, error) {
	return model.Record{}, f.fail()
}

func (f *failing) Write(context.Context, time.Time, driver.Write) (model.Record, error) {
	return model.Record{}, f.fail()
}

func (f *failing) Touch(context.Context, time.Time, driver.Touch) (model.Record, error) {
	return model.Record{}, f.fail()
}
func (f *failing) Delete(context.Context, time.Time, driver.Delete) error { return f.fail() }
func (f *failing) Page(context.Context, time.Time, driver.Query) (driver.Page, error) {
	return driver.Page{}, f.fail()
}

func (f *failing) DeleteExpired(context.Context, driver.Sweep) (driver.Swept, error) {
	return driver.Swept{}, f.fail()
}

func (f *failing) GetMany(_ context.Context, _ time.Time, gets []driver.Get) []driver.BatchResult {
	return f.items(len(gets))
}

func (f *failing) WriteMany(_ context.Context, _ time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return f.items(len(ops))
}

func (f *failing) Count(context.Context, time.Time, driver.Query) (int, error) { return 0, f.fail() }
func (f *failing) Stat(context.Context, time.Time, driver.Get) (driver.Stat, error) {
	return driver.Stat{}, f.fail()
}
func (f *failing) CreateStorage(context.Context) error          { return f.fail() }
func (f *failing) DeleteStorage(context.Context) error          { return f.fail() }
func (f *failing) Ping(context.Context) error                   { return f.fail() }
func (f *failing) Check(context.Context) (driver.Checks, error) { return nil, f.fail() }

// sum returns the sum of a histogram's only point.
func sum(t *testing.T, m metricdata.Metrics) float64 {
	t.Helper()
	h, ok := m.Data.(metricdata.Histogram[float64])
	if !ok || len(h.DataPoints) != 1 {
		t.Fatalf("%s is %T, want a histogram with one point", m.Name, m.Data)
	}
	return h.DataPoints[0].Sum
}
