// Package otelsojourn makes spans and metrics for OpenTelemetry from stores and
// sessions.
//
// Wrap returns a backend of which each operation has a span and a measurement of
// db.client.operation.duration, as the stable conventions for databases have them.
// Sessions counts what happens to sessions, Sweeps what a sweep removes.
//
//	backend, err = otelsojourn.Wrap(backend, &otelsojourn.Options{
//		TracerProvider: otel.GetTracerProvider(),
//		MeterProvider:  otel.GetMeterProvider(),
//		Collection:     "sessions",
//	})
//
// # What is never told
//
// No span and no metric has an id, a value, a label, a token, a principal or the
// text of an error. Every attribute is a constant of this package or of package
// session, or stands in Options.
//
// # Errors
//
// An operation has error.type if it failed. Its values are "invalid", "too_large",
// "unsupported", "canceled", "closed", "deadline", "corrupt", "unavailable",
// "unknown" and, for an error of no kind or a panic, "_OTHER". Only "unavailable",
// "unknown" and "corrupt" mean that the backend fails; with "deadline" it may be
// slow. A record that is absent or exists, and a condition that does not hold, are
// answers: such an operation did not fail. A batch has the worst outcome of its
// operations.
//
// # Cost
//
// Without a provider, or with those that do nothing, Wrap returns the backend
// itself. With metrics alone a call allocates nothing more. A metric that no view
// wants is not measured.
package otelsojourn
