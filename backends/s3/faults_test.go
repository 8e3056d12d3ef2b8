package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func newReader(data []byte) *bytes.Reader { return bytes.NewReader(data) }

// trick is what a proxy does to a request.
type trick int

const (
	pass        trick = iota
	loseAnswer        // lets the server carry it out, then cuts the connection
	loseRequest       // cuts the connection instead of passing the request on
	cutAnswer         // passes on half of the answer, then cuts the connection
)

// proxy stands between a client and a server. It counts the requests on the
// wire, by operation.
type proxy struct {
	url    string
	server string
	direct *awss3.Client // where it heeds conditions on deletes

	mu     sync.Mutex
	next   trick
	on     func(op string) bool // which request the trick is for; nil: the next
	refuse func(op string) *answer
	older  time.Duration // by which listings show objects to be older
	ops    []string
	listed int // keys that listings have shown
	bytes  int // of answers
	header http.Header
}

func startProxy(t testing.TB) *proxy {
	t.Helper()
	endpoint, _, _ := serverAt(t)
	p := &proxy{server: endpoint}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(transport, w, r) }))
	t.Cleanup(func() {
		s.Close()
		transport.CloseIdleConnections()
	})
	p.url = s.URL
	return p
}

// heedDeletes makes the proxy do what AWS does and this server does not: it
// deletes an object only if it still has the ETag that If-Match names.
func (p *proxy) heedDeletes(t testing.TB) {
	t.Helper()
	p.direct = clientAt(t, p.server)
}

// keyLocks exclude writes of one key from each other, through all proxies of
// this process, so that a comparison and a delete are one step.
var keyLocks [64]sync.Mutex

var objectPath = regexp.MustCompile(`^/([^/]+)/(.+)$`)

// opOf names a request after the folder and the method.
func opOf(r *http.Request) string {
	m := objectPath.FindStringSubmatch(r.URL.Path)
	query := r.URL.Query()
	switch {
	case m == nil && query.Has("delete"):
		return "DELETES"
	case m == nil && query.Get("list-type") == "2":
		parts := strings.Split(strings.TrimSuffix(query.Get("prefix"), "/"), "/")
		for _, part := range parts[1:] {
			if len(part) == 1 {
				return "LIST " + part
			}
		}
		return "LIST"
	case m == nil:
		return r.Method + " bucket"
	}
	for _, part := range strings.Split(m[2], "/") {
		if len(part) == 1 || part == markerName {
			return r.Method + " " + part
		}
	}
	return r.Method
}

func (p *proxy) serve(transport *http.Transport, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	op := opOf(r)
	now, refused, older := p.count(op, r.Header)
	if r.Header.Get(loseHeader) != "" {
		now = loseAnswer
	}
	if now == loseRequest {
		panic(http.ErrAbortHandler)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	if p.direct != nil && (r.Method == http.MethodPut || r.Method == http.MethodDelete) {
		lock := &keyLocks[crc32.ChecksumIEEE([]byte(r.URL.Path))%uint32(len(keyLocks))]
		lock.Lock()
		defer lock.Unlock()
		if a := p.compare(r); a != nil {
			if now == loseAnswer {
				panic(http.ErrAbortHandler)
			}
			a.write(w)
			return
		}
	}
	// The request goes on even if the client has gone meanwhile.
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.server+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	out.Header.Del("Expect")
	res, err := transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil || now == loseAnswer {
		panic(http.ErrAbortHandler)
	}
	p.measure(op, data)
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	if older != 0 && strings.HasPrefix(op, "LIST") {
		data = modified.ReplaceAllFunc(data, func(at []byte) []byte {
			made, err := time.Parse(time.RFC3339Nano, string(at[len("<LastModified>"):]))
			if err != nil {
				return at
			}
			return []byte("<LastModified>" + made.Add(-older).Format("2006-01-02T15:04:05.000Z"))
		})
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if res.StatusCode == http.StatusNoContent {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(res.StatusCode)
	if now == cutAnswer {
		_, _ = w.Write(data[:len(data)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(data)
}

var modified = regexp.MustCompile(`<LastModified>[0-9TZ:.-]+`)

// compare answers a delete whose condition does not hold.
func (p *proxy) compare(r *http.Request) *answer {
	want := r.Header.Get("If-Match")
	m := objectPath.FindStringSubmatch(r.URL.Path)
	if r.Method != http.MethodDelete || want == "" || m == nil {
		return nil
	}
	out, err := p.direct.HeadObject(r.Context(), &awss3.HeadObjectInput{Bucket: &m[1], Key: &m[2]})
	var res *smithyhttp.ResponseError
	switch {
	case asResponse(err, &res) && res.HTTPStatusCode() == http.StatusNotFound:
		return &answer{status: 404, code: codeNoKey}
	case err != nil:
		return &answer{status: 500, code: "InternalError"}
	case aws.ToString(out.ETag) != want:
		return &answer{status: 412, code: codePrecondition}
	}
	return nil
}

// lossy is a backend that can lose the answer to a whole call: to each write of
// a record that it makes, and to none of another call under way. Of a sweep it
// loses the next removal, also if it is told so while the sweep is at it.
type lossy struct {
	*Backend
	armed atomic.Bool
}

// loseHeader marks the requests whose answers a proxy loses.
const loseHeader = "X-Lose"

type loseKey struct{}

var recordPath = regexp.MustCompile(`/r/[ih]-[^/]*$`)

// marking makes a client mark the requests of a call that is to be lost.
func marking(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("Lose",
			func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				lose, _ := ctx.Value(loseKey{}).(func() bool)
				if r, ok := in.Request.(*smithyhttp.Request); ok && lose != nil && r.Method != http.MethodGet && recordPath.MatchString(r.URL.Path) && lose() {
					r.Header.Set(loseHeader, "1")
				}
				return next.HandleBuild(ctx, in)
			}), middleware.Before)
	})
}

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

// count notes a request and says what becomes of it.
func (p *proxy) count(op string, header http.Header) (trick, *answer, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops = append(p.ops, op)
	p.header = header.Clone()
	now := pass
	if p.next != pass && (p.on == nil || p.on(op)) {
		now, p.next = p.next, pass
	}
	var refused *answer
	if p.refuse != nil {
		refused = p.refuse(op)
	}
	return now, refused, p.older
}

func (p *proxy) measure(op string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += len(data)
	if strings.HasPrefix(op, "LIST") {
		p.listed += bytes.Count(data, []byte("<Contents>"))
	}
}

// play makes the proxy do it to the next request on a record.
func (p *proxy) play(next trick) {
	p.playOn(next, func(op string) bool { return strings.HasSuffix(op, " r") && op != "GET r" && op != "LIST r" })
}

// playOn makes the proxy do it to the next request that passes.
func (p *proxy) playOn(next trick, on func(op string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.on = next, on
}

// refusing answers requests in the server's place, where it is not nil.
func (p *proxy) refusing(refuse func(op string) *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// age makes all objects older by so much.
func (p *proxy) age(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.older = by
}

// traffic is what went over the wire.
type traffic struct {
	ops    []string
	listed int
	bytes  int
}

// of counts the requests of an operation.
func (t *traffic) of(op string) int {
	n := 0
	for _, o := range t.ops {
		if o == op {
			n++
		}
	}
	return n
}

// take returns what was counted since the last call.
func (p *proxy) take() traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := traffic{p.ops, p.listed, p.bytes}
	p.ops, p.listed, p.bytes = nil, 0, 0
	return t
}

// answer is a recorded answer of the service; without a status it hangs up.
type answer struct {
	status int
	code   string
	body   string // in place of an error
	date   string
}

func (a answer) write(w http.ResponseWriter) {
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	body := a.body
	if body == "" && a.code != "" {
		body = fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>said hunter2</Message></Error>`, a.code)
	}
	w.Header().Set("Content-Type", "application/xml")
	if a.date != "" {
		w.Header().Set("Date", a.date)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, body)
}

// writes are all kinds of writes of a stored record of the id "id"; those that
// make a record give it the id "new" and their name.
func writes(prev model.Record) map[string]func(ctx context.Context, b *Backend) error {
	plain := func(w driver.Write) func(ctx context.Context, b *Backend) error {
		return func(ctx context.Context, b *Backend) error { _, err := b.Write(ctx, testNow, w); return err }
	}
	next := record("id", "bob", 2*time.Hour)
	return map[string]func(ctx context.Context, b *Backend) error{
		"create":          plain(driver.Write{Record: record("new create", "", 0), Cond: driver.IfAbsent}),
		"create labelled": plain(driver.Write{Record: record("new create labelled", "ann", time.Hour), Cond: driver.IfAbsent}),
		"upsert":          plain(driver.Write{Record: next, Cond: driver.IfAny}),
		"update":          plain(driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}}),
		"compare-and-set": plain(driver.Write{Record: next, Cond: driver.IfMatch, Known: prev, Keep: driver.Keep{Labels: true}}),
		"relabel":         plain(driver.Write{Record: next, Cond: driver.IfMatch, Known: prev}),
		"touch": func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(2 * time.Hour), Known: prev})
			return err
		},
		"delete": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: prev})
		},
		"bulk": func(ctx context.Context, b *Backend) error {
			return b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &driver.Write{Record: record("new bulk", "", 0), Cond: driver.IfAbsent}}})[0].Err
		},
	}
}

// onRecord counts the requests that write a record.
func (t *traffic) onRecord() int { return t.of("PUT r") + t.of("DELETE r") }

// TestLostAnswers loses the answer to each write, and the write itself: one
// request is on the wire, though the client would send three, and the outcome is
// unknown. What happened is what the server was told.
func TestLostAnswers(t *testing.T) {
	for mode, opened := range map[string]func(testing.TB, *Options) (*Backend, *proxy){"tombstones": proxied, "deletes": deleting} {
		for how, tr := range map[string]trick{"answer lost": loseAnswer, "request lost": loseRequest} {
			t.Run(mode+"/"+how, func(t *testing.T) {
				t.Parallel()
				b, p := opened(t, nil)
				for name := range writes(model.Record{}) {
					base := record("id", "ann", time.Hour)
					seed(t, b, base)
					prev, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
					if err != nil {
						t.Fatal(err)
					}
					p.take()
					p.play(tr)
					if err := writes(prev)[name](t.Context(), b); model.Kind(err) != model.ErrUnknown {
						t.Errorf("%s: %v", name, err)
					}
					if got := p.take(); got.onRecord() != 1 {
						t.Errorf("%s, on the wire: %v, want one write of the record", name, got.ops)
					}
					made := name == "create" || name == "create labelled" || name == "bulk"
					got, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
					switch applied := tr == loseAnswer; {
					case made:
						if _, err := b.Get(t.Context(), testNow, driver.Get{ID: "new " + name}); (err == nil) != applied {
							t.Errorf("%s: the record is there: %v", name, err)
						}
					case applied && name == "delete":
						if model.Kind(err) != model.ErrNotFound {
							t.Errorf("%s was applied, and then: %v", name, err)
						}
					case err != nil || (got.ServerVersion != prev.ServerVersion) != applied:
						t.Errorf("%s: %v, changed: %v, want %v", name, err, got.ServerVersion != prev.ServerVersion, applied)
					}
				}
			})
		}
	}
}

// TestLostSweep loses the answer of one removal of a sweep.
func TestLostSweep(t *testing.T) {
	b, p := proxied(t, nil)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour))
	p.play(loseAnswer)
	p.take()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	only(t, err, model.ErrUnknown)
	if swept.Removed != 1 || swept.Unknown != 1 {
		t.Fatalf("swept %+v, want one and one unknown", swept)
	}
	if got := p.take(); got.onRecord() != 2 {
		t.Errorf("on the wire: %v", got.ops)
	}
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 0 {
		t.Fatalf("swept %+v, %v, want nothing", swept, err)
	}
}

// TestLostEntries loses the answers for index entries: they are sent again, as
// their keys are one write's own, and without them nothing is written.
func TestLostEntries(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	isEntry := func(op string) bool { return op == "PUT l" || op == "PUT x" }
	p.playOn(loseAnswer, isEntry)
	if _, err := b.Write(ctx, testNow, driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAbsent}); err != nil {
		t.Fatal(err)
	}
	if got := p.take(); got.of("PUT l")+got.of("PUT x") != 3 || got.onRecord() != 1 {
		t.Errorf("on the wire: %v", got.ops)
	}
	p.refusing(func(op string) *answer {
		if isEntry(op) {
			return &answer{}
		}
		return nil
	})
	p.take()
	_, err := b.Write(ctx, testNow, driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent})
	only(t, err, model.ErrUnavailable)
	if got := p.take(); got.onRecord() != 0 {
		t.Errorf("on the wire: %v", got.ops)
	}
}

// TestLostReads loses the answer of each read, and half of it: the SDK asks
// again where the client may and nothing was read yet, else it is ErrUnavailable.
func TestLostReads(t *testing.T) {
	b, p := proxied(t, nil)
	stubborn, err := New(clientAt(t, p.url, func(o *awss3.Options) { o.Retryer = aws.NopRetryer{} }), b.bucket, b.prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	seed(t, b, record("id", "ann", time.Hour))
	ctx := t.Context()
	reads := map[string]func(b *Backend) error{
		"get":      func(b *Backend) error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err },
		"get many": func(b *Backend) error { return b.GetMany(ctx, testNow, driver.Gets("id"))[0].Err },
		"page":     func(b *Backend) error { _, err := b.Page(ctx, testNow, driver.Query{Limit: 10}); return err },
		"page by label": func(b *Backend) error {
			_, err := b.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
			return err
		},
		"count": func(b *Backend) error { _, err := b.Count(ctx, testNow, driver.Query{Label: ""}); return err },
		"count by label": func(b *Backend) error {
			_, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"})
			return err
		},
		"sweep": func(b *Backend) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 10})
			return err
		},
		"ping": func(b *Backend) error { return b.Ping(ctx) },
	}
	anything := func(string) bool { return true }
	for name, do := range reads {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []trick{loseAnswer, cutAnswer} {
				p.playOn(tr, anything)
				only(t, do(stubborn), model.ErrUnavailable)
			}
			p.playOn(loseAnswer, anything)
			if err := do(b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOwnSuccess looks through expiry.Store, which recognises a write whose
// answer was lost as its own, and nothing else: not what another wrote in
// between, and what another deleted is not revived.
func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, nil)
	other, err := New(client(t), b.bucket, b.prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
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

	// Between the write and the look another one deletes, or writes.
	for name, meanwhile := range map[string]func(id string) error{
		"deletes": func(id string) error {
			return other.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent})
		},
		"writes": func(id string) error {
			_, err := other.Write(ctx, testNow, driver.Write{Record: record(id, "", 0), Cond: driver.IfAny})
			return err
		},
	} {
		for kind, do := range map[string]func(id string) error{
			"create": func(id string) error { _, err := s.Create(ctx, id, "mine", nil); return err },
			"upsert": func(id string) error { _, err := s.Upsert(ctx, id, "mine", nil); return err },
		} {
			id := kind + name
			var once sync.Once
			p.play(loseAnswer)
			p.refusing(func(op string) *answer {
				if op == "GET r" { // the look
					once.Do(func() {
						if err := meanwhile(id); err != nil {
							t.Error(err)
						}
					})
				}
				return nil
			})
			only(t, do(id), model.ErrUnknown)
			p.refusing(nil)
			now, err := other.Get(ctx, testNow, driver.Get{ID: id})
			if name == "deletes" && model.Kind(err) != model.ErrNotFound || name == "writes" && (err != nil || string(now.Value) == `"mine"`) {
				t.Errorf("%s, then another %s: %s, %v", kind, name, now.Value, err)
			}
		}
	}
}

// TestWritesAreSentAgainOnlyAfterARefusal has a service that refuses for now,
// breaks, or hangs up, and then would accept.
func TestWritesAreSentAgainOnlyAfterARefusal(t *testing.T) {
	slow := answer{status: 503, code: "SlowDown"}
	many := answer{status: 429, code: "TooManyRequests"}
	quorum := answer{status: 503, code: "SlowDownWrite"}
	broken := answer{status: 500, code: "InternalError"}
	silent := answer{status: 503}
	conflict := answer{status: 409, code: "ConditionalRequestConflict"}
	aborted := answer{status: 409, code: "OperationAborted"}
	skewed := answer{status: 403, code: "RequestTimeTooSkewed", date: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}
	for name, test := range map[string]struct {
		answers []answer // and then the server's own
		writes  int
		want    error
	}{
		"slow down once":       {[]answer{slow}, 2, nil},
		"slow down twice":      {[]answer{slow, slow}, 3, nil},
		"slow down for ever":   {[]answer{slow, slow, slow}, 3, model.ErrUnavailable},
		"too many requests":    {[]answer{many}, 1, model.ErrUnavailable}, // the SDK itself does not send it again
		"a clock that is off":  {[]answer{skewed}, 3, nil},                // the SDK corrects it, and then back
		"conflict":             {[]answer{conflict, conflict, aborted, conflict}, 5, nil},
		"a quorum missed":      {[]answer{quorum}, 1, model.ErrUnknown},
		"a server's error":     {[]answer{broken}, 1, model.ErrUnknown},
		"503 without a reason": {[]answer{silent}, 1, model.ErrUnknown},
		"hanging up":           {[]answer{{}}, 1, model.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := proxied(t, nil)
			for kind := range writes(model.Record{}) {
				seed(t, b, record("id", "ann", time.Hour))
				prev, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				p.refusing(func(op string) *answer {
					if op != "PUT r" || n == len(test.answers) {
						return nil
					}
					n++
					return &test.answers[n-1]
				})
				p.take()
				err = writes(prev)[kind](t.Context(), b)
				if got := p.take(); model.Kind(err) != test.want || got.onRecord() != test.writes {
					t.Errorf("%s: %v, after %v; want %d writes", kind, err, got.ops, test.writes)
				}
				p.refusing(nil)
			}
		})
	}
	t.Run("conflict for ever", func(t *testing.T) {
		t.Parallel()
		b, p := proxied(t, nil)
		p.refusing(func(op string) *answer {
			if op == "PUT r" {
				return &conflict
			}
			return nil
		})
		p.take()
		_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent})
		only(t, err, model.ErrUnavailable)
		if got := p.take(); got.onRecord() != writeAttempts {
			t.Errorf("%d writes", got.onRecord())
		}
	})
}

// TestContexts ends the context before and after a write is sent.
func TestContexts(t *testing.T) {
	b, p := proxied(t, nil)
	seed(t, b, record("id", "ann", time.Hour))
	prev, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
	if err != nil {
		t.Fatal(err)
	}
	b.deletes(t.Context())
	for name, do := range writes(prev) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := do(ended, b); !asContext(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("%s, before sending: %v", name, err)
		}
		under, cancel := context.WithCancel(t.Context())
		p.refusing(func(op string) *answer {
			if op != "PUT r" {
				return nil
			}
			cancel()
			return &answer{} // which nobody waits for
		})
		err := do(under, b)
		p.refusing(nil)
		if model.Kind(err) != model.ErrUnknown || !asContext(err, context.Canceled) {
			t.Errorf("%s, after sending: %v", name, err)
		}
		// Where it ends before the record is sent, nothing was applied.
		before, cancel := context.WithCancel(t.Context())
		p.refusing(func(op string) *answer {
			if op == "PUT r" {
				return nil
			}
			cancel()
			return &answer{}
		})
		if name == "create labelled" || name == "relabel" || name == "upsert" || name == "update" {
			if err := do(before, b); model.Kind(err) != nil || !asContext(err, context.Canceled) {
				t.Errorf("%s, before the record: %v", name, err)
			}
		}
		p.refusing(nil)
		cancel()
	}
	if got, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); err != nil || got.ServerVersion != prev.ServerVersion {
		t.Errorf("the record has changed: %v", err)
	}
}

// TestNothingSent fails before a connection is there: nothing was applied.
func TestNothingSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	_ = l.Close()
	noCredentials := func(o *awss3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no role, said hunter2")
		})
	}
	noConnection := func(o *awss3.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("refused by hunter2")
		}}}
	}
	for name, opt := range map[string]func(*awss3.Options){
		"nobody listens": func(*awss3.Options) {}, "no credentials": noCredentials, "a dialer's own error": noConnection,
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(plainClient(t, endpoint, "key", "hunter2", opt), "none", "none", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, do := range writes(record("id", "ann", 0)) {
				if err := do(t.Context(), b); model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrUnavailable)
		})
	}
}

func asContext(err, want error) bool { return errors.Is(err, want) }
