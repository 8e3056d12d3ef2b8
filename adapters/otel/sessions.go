package otelsojourn

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// The attributes of sessions.
const (
	eventKey  = attribute.Key("sojourn.session.event")  // what happened, in the words of session.EventKind
	reasonKey = attribute.Key("sojourn.session.reason") // why, in the words of session.Reason
)

// reasonExpired is the reason of sessions that ended by their expiry.
const reasonExpired = "expired"

// Sessions counts what happens to sessions. Its methods are safe for concurrent
// use.
type Sessions struct {
	store []attribute.KeyValue
	off   bool

	created, changed, ended, rejected, conflicts, anomalies metric.Int64Counter

	live atomic.Int64 // the last count, or negative if it is not known
}

// NewSessions makes the metrics of sessions. It returns ErrInvalid if an option is
// invalid, and the meter's error.
func NewSessions(opts *Options) (*Sessions, error) {
	const op = "otelsojourn.NewSessions"
	o, err := opts.check(op)
	if err != nil {
		return nil, err
	}
	s := &Sessions{store: o.store(), off: o.MeterProvider == nil}
	s.SetLive(-1)
	m := o.meter()
	var faults []error
	for _, c := range []struct {
		to               *metric.Int64Counter
		name, unit, text string
	}{
		{&s.created, "sojourn.session.created", "{session}", "Sessions that began: anonymous ones, sign-ins and impersonations."},
		{&s.changed, "sojourn.session.changes", "{change}", "New secrets, renewals, reauthentications, elevations, and impersonations that ended."},
		{&s.ended, "sojourn.session.ended", "{session}", "Sessions that ended, by reason. Expired ones are counted when a sweep finds them."},
		{&s.rejected, "sojourn.session.rejected", "{rejection}", "Tokens that opened nothing, and sign-ins that were refused, by reason."},
		{&s.conflicts, "sojourn.session.conflicts", "{conflict}", "Changes of a session that met another request's, by what became of them."},
		{&s.anomalies, "sojourn.session.anomalies", "{anomaly}", "What an honest client does not do, by reason."},
	} {
		*c.to, err = m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.text))
		faults = append(faults, err)
	}
	_, err = m.Int64ObservableGauge("sojourn.session.live", metric.WithUnit("{session}"),
		metric.WithDescription("Live sessions in the store, as counted last. All processes on one store report the same sessions."),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			if n := s.live.Load(); n >= 0 {
				to.Observe(n, metric.WithAttributes(s.store...))
			}
			return nil
		}))
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	return s, nil
}

// OnEvent counts an event. It is a session.Options.OnEvent: with one, a sweep
// announces each session before it removes it, which costs more on most backends.
func (s *Sessions) OnEvent(ctx context.Context, e session.Event) {
	c, attr := s.counter(e)
	if c == nil || !c.Enabled(ctx) {
		return
	}
	attrs := slices.Concat(s.store, []attribute.KeyValue{attr})
	c.Add(ctx, 1, metric.WithAttributes(attrs...))
}

// counter returns the counter of an event and the attribute that tells such events
// apart.
func (s *Sessions) counter(e session.Event) (metric.Int64Counter, attribute.KeyValue) {
	switch e.Kind {
	case session.EventCreated, session.EventSignedIn, session.EventImpersonated:
		return s.created, eventKey.String(e.Kind.String())
	case session.EventRotated, session.EventRenewed, session.EventReauthenticated, session.EventElevated, session.EventImpersonationEnded:
		return s.changed, eventKey.String(e.Kind.String())
	case session.EventExpired:
		return s.ended, reasonKey.String(reasonExpired)
	case session.EventDestroyed:
		return s.ended, reasonKey.String(string(e.Reason))
	case session.EventRejected:
		return s.rejected, reasonKey.String(string(e.Reason))
	case session.EventConflict:
		return s.conflicts, reasonKey.String(string(e.Reason))
	case session.EventAnomaly:
		return s.anomalies, reasonKey.String(string(e.Reason))
	}
	return nil, attribute.KeyValue{}
}

// Watch counts live sessions at once and then at the interval, until ctx ends, and
// returns the context's error. The metric has the last count. After a count that
// failed, and after Watch, it is not reported. Count is session.Service.Count, which
// may read many rows: one process with an interval of minutes is enough. Without a
// MeterProvider nothing is counted. It returns ErrInvalid if count is nil or the
// interval is not positive.
func (s *Sessions) Watch(ctx context.Context, every time.Duration, count func(context.Context) (int, error)) error {
	if count == nil || every <= 0 {
		return invalid("otelsojourn.Watch", "count is nil, or the interval is not positive")
	}
	if s.off {
		<-ctx.Done()
		return ctx.Err()
	}
	defer s.SetLive(-1)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		n, err := count(ctx)
		if err != nil {
			n = -1
		}
		s.SetLive(n)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// SetLive sets the number of live sessions that the metric has, for a program that
// counts by itself instead of by Watch. A negative number means that it is not known,
// and the metric is not reported.
func (s *Sessions) SetLive(n int) { s.live.Store(int64(n)) }
