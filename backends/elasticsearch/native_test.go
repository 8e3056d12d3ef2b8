package elasticsearch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestReadableByThePlainClient reads a record with the client library.
func TestReadableByThePlainClient(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	r := drivertest.Record("a/b ..é%", "Ann", time.Hour)
	drivertest.Seed(t, b, r)
	want := map[string]any{
		"id": r.ID, "format": 1.0, "revision": r.Revision.String(), "expires": float64(r.ExpiresAt.UnixMilli()),
		"labels": map[string]any{"principal": "Ann"}, "encoding": "json", "size": float64(len(r.Value)), "value": string(r.Value),
	}
	if got := sourceOf(t, b.client, b.name, r.ID); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the document is %v, want %v", got, want)
	}
}

// TestReadsByIDNeedNoRefresh has an index that never refreshes by itself: from
// its start, since the server refreshes once more after a change of the interval.
// A record is read right after its write, and a search without a refresh misses it.
func TestReadsByIDNeedNoRefresh(t *testing.T) {
	t.Parallel()
	name := drivertest.Name()
	template(t, newBackend(t, client(t), name, nil), `"template":{"settings":{"refresh_interval":"-1"}}`)
	b := openOn(t, client(t), name, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	drivertest.Get(t, b, "id")
	ofAnn := matching(&driver.Query{Label: "principal", Value: "ann"}, listed)
	if docs, err := b.search(t.Context(), b.waited(), &query{filter: ofAnn, sort: []string{fieldID}, size: 10}); err != nil || len(docs) != 0 {
		t.Fatalf("found %d documents without a refresh, %v; want none", len(docs), err)
	}
	for i := range 5 {
		id := fmt.Sprint("id", i)
		drivertest.Seed(t, b, drivertest.Record(id, "ann", time.Hour))
		pg, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 100})
		if err != nil || len(pg.Records) != i+2 {
			t.Fatalf("listed %d records right after the write, %v; want %d", len(pg.Records), err, i+2)
		}
	}
}

// TestRefresherShares delays a refresh while calls arrive. All of them share the
// next one.
func TestRefresherShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 50
		var r refresher
		var refreshes atomic.Int64
		begun, release := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.do(t.Context(), &driverkit.Waited{}, func(context.Context) error { close(begun); <-release; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-begun
		for range calls {
			wg.Go(func() {
				if err := r.do(t.Context(), &driverkit.Waited{}, func(context.Context) error { refreshes.Add(1); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all of them wait for the delayed one
		close(release)
		wg.Wait()
		if n := refreshes.Load(); n != 1 {
			t.Errorf("%d calls took %d refreshes, want one", calls, n)
		}
	})
}

// TestRefresherIsNeverTooEarly checks that each call's refresh starts after the
// call.
func TestRefresherIsNeverTooEarly(t *testing.T) {
	var r refresher
	var clock, began atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				at := clock.Add(1)
				if err := r.do(t.Context(), &driverkit.Waited{}, func(context.Context) error { began.Store(clock.Add(1)); return nil }); err != nil {
					t.Error(err)
				}
				if began.Load() < at {
					t.Errorf("a call at %d has the refresh of %d", at, began.Load())
				}
			}
		})
	}
	wg.Wait()
}

// TestRefresherOutlivesACancelledCall cancels the call that carries out a
// refresh. The calls that wait for it carry out another one. All of them return
// the error of a refresh that fails.
func TestRefresherOutlivesACancelledCall(t *testing.T) {
	var r refresher
	first, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := r.do(first, &driverkit.Waited{}, func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled call: %v", err)
		}
	})
	<-begun
	var n atomic.Int64
	for range 10 {
		wg.Go(func() {
			if err := r.do(t.Context(), &driverkit.Waited{}, func(context.Context) error { n.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.do(ended, &driverkit.Waited{}, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits and is cancelled: %v", err)
	}
	cancel()
	wg.Wait()
	if n.Load() < 1 || r.running != nil {
		t.Errorf("%d refreshes, want one or more, and none running", n.Load())
	}
	broken := errors.New("broken")
	if err := r.do(t.Context(), &driverkit.Waited{}, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a refresh that fails: %v", err)
	}
}

// TestCreatedAgain creates the index again, so that another record has the
// sequence number of an old server version. The old version does not match it.
func TestCreatedAgain(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	ctx := t.Context()
	old := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
	other := newBackend(t, client(t), b.name, nil)
	other.trusted = true // trials would move the sequence numbers on
	must(t, errors.Join(other.DeleteStorage(ctx), other.CreateStorage(ctx)))
	update := driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfMatch, Known: old}
	remove := driver.Delete{ID: "id", Cond: driver.IfMatch, Known: old}
	_, err := b.Write(ctx, drivertest.Now, update)
	drivertest.WantKind(t, err, model.ErrNotFound)
	drivertest.WantKind(t, b.Delete(ctx, drivertest.Now, remove), model.ErrNotFound)
	theirs := drivertest.Put(t, other, drivertest.Record("id", "bob", time.Hour))
	was, _ := versionOf(&old)
	is, _ := versionOf(&theirs)
	if was.seq != is.seq || was.term != is.term || was.epoch == is.epoch {
		t.Fatalf("the versions %+v and %+v must differ in the epoch only", was, is)
	}
	winner, err := b.Write(ctx, drivertest.Now, update)
	drivertest.WantKind(t, err, model.ErrConflict)
	if winner.Revision != theirs.Revision {
		t.Errorf("the winner is %+v, want %+v", winner, theirs)
	}
	drivertest.WantKind(t, b.Delete(ctx, drivertest.Now, remove), model.ErrConflict)
	got, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(time.Minute), Known: old})
	if err != nil || got.Revision != theirs.Revision || got.Labels["principal"] != "bob" {
		t.Errorf("touch: %+v, %v", got, err)
	}
}

// TestMissingIndex uses a store without an index. Every call says so, and the
// server does not create an index, though it is allowed to.
func TestMissingIndex(t *testing.T) {
	c := client(t)
	b := newBackend(t, c, drivertest.Name(), nil)
	ctx := t.Context()
	second := drivertest.Call{Name: "second of many", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
		return driver.GetMany(ctx, b, drivertest.Now, driver.Gets("x", "y"))[1].Err
	}}
	for _, call := range append(append(writes(madeUp()), drivertest.Reads()...), second) {
		err := call.Do(ctx, b)
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "CreateStorage") || !strings.Contains(err.Error(), b.name) {
			t.Errorf("%s: %v, want %v with CreateStorage and the name", call.Name, err, model.ErrUnavailable)
		}
	}
	must(t, b.DeleteStorage(ctx))
	if text := request(t, c, http.MethodGet, "/_alias", ""); strings.Contains(text, b.name) {
		t.Errorf("the server has created an index: %s", text)
	}
	// A request that does not require an alias creates one.
	auto := drivertest.Name()
	if text := request(t, c, http.MethodPost, "/"+auto+"/_bulk", `{"index":{"_id":"1","if_seq_no":0,"if_primary_term":1}}`+"\n{}\n"); !strings.Contains(text, "version_conflict") {
		t.Errorf("the server creates no index by itself: %s", text)
	}
	request(t, c, http.MethodDelete, "/"+auto, "")
}

// TestStorage creates the index with concurrent calls, creates it again, and
// deletes it. There is one index, and another store's index stays.
func TestStorage(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	neighbour := openOn(t, b.client, b.name+"-x", nil)
	ctx := t.Context()
	must(t, b.DeleteStorage(ctx))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.CreateStorage(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	drivertest.Seed(t, b, drivertest.Record("id", "", 0))
	drivertest.Seed(t, neighbour, drivertest.Record("id", "", 0))
	must(t, b.CreateStorage(ctx))
	text := request(t, b.client, http.MethodGet, "/"+b.name+"@*/_alias", "")
	var indices map[string]any
	if err := json.Unmarshal([]byte(text), &indices); err != nil || len(indices) != 1 {
		t.Fatalf("the indices are %s, want one", text)
	}
	drivertest.Get(t, b, "id")
	for range 2 {
		must(t, b.DeleteStorage(ctx))
	}
	drivertest.Get(t, neighbour, "id")
	must(t, b.CreateStorage(ctx))
	drivertest.Gone(t, b, "id")
}

// TestForeignIndices has indices of other programs under the store's name. Calls
// return an error that says so, and the indices stay as they are.
func TestForeignIndices(t *testing.T) {
	c := client(t)
	for name, test := range map[string]struct {
		suffix, mappings string
		refuses          bool // the index refuses the document of a record
	}{
		"an index":        {"", "", true},
		"an alias":        {"@x", "", false},
		"no mark":         {"@0123456789abcdef", "", false},
		"another mapping": {"@0123456789abcdef", `{"dynamic":"strict","_meta":{"sojourn":{"format":1,"epoch":"0123456789abcdef"}},"properties":{"id":{"type":"text"}}}`, true},
		"a newer format":  {"@0123456789abcdef", `{"_meta":{"sojourn":{"format":2,"epoch":"0123456789abcdef"}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, c, drivertest.Name(), nil)
			body := `{}`
			if test.suffix != "" {
				body = `{"aliases":{"` + b.name + `":{}},"mappings":` + cmp.Or(test.mappings, "{}") + `}`
			}
			index := "/" + b.name + test.suffix
			request(t, c, http.MethodPut, index, body)
			for _, call := range storageCalls() {
				drivertest.WantKind(t, call.Do(t.Context(), b), model.ErrCorrupt)
			}
			if err := create(t, b); test.refuses {
				drivertest.WantKind(t, err, model.ErrUnavailable)
			}
			request(t, c, http.MethodDelete, index, "")
		})
	}
}

// TestMappingNeverGrows writes values of all kinds with a native copy. The
// mapping stays, no write fails, and a search finds copies by their members.
func TestMappingNeverGrows(t *testing.T) {
	t.Parallel()
	b := open(t, &Options{Queryable: true, Labels: []string{"principal", "a-b_c"}})
	mapping := func() string {
		t.Helper()
		return request(t, b.client, http.MethodGet, "/"+b.name+"/_mapping", "")
	}
	before := mapping()
	long := strings.Repeat("ü", 20_000)
	values := []string{
		`{"city":"Oslo","n":1.10,"deep":{"a":{"b":[1,"x",null,true,{"c":2}]}}}`, `{"city":7}`, `{"city":{"x":1}}`, `{"city":[1,[2]]}`, `[1]`, `"text"`, `1`, `null`, ` {} `,
		`{"":1}`, `{"a":1,"a":2}`, `{"a\u0000b":1}`, `{"a":"x\u0000y"}`, `{"a.b":1,".":2,"..":3," ":4,"a..b":5}`, `{"a":"` + long + `"}`, `{"` + long + `":1}`,
		`{"a":` + strings.Repeat("1", 2000) + `}`, `{"a":1e400}`, `{"a":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`,
		strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), strings.Repeat(`{"a":`, 15) + "1" + strings.Repeat("}", 15), `{"_id":"x","_source":1,"id":2}`, `{"a":"\ud800"}`, `nope`, "\xff",
		strings.Repeat(`{"`+strings.Repeat("p", 400)+`":`, 9) + `"` + strings.Repeat("v", 1024) + `"` + strings.Repeat("}", 9),
	}
	for i, v := range values {
		r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["a-b_c"] = strings.Repeat("é", 128)
		r.Value = []byte(v)
		if got := drivertest.Put(t, b, r); string(got.Value) != v {
			t.Errorf("%.50q became %.50q", v, got.Value)
		}
	}
	pg, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "a-b_c", Value: strings.Repeat("é", 128), Limit: 100})
	if err != nil || len(pg.Records) != len(values) {
		t.Errorf("listed %d records by a long label, %v; want %d", len(pg.Records), err, len(values))
	}
	if after := mapping(); after != before {
		t.Errorf("the mapping is %s, want %s", after, before)
	}
	inOslo := func() string {
		t.Helper()
		return request(t, b.client, http.MethodPost, "/"+b.name+"/_search", `{"query":{"term":{"json.city":"Oslo"}}}`)
	}
	if text := inOslo(); strings.Count(text, `"_id":"id0"`) != 1 || strings.Count(text, `"_id"`) != 1 {
		t.Errorf("a search of the copies found %s", text)
	}
	// A touch keeps the copy, and an upsert replaces it.
	cur, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id0", Mode: driver.TouchClear, Known: drivertest.Get(t, b, "id0")})
	if err != nil {
		t.Fatal(err)
	}
	if got := drivertest.Get(t, b, "id0"); string(got.Value) != values[0] || got.Revision != cur.Revision || !got.ExpiresAt.IsZero() {
		t.Errorf("after a touch: %+v", got)
	}
	drivertest.Seed(t, b, drivertest.Record("id0", "", 0))
	must(t, b.refresh(t.Context(), b.waited()))
	if text := inOslo(); strings.Contains(text, `"_id"`) {
		t.Errorf("a search found the old copy: %s", text)
	}
}

// TestExactLabels lists by label values that an analyser would not distinguish.
func TestExactLabels(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	values := []string{"ann", "Ann", "ann ", " ann", "an n", "á", "a\u0301", "*", "a=b", "a.b", `"`, "\n", strings.Repeat("x", 256), strings.Repeat("x", 255) + "y", strings.Repeat("😀", 64)}
	for i, v := range values {
		drivertest.Seed(t, b, drivertest.Record(fmt.Sprint(i), v, 0))
	}
	for i, v := range values {
		pg, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: v, Limit: 10})
		if err != nil || len(pg.Records) != 1 || pg.Records[0].ID != fmt.Sprint(i) {
			t.Errorf("%q: %+v, %v", v, pg.Records, err)
		}
	}
}

// TestLargest stores the largest value as text and as bytes. A larger one is
// refused before anything is sent.
func TestLargest(t *testing.T) {
	b, wire := proxied(t)
	for _, value := range []string{strings.Repeat("é", defaultMaxValue/2), strings.Repeat("\xff", defaultMaxValue), strings.Repeat("\x01", defaultMaxValue)} {
		r := drivertest.Record("id", "ann", time.Hour)
		r.Value = []byte(value)
		if got := drivertest.Put(t, b, r); string(got.Value) != value {
			t.Error("the largest value has changed")
		}
	}
	wire.Requests()
	r := drivertest.Record("id", "", 0)
	r.Value = make([]byte, defaultMaxValue+1)
	_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAny})
	drivertest.WantKind(t, err, model.ErrTooLarge)
	if requests := wire.Requests(); len(requests) > 0 {
		t.Errorf("sent %v, want nothing", requests)
	}
}

// TestSweepLeavesWhatWasExtended extends and writes records in OnExpire.
func TestSweepLeavesWhatWasExtended(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	ctx := t.Context()
	drivertest.Seed(t, b, drivertest.Record("a", "", time.Minute), drivertest.Record("b", "", time.Minute), drivertest.Record("c", "", time.Minute))
	later := drivertest.Now.Add(time.Hour)
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: later, Limit: 10, OnExpire: func(r model.Record) error {
		var err error
		switch r.ID {
		case "a": // another caller's clock is behind
			_, err = b.Touch(ctx, drivertest.Now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: later.Add(time.Hour)})
		case "b":
			_, err = b.Write(ctx, later, driver.Write{Record: drivertest.Record("b", "", 0), Cond: driver.IfAbsent})
		}
		return err
	}})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("%+v, %v", swept, err)
	}
	for _, id := range []string{"a", "b"} {
		if _, err := b.Get(ctx, later, driver.Get{ID: id}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// conflicted is an answer to a write that finds another version.
const conflicted = `{"items":[{"index":{"_index":"carts@0123456789abcdef","_id":"id","status":409,"error":{"type":"version_conflict_engine_exception","reason":""}}}]}`

// holding returns the answer to an _mget that finds the record.
func holding(t testing.TB, r model.Record) string {
	t.Helper()
	return `{"docs":[{"_index":"carts@0123456789abcdef","_id":"id","_seq_no":2,"_primary_term":2,"found":true,"_source":` + docSource(t, r) + `}]}`
}

// TestOwnWriteThatTheClusterSentAgain has a server that applies a write and
// answers with a conflict. A node does so if it sends the write again after it
// has lost the primary shard. The revision shows that the record is this write's.
func TestOwnWriteThatTheClusterSentAgain(t *testing.T) {
	for _, c := range []driver.Condition{driver.IfAbsent, driver.IfMatch} {
		r := drivertest.Record("id", "ann", time.Hour)
		b, got := fake(t, canned{200, conflicted}, canned{200, holding(t, r)})
		rec, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: c, Known: madeUp()})
		if err != nil || rec.Revision != r.Revision || got.Load() != 2 {
			t.Errorf("%v: %+v, %v, %d requests", c, rec, err, got.Load())
		}
	}
}

// TestContended has a record that always has another version: the write gives
// up.
func TestContended(t *testing.T) {
	held := holding(t, drivertest.Record("id", "ann", time.Hour))
	b, _ := fakeFunc(t, func(r *http.Request, _ int) canned {
		if strings.HasSuffix(r.URL.Path, "/_mget") {
			return canned{200, held}
		}
		return canned{200, conflicted}
	})
	_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfPresent})
	drivertest.WantKind(t, err, model.ErrUnavailable)
}

// TestRefusals has recorded answers of a server with security, which the
// container's server may lack.
func TestRefusals(t *testing.T) {
	const wrong = `{"error":{"root_cause":[{"type":"security_exception","reason":"unable to authenticate user [ann] for REST request [/carts/_mget]"}],` +
		`"type":"security_exception","reason":"unable to authenticate user [ann] for REST request [/carts/_mget]"},"status":401}`
	const denied = `{"error":{"root_cause":[{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ann]"}],` +
		`"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ann]"},"status":403}`
	for name, answer := range map[string]canned{"wrong credentials": {401, wrong}, "a read-only user": {403, denied}, "a proxy's 401": {401, "no"}} {
		t.Run(name, func(t *testing.T) {
			b, _ := fake(t, answer)
			for _, call := range slices.Concat(writes(madeUp()), drivertest.Reads(), storageCalls()) {
				err := call.Do(t.Context(), b)
				if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "ann") || !strings.Contains(err.Error(), "privilege") {
					t.Errorf("%s: %v", call.Name, err)
				}
			}
		})
	}
}

// TestShardsThatFail has a server that answers for some shards only. Page returns
// an error, not a part of the listing.
func TestShardsThatFail(t *testing.T) {
	for name, answers := range map[string][]canned{
		"refresh":   {{200, `{"_shards":{"total":2,"successful":1,"failed":1}}`}},
		"timed out": {{200, `{"_shards":{"failed":0}}`}, {200, `{"timed_out":true,"hits":{"hits":[]}}`}},
		"search":    {{200, `{"_shards":{"failed":0}}`}, {500, `{"error":{"type":"search_phase_execution_exception","reason":""},"status":500}`}},
		"no object": {{200, `[]`}},
	} {
		b, _ := fake(t, answers...)
		if _, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 1}); model.Kind(err) != model.ErrUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherProduct has a server that does not identify itself as Elasticsearch,
// which the client library refuses.
func TestAnotherProduct(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(s.Close)
	err := newBackend(t, clientOn(t, s.URL, pool(t)), "carts", nil).CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "Elasticsearch") {
		t.Errorf("%v does not name Elasticsearch", err)
	}
}

// TestCompatibilityMode has a client that requests another media type, and checks
// the settings of the index.
func TestCompatibilityMode(t *testing.T) {
	t.Parallel()
	c := clientOn(t, containers.Elasticsearch(t).URL, pool(t), func(c *es.Config) { c.EnableCompatibilityMode = true })
	b := openOn(t, c, drivertest.Name(), &Options{Shards: 2, Replicas: -1})
	drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
	if n, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	text := request(t, client(t), http.MethodGet, "/"+b.name+"/_settings", "")
	if !strings.Contains(text, `"number_of_shards":"2"`) || !strings.Contains(text, `"number_of_replicas":"0"`) {
		t.Errorf("the settings are %s", text)
	}
}
