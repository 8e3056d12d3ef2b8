package otelsojourn_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// measured returns the recorder and the wrapper of a backend that reports all it
// can about its server.
func measured(t *testing.T, inner driver.ModelExpirySupport) (*recorder, full) {
	t.Helper()
	r := newRecorder()
	o := r.opts
	o.Collection, o.Namespace, o.System, o.ServerAddress, o.ServerPort = "carts", "shop", "mongodb", "db.example", 27018
	return r, wrap(t, inner, o).(full)
}

func TestEveryOperationHasASpanAndAMeasurement(t *testing.T) {
	r, b := measured(t, newMemory(t))
	want := map[string]int64{}
	for i, op := range operations {
		if err := op.do(t.Context(), b); err != nil && !errors.Is(err, model.ErrNotFound) {
			t.Fatalf("%s: %v", op.name, err)
		}
		if ended := r.spans.Ended(); len(ended) != i+1 {
			t.Fatalf("%s: %d spans ended, want %d", op.name, len(ended), i+1)
		}
		span := r.spans.Ended()[i]
		attrs := "db.collection.name=carts db.namespace=shop db.operation.name=" + op.name + " db.system.name=mongodb server.address=db.example server.port=27018"
		var have []string
		for _, kv := range span.Attributes() {
			have = append(have, string(kv.Key)+"="+kv.Value.String())
		}
		slices.Sort(have)
		inSpan := attrs
		if op.batch >= 0 {
			inSpan = strings.Replace(attrs, "db.operation.name", fmt.Sprint("db.operation.batch.size=", op.batch, " db.operation.name"), 1)
		}
		if got := strings.Join(have, " "); got != inSpan {
			t.Errorf("%s: the span has\n%s\nwant\n%s", op.name, got, inSpan)
		}
		if span.Name() != op.name+" carts" || span.SpanKind() != trace.SpanKindClient || span.Status().Code != codes.Unset {
			t.Errorf("%s: the span is %q, %v, %v", op.name, span.Name(), span.SpanKind(), span.Status())
		}
		want[attrs]++
	}
	m := r.metrics(t)
	if got := points(m["db.client.operation.duration"]); len(m) != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d metrics, the points are\n%v\nwant\n%v", len(m), got, want)
	}
}

// TestTheTargetOfASpan checks the names of spans that have less to say.
func TestTheTargetOfASpan(t *testing.T) {
	for want, o := range map[string]otelsojourn.Options{
		"Get carts":   {Collection: "carts", Namespace: "shop", ServerAddress: "h"},
		"Get shop":    {Namespace: "shop", ServerAddress: "h"},
		"Get h":       {ServerAddress: "h"},
		"Get [::1]:9": {ServerAddress: "::1", ServerPort: 9},
		"Get":         {},
	} {
		r := newRecorder()
		o.TracerProvider = r.opts.TracerProvider
		_, _ = wrap(t, newMemory(t), o).Get(t.Context(), now, driver.Get{ID: "a"})
		if got := r.spans.Ended()[0].Name(); got != want {
			t.Errorf("the span is %q, want %q", got, want)
		}
	}
}

// TestTheBackendGetsTheSpan checks that a client's own spans become children.
func TestTheBackendGetsTheSpan(t *testing.T) {
	seen := &looking{Wrapper: driverkit.Wrap(newMemory(t))}
	r, b := measured(t, seen)
	_, _ = b.Get(t.Context(), now, driver.Get{ID: "a"})
	if got := r.spans.Ended()[0].SpanContext(); !got.Equal(seen.span) {
		t.Errorf("the backend's context has the span %v, want %v", seen.span, got)
	}
}

type looking struct {
	driverkit.Wrapper
	span trace.SpanContext
}

func (l *looking) Get(ctx context.Context, at time.Time, g driver.Get) (model.Record, error) {
	l.span = trace.SpanContextFromContext(ctx)
	return l.Wrapper.Get(ctx, at, g)
}

// TestErrors checks that every method returns the backend's own error, that its
// kind is error.type, and that an answer is not a failure.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{model.ErrNotFound, ""}, {model.ErrExists, ""}, {model.ErrConflict, ""},
		{model.ErrInvalid, "invalid"}, {model.ErrTooLarge, "too_large"}, {model.ErrUnsupported, "unsupported"},
		{model.ErrClosed, "closed"}, {model.ErrCorrupt, "corrupt"}, {model.ErrUnavailable, "unavailable"}, {model.ErrUnknown, "unknown"},
		{context.Canceled, "canceled"}, {context.DeadlineExceeded, "deadline"}, {errors.New("of no kind"), "_OTHER"},
	} {
		inner := model.NewError(c.err, "about "+secret, errors.New(secret))
		if model.Kind(c.err) == nil {
			inner = fmt.Errorf("about %s: %w", secret, c.err)
		}
		r, b := measured(t, &failing{Wrapper: driverkit.Wrap(newMemory(t)), err: inner})
		for _, op := range operations {
			if op.batch == 0 {
				continue // it has no item to fail
			}
			if err := op.do(t.Context(), b); err != inner { //nolint:errorlint // the same one, not only of its kind
				t.Errorf("%s returns %v, want %v", op.name, err, inner)
			}
			span := r.spans.Ended()[len(r.spans.Ended())-1]
			got := ""
			for _, kv := range span.Attributes() {
				if kv.Key == "error.type" {
					got = kv.Value.AsString()
				}
			}
			if got != c.want || (span.Status().Code == codes.Error) != (c.want != "") || len(span.Events()) > 0 {
				t.Errorf("%s after %v: error.type is %q, want %q; %v %v", op.name, c.err, got, c.want, span.Status(), span.Events())
			}
		}
		noSecrets(t, r)
		for attrs := range points(r.metrics(t)["db.client.operation.duration"]) {
			if c.want != "" != strings.Contains(attrs, "error.type="+c.want+" ") {
				t.Errorf("after %v a measurement has %s", c.err, attrs)
			}
		}
	}
}

// TestABatchHasTheWorstOutcome has items that fail differently.
func TestABatchHasTheWorstOutcome(t *testing.T) {
	r, b := measured(t, &mixed{Wrapper: driverkit.Wrap(newMemory(t)), errs: []error{model.ErrNotFound, model.ErrUnknown, nil, model.ErrInvalid}})
	b.GetMany(t.Context(), now, driver.Gets("a", "b", "c", "d"))
	for attrs := range points(r.metrics(t)["db.client.operation.duration"]) {
		if !strings.Contains(attrs, "error.type=unknown") {
			t.Errorf("the batch has %s, want error.type=unknown", attrs)
		}
	}
}

type mixed struct {
	driverkit.Wrapper
	errs []error
}

func (m *mixed) GetMany(context.Context, time.Time, []driver.Get) (out []driver.BatchResult) {
	for _, err := range m.errs {
		out = append(out, driver.BatchResult{Err: err})
	}
	return out
}

// TestAPanicGoesOn checks that the caller gets the panic's value, and that neither
// the span nor the metric has it.
func TestAPanicGoesOn(t *testing.T) {
	r, b := measured(t, &failing{Wrapper: driverkit.Wrap(newMemory(t)), panic: secret})
	for i, op := range operations {
		got := func() (got any) {
			defer func() { got = recover() }()
			_ = op.do(t.Context(), b)
			return nil
		}()
		if got != secret {
			t.Errorf("%s: recovered %v, want the panic's value", op.name, got)
		}
		span := r.spans.Ended()[i]
		if span.Status().Code != codes.Error || len(span.Events()) > 0 {
			t.Errorf("%s: the span has the status %v and the events %v", op.name, span.Status(), span.Events())
		}
	}
	for attrs := range points(r.metrics(t)["db.client.operation.duration"]) {
		if !strings.Contains(attrs, "error.type=_OTHER") {
			t.Errorf("a measurement has %s, want error.type=_OTHER", attrs)
		}
	}
	noSecrets(t, r)
}

// noSecrets prints all that was recorded and looks for what is in ids, values,
// labels, errors and panics.
func noSecrets(t *testing.T, r *recorder) {
	t.Helper()
	for _, span := range r.spans.Ended() {
		if all := fmt.Sprint(span.Name(), span.Attributes(), span.Status(), span.Events(), span.Links()); strings.Contains(all, secret) {
			t.Errorf("a span has the secret: %s", all)
		}
	}
	if all := fmt.Sprint(r.metrics(t)); strings.Contains(all, secret) {
		t.Errorf("a metric has the secret: %s", all)
	}
}

func TestNothingOfARecordIsTold(t *testing.T) {
	r, b := measured(t, newMemory(t))
	for _, op := range operations {
		_ = op.do(t.Context(), b)
	}
	noSecrets(t, r)
	if len(r.spans.Ended()) != len(operations) {
		t.Errorf("%d spans, want %d", len(r.spans.Ended()), len(operations))
	}
}

// TestTheMeasurementIsTheSpansDuration: the conventions want the same value.
func TestTheMeasurementIsTheSpansDuration(t *testing.T) {
	r, b := measured(t, newMemory(t))
	_, _ = b.Get(t.Context(), now, driver.Get{ID: "a"})
	span := r.spans.Ended()[0]
	if got, want := sum(t, r.metrics(t)["db.client.operation.duration"]), span.EndTime().Sub(span.StartTime()).Seconds(); got != want {
		t.Errorf("the measurement is %v, the span %v", got, want)
	}
}

func TestWrapRefuses(t *testing.T) {
	r := newRecorder()
	for name, o := range map[string]otelsojourn.Options{
		"a port without a host": {ServerPort: 1}, "a negative port": {ServerAddress: "h", ServerPort: -1}, "a port that is too large": {ServerAddress: "h", ServerPort: 65536},
	} {
		if _, err := otelsojourn.Wrap(newMemory(t), &o); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := otelsojourn.Wrap(nil, &r.opts); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("a nil backend: got %v, want ErrInvalid", err)
	}
}
