package otelsojourn

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// op is a kind of operation.
type op uint8

const (
	opGet op = iota
	opWrite
	opTouch
	opDelete
	opPage
	opDeleteExpired
	opCount
	opStat
	opPing
	opCheck
	opCreateStorage
	opDeleteStorage
	opBatchGet
	opBatchWrite
	opBatchDelete
	opBatch // writes and deletes, or nothing
	ops
)

// opNames are the values of db.operation.name.
var opNames = [ops]string{
	"Get", "Write", "Touch", "Delete", "Page", "DeleteExpired", "Count", "Stat", "Ping", "Check", "CreateStorage", "DeleteStorage",
	"BATCH Get", "BATCH Write", "BATCH Delete", "BATCH",
}

// batched returns the operation of many reads. One read is not a batch.
func batched(gets int) op {
	if gets == 1 {
		return opGet
	}
	return opBatchGet
}

// batchedWrites returns the operation of many writes. One write is not a batch.
func batchedWrites(list []driver.BatchOp) op {
	writes, deletes := 0, 0
	for _, o := range list {
		switch {
		case o.Write != nil && o.Delete == nil:
			writes++
		case o.Delete != nil && o.Write == nil:
			deletes++
		}
	}
	switch n := len(list); {
	case n == 1 && writes == 1:
		return opWrite
	case n == 1 && deletes == 1:
		return opDelete
	case n > 0 && writes == n:
		return opBatchWrite
	case n > 0 && deletes == n:
		return opBatchDelete
	}
	return opBatch
}

// prepared is what an operation says of itself. It is made once, so that a call
// allocates nothing for it.
type prepared struct {
	span   string
	start  []trace.SpanStartOption
	record [len(words)][]metric.RecordOption
}

// failed has the attribute of each outcome, for a span.
var failed = func() (out [len(words)][]attribute.KeyValue) {
	for i := 1; i < len(words); i++ {
		out[i] = []attribute.KeyValue{semconv.ErrorTypeKey.String(words[i])}
	}
	return out
}()

// prepare makes what each operation says.
func prepare(o *Options) *[ops]prepared {
	same := []attribute.KeyValue{semconv.DBSystemNameKey.String(o.System)}
	if o.Namespace != "" {
		same = append(same, semconv.DBNamespace(o.Namespace))
	}
	same = append(same, o.store()...)
	if o.ServerAddress != "" {
		same = append(same, semconv.ServerAddress(o.ServerAddress))
	}
	if o.ServerPort != 0 {
		same = append(same, semconv.ServerPort(o.ServerPort))
	}
	var out [ops]prepared
	for i, name := range opNames {
		attrs := slices.Concat(same, []attribute.KeyValue{semconv.DBOperationName(name)})
		p := &out[i]
		p.span = name
		if t := target(o); t != "" {
			p.span += " " + t
		}
		p.start = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...)}
		for k := range p.record {
			all := slices.Concat(attrs, failed[k])
			p.record[k] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(all...))}
		}
	}
	return &out
}

// running is an operation that has begun.
type running struct {
	b     *Backend
	ctx   context.Context
	p     *prepared
	span  trace.Span // nil if there are no spans
	start time.Time
	done  bool
}

// begin starts the span. The backend gets the context of the result.
func (b *Backend) begin(ctx context.Context, o op) running {
	r := running{b: b, ctx: ctx, p: &b.prepared[o], start: time.Now()}
	if b.tracer != nil {
		start := slices.Concat(r.p.start, []trace.SpanStartOption{trace.WithTimestamp(r.start)})
		r.ctx, r.span = b.tracer.Start(ctx, r.p.span, start...)
	}
	return r
}

// size notes the number of operations of a batch.
func (r *running) size(n int) {
	if n != 1 && r.span != nil && r.span.IsRecording() {
		r.span.SetAttributes(semconv.DBOperationBatchSize(n))
	}
}

// end ends the operation.
func (r *running) end(o outcome) {
	r.done = true
	now := time.Now()
	r.b.duration.Inst().Record(r.ctx, now.Sub(r.start).Seconds(), r.p.record[o]...)
	if r.span == nil {
		return
	}
	if !r.span.IsRecording() {
		r.span.End()
		return
	}
	if o != answered {
		r.span.SetAttributes(failed[o]...)
		r.span.SetStatus(codes.Error, texts[o])
	}
	r.span.End(trace.WithTimestamp(now))
}

// left is deferred: an operation that panics ends too. The panic goes on, and the
// span does not have its value.
func (r *running) left() {
	if !r.done {
		r.end(outcomeOther)
	}
}

// target returns what an operation is performed on, as the name of its span has it.
func target(o *Options) string {
	switch {
	case o.Collection != "":
		return o.Collection
	case o.Namespace != "":
		return o.Namespace
	case o.ServerPort != 0:
		return net.JoinHostPort(o.ServerAddress, strconv.Itoa(o.ServerPort))
	}
	return o.ServerAddress
}
