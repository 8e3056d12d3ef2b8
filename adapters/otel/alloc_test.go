package otelsojourn_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/session"
)

// dropped is a view that wants no metric.
func dropped() metric.View {
	return metric.NewView(metric.Instrument{Name: "*"}, metric.Stream{Aggregation: metric.AggregationDrop{}})
}

// ways are the ways to measure, with the allocations that a call has more than one
// of the bare backend.
func ways() []struct {
	name string
	opts otelsojourn.Options
	more float64
} {
	unread := newRecorder(dropped())
	return []struct {
		name string
		opts otelsojourn.Options
		more float64
	}{
		{"no providers", otelsojourn.Options{}, 0},
		{"providers that do nothing", otelsojourn.Options{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}, 0},
		{"a metric that no view wants", otelsojourn.Options{MeterProvider: unread.opts.MeterProvider}, 0},
		{"global providers before an SDK is set", otelsojourn.Options{TracerProvider: otel.GetTracerProvider(), MeterProvider: otel.GetMeterProvider()}, unset},
		{"metrics", otelsojourn.Options{MeterProvider: newRecorder().opts.MeterProvider}, 0},
		{"spans that are not sampled", otelsojourn.Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))}, notSampled},
		{"spans", otelsojourn.Options{TracerProvider: sdktrace.NewTracerProvider()}, sampled},
		{"spans and metrics", otelsojourn.Options{TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: newRecorder().opts.MeterProvider}, sampled},
	}
}

// What the SDK and the options of a span allocate for one operation.
const (
	unset      = 5
	notSampled = 5
	sampled    = 8
	batchSize  = 2
)

// idle is a backend whose calls allocate nothing.
func idle(t testing.TB) driver.ModelExpirySupport {
	t.Helper()
	return &failing{Wrapper: driverkit.Wrap(newMemory(t))}
}

func TestAllocations(t *testing.T) {
	bare := idle(t).(full)
	for _, way := range ways() {
		if raceDetector && way.more > 0 {
			continue // more of a span is allocated then: by Go, and by the SDK's pools at random
		}
		b := wrap(t, idle(t), way.opts).(full)
		for _, op := range operations {
			do := func(b full) float64 {
				return testing.AllocsPerRun(100, func() { _ = op.do(context.Background(), b) })
			}
			want := way.more
			if op.batch >= 0 && want == sampled {
				want += batchSize
			}
			if got := do(b) - do(bare); got != want {
				t.Errorf("%s, %s: %v allocations more than the bare backend, want %v", way.name, op.name, got, want)
			}
		}
	}
}

// TestOffIsTheBackendItself: then nothing can be slower.
func TestOffIsTheBackendItself(t *testing.T) {
	for _, way := range ways()[:2] {
		inner := newMemory(t)
		if got := wrap(t, inner, way.opts); got != inner {
			t.Errorf("%s: Wrap returns %T, want the backend itself", way.name, got)
		}
	}
}

// TestOffCountsNothing checks the counters without a provider, and those that no
// view wants.
func TestOffCountsNothing(t *testing.T) {
	for name, o := range map[string]otelsojourn.Options{"none": {}, "no view": newRecorder(dropped()).opts} {
		s, err := otelsojourn.NewSessions(&o)
		if err != nil {
			t.Fatal(err)
		}
		e := session.Event{Kind: session.EventRejected, Reason: session.ReasonMalformed}
		if n := testing.AllocsPerRun(100, func() { s.OnEvent(context.Background(), e) }); n != 0 {
			t.Errorf("%s: an event allocates %v times, want 0", name, n)
		}
	}
}

// BenchmarkGet compares a read of each way with one of the bare backend.
func BenchmarkGet(b *testing.B) {
	inner := newMemory(b)
	if _, err := inner.Write(b.Context(), now, upsert("a")); err != nil {
		b.Fatal(err)
	}
	run := func(name string, of driver.ModelExpirySupport) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := of.Get(context.Background(), now, driver.Get{ID: "a"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("bare", inner)
	for _, way := range ways() {
		run(way.name, wrap(b, inner, way.opts))
	}
}

// BenchmarkRatio has the time of each way as a multiple of the bare backend's, of
// an upsert and of a read. It is one measurement: run it with -benchtime=1x.
func BenchmarkRatio(b *testing.B) {
	inner := newMemory(b)
	get := func(of driver.ModelExpirySupport) func(int) error {
		return func(int) error {
			_, err := of.Get(context.Background(), now, driver.Get{ID: "a"})
			return err
		}
	}
	put := func(of driver.ModelExpirySupport) func(int) error {
		return func(int) error {
			_, err := of.Write(context.Background(), now, upsert("a"))
			return err
		}
	}
	for name, call := range map[string]func(driver.ModelExpirySupport) func(int) error{"write": put, "get": get} {
		if err := put(inner)(0); err != nil {
			b.Fatal(err)
		}
		sides := []ratio.Side{{Name: "bare", Do: call(inner)}, {Name: "bare again", Do: call(inner)}}
		for _, way := range ways() {
			sides = append(sides, ratio.Side{Name: way.name, Do: call(wrap(b, inner, way.opts))})
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				results, err := ratio.Measure(3000, sides...)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range results {
					b.Log(r)
				}
			}
		})
	}
}
