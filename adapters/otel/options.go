package otelsojourn

import (
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	meternoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// ScopeName is the name of the instrumentation scope: of the tracer and the meter.
const ScopeName = "github.com/sojourn-go/sojourn/adapters/otel"

// Options says where spans and metrics go, and what they say about the store.
// Nothing of it comes from a record.
type Options struct {
	// TracerProvider makes the spans, for example otel.GetTracerProvider(). Nil
	// means no spans.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics, for example otel.GetMeterProvider(). Nil
	// means no metrics.
	MeterProvider metric.MeterProvider
	// Collection is the store's name: the table, collection, bucket or prefix. It
	// is the attribute db.collection.name. Empty means none.
	Collection string
	// Namespace is the name of the database that has the collection, db.namespace.
	// Empty means none. Only Wrap uses it.
	Namespace string
	// System is db.system.name, for a server that only speaks the protocol of
	// another, such as "opensearch". Empty means that of the backend. Only Wrap
	// uses it.
	System string
	// ServerAddress is the host of the server, server.address. Empty means none.
	// Only Wrap uses it.
	ServerAddress string
	// ServerPort is server.port, between 1 and 65535. The conventions want it only
	// if it is not the usual one. Zero means none. Only Wrap uses it.
	ServerPort int
	// Clock gives the time of the last good sweep. Nil means the system's clock.
	// Only NewSweeps uses it.
	Clock expiry.Clock
}

// check returns the options with their defaults. A provider that does nothing is
// nil afterwards.
func (o *Options) check(op string) (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	var wrong string
	switch {
	case out.ServerPort < 0 || out.ServerPort > 65535:
		wrong = "Options: ServerPort must be between 1 and 65535, or zero"
	case out.ServerPort != 0 && out.ServerAddress == "":
		wrong = "Options: ServerPort needs a ServerAddress"
	}
	if wrong != "" {
		return Options{}, invalid(op, wrong)
	}
	if _, off := out.TracerProvider.(tracenoop.TracerProvider); off {
		out.TracerProvider = nil
	}
	if _, off := out.MeterProvider.(meternoop.MeterProvider); off {
		out.MeterProvider = nil
	}
	if out.Clock == nil {
		out.Clock = expiry.SystemClock()
	}
	return out, nil
}

func invalid(op, text string) error {
	return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, text, nil)}
}

// meter returns the meter, or one that does nothing.
func (o *Options) meter() metric.Meter {
	if o.MeterProvider == nil {
		return meternoop.Meter{}
	}
	return o.MeterProvider.Meter(ScopeName, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(semconv.SchemaURL))
}

// tracer returns the tracer, or nil.
func (o *Options) tracer() trace.Tracer {
	if o.TracerProvider == nil {
		return nil
	}
	return o.TracerProvider.Tracer(ScopeName, trace.WithInstrumentationVersion(version()), trace.WithSchemaURL(semconv.SchemaURL))
}

// store returns the attributes of a metric that is not about one server.
func (o *Options) store() []attribute.KeyValue {
	if o.Collection == "" {
		return nil
	}
	return []attribute.KeyValue{semconv.DBCollectionName(o.Collection)}
}

// version returns the version of this module in the program, or nothing.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == ScopeName {
			return m.Version
		}
	}
	return ""
}
