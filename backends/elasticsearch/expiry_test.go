package elasticsearch

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestLostAlias removes the alias for conditional writes. Each call that needs it
// says so, also a sweep, and CreateStorage creates it again.
func TestLostAlias(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	cur := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
	drivertest.Seed(t, b, drivertest.Expired("old", ""), drivertest.Expired("older", ""))
	v, _ := versionOf(&cur)
	request(t, b.client, http.MethodDelete, "/"+b.indexName(v.epoch)+"/_alias/"+b.epochAlias(v.epoch), "")
	ctx := t.Context()
	sweep := driver.Sweep{Before: drivertest.Now, Limit: 10}
	next := drivertest.Record("id", "bob", time.Hour)
	for name, do := range map[string]func() error{
		"delete": func() error {
			return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: cur})
		},
		"delete by id": func() error {
			return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent})
		},
		"compare-and-set": func() error {
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: next, Cond: driver.IfMatch, Known: cur})
			return err
		},
		"touch": func() error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear})
			return err
		},
		"batch": func() error {
			return b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: next, Cond: driver.IfPresent}}})[0].Err
		},
		"create over expired": func() error {
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("old", "", 0), Cond: driver.IfAbsent})
			return err
		},
		"sweep": func() error {
			swept, err := b.DeleteExpired(ctx, sweep)
			if swept.Removed+swept.Unknown > 0 {
				t.Errorf("the sweep counts %+v, and nothing can be removed", swept)
			}
			return err
		},
		"check": func() error {
			_, err := b.Check(ctx)
			return err
		},
	} {
		err := do()
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.epochAlias(v.epoch)) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s: %v, want %v that names the alias and CreateStorage", name, err, model.ErrUnavailable)
		}
	}
	if n, err := b.Count(ctx, drivertest.Now, driver.Query{}); err != nil || n != 1 {
		t.Errorf("%d records, %v; a read needs no alias of the epoch", n, err)
	}
	must(t, b.CreateStorage(ctx))
	must(t, b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: cur}))
	if swept, err := b.DeleteExpired(ctx, sweep); err != nil || swept.Removed != 2 {
		t.Errorf("%+v, %v; want two removals", swept, err)
	}
}

// sweepHit is an expired document as a search returns it.
func sweepHit(t testing.TB, index, id string) string {
	t.Helper()
	return `{"_index":"` + index + `","_id":"` + id + `","_seq_no":1,"_primary_term":1,"_source":` +
		docSource(t, drivertest.Expired(id, "")) + `,"sort":[1,"` + id + `"]}`
}

// TestSweepOfAnotherIndex has the store's alias lead to an index that is not a
// store's, as a copy under another name. Nothing can be removed at a version, and
// the sweep says so.
func TestSweepOfAnotherIndex(t *testing.T) {
	b, got := fake(t,
		canned{200, `{"_shards":{"failed":0}}`},
		canned{200, `{"hits":{"hits":[` + sweepHit(t, "restored-carts", "a") + `]}}`})
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10, OnExpire: func(r model.Record) error {
		t.Errorf("%s was announced, and cannot be removed", r.ID)
		return nil
	}})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "CreateStorage did not create") || swept.Removed != 0 || got.Load() != 2 {
		t.Errorf("%+v, %v after %d requests", swept, err, got.Load())
	}
}

// TestSweepOfAnIndexCreatedAgain has a store that is deleted and created again
// between the search and the removal. The sweep goes on in the new index.
func TestSweepOfAnIndexCreatedAgain(t *testing.T) {
	const older, newer = "carts@0123456789abcdef", "carts@fedcba9876543210"
	b, got := fake(t,
		canned{200, `{"_shards":{"failed":0}}`},
		canned{200, `{"hits":{"hits":[` + sweepHit(t, older, "a") + `]}}`},
		canned{200, `{"items":[{"delete":{"_index":"x","_id":"a","status":404,"error":{"type":"index_not_found_exception","reason":""}}}]}`},
		canned{200, `{"hits":{"hits":[` + sweepHit(t, newer, "b") + `]}}`},
		canned{200, `{"items":[{"delete":{"_index":"` + newer + `","_id":"b","status":200}}]}`})
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10})
	if err != nil || swept.Removed != 1 || got.Load() != 5 {
		t.Errorf("%+v, %v after %d requests, want one removal after 5", swept, err, got.Load())
	}
}
