package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/typedapi/types"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// lossy is a backend that can lose the answer to a whole call: to each write
// that it takes, and to none of another call under way. Of a sweep it loses the
// next removal, also if it is told so while the sweep is at it.
type lossy struct {
	*Backend
	armed atomic.Bool
}

type loseKey struct{}

func (l *lossy) disarm() bool { return l.armed.CompareAndSwap(true, false) }

func (l *lossy) context(ctx context.Context) context.Context {
	if l.disarm() {
		return context.WithValue(ctx, loseKey{}, func() bool { return true })
	}
	return ctx
}

func (l *lossy) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	return l.Backend.Write(l.context(ctx), now, w)
}

func (l *lossy) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	return l.Backend.Touch(l.context(ctx), now, t)
}

func (l *lossy) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return l.Backend.Delete(l.context(ctx), now, d)
}

func (l *lossy) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return l.Backend.WriteMany(l.context(ctx), now, ops)
}

func (l *lossy) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	return l.Backend.DeleteExpired(context.WithValue(ctx, loseKey{}, l.disarm), s)
}

// Unwrap returns the backend.
func (l *lossy) Unwrap() driver.ModelExpirySupport { return l.Backend }

// losing lets the server carry a write out, and loses the answer where the call
// is told to.
type losing struct{ through http.RoundTripper }

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.through.RoundTrip(r)
	lose, _ := r.Context().Value(loseKey{}).(func() bool)
	if err != nil || lose == nil || !strings.HasSuffix(r.URL.Path, "/_bulk") || !lose() {
		return res, err
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return nil, io.ErrUnexpectedEOF
}

// trick is what a proxy does to the next write, or to the next request.
type trick int

const (
	pass        trick = iota
	loseAnswer        // lets the server carry it out, then cuts the connection
	loseRequest       // cuts the connection instead of passing the request on
	cutAnswer         // passes on half of the answer, then cuts the connection
)

// proxy stands between a client and a server. It counts the requests on the
// wire, by their last path element, and the documents in the answers.
type proxy struct {
	url    string
	server string

	mu     sync.Mutex
	next   trick
	writes bool // the trick waits for a _bulk
	ops    []string
	docs   int
}

func startProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{server: containers.Elasticsearch(t).URL}
	transport := pool(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(transport, w, r) }))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// proxied is a backend on an index of its own, behind a proxy, by a client of
// the library's own configuration: it sends again what it may.
func proxied(t testing.TB, change ...func(*es.Config)) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t)
	return openOn(t, clientOn(t, p.url, pool(t), change...), indexName(), nil), p
}

func (p *proxy) serve(transport *http.Transport, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	now := p.count(r.URL.Path)
	if now == loseRequest {
		panic(http.ErrAbortHandler)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.server+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = r.Header.Clone()
	out.Header.Del("Accept-Encoding") // so that the documents can be counted
	res, err := transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || now == loseAnswer {
		panic(http.ErrAbortHandler)
	}
	p.mu.Lock()
	p.docs += bytes.Count(answer, []byte(`"_id":`))
	p.mu.Unlock()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	if now == cutAnswer {
		_, _ = w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
}

// count notes a request and says what becomes of it.
func (p *proxy) count(path string) trick {
	op := path[strings.LastIndexByte(path, '/')+1:]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops = append(p.ops, op)
	if p.writes && op != "_bulk" {
		return pass
	}
	now := p.next
	p.next = pass
	return now
}

// play tricks the next write; playAny the next request.
func (p *proxy) play(next trick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.writes = next, true
}

func (p *proxy) playAny(next trick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.writes = next, false
}

// take returns what was counted since the last call.
func (p *proxy) take() (ops []string, docs int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ops, docs = p.ops, p.docs
	p.ops, p.docs = nil, 0
	return ops, docs
}

// writes are all kinds of writes, given a stored record of the id "id" as a Get
// returned it.
func writes(base model.Record) map[string]func(ctx context.Context, b *Backend) error {
	write := func(w driver.Write) func(ctx context.Context, b *Backend) error {
		return func(ctx context.Context, b *Backend) error { _, err := b.Write(ctx, testNow, w); return err }
	}
	next := record("id", "bob", 2*time.Hour)
	later := driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute)}
	known := later
	known.Known = base
	touch := func(t driver.Touch) func(ctx context.Context, b *Backend) error {
		return func(ctx context.Context, b *Backend) error { _, err := b.Touch(ctx, testNow, t); return err }
	}
	return map[string]func(ctx context.Context, b *Backend) error{
		"create":               write(driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent}),
		"create over expired":  write(driver.Write{Record: record("old", "", time.Hour), Cond: driver.IfAbsent}),
		"upsert":               write(driver.Write{Record: next, Cond: driver.IfAny}),
		"update":               write(driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}}),
		"compare-and-set":      write(driver.Write{Record: next, Cond: driver.IfMatch, Known: base}),
		"touch":                touch(later),
		"touch with a version": touch(known),
		"delete": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent})
		},
		"delete at a version": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		},
		"batch": func(ctx context.Context, b *Backend) error {
			return b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &driver.Write{Record: record("new", "", 0), Cond: driver.IfAbsent}}})[0].Err
		},
	}
}

// seedBase stores what writes are about.
func seedBase(t testing.TB, b *Backend) model.Record {
	t.Helper()
	old := record("old", "", 0)
	old.ExpiresAt = testNow
	seed(t, b, old)
	return put(t, b, record("id", "ann", time.Hour))
}

func bulks(ops []string) int {
	n := 0
	for _, op := range ops {
		if op == "_bulk" {
			n++
		}
	}
	return n
}

// TestLostAnswers loses the answer to each write, the write itself, and half of
// the answer, with a client that sends again, and one that compresses besides:
// one write is on the wire, and the outcome is unknown.
func TestLostAnswers(t *testing.T) {
	for config, change := range map[string]func(*es.Config){
		"default":    func(*es.Config) {},
		"compresses": func(c *es.Config) { c.CompressRequestBody = true },
		"pools":      func(c *es.Config) { c.CompressRequestBody, c.PoolCompressor = true, true },
		"no retries": func(c *es.Config) { c.DisableRetry = true },
		"eager": func(c *es.Config) {
			c.MaxRetries, c.RetryOnStatus = 9, []int{429, 500, 502, 503, 504}
			c.RetryOnError = func(*http.Request, error) bool { return true }
		},
	} {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			b, p := proxied(t, change)
			for how, tr := range map[string]trick{"answer lost": loseAnswer, "request lost": loseRequest, "answer cut": cutAnswer} {
				for name := range writes(model.Record{}) {
					seed(t, b, record("new", "", time.Hour))
					if err := b.Delete(t.Context(), testNow, driver.Delete{ID: "new", Cond: driver.IfPresent}); err != nil {
						t.Fatal(err)
					}
					do := writes(seedBase(t, b))[name]
					want := 1
					if name == "create over expired" {
						want = 2 // the refused create, and the write that is lost
						do = afterFirst(p, tr, do)
					} else {
						p.play(tr)
					}
					p.take()
					err := do(t.Context(), b)
					ops, _ := p.take()
					if model.Kind(err) != model.ErrUnknown || bulks(ops) != want {
						t.Errorf("%s, %s: %v; on the wire: %v", name, how, err, ops)
					}
				}
			}
		})
	}
}

// afterFirst plays the trick on the second write of a call.
func afterFirst(p *proxy, tr trick, do func(context.Context, *Backend) error) func(context.Context, *Backend) error {
	return func(ctx context.Context, b *Backend) error {
		inner := b.client
		n := 0
		c, err := New(&es.Client{BaseClient: es.BaseClient{Transport: performer(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/_bulk") {
				if n++; n == 2 {
					p.play(tr)
				}
			}
			return inner.Perform(r)
		})}}, b.name, nil)
		if err != nil {
			return err
		}
		return do(ctx, c)
	}
}

// performer is a transport of the client library.
type performer func(*http.Request) (*http.Response, error)

func (p performer) Perform(r *http.Request) (*http.Response, error) { return p(r) }

// TestLostSweep loses the answer of a sweep's removals.
func TestLostSweep(t *testing.T) {
	b, p := proxied(t)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour), record("c", "", time.Hour))
	p.play(loseAnswer)
	p.take()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
		if r.ID == "a" {
			return errors.New("not this one")
		}
		return nil
	}})
	only(t, err, model.ErrUnknown)
	if ops, _ := p.take(); swept.Removed != 0 || swept.Unknown != 2 || bulks(ops) != 1 {
		t.Fatalf("swept %+v with %v, want two unknown", swept, ops)
	}
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("swept %+v, %v, want the other one", swept, err)
	}
}

// TestLostReads loses the answer of each read: the client asks again where it
// may, else it is ErrUnavailable.
func TestLostReads(t *testing.T) {
	b, p := proxied(t)
	stubborn, err := New(clientOn(t, p.url, pool(t), func(c *es.Config) { c.DisableRetry = true }), b.name, nil)
	if err != nil {
		t.Fatal(err)
	}
	seed(t, b, record("id", "ann", time.Hour))
	ctx := t.Context()
	for name, do := range map[string]func(b *Backend) error{
		"get":      func(b *Backend) error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err },
		"get many": func(b *Backend) error { return b.GetMany(ctx, testNow, driver.Gets("id"))[0].Err },
		"page":     func(b *Backend) error { _, err := b.Page(ctx, testNow, driver.Query{Limit: 10}); return err },
		"count": func(b *Backend) error {
			_, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"})
			return err
		},
		"sweep": func(b *Backend) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 10})
			return err
		},
		"ping":          func(b *Backend) error { return b.Ping(ctx) },
		"storage there": func(b *Backend) error { return b.CreateStorage(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []trick{loseAnswer, cutAnswer} {
				p.playAny(tr)
				only(t, do(stubborn), model.ErrUnavailable)
			}
			p.playAny(loseAnswer)
			if err := do(b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOwnSuccess looks through expiry.Store, which recognises a write whose
// answer was lost as its own.
func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t)
	s, err := expiry.NewStore[string](b, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return testNow })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	p.play(loseAnswer)
	it, err := s.Create(ctx, "id", "one", &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
	if err != nil {
		t.Fatal(err)
	}
	p.play(loseAnswer)
	if it, err = s.Update(ctx, "id", "two", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatal(err)
	}
	p.play(loseRequest) // not applied: the look finds the old revision
	if it, err = s.Update(ctx, "id", "three", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatal(err)
	}
	p.play(loseAnswer)
	if _, err := s.Touch(ctx, "id", expiry.After(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, "id")
	if err != nil || got.Value != "three" || got.Revision != it.Revision || !got.ExpiresAt.Equal(testNow.Add(time.Hour)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	p.play(loseAnswer)
	only(t, s.Delete(ctx, "id", &expiry.DeleteOptions{IfMatch: got.Known()}), model.ErrUnknown)
}

// meddling is a backend on which another writer acts after an answer was lost,
// before the Store looks.
type meddling struct {
	*Backend
	between func()
}

func (m *meddling) meddle(err error) error {
	if errors.Is(err, model.ErrUnknown) {
		m.between()
	}
	return err
}

func (m *meddling) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	r, err := m.Backend.Write(ctx, now, w)
	return r, m.meddle(err)
}

func (m *meddling) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := m.Backend.Touch(ctx, now, t)
	return r, m.meddle(err)
}

// TestAnotherWriterAfterALostAnswer deletes the record, or replaces it, before
// the Store looks: the outcome stays unknown, and nothing is brought back.
func TestAnotherWriterAfterALostAnswer(t *testing.T) {
	b, p := proxied(t)
	m := &meddling{Backend: b}
	s, err := expiry.NewStore[string](m, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return testNow })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	removed := func() {
		if err := b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil && !errors.Is(err, model.ErrNotFound) {
			t.Error(err)
		}
	}
	theirs := record("id", "bob", 0)
	replaced := func() { seed(t, b, theirs) }
	for name, do := range map[string]func(v *expiry.Known) error{
		"create": func(*expiry.Known) error { _, err := s.Create(ctx, "id", "mine", nil); return err },
		"upsert": func(*expiry.Known) error { _, err := s.Upsert(ctx, "id", "mine", nil); return err },
		"update": func(*expiry.Known) error { _, err := s.Update(ctx, "id", "mine", nil); return err },
		"compare-and-set": func(v *expiry.Known) error {
			_, err := s.Update(ctx, "id", "mine", &expiry.WriteOptions{IfMatch: v})
			return err
		},
		"touch": func(*expiry.Known) error { _, err := s.Touch(ctx, "id", expiry.After(time.Hour), nil); return err },
	} {
		for how, tr := range map[string]trick{"applied": loseAnswer, "not applied": loseRequest} {
			for who, between := range map[string]func(){"removed": removed, "replaced": replaced} {
				t.Run(name+"/"+how+"/"+who, func(t *testing.T) {
					removed()
					var v *expiry.Known
					if name != "create" {
						it, err := s.Create(ctx, "id", "before", nil)
						if err != nil {
							t.Fatal(err)
						}
						v = it.Known()
					}
					m.between = between
					p.play(tr)
					only(t, do(v), model.ErrUnknown)
					got, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
					switch {
					case who == "removed":
						only(t, err, model.ErrNotFound)
					case err != nil || got.Revision != theirs.Revision || !got.ExpiresAt.IsZero():
						t.Fatalf("%+v, %v", got, err)
					}
				})
			}
		}
	}
}

// said is a recorded answer of a server; without a status it hangs up.
type said struct {
	status int
	body   string
}

// fake is a server that gives recorded answers, one after the other and the
// last one again and again, by a client of the library's own configuration.
func fake(t testing.TB, answers ...said) (*Backend, *atomic.Int64) {
	t.Helper()
	got := &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		a := answers[min(int(got.Add(1)), len(answers))-1]
		if a.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", typeJSON)
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	b, err := New(clientOn(t, s.URL, pool(t)), "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, got
}

// created is an answer to a create.
const created = `{"errors":false,"took":0,"items":[{"create":{"_index":"carts@0123456789abcdef","_id":"id","_version":1,` +
	`"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}]}`

// TestRefusedOrUnknown has a server that refuses, breaks, or hangs up, and then
// would accept: the write is sent once, the read as the client is configured.
func TestRefusedOrUnknown(t *testing.T) {
	const rejected = `{"error":{"root_cause":[{"type":"es_rejected_execution_exception","reason":"rejected execution of hunter2"}],` +
		`"type":"es_rejected_execution_exception","reason":"rejected execution of hunter2"},"status":429}`
	const item = `{"errors":true,"took":0,"items":[{"create":{"_index":"carts@0123456789abcdef","_id":"id","status":%s}}]}`
	failing := func(rest string) string { return strings.Replace(item, "%s", rest, 1) }
	for _, test := range []struct {
		name        string
		first       said
		write, read error
		reads       int64
	}{
		{"rejected", said{429, rejected}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a proxy's 429", said{429, "slow down"}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"too large", said{413, ""}, model.ErrTooLarge, model.ErrTooLarge, 1},
		{"a server's error", said{500, `{"error":{"type":"null_pointer_exception","reason":"hunter2"},"status":500}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"a circuit breaker", said{500, `{"error":{"type":"circuit_breaking_exception","reason":"hunter2"},"status":500}`}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a proxy's 502", said{502, "bad gateway"}, model.ErrUnknown, nil, 2},
		{"no master", said{503, `{"error":{"type":"cluster_block_exception","reason":"blocked by: [SERVICE_UNAVAILABLE/2/no master];"},"status":503}`}, model.ErrUnknown, nil, 2},
		{"hanging up", said{}, model.ErrUnknown, nil, 2},
		{"nonsense", said{200, "<html>"}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"too few items", said{200, `{"items":[],"docs":[]}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"an item without a verb", said{200, `{"items":[{}],"docs":[{}]}`}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"a rejected item", said{200, failing(`429,"error":{"type":"es_rejected_execution_exception","reason":"hunter2"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"a blocked item", said{200, failing(`403,"error":{"type":"cluster_block_exception","reason":"index [carts] blocked by: [FORBIDDEN/8/index write (api)];"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
		{"an item without its primary", said{200, failing(`503,"error":{"type":"unavailable_shards_exception","reason":"primary shard is not active"}`)}, model.ErrUnknown, model.ErrUnavailable, 1},
		{"an item of another mapping", said{200, failing(`400,"error":{"type":"strict_dynamic_mapping_exception","reason":"hunter2"}`)}, model.ErrUnavailable, model.ErrUnavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, got := fake(t, test.first, said{200, created})
			_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent})
			only(t, err, test.write)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the server's text is in %v", err)
			}
			if got.Load() != 1 {
				t.Errorf("%d writes on the wire, want one", got.Load())
			}
			b, got = fake(t, test.first, said{200, `{"docs":[{"_index":"carts@0123456789abcdef","_id":"id","found":false}]}`})
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			if test.read == nil {
				test.read = model.ErrNotFound
			}
			only(t, err, test.read)
			if got.Load() != test.reads {
				t.Errorf("%d reads on the wire, want %d", got.Load(), test.reads)
			}
		})
	}
}

// TestWithRetriesSwitchedOff has a client that sends nothing twice: it hands on
// what the server says, so that a refusal is known for what it is.
func TestWithRetriesSwitchedOff(t *testing.T) {
	b, got := fake(t, said{503, `{"error":{"type":"cluster_block_exception","reason":"no master"},"status":503}`})
	address := addressOf(t, b)
	plain, err := New(clientOn(t, address, pool(t), func(c *es.Config) { c.DisableRetry = true }), b.name, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = plain.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent})
	only(t, err, model.ErrUnavailable)
	var native *types.ElasticsearchError
	if !errors.As(err, &native) || native.Status != 503 || native.ErrorCause.Type != "cluster_block_exception" || got.Load() != 1 {
		t.Errorf("%v after %d requests", err, got.Load())
	}
}

// TestPartialFailures has one item of a batch refused, one conflict, and one
// unknown: each has its own outcome, and the others stand.
func TestPartialFailures(t *testing.T) {
	const answer = `{"errors":true,"items":[` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"a","_seq_no":7,"_primary_term":2,"status":201}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"b","status":429,"error":{"type":"es_rejected_execution_exception","reason":""}}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"c","status":500,"error":{"type":"node_disconnected_exception","reason":""}}},` +
		`{"index":{"_index":"carts@0123456789abcdef","_id":"d","_seq_no":8,"_primary_term":2,"status":200}}]}`
	b, got := fake(t, said{200, answer})
	var ops []driver.BatchOp
	for _, id := range []string{"a", "b", "c", "d"} {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: record(id, "ann", time.Hour), Cond: driver.IfAny}})
	}
	out := b.WriteMany(t.Context(), testNow, ops)
	for i, want := range []error{nil, model.ErrUnavailable, model.ErrUnknown, nil} {
		if model.Kind(out[i].Err) != want || (want == nil) != (out[i].Record.Revision == ops[i].Write.Record.Revision) {
			t.Errorf("%d: %+v", i, out[i])
		}
	}
	if at, ok := positionOf(&out[0].Record); !ok || at != (position{"0123456789abcdef", 7, 2}) || got.Load() != 1 {
		t.Errorf("at %+v after %d requests", at, got.Load())
	}
}

// TestPartialSweep counts what was removed, what was not, and what is unknown.
func TestPartialSweep(t *testing.T) {
	hit := func(id string) string {
		r := record(id, "", 0)
		r.ExpiresAt = testNow
		source, err := marshal((&Backend{}).encode(&r))
		if err != nil {
			t.Fatal(err)
		}
		return `{"_index":"carts@0123456789abcdef","_id":"` + id + `","_seq_no":1,"_primary_term":1,"_source":` + string(source) + `,"sort":[1,"` + id + `"]}`
	}
	item := func(status, err string) string {
		return `{"delete":{"_index":"carts@0123456789abcdef","_id":"x","status":` + status + `,"error":{"type":"` + err + `","reason":""}}}`
	}
	b, _ := fake(t,
		said{200, `{"_shards":{"total":1,"successful":1,"failed":0}}`},
		said{200, `{"timed_out":false,"hits":{"hits":[` + hit("a") + "," + hit("b") + "," + hit("c") + "," + hit("d") + `]}}`},
		said{200, `{"items":[{"delete":{"_index":"carts@0123456789abcdef","_id":"a","status":200}},` + item("429", "es_rejected_execution_exception") + "," +
			item("409", "version_conflict_engine_exception") + "," + item("503", "unavailable_shards_exception") + `]}`})
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow, Limit: 10})
	only(t, err, model.ErrUnknown)
	if swept != (driver.Swept{Removed: 1, Unknown: 1}) {
		t.Errorf("swept %+v", swept)
	}
}

// TestContexts ends the context before and after a write is sent.
func TestContexts(t *testing.T) {
	arrived := make(chan struct{}, 10)
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release // never answers
	}))
	t.Cleanup(func() {
		close(release)
		s.Close()
	})
	b, err := New(clientOn(t, s.URL, pool(t)), "hung", nil)
	if err != nil {
		t.Fatal(err)
	}
	base := record("id", "ann", time.Hour)
	base.ServerVersion = position{"0123456789abcdef", 1, 1}.hint(&base)
	for name, do := range writes(base) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := do(ended, b); !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("%s, before sending: %v", name, err)
		}
		under, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		err := do(under, b)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s, after sending: %v", name, err)
		}
		// Those that read first have sent nothing but the read.
		if reads := slices.Contains([]string{"update", "touch", "delete"}, name); reads != (model.Kind(err) == nil) || !reads && model.Kind(err) != model.ErrUnknown {
			t.Errorf("%s, after sending: %v", name, err)
		}
	}
	for name, do := range map[string]func(context.Context) error{
		"get":  func(ctx context.Context) error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err },
		"page": func(ctx context.Context) error { _, err := b.Page(ctx, testNow, driver.Query{Limit: 1}); return err },
	} {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := do(short); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// TestNothingSent fails before a connection is there: nothing was applied.
func TestNothingSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	_ = l.Close()
	closed := clientOn(t, address, pool(t))
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*es.Client{
		"nobody listens": clientOn(t, address, pool(t)),
		"compressed":     clientOn(t, address, pool(t), func(c *es.Config) { c.CompressRequestBody = true }),
		"a dialer's own error": clientOn(t, address, &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("refused by hunter2")
		}}),
		"a closed client": closed,
		"no retries":      clientOn(t, address, pool(t), func(c *es.Config) { c.DisableRetry = true }),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(c, "none", nil)
			if err != nil {
				t.Fatal(err)
			}
			base := record("id", "ann", 0)
			base.ServerVersion = position{"0123456789abcdef", 1, 1}.hint(&base)
			for name, do := range writes(base) {
				err := do(t.Context(), b)
				if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrUnavailable)
			only(t, b.CreateStorage(t.Context()), model.ErrUnavailable)
		})
	}
}

// TestAnotherNodeIsTried has a node that cannot be reached beside one that can:
// nothing was sent to it, so that the write goes to the other.
func TestAnotherNodeIsTried(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	_ = l.Close()
	p := startProxy(t)
	for name, change := range map[string]func(*es.Config){
		"plain": func(*es.Config) {}, "compressed": func(c *es.Config) { c.CompressRequestBody = true },
	} {
		t.Run(name, func(t *testing.T) {
			both := clientOn(t, p.url, pool(t), change, func(c *es.Config) { c.Addresses = []string{dead, p.url} })
			b := openOn(t, both, indexName(), nil)
			p.take()
			for i := range 4 {
				seed(t, b, record("id", "ann", time.Duration(i)))
			}
			if ops, _ := p.take(); bulks(ops) != 4 {
				t.Errorf("on the wire: %v", ops)
			}
			p.play(loseAnswer)
			_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAny})
			only(t, err, model.ErrUnknown)
			if ops, _ := p.take(); bulks(ops) != 1 {
				t.Errorf("on the wire after a lost answer: %v", ops)
			}
		})
	}
}

// TestTransportWithoutTraces has a transport that is not net/http's and fails:
// nobody knows how far it came, and nothing is sent again.
func TestTransportWithoutTraces(t *testing.T) {
	var n atomic.Int64
	c := clientOn(t, "http://localhost:9200", roundTripper(func(r *http.Request) (*http.Response, error) {
		n.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		return nil, io.ErrUnexpectedEOF
	}))
	b, err := New(c, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent})
	only(t, err, model.ErrUnknown)
	if n.Load() != 1 {
		t.Errorf("sent %d times", n.Load())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
