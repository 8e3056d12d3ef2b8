package expiry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Observation describes one finished call of a Store's method. It has no value
// and no secret.
type Observation struct {
	Op       string // the method's name
	Backend  string
	ID       string // empty if the call is not about one record
	Duration time.Duration
	Calls    int   // calls of the backend, about the round trips
	Err      error // what the caller gets
}

// Outcome returns a short word for a metric's label: "ok", "canceled" for an
// ended context, or the kind of the error ("not_found", "conflict", …). Only
// "unavailable", "unknown" and "corrupt" mean that the backend fails.
func (o Observation) Outcome() string {
	if o.Err == nil {
		return "ok"
	}
	if errors.Is(o.Err, context.Canceled) || errors.Is(o.Err, context.DeadlineExceeded) {
		return "canceled"
	}
	for _, k := range outcomes {
		if errors.Is(o.Err, k.kind) {
			return k.word
		}
	}
	return "error"
}

// outcomes has ErrUnknown before the ErrUnavailable that it also matches.
var outcomes = []struct {
	kind error
	word string
}{
	{model.ErrNotFound, "not_found"},
	{model.ErrExists, "exists"},
	{model.ErrConflict, "conflict"},
	{model.ErrInvalid, "invalid"},
	{model.ErrTooLarge, "too_large"},
	{model.ErrCorrupt, "corrupt"},
	{model.ErrUnsupported, "unsupported"},
	{model.ErrUnknown, "unknown"},
	{model.ErrUnavailable, "unavailable"},
	{model.ErrClosed, "closed"},
}

// Observer is called after every call of a method, on the caller's goroutine.
type Observer func(context.Context, Observation)

// LogObserver returns an Observer that logs calls: failures of the backend at
// warning level, all others at debug level. A nil logger means slog.Default.
func LogObserver(l *slog.Logger) Observer {
	if l == nil {
		l = slog.Default()
	}
	return func(ctx context.Context, o Observation) {
		outcome, level := o.Outcome(), slog.LevelDebug
		switch outcome {
		case "unavailable", "unknown", "corrupt", "error":
			level = slog.LevelWarn
		}
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := []slog.Attr{
			slog.String("op", o.Op),
			slog.String("backend", o.Backend),
			slog.String("id", o.ID),
			slog.String("outcome", outcome),
			slog.Duration("duration", o.Duration),
			slog.Int("calls", o.Calls),
		}
		if o.Err != nil {
			attrs = append(attrs, slog.String("error", o.Err.Error()))
		}
		l.LogAttrs(ctx, level, "sojourn store call", attrs...)
	}
}

// Observers returns an Observer that calls each of the list in order.
func Observers(list ...Observer) Observer {
	return func(ctx context.Context, o Observation) {
		for _, f := range list {
			if f != nil {
				f(ctx, o)
			}
		}
	}
}
