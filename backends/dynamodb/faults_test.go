package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// proxy stands between a client and the server. It names requests by operation
// and adds up what the server says that they cost.
type proxy struct {
	*faultnet.HTTPProxy

	host   string
	needed atomic.Bool // for every request

	mu       sync.Mutex
	replace  func(op string, body []byte) []byte // changes answers, if not nil
	contend  bool                                // the next write is refused as contended
	scanned  int                                 // items that queries and scans read
	capacity float64                             // units, if the client asked for them
}

func startProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{}
	p.HTTPProxy = faultnet.NewHTTPProxy(t, containers.DynamoDB(t).URL, &faultnet.HTTPOptions{
		Name: func(r *http.Request, _ []byte) string {
			_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			return op
		},
		Fault: func(r *http.Request) faultnet.Fault {
			if r.Header.Get(loseHeader) != "" {
				return faultnet.LoseAnswer
			}
			return faultnet.Pass
		},
		Answer:    p.answer,
		Transport: p,
	})
	p.host = strings.TrimPrefix(p.URL(), "http://")
	return p
}

// shortcut is the transport of a client that goes to the server itself, unless
// the proxy has something to do: two connections for each request cost as much
// time as the server's work.
type shortcut struct{ p *proxy }

func (s shortcut) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.p.needed.Load() || r.Header.Get(loseHeader) != "" {
		r = r.Clone(r.Context())
		r.URL.Host = s.p.host
	}
	return direct.RoundTrip(r)
}

// stall stops the answers to the proxy's client.
func (p *proxy) stall() {
	p.needed.Store(true)
	p.Stall()
}

// RoundTrip passes a request on to the server, or refuses it.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	p.mu.Lock()
	refuse := p.contend && isWrite(op)
	p.contend = p.contend && !refuse
	p.mu.Unlock()
	if !refuse {
		return direct.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: http.StatusBadRequest, Request: r, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException"}`)),
	}, nil
}

// delays refuses the next write of b as contended. By the stopwatch of b, the
// pause before the next attempt takes d, and it takes no time.
func (p *proxy) delays(b *Backend, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.contend = true
	p.needed.Store(true)
	at := time.Duration(0)
	b.watch = func() time.Duration { return at }
	b.contended = func(ctx context.Context, _ int) error {
		at += d
		return ctx.Err()
	}
}

var (
	scannedPattern  = regexp.MustCompile(`"ScannedCount":(\d+)`)
	capacityPattern = regexp.MustCompile(`"TableName":"[^"]*","CapacityUnits":([0-9.]+)`)
)

func (p *proxy) answer(op string, _ *http.Response, body []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range scannedPattern.FindAllSubmatch(body, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		p.scanned += n
	}
	for _, m := range capacityPattern.FindAllSubmatch(body, -1) {
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		p.capacity += n
	}
	if p.replace != nil {
		return p.replace(op, body)
	}
	return body
}

// traffic is what passed the proxy.
type traffic struct {
	ops      []string
	scanned  int
	capacity float64
}

// take returns the traffic since its last call.
func (p *proxy) take() traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := traffic{p.Requests(), p.scanned, p.capacity}
	p.scanned, p.capacity = 0, 0
	return t
}

// metered makes a client ask what each request costs.
func metered(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Metered",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				if f := reflect.ValueOf(in.Parameters).Elem().FieldByName("ReturnConsumedCapacity"); f.IsValid() {
					f.SetString(string(types.ReturnConsumedCapacityTotal))
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
	})
}

func isWrite(op string) bool {
	switch op {
	case "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems":
		return true
	}
	return false
}

// loseHeader marks the requests whose answers the proxy loses.
const loseHeader = "X-Lose"

// marked makes a client mark the writes of a call whose answers are lost.
func marked(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("Lose",
			func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				if r, ok := in.Request.(*smithyhttp.Request); ok && isWrite(middleware.GetOperationName(ctx)) && drivertest.Loses(ctx) {
					r.Header.Set(loseHeader, "1")
				}
				return next.HandleBuild(ctx, in)
			}), middleware.Before)
	})
}

// writes returns every kind of write, given the stored record "id".
func writes(base model.Record) []drivertest.Call {
	write := func(name string, w driver.Write) drivertest.Call {
		return drivertest.Call{
			Name: name,
			Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
				return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Write: &w}})[0].Err
			},
			Done: func(t testing.TB, b driver.ModelExpirySupport) {
				t.Helper()
				drivertest.Holds(t, b, w.Record.ID, w.Record.Revision, w.Record.ExpiresAt)
			},
		}
	}
	next := drivertest.Record("id", "bob", 2*time.Hour)
	return append(drivertest.Writes(base),
		write("upsert of the same label", driver.Write{Record: drivertest.Record("id", "ann", time.Hour), Cond: driver.IfAny}),
		write("compare-and-set that keeps the labels", driver.Write{Record: next, Cond: driver.IfMatch, Known: base, Keep: driver.Keep{Labels: true}}))
}

// TestLostWrites takes the writes of one request: after a wrong guess of the
// labels, the lost answer would be that of a refusal.
func TestLostWrites(t *testing.T) {
	sent := map[string][]string{}
	var names []string
	for op, calls := range map[string]string{
		"PutItem":            "create,create over expired",
		"UpdateItem":         "update,touch,touch known,extend,clear,compare-and-set that keeps the labels",
		"TransactWriteItems": "create labelled,compare-and-set,delete known,upsert of the same label",
	} {
		for name := range strings.SplitSeq(calls, ",") {
			names = append(names, name)
			sent[name] = []string{op}
		}
	}
	drivertest.LostWrites(t, drivertest.Lost{
		Open: func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) {
			b, p := proxied(t, nil)
			return b, p
		},
		Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.LoseRequest, faultnet.CutAnswer},
		Calls: func(t testing.TB, base model.Record) []drivertest.Call {
			return drivertest.Pick(t, writes(base), names...)
		},
		IsWrite: isWrite,
		Sent:    sent,
	})
}

func TestLostSweep(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.LostSweep(t, b, p, isWrite)
}

func TestLostReads(t *testing.T) {
	retrying, p := proxied(t, nil)
	b, err := New(clientAt(t, p.URL(), func(o *awsdynamodb.Options) { o.Retryer = aws.NopRetryer{} }), retrying.table, nil)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.SeedCalls(t, b)
	drivertest.LostReads(t, b, retrying, p, drivertest.Reads(), faultnet.LoseAnswer)
}

func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.OwnSuccess(t, b, p, isWrite, faultnet.LoseRequest)
}

func TestEndedContexts(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.EndedContexts(t, b, p)
}

// answer is a recorded answer of DynamoDB. If the status is zero, the server
// closes the connection.
type answer struct {
	status  int
	code    string
	message string
	body    string // instead of an error with the code and message
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

// serve returns a backend whose server is the handler.
func serve(t testing.TB, handler http.HandlerFunc) *Backend {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	b, err := New(clientAt(t, s.URL), "table", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fake returns a backend whose server gives the answers in order, and the last
// one again and again. Two # become the number of the request. It
// also returns the number of requests.
func fake(t testing.TB, answers ...answer) (*Backend, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		at := int(n.Add(1))
		a := answers[min(at, len(answers))-1]
		a.body = strings.ReplaceAll(a.body, "##", fmt.Sprint(at))
		a.write(w)
	}), &n
}

// wantSent fails the test unless the server got that many requests.
func wantSent(t testing.TB, got *atomic.Int64, want int) {
	t.Helper()
	if n := int(got.Load()); n != want {
		t.Errorf("sent %d requests, want %d", n, want)
	}
}

// create stores a new record.
func create(t testing.TB, b *Backend, r model.Record) error {
	t.Helper()
	_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent})
	return err
}

var done = answer{status: 200, body: "{}"}

// TestWritesAreSentAgainOnlyAfterARefusal has a server that would accept the
// second or third request.
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
		{"always throttled", []answer{throttled}, 3, 3, model.ErrUnavailable, model.ErrUnavailable},
		{"another transaction", []answer{busy, busy, done}, 3, 1, nil, model.ErrUnavailable},
		{"a wrong clock", []answer{skewed, done}, 2, 2, nil, model.ErrNotFound},
		{"a server error", []answer{broken, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
		{"a server that is down", []answer{down, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
		{"a closed connection", []answer{{}, done}, 1, 2, model.ErrUnknown, model.ErrNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, principal := range []string{"", "ann"} {
				b, got := fake(t, test.answers...)
				drivertest.WantKind(t, create(t, b, drivertest.Record("id", principal, 0)), test.write)
				wantSent(t, got, test.writes)
			}
			b, got := fake(t, test.answers...)
			_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			drivertest.WantKind(t, err, test.read)
			wantSent(t, got, test.reads)
		})
	}
}

// TestWithRetriesSwitchedOff has a client that sends nothing twice, not even a
// throttled write.
func TestWithRetriesSwitchedOff(t *testing.T) {
	b, got := fake(t, answer{status: 400, code: "ThrottlingException"}, done)
	b.client = awsdynamodb.New(sdkOf(b).Options(), func(o *awsdynamodb.Options) { o.Retryer = retry.AddWithMaxAttempts(o.Retryer, 1) })
	drivertest.WantKind(t, create(t, b, drivertest.Record("id", "", 0)), model.ErrUnavailable)
	wantSent(t, got, 1)
}

// TestCancelledTransactions has transactions that DynamoDB cancels. After a
// conflict or throttling the backend sends them again, up to a limit.
func TestCancelledTransactions(t *testing.T) {
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
		{"endless conflict", []answer{conflict}, busyAttempts, model.ErrUnavailable},
		{"condition", []answer{missing}, 1, model.ErrNotFound},
		{"too large", []answer{large}, 1, model.ErrTooLarge},
		{"another key", []answer{keys}, 1, model.ErrUnavailable},
		{"another reason", []answer{odd}, 1, model.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, got := fake(t, test.answers...)
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{
				Record: drivertest.Record("id", "ann", 0), Cond: driver.IfMatch, Known: drivertest.Record("id", "bob", 0),
			})
			drivertest.WantKind(t, err, test.want)
			wantSent(t, got, test.n)
		})
	}
}

// TestContextsThatEndDuringACall has a server that never answers.
func TestContextsThatEndDuringACall(t *testing.T) {
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	b := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
	})
	t.Cleanup(func() { close(release) })
	for _, c := range writes(drivertest.Record("id", "ann", time.Hour)) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		err := c.Do(ctx, b)
		cancel()
		if model.Kind(err) != model.ErrUnknown || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"}); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("get: %v", err)
	}
}

// TestNothingSent fails before there is a connection, so nothing was applied.
func TestNothingSent(t *testing.T) {
	endpoint := "http://" + drivertest.NoServer(t)
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
		"no server": func(*awsdynamodb.Options) {}, "no credentials": noCredentials, "a dialer's error": noConnection,
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(clientAt(t, endpoint, opt), "none", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range append(writes(drivertest.Record("id", "ann", 0)), drivertest.Reads()...) {
				err := c.Do(t.Context(), b)
				if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
		})
	}
}
