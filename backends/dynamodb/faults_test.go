package dynamodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// trick is what a proxy does to the next request.
type trick int

const (
	pass        trick = iota
	loseAnswer        // lets the server carry it out, then cuts the connection
	loseRequest       // cuts the connection instead of passing the request on
	cutAnswer         // passes on half of the answer, then cuts the connection
)

// proxy stands between a client and a server. It counts the requests on the
// wire, by operation, and what the server says that they cost.
type proxy struct {
	url    string
	server string

	mu       sync.Mutex
	next     trick
	replace  func(op string, body []byte) []byte // of answers; nil: as they are
	ops      []string
	scanned  int     // items that queries and scans looked at
	capacity float64 // units, where the client asked for them
}

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	p := &proxy{server: server}
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

func (p *proxy) serve(transport *http.Transport, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	now, replace := p.count(op)
	if r.Header.Get(loseHeader) != "" {
		now = loseAnswer
	}
	if now == loseRequest {
		panic(http.ErrAbortHandler)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.server+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = r.Header.Clone()
	res, err := transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || now == loseAnswer {
		panic(http.ErrAbortHandler)
	}
	p.measure(answer)
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	if replace != nil {
		answer = replace(op, answer)
		w.Header().Del("X-Amz-Crc32")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	w.WriteHeader(res.StatusCode)
	if now == cutAnswer {
		_, _ = w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
}

func isWrite(op string) bool {
	switch op {
	case "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems":
		return true
	}
	return false
}

// lossy is a backend that can lose the answer to a whole call: to each write
// that it takes, and to none of another call under way. Of a sweep it loses the
// next removal, also if it is told so while the sweep is at it.
type lossy struct {
	*Backend
	armed atomic.Bool
}

// loseHeader marks the requests whose answers a proxy loses.
const loseHeader = "X-Lose"

type loseKey struct{}

// marking makes a client mark the requests of a call that is to be lost.
func marking(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("Lose",
			func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				lose, _ := ctx.Value(loseKey{}).(func() bool)
				if r, ok := in.Request.(*smithyhttp.Request); ok && lose != nil && isWrite(middleware.GetOperationName(ctx)) && lose() {
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
func (p *proxy) count(op string) (trick, func(string, []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops = append(p.ops, op)
	now := p.next
	p.next = pass
	return now, p.replace
}

var (
	scannedPattern  = regexp.MustCompile(`"ScannedCount":(\d+)`)
	capacityPattern = regexp.MustCompile(`"TableName":"[^"]*","CapacityUnits":([0-9.]+)`)
)

func (p *proxy) measure(answer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range scannedPattern.FindAllSubmatch(answer, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		p.scanned += n
	}
	for _, m := range capacityPattern.FindAllSubmatch(answer, -1) {
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		p.capacity += n
	}
}

func (p *proxy) play(next trick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
}

// traffic is what went over the wire.
type traffic struct {
	ops      []string
	scanned  int
	capacity float64
}

// take returns what was counted since the last call.
func (p *proxy) take() traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := traffic{p.ops, p.scanned, p.capacity}
	p.ops, p.scanned, p.capacity = nil, 0, 0
	return t
}

// writes are all kinds of writes, and the one operation that each sends, given
// a stored record of the id "id".
func writes(base model.Record) map[string]struct {
	op string
	do func(ctx context.Context, b *Backend) error
} {
	type write = struct {
		op string
		do func(ctx context.Context, b *Backend) error
	}
	plain := func(op string, w driver.Write) write {
		return write{op, func(ctx context.Context, b *Backend) error { _, err := b.Write(ctx, testNow, w); return err }}
	}
	next := record("id", "bob", 2*time.Hour)
	return map[string]write{
		"create":                       plain("PutItem", driver.Write{Record: record("new", "", time.Hour), Cond: driver.IfAbsent}),
		"create labelled":              plain("TransactWriteItems", driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent}),
		"upsert":                       plain("TransactWriteItems", driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAny}),
		"update":                       plain("UpdateItem", driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}}),
		"compare-and-set":              plain("UpdateItem", driver.Write{Record: next, Cond: driver.IfMatch, Known: base, Keep: driver.Keep{Labels: true}}),
		"compare-and-set of the label": plain("TransactWriteItems", driver.Write{Record: next, Cond: driver.IfMatch, Known: base}),
		"touch": {"UpdateItem", func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute)})
			return err
		}},
		"delete": {"TransactWriteItems", func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		}},
		"bulk": {"PutItem", func(ctx context.Context, b *Backend) error {
			return b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &driver.Write{Record: record("new", "", 0), Cond: driver.IfAbsent}}})[0].Err
		}},
	}
}

// TestLostAnswers loses the answer to each write, the write itself, and half of
// the answer: one request is on the wire, and the outcome is unknown.
func TestLostAnswers(t *testing.T) {
	base := record("id", "ann", time.Hour)
	for name, w := range writes(base) {
		for how, tr := range map[string]trick{"answer lost": loseAnswer, "request lost": loseRequest, "answer cut": cutAnswer} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				b, p := proxied(t, nil)
				seed(t, b, base)
				p.take()
				p.play(tr)
				only(t, w.do(t.Context(), b), model.ErrUnknown)
				if got := p.take(); !slices.Equal(got.ops, []string{w.op}) {
					t.Fatalf("on the wire: %v, want one %s", got.ops, w.op)
				}
			})
		}
	}
}

// TestLostSweep loses the answer of one removal of a sweep.
func TestLostSweep(t *testing.T) {
	b, p := proxied(t, nil)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour))
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
		if r.ID == "a" {
			return errors.New("not this one")
		}
		p.play(loseAnswer) // before the removal, after the reads
		return nil
	}})
	only(t, err, model.ErrUnknown)
	if swept.Removed != 0 || swept.Unknown != 1 {
		t.Fatalf("swept %+v, want one unknown", swept)
	}
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("swept %+v, %v, want the other one", swept, err)
	}
}

// TestLostReads loses the answer of each read: the SDK asks again where the
// client may, else it is ErrUnavailable.
func TestLostReads(t *testing.T) {
	p := startProxy(t, containers.DynamoDB(t).URL)
	b := openOn(t, clientAt(t, p.url), tableName(), nil)
	stubborn, err := New(clientAt(t, p.url, func(o *awsdynamodb.Options) { o.Retryer = aws.NopRetryer{} }), b.table, nil)
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
	for name, do := range reads {
		t.Run(name, func(t *testing.T) {
			p.play(loseAnswer)
			only(t, do(stubborn), model.ErrUnavailable)
			p.play(loseAnswer)
			if err := do(b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOwnSuccess looks through expiry.Store, which recognises a write whose
// answer was lost as its own.
func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, nil)
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

// answer is a recorded answer of the service; without a status it hangs up.
type answer struct {
	status  int
	code    string
	message string
	body    string // in place of an error
	date    string
}

func (a answer) write(w http.ResponseWriter) {
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	body := a.body
	if body == "" {
		body = fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, a.code, a.message)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if a.date != "" {
		w.Header().Set("Date", a.date)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, body)
}

// requests counts those that a fake has got.
type requests struct{ n atomic.Int64 }

func (r *requests) count() int { return int(r.n.Load()) }

// fake is a service that gives recorded answers, one after the other and the
// last one again and again.
func fake(t testing.TB, answers ...answer) (*Backend, *requests) {
	t.Helper()
	got := &requests{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answers[min(int(got.n.Add(1)), len(answers))-1].write(w)
	}))
	t.Cleanup(s.Close)
	b, err := New(clientAt(t, s.URL), "table", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, got
}

var done = answer{status: 200, body: "{}"}

// TestWritesAreSentAgainOnlyAfterARefusal has a service that refuses for now,
// breaks, or hangs up, and then would accept.
func TestWritesAreSentAgainOnlyAfterARefusal(t *testing.T) {
	throttled := answer{status: 400, code: "ProvisionedThroughputExceededException", message: "The level of configured provisioned throughput for the table was exceeded."}
	limited := answer{status: 400, code: "ThrottlingException", message: "Rate of requests exceeds the allowed throughput."}
	broken := answer{status: 500, code: "InternalServerError", message: "Internal server error"}
	down := answer{status: 503, code: "ServiceUnavailable", message: "The service is unavailable"}
	busy := answer{status: 400, code: "TransactionConflictException", message: "Transaction is ongoing for the item"}
	skewed := answer{
		status: 400, code: "InvalidSignatureException", date: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat),
		message: "Signature expired: 20151117T011201Z is now earlier than 20151117T021137Z (20151117T022637Z - 15 min.)",
	}
	tests := []struct {
		name          string
		answers       []answer
		writes, reads int
		write, read   error
	}{
		{"throttled once", []answer{throttled, done}, 2, 2, nil, model.ErrNotFound},
		{"limited twice", []answer{limited, limited, done}, 3, 3, nil, model.ErrNotFound},
		{"throttled for ever", []answer{throttled}, 3, 3, model.ErrUnavailable, model.ErrUnavailable},
		{"a transaction in the way", []answer{busy, busy, done}, 3, 1, nil, model.ErrUnavailable},
		{"a clock that is wrong", []answer{skewed, done}, 2, 2, nil, model.ErrNotFound},
		{"a server's error", []answer{broken, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
		{"a server that is down", []answer{down, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
		{"hanging up", []answer{{}, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []model.Record{record("id", "", 0), record("id", "ann", 0)} {
				b, got := fake(t, test.answers...)
				_, err := b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: driver.IfAbsent})
				only(t, err, test.write)
				if got.count() != test.writes {
					t.Errorf("%d requests on the wire, want %d", got.count(), test.writes)
				}
			}
			b, got := fake(t, test.answers...)
			_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, test.read)
			if got.count() != test.reads {
				t.Errorf("%d requests on the wire, want %d", got.count(), test.reads)
			}
		})
	}
}

// TestWithRetriesSwitchedOff has a client that sends nothing twice: neither
// does a throttled write then.
func TestWithRetriesSwitchedOff(t *testing.T) {
	throttled := answer{status: 400, code: "ThrottlingException"}
	b, got := fake(t, throttled, done)
	b.client = awsdynamodb.New(b.client.Options(), func(o *awsdynamodb.Options) { o.Retryer = retry.AddWithMaxAttempts(o.Retryer, 1) })
	_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent})
	only(t, err, model.ErrUnavailable)
	if got.count() != 1 {
		t.Errorf("%d requests on the wire, want one", got.count())
	}
}

// TestCancelledByAnother has transactions that others get in the way of: they
// are sent again, since nothing of them was applied, until that has an end.
func TestCancelledByAnother(t *testing.T) {
	cancelled := func(reasons string) answer {
		return answer{status: 400, body: `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",` +
			`"message":"Transaction cancelled, please refer cancellation reasons for specific reasons","CancellationReasons":` + reasons + `}`}
	}
	conflict := cancelled(`[{"Code":"None"},{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}]`)
	throttled := cancelled(`[{"Code":"ThrottlingError","Message":"Throughput exceeds the current capacity of your table"},{"Code":"None"}]`)
	missing := cancelled(`[{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"},{"Code":"None"}]`)
	large := cancelled(`[{"Code":"ValidationError","Message":"Item size has exceeded the maximum allowed size"},{"Code":"None"}]`)
	keys := cancelled(`[{"Code":"ValidationError","Message":"One or more parameter values were invalid: Missing the key id in the item"},{"Code":"None"}]`)
	odd := cancelled(`[{"Code":"NewReason"},{"Code":"None"}]`)
	tests := []struct {
		name    string
		answers []answer
		n       int
		want    error
	}{
		{"conflict", []answer{conflict, conflict, conflict, done}, 4, nil},
		{"throttled", []answer{throttled, done}, 2, nil},
		{"conflict for ever", []answer{conflict}, conflictAttempts, model.ErrUnavailable},
		{"condition", []answer{missing}, 1, model.ErrNotFound},
		{"too large", []answer{large}, 1, model.ErrTooLarge},
		{"another key", []answer{keys}, 1, model.ErrUnavailable},
		{"another reason", []answer{odd}, 1, model.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, got := fake(t, test.answers...)
			prev := record("id", "bob", 0)
			_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "ann", 0), Cond: driver.IfMatch, Known: prev})
			only(t, err, test.want)
			if got.count() != test.n {
				t.Errorf("%d requests, want %d", got.count(), test.n)
			}
		})
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
	b, err := New(clientAt(t, s.URL), "hung", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range writes(record("id", "ann", time.Hour)) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.do(ended, b); !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("%s, before sending: %v", name, err)
		}
		under, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		err = w.do(under, b)
		cancel()
		only(t, err, model.ErrUnknown)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s, after sending: %v", name, err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = b.Get(short, testNow, driver.Get{ID: "id"}); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("a read: %v", err)
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
	noCredentials := func(o *awsdynamodb.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no role, said hunter2")
		})
	}
	noConnection := func(o *awsdynamodb.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("refused by hunter2")
		}}}
	}
	for name, opt := range map[string]func(*awsdynamodb.Options){
		"nobody listens": func(*awsdynamodb.Options) {}, "no credentials": noCredentials, "a dialer's own error": noConnection,
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(clientAt(t, endpoint, opt), "none", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, w := range writes(record("id", "ann", 0)) {
				err := w.do(t.Context(), b)
				if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrUnavailable)
		})
	}
}
