package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestReadableByThePlainClient reads a record as a person would.
func TestReadableByThePlainClient(t *testing.T) {
	b := open(t, nil)
	r := record("a/b ..é%", "Ann", time.Hour)
	seed(t, b, r)
	_, text := request(t, b.client, http.MethodPost, "/"+b.name+"/_mget", `{"ids":["a/b ..é%"]}`)
	var got struct {
		Docs []struct {
			Source map[string]any `json:"_source"`
		} `json:"docs"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Docs) != 1 {
		t.Fatal(text, err)
	}
	want := map[string]any{
		"id": r.ID, "format": 1.0, "revision": r.Revision.String(), "expires": float64(r.ExpiresAt.UnixMilli()),
		"labels": map[string]any{"principal": "Ann"}, "encoding": "json", "value": string(r.Value),
	}
	if fmt.Sprint(got.Docs[0].Source) != fmt.Sprint(want) {
		t.Errorf("the document is %v, want %v", got.Docs[0].Source, want)
	}
}

// TestReadsByIDNeedNoRefresh has an index that never refreshes by itself: a
// record is read right after its write, and a search without a refresh misses it.
func TestReadsByIDNeedNoRefresh(t *testing.T) {
	b := open(t, nil)
	if status, text := request(t, b.client, http.MethodPut, "/"+b.name+"/_settings", `{"index":{"refresh_interval":"-1"}}`); status != 200 {
		t.Fatal(text)
	}
	seed(t, b, record("id", "ann", time.Hour))
	if _, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); err != nil {
		t.Fatal(err)
	}
	if hits, err := b.search(t.Context(), &query{filter: bears("principal", "ann"), sort: []string{fieldID}, size: 10}); err != nil || len(hits) != 0 {
		t.Fatalf("%d hits without a refresh, %v", len(hits), err)
	}
	for i := range 5 {
		id := fmt.Sprint("id", i)
		seed(t, b, record(id, "ann", time.Hour))
		pg, err := b.Page(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann", Limit: 100})
		if err != nil || len(pg.Records) != i+2 {
			t.Fatalf("%d records listed right after the write, %v", len(pg.Records), err)
		}
	}
}

// TestRefresherShares holds a refresh up while calls arrive: all of them share
// the next one, and none takes the one that began before.
func TestRefresherShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 50
		var r refresher
		var refreshes atomic.Int64
		begun, release := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.do(t.Context(), func(context.Context) error { close(begun); <-release; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-begun
		for range calls {
			wg.Go(func() {
				if err := r.do(t.Context(), func(context.Context) error { refreshes.Add(1); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all of them wait for the one that is held up
		close(release)
		wg.Wait()
		if n := refreshes.Load(); n != 1 {
			t.Errorf("%d calls took %d refreshes, want one", calls, n)
		}
	})
}

// TestRefresherIsNeverTooEarly checks each call's refresh: it began after the
// call did.
func TestRefresherIsNeverTooEarly(t *testing.T) {
	var r refresher
	var clock, began atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				at := clock.Add(1)
				if err := r.do(t.Context(), func(context.Context) error { began.Store(clock.Add(1)); return nil }); err != nil {
					t.Error(err)
				}
				if began.Load() < at {
					t.Errorf("a call at %d took the refresh of %d", at, began.Load())
				}
			}
		})
	}
	wg.Wait()
}

// TestRefresherOutlivesACancelledCall cancels the call that carries a refresh
// out: those that wait for it carry it out themselves. A failure is everyone's.
func TestRefresherOutlivesACancelledCall(t *testing.T) {
	var r refresher
	first, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := r.do(first, func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled call: %v", err)
		}
	})
	<-begun
	var n atomic.Int64
	for range 10 {
		wg.Go(func() {
			if err := r.do(t.Context(), func(context.Context) error { n.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.do(ended, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits and is cancelled: %v", err)
	}
	cancel()
	wg.Wait()
	if n.Load() < 1 || r.running != nil {
		t.Errorf("%d refreshes", n.Load())
	}
	broken := errors.New("broken")
	if err := r.do(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a failure: %v", err)
	}
}

// TestMadeAnew makes the store anew behind the backend's back, so that another
// record has the version that an old hint names: the hint means nothing there.
func TestMadeAnew(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	old := put(t, b, record("id", "ann", time.Hour))
	other, err := New(client(t), b.name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.DeleteStorage(ctx), other.CreateStorage(ctx)); err != nil {
		t.Fatal(err)
	}
	_, err = b.Write(ctx, testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfMatch, Known: old})
	only(t, err, model.ErrNotFound)
	only(t, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: old}), model.ErrNotFound)
	theirs := put(t, other, record("id", "bob", time.Hour))
	was, _ := positionOf(&old)
	is, _ := positionOf(&theirs)
	if was.seq != is.seq || was.term != is.term || was.epoch == is.epoch {
		t.Fatalf("the versions are %+v and %+v: they must collide", was, is)
	}
	winner, err := b.Write(ctx, testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfMatch, Known: old})
	only(t, err, model.ErrConflict)
	if winner.Revision != theirs.Revision {
		t.Errorf("the winner is %+v", winner)
	}
	only(t, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: old}), model.ErrConflict)
	got, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute), Known: old})
	if err != nil || got.Revision != theirs.Revision || got.Labels["principal"] != "bob" {
		t.Errorf("touch: %+v, %v", got, err)
	}
}

// TestMissingIndex uses a store that is not there: every call says so, and no
// index comes into being, though the server makes indices by itself.
func TestMissingIndex(t *testing.T) {
	c := client(t)
	b, err := New(c, indexName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	base := record("id", "ann", time.Hour)
	base.ServerVersion = position{"0123456789abcdef", 0, 1}.hint(&base)
	calls := writes(base)
	calls["get"] = func(ctx context.Context, b *Backend) error {
		_, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
		return err
	}
	calls["get many"] = func(ctx context.Context, b *Backend) error {
		return b.GetMany(ctx, testNow, driver.Gets("x", "y"))[1].Err
	}
	calls["page"] = func(ctx context.Context, b *Backend) error {
		_, err := b.Page(ctx, testNow, driver.Query{Limit: 1})
		return err
	}
	calls["count"] = func(ctx context.Context, b *Backend) error {
		_, err := b.Count(ctx, testNow, driver.Query{Label: ""})
		return err
	}
	calls["sweep"] = func(ctx context.Context, b *Backend) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1})
		return err
	}
	calls["ping"] = func(ctx context.Context, b *Backend) error { return b.Ping(ctx) }
	for name, do := range calls {
		err := do(ctx, b)
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "CreateStorage") || !strings.Contains(err.Error(), b.name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
	if status, text := request(t, c, http.MethodGet, "/_alias", ""); status != 200 || strings.Contains(text, b.name) {
		t.Errorf("an index came into being: %s", text)
	}
	// The server would have made one, had it been allowed to.
	auto := indexName()
	if _, text := request(t, c, http.MethodPost, "/"+auto+"/_bulk", `{"index":{"_id":"1","if_seq_no":0,"if_primary_term":1}}`+"\n{}\n"); !strings.Contains(text, "version_conflict") {
		t.Errorf("the server makes no index by itself: %s", text)
	}
	request(t, c, http.MethodDelete, "/"+auto, "")
}

// TestStorage makes the store from many processes at once, makes it again, and
// deletes it: there is one index, and its neighbour stays.
func TestStorage(t *testing.T) {
	b := open(t, nil)
	neighbour := openOn(t, b.client, b.name+"-x", nil)
	ctx := t.Context()
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.CreateStorage(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seed(t, b, record("id", "", 0))
	seed(t, neighbour, record("id", "", 0))
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	_, text := request(t, b.client, http.MethodGet, "/"+b.name+"@*/_alias", "")
	var indices map[string]any
	if err := json.Unmarshal([]byte(text), &indices); err != nil || len(indices) != 1 {
		t.Fatalf("there is %s", text)
	}
	if _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := neighbour.Get(ctx, testNow, driver.Get{ID: "id"}); err != nil {
		t.Error(err)
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrNotFound)
}

// TestLostAlias removes the alias for writes at a version: they say so, and
// CreateStorage makes it again.
func TestLostAlias(t *testing.T) {
	b := open(t, nil)
	cur := put(t, b, record("id", "ann", time.Hour))
	at, _ := positionOf(&cur)
	if status, text := request(t, b.client, http.MethodDelete, "/"+b.indexName(at.epoch)+"/_alias/"+b.epochAlias(at.epoch), ""); status != 200 {
		t.Fatal(text)
	}
	err := b.Delete(t.Context(), testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: cur})
	only(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "CreateStorage") {
		t.Errorf("the error is %v", err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: cur}); err != nil {
		t.Fatal(err)
	}
}

// TestOtherIndices has indices of others under the store's name: an error that
// says so, and they stay as they are.
func TestOtherIndices(t *testing.T) {
	c := client(t)
	for name, place := range map[string]func(name string) (path, body string){
		"an index": func(name string) (string, string) { return "/" + name, `{}` },
		"an alias": func(name string) (string, string) { return "/" + name + "@x", `{"aliases":{"` + name + `":{}}}` },
		"no mark": func(name string) (string, string) {
			return "/" + name + "@0123456789abcdef", `{"aliases":{"` + name + `":{}}}`
		},
		"another mapping": func(name string) (string, string) {
			return "/" + name + "@0123456789abcdef", `{"aliases":{"` + name + `":{}},"mappings":{"dynamic":"strict","_meta":{"sojourn":{"format":1,"epoch":"0123456789abcdef"}},"properties":{"id":{"type":"text"}}}}`
		},
		"a newer format": func(name string) (string, string) {
			return "/" + name + "@0123456789abcdef", `{"aliases":{"` + name + `":{}},"mappings":{"_meta":{"sojourn":{"format":2,"epoch":"0123456789abcdef"}}}}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(c, indexName(), nil)
			if err != nil {
				t.Fatal(err)
			}
			path, body := place(b.name)
			if status, text := request(t, c, http.MethodPut, path, body); status != 200 {
				t.Fatal(text)
			}
			only(t, b.CreateStorage(t.Context()), model.ErrCorrupt)
			only(t, b.DeleteStorage(t.Context()), model.ErrCorrupt)
			_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "ann", 0), Cond: driver.IfAbsent})
			if name == "an index" || name == "another mapping" { // the others take any document
				only(t, err, model.ErrUnavailable)
			}
			if status, text := request(t, c, http.MethodDelete, path, ""); status != 200 {
				t.Error(text)
			}
		})
	}
}

// TestMappingNeverGrows writes values of all kinds with a native copy: no field
// comes into being, no write fails, and copies are found by their members.
func TestMappingNeverGrows(t *testing.T) {
	b := open(t, &Options{Queryable: true, Labels: []string{"principal", "a-b_c"}})
	mapping := func() string {
		t.Helper()
		_, text := request(t, b.client, http.MethodGet, "/"+b.name+"/_mapping", "")
		return text
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
		r := record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["a-b_c"] = strings.Repeat("é", 128)
		r.Value = []byte(v)
		if got := put(t, b, r); string(got.Value) != v {
			t.Errorf("%.50q became %.50q", v, got.Value)
		}
	}
	pg, err := b.Page(t.Context(), testNow, driver.Query{Label: "a-b_c", Value: strings.Repeat("é", 128), Limit: 100})
	if err != nil || len(pg.Records) != len(values) {
		t.Errorf("%d listed by a long label, %v", len(pg.Records), err)
	}
	if after := mapping(); after != before {
		t.Errorf("the mapping became %s", after)
	}
	_, text := request(t, b.client, http.MethodPost, "/"+b.name+"/_search", `{"query":{"term":{"json.city":"Oslo"}}}`)
	if strings.Count(text, `"_id":"id0"`) != 1 || strings.Count(text, `"_id"`) != 1 {
		t.Errorf("found by the copy: %s", text)
	}
	// The copy follows the value, and goes with it.
	cur, err := b.Get(t.Context(), testNow, driver.Get{ID: "id0"})
	if err != nil {
		t.Fatal(err)
	}
	if cur, err = b.Touch(t.Context(), testNow, driver.Touch{ID: "id0", Mode: driver.TouchClear, Known: cur}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(t.Context(), testNow, driver.Get{ID: "id0"})
	if err != nil || string(got.Value) != values[0] || got.Revision != cur.Revision || !got.ExpiresAt.IsZero() {
		t.Errorf("after a touch: %+v, %v", got, err)
	}
	seed(t, b, record("id0", "", 0))
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, text = request(t, b.client, http.MethodPost, "/"+b.name+"/_search", `{"query":{"term":{"json.city":"Oslo"}}}`); strings.Contains(text, `"_id"`) {
		t.Errorf("the old copy is found: %s", text)
	}
}

// TestExactLabels tells label values apart that an analyser would not, at any
// length.
func TestExactLabels(t *testing.T) {
	b := open(t, nil)
	values := []string{"ann", "Ann", "ann ", " ann", "an n", "á", "a\u0301", "*", "a=b", "a.b", `"`, "\n", strings.Repeat("x", 256), strings.Repeat("x", 255) + "y", strings.Repeat("😀", 64)}
	for i, v := range values {
		seed(t, b, record(fmt.Sprint(i), v, 0))
	}
	for i, v := range values {
		pg, err := b.Page(t.Context(), testNow, driver.Query{Label: "principal", Value: v, Limit: 10})
		if err != nil || len(pg.Records) != 1 || pg.Records[0].ID != fmt.Sprint(i) {
			t.Errorf("%q: %+v, %v", v, pg.Records, err)
		}
	}
}

// TestLargest stores the largest value, as text and as bytes, and refuses a
// larger one before it is sent.
func TestLargest(t *testing.T) {
	b, p := proxied(t)
	for _, value := range []string{strings.Repeat("é", defaultMaxValue/2), strings.Repeat("\xff", defaultMaxValue), strings.Repeat("\x01", defaultMaxValue)} {
		r := record("id", "ann", time.Hour)
		r.Value = []byte(value)
		if got := put(t, b, r); string(got.Value) != value {
			t.Error("it came back as another")
		}
	}
	p.take()
	r := record("id", "", 0)
	r.Value = make([]byte, defaultMaxValue+1)
	_, err := b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: driver.IfAny})
	only(t, err, model.ErrTooLarge)
	if ops, _ := p.take(); len(ops) > 0 {
		t.Errorf("on the wire: %v", ops)
	}
}

// TestSweepLeavesWhatWasExtended extends and writes records while a sweep
// announces them.
func TestSweepLeavesWhatWasExtended(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	seed(t, b, record("a", "", time.Minute), record("b", "", time.Minute), record("c", "", time.Minute))
	later := testNow.Add(time.Hour)
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: later, Limit: 10, OnExpire: func(r model.Record) error {
		var err error
		switch r.ID {
		case "a": // by a clock that runs behind
			_, err = b.Touch(ctx, testNow, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: later.Add(time.Hour)})
		case "b":
			_, err = b.Write(ctx, later, driver.Write{Record: record("b", "", 0), Cond: driver.IfAbsent})
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

// TestOwnWriteThatTheClusterSentAgain has a server that applies a write and
// answers with a conflict, as one does whose node sent it again after it had
// lost the primary: the record's revision tells whose it is.
func TestOwnWriteThatTheClusterSentAgain(t *testing.T) {
	for _, c := range []driver.Condition{driver.IfAbsent, driver.IfMatch} {
		r := record("id", "ann", time.Hour)
		source, err := marshal((&Backend{}).encode(&r))
		if err != nil {
			t.Fatal(err)
		}
		prev := record("id", "", 0)
		prev.ServerVersion = position{"0123456789abcdef", 1, 1}.hint(&prev)
		b, got := fake(t,
			said{200, `{"items":[{"index":{"_index":"carts@0123456789abcdef","_id":"id","status":409,"error":{"type":"version_conflict_engine_exception","reason":""}}}]}`},
			said{200, `{"docs":[{"_index":"carts@0123456789abcdef","_id":"id","_seq_no":2,"_primary_term":2,"found":true,"_source":` + string(source) + `}]}`})
		rec, err := b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: c, Known: prev})
		if err != nil || rec.Revision != r.Revision || got.Load() != 2 {
			t.Errorf("%v: %+v, %v", c, rec, err)
		}
	}
}

// TestContended has a record that always is at another version: the loop ends.
func TestContended(t *testing.T) {
	r := record("id", "ann", time.Hour)
	source, err := marshal((&Backend{}).encode(&r))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		if strings.HasSuffix(r.URL.Path, "/_mget") {
			_, _ = w.Write([]byte(`{"docs":[{"_index":"carts@0123456789abcdef","_id":"id","_seq_no":2,"_primary_term":2,"found":true,"_source":` + string(source) + `}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"items":[{"index":{"_index":"carts@0123456789abcdef","_id":"id","status":409,"error":{"type":"version_conflict_engine_exception","reason":""}}}]}`))
	}))
	t.Cleanup(s.Close)
	b, err := New(clientOn(t, s.URL, pool(t)), "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent})
	only(t, err, model.ErrUnavailable)
}

// TestRefusals has a server that refuses in the words of one with security,
// which the packed server lacks: these answers are recorded, not seen here.
func TestRefusals(t *testing.T) {
	const wrong = `{"error":{"root_cause":[{"type":"security_exception","reason":"unable to authenticate user [ann] for REST request [/carts/_mget]"}],` +
		`"type":"security_exception","reason":"unable to authenticate user [ann] for REST request [/carts/_mget]"},"status":401}`
	const denied = `{"error":{"root_cause":[{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ann]"}],` +
		`"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ann]"},"status":403}`
	for name, answer := range map[string]said{"wrong credentials": {401, wrong}, "a read-only user": {403, denied}, "a proxy's 401": {401, "no"}} {
		t.Run(name, func(t *testing.T) {
			b, _ := fake(t, answer)
			ctx := t.Context()
			calls := writes(record("id", "", 0))
			calls["get"] = func(ctx context.Context, b *Backend) error {
				_, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
				return err
			}
			calls["page"] = func(ctx context.Context, b *Backend) error {
				_, err := b.Page(ctx, testNow, driver.Query{Limit: 1})
				return err
			}
			calls["create storage"] = func(ctx context.Context, b *Backend) error { return b.CreateStorage(ctx) }
			calls["delete storage"] = func(ctx context.Context, b *Backend) error { return b.DeleteStorage(ctx) }
			for what, do := range calls {
				err := do(ctx, b)
				if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "ann") || !strings.Contains(err.Error(), "privilege") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestShardsThatFail has a server that answers for some shards only: an error,
// not a listing that leaves records out.
func TestShardsThatFail(t *testing.T) {
	for name, answers := range map[string][]said{
		"refresh":   {{200, `{"_shards":{"total":2,"successful":1,"failed":1}}`}},
		"timed out": {{200, `{"_shards":{"failed":0}}`}, {200, `{"timed_out":true,"hits":{"hits":[]}}`}},
		"search":    {{200, `{"_shards":{"failed":0}}`}, {500, `{"error":{"type":"search_phase_execution_exception","reason":""},"status":500}`}},
		"nonsense":  {{200, `[]`}},
	} {
		b, _ := fake(t, answers...)
		if _, err := b.Page(t.Context(), testNow, driver.Query{Limit: 1}); model.Kind(err) != model.ErrUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherProduct has a server that does not say it is Elasticsearch, which
// the client library refuses.
func TestAnotherProduct(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(s.Close)
	b, err := New(clientOn(t, s.URL, pool(t)), "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = b.CreateStorage(t.Context())
	only(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "Elasticsearch") {
		t.Error(err)
	}
}

// TestCompatibilityMode has a client that asks for another media type.
func TestCompatibilityMode(t *testing.T) {
	c := clientOn(t, containers.Elasticsearch(t).URL, pool(t), func(c *es.Config) { c.EnableCompatibilityMode = true })
	b := openOn(t, c, indexName(), &Options{Shards: 2, Replicas: -1})
	put(t, b, record("id", "ann", time.Hour))
	if n, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	_, text := request(t, client(t), http.MethodGet, "/"+b.name+"/_settings", "")
	if !strings.Contains(text, `"number_of_shards":"2"`) || !strings.Contains(text, `"number_of_replicas":"0"`) {
		t.Errorf("the settings are %s", text)
	}
}
