package expiry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
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

	// Items counts the records of a call about many by their outcome, in the
	// words of Outcome: those of GetMany, Bulk, Reindex and the deletes of
	// many, and the unreadable records of Page and All. Nil if there is none.
	Items map[string]int
	// ItemErr is the worst error of an item, or nil: the one that tells most
	// about a failing backend.
	ItemErr error
}

// Outcome returns a short word for a metric's label: "ok", "canceled" for a
// context that was canceled, "deadline" for one whose deadline passed, or the
// kind of the error ("not_found", "conflict", …). Of a call about many records
// it is the worst outcome. Only "unavailable", "unknown" and "corrupt" mean that
// the backend fails. With "deadline" it may be slow or have stopped.
func (o Observation) Outcome() string {
	if o.Err == nil {
		return outcomeOf(o.ItemErr)
	}
	return outcomeOf(o.Err)
}

func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	switch late := errors.Is(err, context.DeadlineExceeded); {
	case late && model.Kind(err) == nil:
		return "deadline"
	case !late && errors.Is(err, context.Canceled):
		return "canceled"
	}
	for _, k := range outcomes {
		if errors.Is(err, k.kind) {
			return k.word
		}
	}
	return "error"
}

// items are the outcomes of the items of a call.
type items struct {
	outcomes map[string]int
	worst    error
}

// severity orders outcomes: those of a failing backend last.
var severity = []string{"ok", "not_found", "exists", "conflict", "invalid", "too_large", "unsupported", "canceled", "closed", "deadline", "error", "corrupt", "unavailable", "unknown"}

// note counts the outcome of one item, if there is an observer.
func (c *call) note(err error) {
	if c.f.observe == nil {
		return
	}
	if c.items.outcomes == nil {
		c.items.outcomes = map[string]int{}
	}
	word := outcomeOf(err)
	c.items.outcomes[word]++
	if slices.Index(severity, word) > slices.Index(severity, outcomeOf(c.items.worst)) {
		c.items.worst = err
	}
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

// LogObserver returns an Observer that logs calls: failures of the backend and
// calls that their deadline ended at warning level, all others at debug level. A nil logger means slog.Default.
func LogObserver(l *slog.Logger) Observer {
	if l == nil {
		l = slog.Default()
	}
	return func(ctx context.Context, o Observation) {
		outcome, level := o.Outcome(), slog.LevelDebug
		switch outcome {
		case "unavailable", "unknown", "corrupt", "error", "deadline":
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
		if o.Items != nil {
			attrs = append(attrs, slog.Any("items", o.Items))
		}
		if err := cmp.Or(o.Err, o.ItemErr); err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
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
