package otelsojourn

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sweepBuckets are the boundaries for sojourn.sweep.duration, in seconds.
var sweepBuckets = []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300}

// Sweeps measures sweeps. Its methods are safe for concurrent use.
type Sweeps struct {
	store []attribute.KeyValue
	clock expiry.Clock

	runs, removed, unknown metric.Int64Counter
	duration               metric.Float64Histogram

	last atomic.Int64 // when a sweep succeeded, in seconds; zero: never
}

// NewSweeps makes the metrics of sweeps. It returns ErrInvalid if an option is
// invalid, and the meter's error.
func NewSweeps(opts *Options) (*Sweeps, error) {
	const op = "otelsojourn.NewSweeps"
	o, err := opts.check(op)
	if err != nil {
		return nil, err
	}
	s := &Sweeps{store: o.store(), clock: o.Clock}
	m := o.meter()
	var faults []error
	for _, c := range []struct {
		to               *metric.Int64Counter
		name, unit, text string
	}{
		{&s.runs, "sojourn.sweep.runs", "{run}", "Sweeps of a Sweeper, with error.type if they failed."},
		{&s.removed, "sojourn.sweep.removed", "{record}", "Expired records that sweeps removed."},
		{&s.unknown, "sojourn.sweep.unknown", "{record}", "Removals whose answer was lost."},
	} {
		*c.to, err = m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.text))
		faults = append(faults, err)
	}
	s.duration, err = m.Float64Histogram("sojourn.sweep.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of one DeleteExpired of a store. A sweep repeats it until nothing is left."),
		metric.WithExplicitBucketBoundaries(sweepBuckets...))
	faults = append(faults, err)
	_, err = m.Int64ObservableGauge("sojourn.sweep.last_success", metric.WithUnit("s"),
		metric.WithDescription("When this process last finished a sweep without an error, in seconds since 1970."),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			if at := s.last.Load(); at != 0 {
				to.Observe(at, metric.WithAttributes(s.store...))
			}
			return nil
		}))
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	return s, nil
}

// OnSwept counts a sweep. It is an expiry.SweeperOptions.OnSwept.
func (s *Sweeps) OnSwept(n driver.Swept, err error) {
	ctx := context.Background()
	if err == nil {
		s.last.Store(s.clock.Now().Unix())
	}
	add(ctx, s.runs, 1, s.attributes(err))
	add(ctx, s.removed, n.Removed, s.store)
	add(ctx, s.unknown, n.Unknown, s.store)
}

func add(ctx context.Context, c metric.Int64Counter, n int, attrs []attribute.KeyValue) {
	if n > 0 && c.Enabled(ctx) {
		c.Add(ctx, int64(n), metric.WithAttributes(attrs...))
	}
}

// Observe measures how long a store's DeleteExpired took. It is an expiry.Observer,
// for StoreOptions.Observe or session.Options.Observe, and ignores other calls.
func (s *Sweeps) Observe(ctx context.Context, o expiry.Observation) {
	if o.Op != "DeleteExpired" || !s.duration.Enabled(ctx) {
		return
	}
	s.duration.Record(ctx, o.Duration.Seconds(), metric.WithAttributes(s.attributes(o.Err)...))
}

func (s *Sweeps) attributes(err error) []attribute.KeyValue {
	if o := outcomeOf(err); o != answered {
		return slices.Concat(s.store, []attribute.KeyValue{semconv.ErrorTypeKey.String(words[o])})
	}
	return s.store
}
