package elasticsearch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// batch returns a call of WriteMany.
func batch(name string, ops ...driver.BatchOp) drivertest.Call {
	return drivertest.Call{
		Name: name,
		Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
			var errs []error
			for _, o := range driver.WriteMany(ctx, b, drivertest.Now, ops) {
				errs = append(errs, o.Err)
			}
			return errors.Join(errs...)
		},
		Done: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			for _, op := range ops {
				drivertest.Holds(t, b, op.ID(), op.Write.Record.Revision, op.Write.Record.ExpiresAt)
			}
		},
	}
}

// writes returns every kind of write, batches included.
func writes(base model.Record) []drivertest.Call {
	w := driver.Write{Record: drivertest.Record("new", "", 0), Cond: driver.IfAbsent}
	return append(drivertest.Writes(base), batch("batch", driver.BatchOp{Write: &w}))
}

// storageCalls returns the calls that create and delete the index.
func storageCalls() []drivertest.Call {
	return []drivertest.Call{
		{Name: "create storage", Do: driver.CreateStorage},
		{Name: "delete storage", Do: driver.DeleteStorage},
	}
}

// madeUp returns a record with a server version that no server gave.
func madeUp() model.Record {
	r := drivertest.Record("id", "ann", time.Hour)
	r.ServerVersion = docVersion{"0123456789abcdef", 1, 1}.serverVersion(&r)
	return r
}

// forget removes the records with the ids, if there are any.
func forget(t testing.TB, b *Backend, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
			drivertest.WantKind(t, err, model.ErrNotFound)
		}
	}
}

// TestLostWrites loses each write, its answer, and half of its answer, with
// several configurations of the client: one write is sent, and it is
// ErrUnknown.
func TestLostWrites(t *testing.T) {
	t.Parallel()
	for config, change := range map[string]func(*es.Config){
		"default":    func(*es.Config) {},
		"compresses": compresses,
		"pools":      func(c *es.Config) { c.CompressRequestBody, c.PoolCompressor = true, true },
		"no retries": noRetries,
		"eager": func(c *es.Config) {
			c.MaxRetries, c.RetryOnStatus = 9, []int{429, 500, 502, 503, 504}
			c.RetryOnError = func(*http.Request, error) bool { return true }
		},
	} {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			b, wire := proxied(t, change)
			lost := drivertest.Lost{
				Open: func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) {
					forget(t, b, "new", "plain")
					return b, wire
				},
				Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.LoseRequest, faultnet.CutAnswer},
			}
			const overExpired = "create over expired"
			lost.IsWrite = isWrite
			lost.Calls = func(_ testing.TB, base model.Record) []drivertest.Call {
				return slices.DeleteFunc(writes(base), func(c drivertest.Call) bool { return c.Name == overExpired })
			}
			drivertest.LostWrites(t, lost)
			// The server refuses the first _bulk of this call.
			lost.IsWrite = func(name string) bool { return name == "_bulk/index" }
			lost.Calls = func(t testing.TB, base model.Record) []drivertest.Call {
				t.Helper()
				return drivertest.Pick(t, writes(base), overExpired)
			}
			drivertest.LostWrites(t, lost)
		})
	}
}

func TestLostSweep(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	drivertest.LostSweep(t, b, wire, isWrite)
}

// TestLostReads loses the answer of each read. A client with retries sends it
// again, unless a part of the answer has arrived.
func TestLostReads(t *testing.T) {
	t.Parallel()
	retrying, wire := proxied(t)
	fresh := pool(t)
	fresh.DisableKeepAlives = true // net/http sends a GET again if its connection was used before
	b := newBackend(t, clientOn(t, wire.URL(), fresh, noRetries), retrying.name, nil)
	drivertest.SeedCalls(t, b)
	calls := append(drivertest.Reads(), storageCalls()[0])
	drivertest.LostReads(t, b, retrying, wire, calls, faultnet.LoseAnswer)
	drivertest.LostReads(t, b, nil, wire, calls, faultnet.CutAnswer)
}

func TestOwnSuccess(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	drivertest.OwnSuccess(t, b, wire, isWrite, faultnet.LoseRequest)
}

// meddler lets another writer act after an answer was lost, before the Store
// reads.
type meddler struct {
	driverkit.Wrapper
	act func()
}

func (m *meddler) meddle(err error) error {
	if errors.Is(err, model.ErrUnknown) {
		m.act()
	}
	return err
}

func (m *meddler) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	r, err := m.ModelExpirySupport.Write(ctx, now, w)
	return r, m.meddle(err)
}

func (m *meddler) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := m.ModelExpirySupport.Touch(ctx, now, t)
	return r, m.meddle(err)
}

// TestAnotherWriterAfterALostAnswer removes or replaces the record before the
// Store reads it. The outcome stays unknown, and the write does not come back.
func TestAnotherWriterAfterALostAnswer(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	m := &meddler{Wrapper: driverkit.Wrap(b)}
	s, err := expiry.NewStore[string](m, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return drivertest.Now })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	theirs := drivertest.Record("id", "bob", 0)
	for name, do := range map[string]func(known *expiry.Known) error{
		"create": func(*expiry.Known) error { _, err := s.Create(ctx, "id", "mine", nil); return err },
		"upsert": func(*expiry.Known) error { _, err := s.Upsert(ctx, "id", "mine", nil); return err },
		"update": func(*expiry.Known) error { _, err := s.Update(ctx, "id", "mine", nil); return err },
		"compare-and-set": func(known *expiry.Known) error {
			_, err := s.Update(ctx, "id", "mine", &expiry.WriteOptions{IfMatch: known})
			return err
		},
		"touch": func(*expiry.Known) error { _, err := s.Touch(ctx, "id", expiry.After(time.Hour), nil); return err },
	} {
		for _, fault := range []faultnet.Fault{faultnet.LoseAnswer, faultnet.LoseRequest} {
			for other, act := range map[string]func(){
				"removed":  func() { forget(t, b, "id") },
				"replaced": func() { drivertest.Seed(t, b, theirs) },
			} {
				t.Run(name+"/"+fault.String()+"/"+other, func(t *testing.T) {
					forget(t, b, "id")
					var known *expiry.Known
					if name != "create" {
						it, err := s.Create(ctx, "id", "before", nil)
						if err != nil {
							t.Fatal(err)
						}
						known = it.Known()
					}
					m.act = act
					wire.Set(faultnet.Plan{Fault: fault, Match: isWrite})
					drivertest.WantKind(t, do(known), model.ErrUnknown)
					if other == "removed" {
						drivertest.Gone(t, b, "id")
					} else {
						drivertest.Holds(t, b, "id", theirs.Revision, time.Time{})
					}
				})
			}
		}
	}
}

// canned is a recorded answer of a server. Without a status the server closes
// the connection.
type canned struct {
	status int
	body   string
}

// fake returns a backend whose server gives the recorded answers in order, and
// then the last one again. It counts the requests.
func fake(t testing.TB, answers ...canned) (*Backend, *atomic.Int64) {
	t.Helper()
	return fakeFunc(t, func(_ *http.Request, n int) canned { return answers[min(n, len(answers))-1] })
}

func fakeFunc(t testing.TB, answer func(r *http.Request, n int) canned) (*Backend, *atomic.Int64) {
	t.Helper()
	got := &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		a := answer(r, int(got.Add(1)))
		if a.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", typeJSON)
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	return newBackend(t, clientOn(t, s.URL, pool(t)), "carts", nil), got
}

// docSource returns the source of a record's document.
func docSource(t testing.TB, r model.Record) string {
	t.Helper()
	source, err := marshal((&Backend{}).encode(&r))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// create sends a create.
func create(t testing.TB, b *Backend) error {
	t.Helper()
	_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAbsent})
	return err
}

// created is the answer to a create.
const created = `{"errors":false,"took":0,"items":[{"create":{"_index":"carts@0123456789abcdef","_id":"id","_version":1,` +
	`"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}]}`

// TestRefusedOrUnknown has a server that refuses the first request, fails, or
// closes the connection, and accepts the next one. A write is sent once. A read
// is sent again as the client is configured.
func TestRefusedOrUnknown(t *testing.T) {
	const rejected = `{"error":{"root_cause":[{"type":"es_rejected_execution_exception","reason":"rejected execution of hunter2"}],` +
		`"type":"es_rejected_execution_exception","reason":"rejected execution of hunter2"},"status":429}`
	const item = `{"errors":true,"took":0,"items":[{"create":{"_index":"carts@0123456789abcdef","_id":"id","status":%s}}]}`
	failing := func(rest string) string { return strings.Replace(item, "%s", rest, 1) }
	for _, test := range []struct {
		name        string
		first       canned
		write, read error
		reads       int64
	}{
		{"rejected", canned{429, rejected}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a proxy's 429", canned{429, "slow down"}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"too large", canned{413, ""}, model.ErrTooLarge, model.ErrTooLarge, 1},
		{"a server's error", canned{500, `{"error":{"type":"null_pointer_exception","reason":"hunter2"},"status":500}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"a circuit breaker", canned{500, `{"error":{"type":"circuit_breaking_exception","reason":"hunter2"},"status":500}`}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a proxy's 502", canned{502, "bad gateway"}, model.ErrUnknown, nil, 2},
		{"no master", canned{503, `{"error":{"type":"cluster_block_exception","reason":"blocked by: [SERVICE_UNAVAILABLE/2/no master];"},"status":503}`}, model.ErrUnknown, nil, 2},
		{"no answer", canned{}, model.ErrUnknown, nil, 2},
		{"no JSON", canned{200, "<html>"}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"too few items", canned{200, `{"items":[],"docs":[]}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"an item without a verb", canned{200, `{"items":[{}],"docs":[{}]}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"a rejected item", canned{200, failing(`429,"error":{"type":"es_rejected_execution_exception","reason":"hunter2"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a blocked item", canned{200, failing(`403,"error":{"type":"cluster_block_exception","reason":"index [carts] blocked by: [FORBIDDEN/8/index write (api)];"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"an item without its primary", canned{200, failing(`503,"error":{"type":"unavailable_shards_exception","reason":"primary shard is not active"}`)}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"an item of another mapping", canned{200, failing(`400,"error":{"type":"strict_dynamic_mapping_exception","reason":"hunter2"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, got := fake(t, test.first, canned{200, created})
			err := create(t, b)
			drivertest.WantKind(t, err, test.write)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the server's text is in %v", err)
			}
			if got.Load() != 1 {
				t.Errorf("sent %d writes, want one", got.Load())
			}
			b, got = fake(t, test.first, canned{200, `{"docs":[{"_index":"carts@0123456789abcdef","_id":"id","found":false}]}`})
			_, err = b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			if test.read == nil {
				test.read = model.ErrNotFound
			}
			drivertest.WantKind(t, err, test.read)
			if got.Load() != test.reads {
				t.Errorf("sent %d reads, want %d", got.Load(), test.reads)
			}
		})
	}
}

// TestWithoutRetries has a client that passes on the server's error, so that a
// refusal is ErrUnavailable and not ErrUnknown.
func TestWithoutRetries(t *testing.T) {
	b, got := fake(t, canned{503, `{"error":{"type":"cluster_block_exception","reason":"no master"},"status":503}`})
	err := create(t, newBackend(t, clientOn(t, addressOf(t, b), pool(t), noRetries), b.name, nil))
	drivertest.WantKind(t, err, model.ErrUnavailable)
	var native *ServerError
	if !errors.As(err, &native) || native.Status != 503 || native.Type != "cluster_block_exception" || got.Load() != 1 {
		t.Errorf("%v after %d requests", err, got.Load())
	}
}

// TestPartialFailures has a batch with one refused and one unknown item. Each
// item has its own result.
func TestPartialFailures(t *testing.T) {
	const answer = `{"errors":true,"items":[` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"a","_seq_no":7,"_primary_term":2,"status":201}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"b","status":429,"error":{"type":"es_rejected_execution_exception","reason":""}}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"c","status":500,"error":{"type":"node_disconnected_exception","reason":""}}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"d","_seq_no":8,"_primary_term":2,"status":200}}]}`
	b, got := fake(t, canned{200, answer})
	var ops []driver.BatchOp
	for _, id := range []string{"a", "b", "c", "d"} {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "ann", time.Hour), Cond: driver.IfAny}})
	}
	out := b.WriteMany(t.Context(), drivertest.Now, ops)
	for i, want := range []error{nil, model.ErrUnavailable, model.ErrUnknown, nil} {
		if model.Kind(out[i].Err) != want || (want == nil) != (out[i].Record.Revision == ops[i].Write.Record.Revision) {
			t.Errorf("item %d: %+v, want %v", i, out[i], want)
		}
	}
	if v, ok := versionOf(&out[0].Record); !ok || v != (docVersion{"0123456789abcdef", 7, 2}) || got.Load() != 1 {
		t.Errorf("the version is %+v after %d requests", v, got.Load())
	}
}

// TestPartialSweep counts what was removed and what is unknown. If the answer
// is lost, all of it is unknown, and it was sent once.
func TestPartialSweep(t *testing.T) {
	hit := func(id string) string {
		return `{"_index":"carts@0123456789abcdef","_id":"` + id + `","_seq_no":1,"_primary_term":1,"_source":` +
			docSource(t, drivertest.Expired(id, "")) + `,"sort":[1,"` + id + `"]}`
	}
	item := func(status, err string) string {
		return `{"delete":{"_index":"carts@0123456789abcdef","_id":"x","status":` + status + `,"error":{"type":"` + err + `","reason":""}}}`
	}
	for name, test := range map[string]struct {
		removals canned
		want     driver.Swept
	}{
		"some fail": {canned{200, `{"items":[{"delete":{"_index":"carts@0123456789abcdef","_id":"a","status":200}},` + item("429", "es_rejected_execution_exception") + "," +
			item("409", "version_conflict_engine_exception") + "," + item("503", "unavailable_shards_exception") + `]}`}, driver.Swept{Removed: 1, Unknown: 1}},
		"no answer": {canned{}, driver.Swept{Unknown: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			b, got := fake(t,
				canned{200, `{"_shards":{"total":1,"successful":1,"failed":0}}`},
				canned{200, `{"timed_out":false,"hits":{"hits":[` + hit("a") + "," + hit("b") + "," + hit("c") + "," + hit("d") + `]}}`},
				test.removals)
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10})
			drivertest.WantKind(t, err, model.ErrUnknown)
			if swept != test.want || got.Load() != 3 {
				t.Errorf("swept %+v with %d requests, want %+v with 3", swept, got.Load(), test.want)
			}
		})
	}
}

func TestEndedContexts(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	drivertest.EndedContexts(t, b, wire)
	calls := append(storageCalls(), drivertest.Pick(t, writes(model.Record{}), "batch")...)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range calls {
		if err := c.Do(ended, b); !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("%s: %v, want %v alone", c.Name, err, context.Canceled)
		}
	}
}

// TestContextsThatEndBeforeTheAnswer cancels each call after the server has
// received a request: a write is ErrUnknown, a read is not.
func TestContextsThatEndBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	cancelled := func(name string, match func(string) bool, want error) {
		forget(t, b, "new", "plain")
		c := drivertest.Pick(t, append(writes(drivertest.SeedCalls(t, b)), drivertest.Reads()...), name)[0]
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wire.Set(faultnet.Plan{Fault: faultnet.HoldAnswer, Match: match, Then: cancel})
		if err := c.Do(ctx, b); !errors.Is(err, context.Canceled) || model.Kind(err) != want {
			t.Errorf("%s: %v, want %v and %v", name, err, context.Canceled, want)
		}
	}
	for _, c := range writes(model.Record{}) {
		cancelled(c.Name, isWrite, model.ErrUnknown)
	}
	for _, name := range []string{"update", "touch", "delete"} { // these read first
		cancelled(name, nil, nil)
	}
	for _, c := range drivertest.Reads() {
		cancelled(c.Name, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		wire.Next(faultnet.HoldAnswer)
		if err := c.Do(ctx, b); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
			t.Errorf("%s: %v, want %v alone", c.Name, err, context.DeadlineExceeded)
		}
		cancel()
		wire.Next(faultnet.Pass)
	}
}

// freeAddress returns an address that no server listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	return "http://" + drivertest.NoServer(t)
}

// TestNothingSent fails before there is a connection: nothing was applied.
func TestNothingSent(t *testing.T) {
	address := freeAddress(t)
	closed := clientOn(t, address, pool(t))
	must(t, closed.Close(t.Context()))
	for name, c := range map[string]*es.Client{
		"no server":  clientOn(t, address, pool(t)),
		"compresses": clientOn(t, address, pool(t), compresses),
		"a dialer's error": clientOn(t, address, &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("refused by hunter2")
		}}),
		"a closed client": closed,
		"no retries":      clientOn(t, address, pool(t), noRetries),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, c, "none", nil)
			for _, call := range slices.Concat(writes(madeUp()), drivertest.Reads(), storageCalls()) {
				if err := call.Do(t.Context(), b); model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v, want %v", call.Name, err, model.ErrUnavailable)
				}
			}
		})
	}
}

// TestAnotherNodeIsTried has a node without a server. Nothing was sent to it, so
// that the write goes to the other node.
func TestAnotherNodeIsTried(t *testing.T) {
	t.Parallel()
	dead := freeAddress(t)
	wire := newWire(t)
	bulks := func() int {
		return len(slices.DeleteFunc(wire.Requests(), func(name string) bool { return !isWrite(name) }))
	}
	for name, change := range map[string]func(*es.Config){"plain": func(*es.Config) {}, "compresses": compresses} {
		t.Run(name, func(t *testing.T) {
			both := clientOn(t, wire.URL(), pool(t), change, func(c *es.Config) { c.Addresses = []string{dead, wire.URL()} })
			b := openOn(t, both, drivertest.Name(), nil)
			wire.Requests()
			for i := range 4 {
				drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Duration(i)))
			}
			if n := bulks(); n != 4 {
				t.Errorf("sent %d writes, want 4", n)
			}
			wire.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isWrite})
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAny})
			drivertest.WantKind(t, err, model.ErrUnknown)
			if n := bulks(); n != 1 {
				t.Errorf("sent %d writes with a lost answer, want one", n)
			}
		})
	}
}

// TestTransportWithoutTraces has a transport that is not net/http's and fails.
// It may have sent the write, so the write is not sent again.
func TestTransportWithoutTraces(t *testing.T) {
	var n atomic.Int64
	c := clientOn(t, "http://localhost:9200", roundTripper(func(r *http.Request) (*http.Response, error) {
		n.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		return nil, io.ErrUnexpectedEOF
	}))
	drivertest.WantKind(t, create(t, newBackend(t, c, "carts", nil)), model.ErrUnknown)
	if n.Load() != 1 {
		t.Errorf("sent %d writes, want one", n.Load())
	}
}
