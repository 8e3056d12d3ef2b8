package conformance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// benchRecords is the number of records in the store, beside the measured one.
const benchRecords = 1000

// bench is a benchmark with a store of benchRecords records.
type bench struct {
	*testing.B
	b    driver.ModelExpirySupport
	now  time.Time
	ids  []string
	next int
}

func newBench(b *testing.B, h *Harness) *bench {
	b.Helper()
	x := &bench{B: b, now: time.Now().UTC().Truncate(time.Millisecond).Add(24 * time.Hour)}
	x.b = h.Open(b, freshName())
	x.must(driver.CreateStorage(b.Context(), x.b))
	b.Cleanup(func() {
		_ = driver.DeleteStorage(context.WithoutCancel(b.Context()), x.b)
		_ = x.b.Close()
	})
	ops := make([]driver.BatchOp, benchRecords)
	for i := range ops {
		r := x.rec()
		x.ids = append(x.ids, r.ID)
		ops[i] = writing(r, driver.IfAbsent, model.Record{})
	}
	x.batch(ops)
	b.ReportAllocs()
	return x
}

func (x *bench) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

func (x *bench) batch(ops []driver.BatchOp) {
	x.Helper()
	for len(ops) > 0 {
		n := min(100, len(ops))
		for _, o := range driver.WriteMany(x.Context(), x.b, x.now, ops[:n]) {
			x.must(o.Err)
		}
		ops = ops[n:]
	}
}

// rec returns a record of about 200 bytes with an expiry and a label that ten
// records share.
func (x *bench) rec() model.Record {
	x.next++
	return model.Record{
		ID: fmt.Sprintf("record-%08d", x.next), Revision: model.NewRevision(), ExpiresAt: x.now.Add(time.Hour),
		Labels: map[string]string{"principal": fmt.Sprint("p", x.next/10)}, Value: fmt.Appendf(nil, `{"n":%d,"text":"%0180d"}`, x.next, x.next), Encoding: "json",
	}
}

func (x *bench) write(r model.Record, cond driver.Condition, known model.Record) model.Record {
	x.Helper()
	got, err := x.b.Write(x.Context(), x.now, driver.Write{Record: r, Cond: cond, Known: known})
	x.must(err)
	return got
}

// again returns a record with the id of a stored record.
func (x *bench) again(i int) model.Record {
	r := x.rec()
	r.ID = x.ids[i%len(x.ids)]
	return r
}

// Benchmarks measures the calls of a backend, one client after the other, on a
// store of a thousand records, as sub-benchmarks of b:
//
//	func BenchmarkCalls(b *testing.B) { conformance.Benchmarks(b, harness(b)) }
func Benchmarks(b *testing.B, h Harness) {
	b.Helper()
	if h.Open == nil {
		b.Fatal(errNoOpen)
	}
	for _, m := range measures() {
		b.Run(m.name, func(b *testing.B) { m.run(newBench(b, &h)) })
	}
}

type measure struct {
	name string
	run  func(*bench)
}

func measures() []measure {
	return append(singleMeasures(), manyMeasures()...)
}

func singleMeasures() []measure {
	return []measure{
		{"Get", func(x *bench) {
			for i := 0; x.Loop(); i++ {
				_, err := x.b.Get(x.Context(), x.now, driver.Get{ID: x.ids[i%len(x.ids)]})
				x.must(err)
			}
		}},
		{"Create", func(x *bench) {
			for x.Loop() {
				x.write(x.rec(), driver.IfAbsent, model.Record{})
			}
		}},
		{"Upsert", func(x *bench) {
			for i := 0; x.Loop(); i++ {
				x.write(x.again(i), driver.IfAny, model.Record{})
			}
		}},
		{"Update", func(x *bench) {
			for i := 0; x.Loop(); i++ {
				x.write(x.again(i), driver.IfPresent, model.Record{})
			}
		}},
		{"CompareAndSet", func(x *bench) {
			known := x.write(x.rec(), driver.IfAbsent, model.Record{})
			for x.Loop() {
				r := x.rec()
				r.ID = known.ID
				known = x.write(r, driver.IfMatch, known)
			}
		}},
		{"Touch", func(x *bench) {
			known, err := x.b.Get(x.Context(), x.now, driver.Get{ID: x.ids[0]})
			x.must(err)
			for i := 0; x.Loop(); i++ {
				at := x.now.Add(time.Hour + time.Duration(i)*time.Millisecond)
				_, err := x.b.Touch(x.Context(), x.now, driver.Touch{ID: known.ID, Mode: driver.TouchSet, ExpiresAt: at, Known: known})
				x.must(err)
			}
		}},
		{"CreateAndDelete", func(x *bench) {
			for x.Loop() {
				r := x.write(x.rec(), driver.IfAbsent, model.Record{})
				x.must(x.b.Delete(x.Context(), x.now, driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: r}))
			}
		}},
	}
}

func manyMeasures() []measure {
	return []measure{
		{"PageOf100", func(x *bench) {
			for x.Loop() {
				_, err := x.b.Page(x.Context(), x.now, driver.Query{Limit: 100})
				x.must(err)
			}
		}},
		{"PageOf10ByLabel", func(x *bench) {
			for i := 0; x.Loop(); i++ {
				_, err := x.b.Page(x.Context(), x.now, driver.Query{Label: "principal", Value: fmt.Sprint("p", i%90), Limit: 100})
				x.must(err)
			}
		}},
		{"CountOf1000", func(x *bench) {
			for x.Loop() {
				_, err := driver.Count(x.Context(), x.b, x.now, driver.Query{Label: ""})
				x.must(err)
			}
		}},
		{"GetManyOf100", func(x *bench) {
			for x.Loop() {
				for _, o := range driver.GetMany(x.Context(), x.b, x.now, driver.Gets(x.ids[:100]...)) {
					x.must(o.Err)
				}
			}
		}},
		{"WriteManyOf100", func(x *bench) {
			for x.Loop() {
				ops := make([]driver.BatchOp, 100)
				for i := range ops {
					ops[i] = writing(x.again(i), driver.IfAny, model.Record{})
				}
				x.batch(ops)
			}
		}},
		{"CreateAndSweepOf100", func(x *bench) {
			for x.Loop() {
				ops := make([]driver.BatchOp, 100)
				for i := range ops {
					r := x.rec()
					r.ExpiresAt = x.now.Add(time.Second)
					ops[i] = writing(r, driver.IfAbsent, model.Record{})
				}
				x.batch(ops)
				_, err := x.b.DeleteExpired(x.Context(), driver.Sweep{Before: x.now.Add(time.Second), Limit: len(ops)})
				x.must(err)
			}
		}},
	}
}
