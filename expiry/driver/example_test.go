package driver_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// open returns a backend as its authors and the suite see it.
func open() driver.ModelExpirySupport {
	b, err := memory.New(nil, "driver", nil)
	if err != nil {
		panic(err)
	}
	return b
}

var exampleNow = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// stores a record that lives for an hour.
func stores(b driver.ModelExpirySupport, id string) model.Record {
	r := model.Record{
		ID: id, Revision: model.NewRevision(), ExpiresAt: exampleNow.Add(time.Hour),
		Labels: map[string]string{"principal": "ann"}, Value: []byte(`{}`), Encoding: "json",
	}
	_, _ = b.Write(context.Background(), exampleNow, driver.Write{Record: r, Cond: driver.IfAbsent})
	return r
}

// Time is an argument of every call of a backend.
func ExampleModelExpirySupport() {
	b := open()
	stores(b, "a")
	_, live := b.Get(context.Background(), exampleNow.Add(59*time.Minute), driver.Get{ID: "a"})
	_, gone := b.Get(context.Background(), exampleNow.Add(60*time.Minute), driver.Get{ID: "a"})
	fmt.Println(live, "/", gone)
	// Output: <nil> / not found
}

func ExampleWrite() {
	b := open()
	old := stores(b, "a")
	next := model.Record{ID: "a", Revision: model.NewRevision(), Value: []byte(`{"n":1}`), Encoding: "json"}
	_, err := b.Write(context.Background(), exampleNow, driver.Write{
		Record: next, Cond: driver.IfMatch, Known: old, Keep: driver.Keep{Expiry: true, Labels: true},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleWrite_Result() {
	old := model.Record{ID: "a", ExpiresAt: exampleNow}
	w := driver.Write{Record: model.Record{ID: "a", Value: []byte("new")}, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}
	next := w.Result(&old)
	fmt.Println(string(next.Value), next.ExpiresAt.Equal(exampleNow))
	// Output: new true
}

func ExampleTouch() {
	b := open()
	stores(b, "a")
	r, err := b.Touch(context.Background(), exampleNow, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: exampleNow.Add(2 * time.Hour)})
	fmt.Println(r.ExpiresAt.Format(time.TimeOnly), err)
	// Output: 02:00:00 <nil>
}

func ExampleTouchMode() {
	for _, mode := range []driver.TouchMode{driver.TouchSet, driver.TouchExtend, driver.TouchClear} {
		t := driver.Touch{Mode: mode, ExpiresAt: exampleNow}
		fmt.Println(t.Result(exampleNow.Add(time.Hour)).Format(time.DateTime))
	}
	// Output:
	// 2030-01-01 00:00:00
	// 2030-01-01 01:00:00
	// 0001-01-01 00:00:00
}

func ExampleQuery() {
	b := open()
	stores(b, "a")
	p, err := b.Page(context.Background(), exampleNow, driver.Query{Label: "principal", Value: "ann", Limit: 10, KeysOnly: true})
	fmt.Println(len(p.Records), p.Records[0].Value == nil, err)
	// Output: 1 true <nil>
}

func ExamplePage() {
	b := open()
	for _, id := range []string{"a", "b", "c"} {
		stores(b, id)
	}
	n, q := 0, driver.Query{Limit: 2}
	for {
		p, _ := b.Page(context.Background(), exampleNow, q)
		n += len(p.Records)
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	fmt.Println(n)
	// Output: 3
}

func ExampleDescription() {
	d := open().Describe()
	fmt.Println(d.Backend, d.Labels, d.HasLabel("principal"))
	// Output: memory [principal] true
}

func ExampleFeature() {
	d := driver.Description{Absent: []driver.Absence{{Feature: driver.FeatureLabels, Reason: "the server has no index"}}}
	reason, absent := d.Lacks(driver.FeatureLabels)
	fmt.Println(absent, reason)
	// Output: true the server has no index
}

func ExampleAbsence() {
	a := driver.Absence{Feature: driver.FeatureSweep, Reason: "the server removes by itself"}
	fmt.Println(a.Feature, "-", a.Reason)
	// Output: sweep - the server removes by itself
}

func ExampleCounter() {
	b := open()
	stores(b, "a")
	_, native := b.(driver.Counter)
	n, err := driver.Count(context.Background(), b, exampleNow, driver.Query{Label: "principal", Value: "ann"}) // lists if the backend cannot count
	fmt.Println(native, n, err)
	// Output: true 1 <nil>
}

func ExampleStorageManager() {
	b := open()
	stores(b, "a")
	_ = driver.DeleteStorage(context.Background(), b)
	n, _ := driver.Count(context.Background(), b, exampleNow, driver.Query{Label: ""})
	_, manages := b.(driver.StorageManager)
	fmt.Println(manages, n)
	// Output: true 0
}

func ExamplePinger() {
	fmt.Println(driver.Ping(context.Background(), open(), exampleNow))
	// Output: <nil>
}

func ExampleBatchResult() {
	b := open()
	stores(b, "a")
	for _, o := range driver.GetMany(context.Background(), b, exampleNow, driver.Gets("a", "b")) {
		fmt.Println(o.Record.ID, o.Err)
	}
	// Output:
	// a <nil>
	//  not found
}

func ExampleBatchGetter() {
	_, native := open().(driver.BatchGetter)
	fmt.Println(native) // in memory there is no round trip to save
	// Output: false
}

func ExampleBatchWriter() {
	_, native := open().(driver.BatchWriter)
	fmt.Println(native)
	// Output: false
}

func ExampleBatchOp() {
	b := open()
	old := stores(b, "a")
	ops := []driver.BatchOp{
		{Write: &driver.Write{Record: model.Record{ID: "b", Revision: model.NewRevision()}, Cond: driver.IfAbsent}},
		{Delete: &driver.Delete{ID: "a", Cond: driver.IfMatch, Known: old}},
	}
	for i, o := range driver.WriteMany(context.Background(), b, exampleNow, ops) {
		fmt.Println(ops[i].ID(), o.Err)
	}
	// Output:
	// b <nil>
	// a <nil>
}

func ExampleDelete() {
	d := driver.Delete{ID: "a", Cond: driver.IfPresent}
	fmt.Println(d.Check())
	// Output: <nil>
}

func ExampleJudge() {
	cur := model.Record{ID: "a", Revision: model.NewRevision(), ExpiresAt: exampleNow}
	fmt.Println(driver.Judge(exampleNow, &cur, driver.IfAbsent, model.Revision{})) // expired: a create replaces it
	fmt.Println(driver.Judge(exampleNow, &cur, driver.IfPresent, model.Revision{}))
	fmt.Println(driver.Judge(exampleNow.Add(-time.Second), &cur, driver.IfMatch, model.NewRevision()))
	// Output:
	// <nil>
	// not found
	// revision conflict
}

func ExampleCondition() {
	fmt.Println(driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch)
	// Output: any absent present match
}

func ExampleMarkUndecidable() {
	err := driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the disk could not sync", nil))
	fmt.Println(errors.Is(err, model.ErrUnknown), driver.IsUndecidable(err))
	// Output: true true
}

// counted is a wrapper that counts reads. The embedded Wrapper forwards
// everything else.
type counted struct {
	driverkit.Wrapper
	reads int
}

func (c *counted) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	c.reads++
	return c.ModelExpirySupport.Get(ctx, now, g)
}

func ExampleUnwrapper() {
	store, _ := expiry.NewStore[string](&counted{Wrapper: driverkit.Wrap(open())}, nil)
	var b *memory.Backend
	fmt.Println(store.As(&b))
	// Output: true
}

func ExampleGet() {
	b := open()
	stores(b, "a")
	r, err := b.Get(context.Background(), exampleNow, driver.Get{ID: "a"})
	fmt.Println(r.ID, string(r.Value), err)
	// Output: a {} <nil>
}

// An update keeps the expiry and the labels in force if the write says so.
func ExampleKeep() {
	b := open()
	stores(b, "a")
	next := model.Record{ID: "a", Revision: model.NewRevision(), Value: []byte(`{"n":1}`), Encoding: "json"}
	r, err := b.Write(context.Background(), exampleNow, driver.Write{
		Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true},
	})
	fmt.Println(r.ExpiresAt.Format(time.TimeOnly), r.Labels["principal"], err)
	// Output: 01:00:00 ann <nil>
}

// OnExpire sees each record before its removal. The record stays if OnExpire
// returns an error.
func ExampleSweep() {
	b := open()
	stores(b, "a")
	stores(b, "b")
	s, err := b.DeleteExpired(context.Background(), driver.Sweep{
		Before: exampleNow.Add(time.Hour), Limit: 10,
		OnExpire: func(r model.Record) error {
			if r.ID == "a" {
				return errors.New("not yet")
			}
			return nil
		},
	})
	fmt.Println(s.Removed, err)
	// Output: 1 <nil>
}

func ExampleSwept() {
	b := open()
	stores(b, "a")
	stores(b, "b")
	for more := true; more; {
		s, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: exampleNow.Add(time.Hour), Limit: 1})
		if err != nil {
			return
		}
		fmt.Println(s.Removed, s.Unknown, s.More)
		more = s.More
	}
	// Output:
	// 1 0 true
	// 1 0 true
	// 0 0 false
}

func ExampleStat() {
	b := open()
	stores(b, "a")
	st, err := driver.GetStat(context.Background(), b, exampleNow, driver.Get{ID: "a"})
	fmt.Println(st.Record.ID, st.Size, len(st.Record.Value), err)
	// Output: a 2 0 <nil>
}

func ExampleStatter() {
	b := open()
	_, ok := b.(driver.Statter)
	fmt.Println(ok)
	// Output: true
}
