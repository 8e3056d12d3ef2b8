package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// driver is a backend as its authors and the suite see it.
func driver() expiry.ModelExpirySupport {
	b, err := memory.New(nil, "driver", nil)
	if err != nil {
		panic(err)
	}
	return b
}

var exampleNow = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// stores a record that lives for an hour.
func stores(b expiry.ModelExpirySupport, id string) model.Record {
	r := model.Record{
		ID: id, Rev: model.NewRevision(), ExpiresAt: exampleNow.Add(time.Hour),
		Labels: map[string]string{"principal": "ann"}, Value: []byte(`{}`), Encoding: "json",
	}
	_, _ = b.Write(context.Background(), exampleNow, expiry.Write{Record: r, Cond: model.Absent})
	return r
}

// Time is an argument of every call of a backend.
func ExampleModelExpirySupport() {
	b := driver()
	stores(b, "a")
	_, live := b.Get(context.Background(), exampleNow.Add(59*time.Minute), "a")
	_, gone := b.Get(context.Background(), exampleNow.Add(60*time.Minute), "a")
	fmt.Println(live, "/", gone)
	// Output: <nil> / not found
}

func ExampleWrite() {
	b := driver()
	old := stores(b, "a")
	next := model.Record{ID: "a", Rev: model.NewRevision(), Value: []byte(`{"n":1}`), Encoding: "json"}
	_, err := b.Write(context.Background(), exampleNow, expiry.Write{
		Record: next, Cond: model.Match, Prev: old, KeepExpiry: true, KeepLabels: true,
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleWrite_Result() {
	old := model.Record{ID: "a", ExpiresAt: exampleNow}
	w := expiry.Write{Record: model.Record{ID: "a", Value: []byte("new")}, Cond: model.Live, KeepExpiry: true}
	next := w.Result(&old)
	fmt.Println(string(next.Value), next.ExpiresAt.Equal(exampleNow))
	// Output: new true
}

func ExampleTouch() {
	b := driver()
	stores(b, "a")
	r, err := b.Touch(context.Background(), exampleNow, expiry.Touch{ID: "a", Mode: expiry.Extend, ExpiresAt: exampleNow.Add(2 * time.Hour)})
	fmt.Println(r.ExpiresAt.Format(time.TimeOnly), err)
	// Output: 02:00:00 <nil>
}

func ExampleTouchMode() {
	for _, mode := range []expiry.TouchMode{expiry.Set, expiry.Extend, expiry.Clear} {
		t := expiry.Touch{Mode: mode, ExpiresAt: exampleNow}
		fmt.Println(t.Result(exampleNow.Add(time.Hour)).Format(time.DateTime))
	}
	// Output:
	// 2030-01-01 00:00:00
	// 2030-01-01 01:00:00
	// 0001-01-01 00:00:00
}

func ExampleQuery() {
	b := driver()
	stores(b, "a")
	p, err := b.Page(context.Background(), exampleNow, expiry.Query{Label: "principal", Value: "ann", Limit: 10, KeysOnly: true})
	fmt.Println(len(p.Records), p.Records[0].Value == nil, err)
	// Output: 1 true <nil>
}

func ExamplePage() {
	b := driver()
	for _, id := range []string{"a", "b", "c"} {
		stores(b, id)
	}
	n, q := 0, expiry.Query{Limit: 2}
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
	d := driver().Describe()
	fmt.Println(d.Backend, d.Labels, d.HasLabel("principal"))
	// Output: memory [principal] true
}

func ExampleFeature() {
	d := expiry.Description{Absent: []expiry.Absence{{Feature: expiry.FeatureLabels, Reason: "the server has no index"}}}
	reason, absent := d.Lacks(expiry.FeatureLabels)
	fmt.Println(absent, reason)
	// Output: true the server has no index
}

func ExampleAbsence() {
	a := expiry.Absence{Feature: expiry.FeatureSweep, Reason: "the server removes by itself"}
	fmt.Println(a.Feature, "-", a.Reason)
	// Output: sweep - the server removes by itself
}

func ExampleCounter() {
	b := driver()
	stores(b, "a")
	_, native := b.(expiry.Counter)
	n, err := expiry.Count(context.Background(), b, exampleNow, "principal", "ann") // lists where it must
	fmt.Println(native, n, err)
	// Output: true 1 <nil>
}

func ExampleStorageManager() {
	b := driver()
	stores(b, "a")
	_ = expiry.DeleteStorage(context.Background(), b)
	n, _ := expiry.Count(context.Background(), b, exampleNow, "", "")
	_, manages := b.(expiry.StorageManager)
	fmt.Println(manages, n)
	// Output: true 0
}

func ExamplePinger() {
	fmt.Println(expiry.Ping(context.Background(), driver(), exampleNow))
	// Output: <nil>
}

func ExampleOutcome() {
	b := driver()
	stores(b, "a")
	for _, o := range expiry.GetMany(context.Background(), b, exampleNow, []string{"a", "b"}) {
		fmt.Println(o.Record.ID, o.Err)
	}
	// Output:
	// a <nil>
	//  not found
}

func ExampleBatchGetter() {
	_, native := driver().(expiry.BatchGetter)
	fmt.Println(native) // in memory there is no round trip to save
	// Output: false
}

func ExampleBatchWriter() {
	_, native := driver().(expiry.BatchWriter)
	fmt.Println(native)
	// Output: false
}

func ExampleBatchOp() {
	b := driver()
	old := stores(b, "a")
	ops := []expiry.BatchOp{
		{Write: &expiry.Write{Record: model.Record{ID: "b", Rev: model.NewRevision()}, Cond: model.Absent}},
		{Delete: &expiry.Delete{ID: "a", Cond: model.Match, Prev: old}},
	}
	for i, o := range expiry.WriteMany(context.Background(), b, exampleNow, ops) {
		fmt.Println(ops[i].ID(), o.Err)
	}
	// Output:
	// b <nil>
	// a <nil>
}

func ExampleDelete() {
	d := expiry.Delete{ID: "a", Cond: model.Live}
	fmt.Println(expiry.CheckDelete(d.Cond, d.Prev.Rev))
	// Output: <nil>
}

func ExampleJudge() {
	cur := model.Record{ID: "a", Rev: model.NewRevision(), ExpiresAt: exampleNow}
	fmt.Println(expiry.Judge(exampleNow, &cur, model.Absent, model.Revision{})) // expired: a create replaces it
	fmt.Println(expiry.Judge(exampleNow, &cur, model.Live, model.Revision{}))
	fmt.Println(expiry.Judge(exampleNow.Add(-time.Second), &cur, model.Match, model.NewRevision()))
	// Output:
	// <nil>
	// not found
	// revision conflict
}

func ExampleSortedPage() {
	all := map[string]model.Record{"b": {ID: "b"}, "a": {ID: "a"}}
	p, err := expiry.SortedPage(expiry.Description{}, exampleNow, expiry.Query{Limit: 1}, maps.Values(all))
	fmt.Println(p.Records[0].ID, p.Next != "", err)
	// Output: a true <nil>
}

func ExampleNoLook() {
	err := expiry.NoLook(model.Fault(model.ErrUnknown, "the disk could not sync", nil))
	fmt.Println(errors.Is(err, model.ErrUnknown))
	// Output: true
}

// logged is a wrapper: it forwards everything and counts reads.
type logged struct {
	expiry.ModelExpirySupport
	reads int
}

func (l *logged) Get(ctx context.Context, now time.Time, id string) (model.Record, error) {
	l.reads++
	return l.ModelExpirySupport.Get(ctx, now, id)
}

func (l *logged) Unwrap() expiry.ModelExpirySupport { return l.ModelExpirySupport }

func ExampleUnwrapper() {
	store, _ := expiry.NewStore[Cart](&logged{ModelExpirySupport: driver()}, nil)
	var b *memory.Backend
	fmt.Println(store.As(&b))
	// Output: true
}

func ExampleDeclaredLabels() {
	names, err := expiry.DeclaredLabels([]string{"tenant", "state"}, 32)
	fmt.Println(names, err)
	names, _ = expiry.DeclaredLabels(nil, 32)
	fmt.Println(names)
	// Output:
	// [state tenant] <nil>
	// [principal]
}
