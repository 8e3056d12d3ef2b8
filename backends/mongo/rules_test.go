package mongo

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}

func TestStat(t *testing.T) {
	b := open(t, nil)
	if _, err := b.coll.InsertMany(t.Context(), []any{bson.D{{Key: "_id", Value: "bad"}, {Key: "val", Value: 7}}}); err != nil {
		t.Fatal(err)
	}
	drivertest.Stats(t, b, "bad")
	damaged, _ := b.document(&model.Record{ID: "worse", Revision: model.NewRevision()})
	for i := range damaged {
		if damaged[i].Key == fieldValue {
			damaged[i].Value = int32(7)
		}
	}
	if _, err := b.coll.InsertOne(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	_, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "worse"})
	drivertest.WantKind(t, err, model.ErrCorrupt)
}

// later returns a stopwatch that shows zero when a batch begins, and later two
// hours.
func later() func() time.Duration {
	var reads atomic.Int64
	return func() time.Duration {
		if reads.Add(1) == 1 {
			return 0
		}
		return 2 * time.Hour
	}
}

// TestTurnsCount has requests of a batch that wait for others, while records expire
// (rule R100). The first ones decide as of the time of the call.
func TestTurnsCount(t *testing.T) {
	b := open(t, nil)
	fill := func(n int) []model.Record {
		recs := make([]model.Record, n)
		for i := range recs {
			recs[i] = drivertest.Record(fmt.Sprint("id", i), "", time.Hour)
		}
		drivertest.Seed(t, b, recs...)
		return recs
	}
	var ops []driver.BatchOp
	for _, r := range fill(batchWidth + 1) {
		ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: r.ID, Cond: driver.IfPresent}})
	}
	b.watch = later()
	for i, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if want := i == batchWidth; errors.Is(o.Err, model.ErrNotFound) != want || o.Err != nil != want {
			t.Errorf("delete %d: %v", i, o.Err)
		}
	}
	b.watch = nil
	recs := fill(2)
	ops = []driver.BatchOp{{Write: &driver.Write{Record: recs[0], Cond: driver.IfAbsent}}}
	for i := range bulkStep - 1 {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(fmt.Sprint("new", i), "", 0), Cond: driver.IfAny}})
	}
	ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: recs[1], Cond: driver.IfAbsent}})
	b.watch = later()
	out := b.WriteMany(t.Context(), drivertest.Now, ops)
	if first, last := out[0].Err, out[bulkStep].Err; !errors.Is(first, model.ErrExists) || last != nil {
		t.Errorf("a create in the first command and one in the second: %v, %v", first, last)
	}
	b.watch = nil
	fill(1)
	gets := make([]driver.Get, getStep+1)
	for i := range gets {
		gets[i].ID = "none"
	}
	gets[0].ID, gets[getStep].ID = "id0", "id0"
	b.watch = later()
	got := b.GetMany(t.Context(), drivertest.Now, gets)
	if got[0].Err != nil || !errors.Is(got[getStep].Err, model.ErrNotFound) {
		t.Errorf("reads: %v, %v", got[0].Err, got[getStep].Err)
	}
}

// TestWavesCount has a batch whose creates wait for its updates and deletes. A wave
// of those counts if it takes longer than round trips do (rule R100).
func TestWavesCount(t *testing.T) {
	b := open(t, nil)
	for takes, want := range map[time.Duration]error{promptly - time.Millisecond: model.ErrExists, time.Hour: nil} {
		drivertest.Seed(t, b, drivertest.Record("a", "", 0), drivertest.Record("b", "", promptly/2))
		var reads atomic.Int64
		b.watch = func() time.Duration { // zero when the batch begins
			if reads.Add(1) == 1 {
				return 0
			}
			return takes
		}
		out := b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{
			{Write: &driver.Write{Record: drivertest.Record("b", "", time.Hour), Cond: driver.IfAbsent}},
			{Delete: &driver.Delete{ID: "a", Cond: driver.IfPresent}},
		})
		if err := out[0].Err; !errors.Is(err, want) || out[1].Err != nil {
			t.Errorf("a create after a wave of %v: %v, want %v; the delete: %v", takes, err, want, out[1].Err)
		}
	}
}

// TestLaterAnswersCount has a find that the server answers in two parts. The second
// one is judged as of when it was asked for.
func TestLaterAnswersCount(t *testing.T) {
	var docs []bson.D
	for _, id := range []string{"a", "b"} {
		r := drivertest.Record(id, "", time.Hour)
		doc, _ := labelled().document(&r)
		docs = append(docs, doc)
	}
	part := func(cursor int64, batch string, doc bson.D) bson.D {
		return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: cursor}, {Key: "ns", Value: "d.c"}, {Key: batch, Value: bson.A{doc}}}}}
	}
	b := openFake(t, false, nil, nil, func(name string, _ bson.Raw) bson.D {
		if name == "find" {
			return part(7, "firstBatch", docs[0])
		}
		return part(0, "nextBatch", docs[1])
	})
	b.watch = later()
	out := b.GetMany(t.Context(), drivertest.Now, driver.Gets("a", "b"))
	if out[0].Err != nil || !errors.Is(out[1].Err, model.ErrNotFound) {
		t.Errorf("records of the first and the second answer: %v, %v; want the second one expired", out[0].Err, out[1].Err)
	}
}
