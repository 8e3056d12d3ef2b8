package otelsojourn

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend is a backend whose operations have spans and metrics.
type Backend struct {
	driverkit.Wrapper
	tracer   trace.Tracer // nil: no spans
	duration dbconv.ClientOperationDuration
	prepared *[ops]prepared
}

// buckets are the boundaries that the conventions advise for
// db.client.operation.duration, in seconds.
var buckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// systems are the conventions' names of the backends whose own name is another. A
// backend that the conventions do not know has its own name.
var systems = map[string]dbconv.SystemNameAttr{
	"dynamodb":      dbconv.SystemNameAWSDynamoDB,
	"elasticsearch": dbconv.SystemNameElasticsearch,
	"mongo":         dbconv.SystemNameMongoDB,
	"postgres":      dbconv.SystemNamePostgreSQL,
	"redis":         dbconv.SystemNameRedis,
	"sqlite":        dbconv.SystemNameSQLite,
}

// Wrap returns a backend that does what b does, and measures each operation. It
// has every optional interface, as driverkit.Wrap does. If both providers are nil
// or do nothing, it returns b itself. It returns ErrInvalid if b is nil or an
// option is invalid, and the meter's error.
func Wrap(b driver.ModelExpirySupport, opts *Options) (driver.ModelExpirySupport, error) {
	const name = "otelsojourn.Wrap"
	o, err := opts.check(name)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, invalid(name, "the backend is nil")
	}
	if o.TracerProvider == nil && o.MeterProvider == nil {
		return b, nil
	}
	if o.System == "" {
		o.System = b.Describe().Backend
		if known, ok := systems[o.System]; ok {
			o.System = string(known)
		}
	}
	duration, err := dbconv.NewClientOperationDuration(o.meter(), metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		return nil, &model.Error{Op: name, Err: err}
	}
	return &Backend{Wrapper: driverkit.Wrap(b), tracer: o.tracer(), duration: duration, prepared: prepare(&o)}, nil
}

// off reports whether nobody wants to know anything.
func (b *Backend) off(ctx context.Context) bool {
	return b.tracer == nil && !b.duration.Enabled(ctx)
}

// Get gets a record.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if b.off(ctx) {
		return b.ModelExpirySupport.Get(ctx, now, g)
	}
	r := b.begin(ctx, opGet)
	defer r.left()
	rec, err := b.ModelExpirySupport.Get(r.ctx, now, g)
	r.end(outcomeOf(err))
	return rec, err
}

// Write stores a record.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if b.off(ctx) {
		return b.ModelExpirySupport.Write(ctx, now, w)
	}
	r := b.begin(ctx, opWrite)
	defer r.left()
	rec, err := b.ModelExpirySupport.Write(r.ctx, now, w)
	r.end(outcomeOf(err))
	return rec, err
}

// Touch changes an expiry.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if b.off(ctx) {
		return b.ModelExpirySupport.Touch(ctx, now, t)
	}
	r := b.begin(ctx, opTouch)
	defer r.left()
	rec, err := b.ModelExpirySupport.Touch(r.ctx, now, t)
	r.end(outcomeOf(err))
	return rec, err
}

// Delete removes a record.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if b.off(ctx) {
		return b.ModelExpirySupport.Delete(ctx, now, d)
	}
	r := b.begin(ctx, opDelete)
	defer r.left()
	err := b.ModelExpirySupport.Delete(r.ctx, now, d)
	r.end(outcomeOf(err))
	return err
}

// Page lists records.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (p driver.Page, err error) {
	err = b.run(ctx, opPage, func(ctx context.Context) error { p, err = b.ModelExpirySupport.Page(ctx, now, q); return err })
	return p, err
}

// DeleteExpired removes expired records.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (n driver.Swept, err error) {
	err = b.run(ctx, opDeleteExpired, func(ctx context.Context) error {
		n, err = b.ModelExpirySupport.DeleteExpired(ctx, s)
		return err
	})
	return n, err
}

// GetMany gets records.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	if b.off(ctx) {
		return b.Wrapper.GetMany(ctx, now, gets)
	}
	r := b.begin(ctx, batched(len(gets)))
	defer r.left()
	r.size(len(gets))
	out := b.Wrapper.GetMany(r.ctx, now, gets)
	r.end(worst(out))
	return out
}

// WriteMany writes and deletes records.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, list []driver.BatchOp) []driver.BatchResult {
	if b.off(ctx) {
		return b.Wrapper.WriteMany(ctx, now, list)
	}
	r := b.begin(ctx, batchedWrites(list))
	defer r.left()
	r.size(len(list))
	out := b.Wrapper.WriteMany(r.ctx, now, list)
	r.end(worst(out))
	return out
}

// Count counts records.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (n int, err error) {
	err = b.run(ctx, opCount, func(ctx context.Context) error { n, err = b.Wrapper.Count(ctx, now, q); return err })
	return n, err
}

// Stat gets a record without its value.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (s driver.Stat, err error) {
	err = b.run(ctx, opStat, func(ctx context.Context) error { s, err = b.Wrapper.Stat(ctx, now, g); return err })
	return s, err
}

// CreateStorage creates the storage.
func (b *Backend) CreateStorage(ctx context.Context) error {
	return b.run(ctx, opCreateStorage, b.Wrapper.CreateStorage)
}

// DeleteStorage removes the storage.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	return b.run(ctx, opDeleteStorage, b.Wrapper.DeleteStorage)
}

// Ping asks the server.
func (b *Backend) Ping(ctx context.Context) error { return b.run(ctx, opPing, b.Wrapper.Ping) }

// Check looks whether the server is as the contract needs it.
func (b *Backend) Check(ctx context.Context) (c driver.Checks, err error) {
	err = b.run(ctx, opCheck, func(ctx context.Context) error { c, err = b.Wrapper.Check(ctx); return err })
	return c, err
}

// run measures an operation.
func (b *Backend) run(ctx context.Context, o op, do func(context.Context) error) error {
	if b.off(ctx) {
		return do(ctx)
	}
	r := b.begin(ctx, o)
	defer r.left()
	err := do(r.ctx)
	r.end(outcomeOf(err))
	return err
}
