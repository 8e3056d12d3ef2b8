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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// proxy is between a client and the server. It can answer for the server.
type proxy struct {
	*faultnet.HTTPProxy
	server http.RoundTripper
	direct *awss3.Client // not nil: the proxy obeys conditions on deletes

	mu     sync.Mutex
	answer func(op string) *answer
	older  time.Duration // how much older objects are in listings
	listed int           // number of keys in listings
	header http.Header   // of the last request
	size   int64         // bytes of the answers with objects
}

func startProxy(t testing.TB) *proxy {
	t.Helper()
	endpoint, _, _ := serverAt(t)
	p := &proxy{server: transport(t)}
	p.HTTPProxy = faultnet.NewHTTPProxy(t, endpoint, &faultnet.HTTPOptions{
		Name: func(r *http.Request, _ []byte) string { return opOf(r) },
		Fault: func(r *http.Request) faultnet.Fault {
			if r.Header.Get(loseHeader) != "" {
				return faultnet.LoseAnswer
			}
			return faultnet.Pass
		},
		Transport: p,
	})
	return p
}

// obeyDeletes makes the proxy do what AWS does and this server does not: it
// deletes an object only if the object has the ETag in If-Match.
func (p *proxy) obeyDeletes(t testing.TB) {
	t.Helper()
	p.direct = client(t)
}

// keyLocks serialize the writes of a key through all proxies of this process, so
// that a comparison and a delete are one step.
var keyLocks [64]sync.Mutex

var objectPath = regexp.MustCompile(`^/([^/]+)/(.+)$`)

// opOf names a request after its method and the store's folder.
func opOf(r *http.Request) string {
	query := r.URL.Query()
	op, path := r.Method, query.Get("prefix")
	switch m := objectPath.FindStringSubmatch(r.URL.Path); {
	case m != nil:
		path = m[2]
	case query.Has("delete"):
		return "DELETES"
	case query.Get("list-type") == "2":
		op = "LIST"
	default:
		return op + " bucket"
	}
	for part := range strings.SplitSeq(path, "/") {
		if len(part) == 1 || part == markerName {
			return op + " " + part
		}
	}
	return op
}

// isWrite reports whether a request writes or removes a record.
func isWrite(op string) bool { return op == "PUT r" || op == "DELETE r" }

// count returns the number of requests with one of the names.
func count(ops []string, names ...string) (n int) {
	for _, op := range ops {
		for _, name := range names {
			if op == name {
				n++
			}
		}
	}
	return n
}

// RoundTrip sends a request to the server, or answers it.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	op := opOf(r)
	p.mu.Lock()
	p.header = r.Header.Clone()
	var own *answer
	if p.answer != nil {
		own = p.answer(op)
	}
	older := p.older
	p.mu.Unlock()
	if own != nil {
		return own.response()
	}
	if p.direct != nil && (r.Method == http.MethodPut || r.Method == http.MethodDelete) {
		lock := &keyLocks[crc32.ChecksumIEEE([]byte(r.URL.Path))%uint32(len(keyLocks))]
		lock.Lock()
		defer lock.Unlock()
		if a := p.compare(r); a != nil {
			return a.response()
		}
	}
	// The request goes on even if the client leaves. The client signed the host.
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Host = strings.TrimPrefix(p.URL(), "http://")
	r.Header.Del("Expect")
	res, err := p.server.RoundTrip(r)
	if err != nil || !strings.HasPrefix(op, "LIST") {
		if err == nil && r.Method == http.MethodGet {
			p.mu.Lock()
			p.size += res.ContentLength
			p.mu.Unlock()
		}
		return res, err
	}
	data, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if older != 0 {
		data = modified.ReplaceAllFunc(data, func(at []byte) []byte {
			made, err := time.Parse(time.RFC3339Nano, string(at[len("<LastModified>"):]))
			if err != nil {
				return at
			}
			return []byte("<LastModified>" + made.Add(-older).Format("2006-01-02T15:04:05.000Z"))
		})
		res.Header.Del("Content-Length")
	}
	res.Body = io.NopCloser(bytes.NewReader(data))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed += bytes.Count(data, []byte("<Contents>"))
	return res, err
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
	case errors.As(err, &res) && res.HTTPStatusCode() == http.StatusNotFound:
		return &answer{status: 404, code: codeNoKey}
	case err != nil:
		return &answer{status: 500, code: "InternalError"}
	case aws.ToString(out.ETag) != want:
		return &answer{status: 412, code: codePrecondition}
	}
	return nil
}

// answers makes the proxy answer a request itself if own returns an answer. A
// nil own ends that.
func (p *proxy) answers(own func(op string) *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = own
}

// age makes all objects older in listings.
func (p *proxy) age(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.older = by
}

// takeSize returns the bytes of the answers with objects since its last call.
func (p *proxy) takeSize() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.size
	p.size = 0
	return n
}

// takeListed returns the number of keys in listings since its last call.
func (p *proxy) takeListed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.listed
	p.listed = 0
	return n
}

// answer is an answer in the server's place. Without a status the connection is
// closed instead.
type answer struct {
	status int
	code   string
	date   string
	body   string // in place of the code
}

func (a *answer) response() (*http.Response, error) {
	if a.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	body := a.body
	if a.code != "" {
		body = fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>said hunter2</Message></Error>`, a.code)
	}
	header := http.Header{"Content-Type": {"application/xml"}}
	if a.date != "" {
		header.Set("Date", a.date)
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// answerTo returns answers for one kind of request.
func answerTo(name string, a answer) func(op string) *answer {
	return func(op string) *answer {
		if op == name {
			return &a
		}
		return nil
	}
}

// loseHeader marks the requests whose answers a proxy loses.
const loseHeader = "X-Lose"

var recordPath = regexp.MustCompile(`/r/[ih]-[^/]*$`)

// markLost makes a client mark the writes of a call whose answer is to be lost.
func markLost(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("Lose",
			func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				if r, ok := in.Request.(*smithyhttp.Request); ok && r.Method != http.MethodGet && recordPath.MatchString(r.URL.Path) && drivertest.Loses(ctx) {
					r.Header.Set(loseHeader, "1")
				}
				return next.HandleBuild(ctx, in)
			}), middleware.Before)
	})
}

// writes returns the writes that send one request for the record, given the
// record that drivertest.SeedCalls returned.
func writes(base model.Record) []drivertest.Call {
	bulk := drivertest.Record("bulk", "", 0)
	calls := []drivertest.Call{{
		Name: "bulk",
		Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
			return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: bulk, Cond: driver.IfAbsent}}})[0].Err
		},
		Done: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			drivertest.Holds(t, b, "bulk", bulk.Revision, bulk.ExpiresAt)
		},
	}}
	for _, c := range drivertest.Writes(base) {
		if c.Name != "create over expired" { // its first request is refused
			calls = append(calls, c)
		}
	}
	return calls
}

// TestLostWrites sends each write once, although the client would send it three
// times. After a lost request nothing has changed.
func TestLostWrites(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			lost := drivertest.Lost{
				Open:    func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) { return m.open(t) },
				Faults:  []faultnet.Fault{faultnet.LoseAnswer},
				Calls:   func(_ testing.TB, base model.Record) []drivertest.Call { return writes(base) },
				IsWrite: isWrite,
			}
			drivertest.LostWrites(t, lost)
			lost.Faults = []faultnet.Fault{faultnet.LoseRequest}
			lost.Calls = func(t testing.TB, base model.Record) []drivertest.Call {
				calls := writes(base)
				for i, c := range calls {
					calls[i].Do = func(ctx context.Context, b driver.ModelExpirySupport) error {
						err := c.Do(ctx, b)
						drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
						for _, id := range []string{"new", "plain", "bulk"} {
							drivertest.Gone(t, b, id)
						}
						return err
					}
				}
				return calls
			}
			drivertest.LostWrites(t, lost)
		})
	}
}

func TestLostSweep(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			b, p := m.open(t)
			drivertest.LostSweep(t, b, p, isWrite)
		})
	}
}

// TestLostEntries loses the answers for index entries. The client sends them
// again, since no other write has their keys. Without them no record is written.
func TestLostEntries(t *testing.T) {
	b, p := proxied(t, nil)
	create := func(id string) error {
		_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record(id, "ann", time.Hour), Cond: driver.IfAbsent})
		return err
	}
	isEntry := func(op string) bool { return op == "PUT l" || op == "PUT x" }
	p.Requests()
	p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isEntry})
	if err := create("id"); err != nil {
		t.Fatal(err)
	}
	if ops := p.Requests(); count(ops, "PUT l", "PUT x") != 3 || count(ops, "PUT r") != 1 {
		t.Errorf("sent %v, want three entries and one record", ops)
	}
	p.Set(faultnet.Plan{Fault: faultnet.LoseRequest, Times: 100, Match: isEntry})
	drivertest.WantKind(t, create("new"), model.ErrUnavailable)
	if ops := p.Requests(); count(ops, "PUT r") != 0 {
		t.Errorf("sent %v, want no record", ops)
	}
}

// TestLostReads also reads with a client that retries: it sends a read again if
// no part of the answer has arrived.
func TestLostReads(t *testing.T) {
	retrying, p := proxied(t, nil)
	once := clientAt(t, p.URL(), func(o *awss3.Options) {
		o.Retryer = aws.NopRetryer{}
		// On a reused connection, net/http itself sends a read again.
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	})
	b := newBackend(t, once, retrying.bucket, retrying.prefix, nil)
	drivertest.SeedCalls(t, b)
	drivertest.LostReads(t, b, retrying, p, drivertest.Reads(), faultnet.LoseAnswer)
	drivertest.LostReads(t, b, nil, p, drivertest.Reads(), faultnet.CutAnswer)
}

func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.OwnSuccess(t, b, p, isWrite, faultnet.LoseRequest)
}

// TestOthersAfterALostAnswer changes the record between a lost answer and the
// store's read. The store does not report success, and does not write again.
func TestOthersAfterALostAnswer(t *testing.T) {
	b, p := proxied(t, nil)
	other := newBackend(t, client(t), b.bucket, b.prefix, nil)
	s, err := expiry.NewStore[string](b, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return drivertest.Now })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, change := range map[string]func(id string) error{
		"deletes": func(id string) error {
			return other.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
		},
		"writes": func(id string) error {
			_, err := other.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record(id, "", 0), Cond: driver.IfAny})
			return err
		},
	} {
		for kind, do := range map[string]func(id string) error{
			"create": func(id string) error { _, err := s.Create(ctx, id, "mine", nil); return err },
			"upsert": func(id string) error { _, err := s.Upsert(ctx, id, "mine", nil); return err },
		} {
			id := kind + name
			p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isWrite, Then: func() {
				if err := change(id); err != nil {
					t.Error(err)
				}
			}})
			drivertest.WantKind(t, do(id), model.ErrUnknown)
			got, err := other.Get(ctx, drivertest.Now, driver.Get{ID: id})
			if name == "deletes" && model.Kind(err) != model.ErrNotFound || name == "writes" && (err != nil || string(got.Value) == `"mine"`) {
				t.Errorf("%s, then another process %s: the record is %s, %v", kind, name, got.Value, err)
			}
		}
	}
}

// TestWritesAreSentAgainOnlyAfterARefusal has a server that refuses some
// requests, breaks or hangs up, and then accepts.
func TestWritesAreSentAgainOnlyAfterARefusal(t *testing.T) {
	slow := answer{status: 503, code: "SlowDown"}
	conflict := answer{status: 409, code: codeConflict}
	skewed := answer{status: 403, code: "RequestTimeTooSkewed", date: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}
	for name, test := range map[string]struct {
		answers []answer // before the server's own
		writes  int
		want    error
	}{
		"slow down once":       {[]answer{slow}, 2, nil},
		"slow down twice":      {[]answer{slow, slow}, 3, nil},
		"slow down for ever":   {[]answer{slow, slow, slow}, 3, model.ErrUnavailable},
		"too many requests":    {[]answer{{status: 429, code: "TooManyRequests"}}, 2, nil},
		"unavailable":          {[]answer{{status: 503, code: codeUnavailable}}, 2, nil},
		"429 of a proxy":       {[]answer{{status: 429}}, 1, model.ErrUnknown},
		"409 of a proxy":       {[]answer{{status: 409}}, 1, model.ErrUnknown},
		"408 of a proxy":       {[]answer{{status: 408}}, 1, model.ErrUnknown},
		"403 of a proxy":       {[]answer{{status: 403}}, 1, model.ErrUnknown},
		"a code of the future": {[]answer{{status: 401, code: "NewCode"}}, 1, model.ErrUnavailable},
		"a wrong clock":        {[]answer{skewed}, 3, nil}, // the SDK corrects the clock and then corrects it back
		"conflict":             {[]answer{conflict, conflict, {status: 409, code: codeAborted}, conflict}, 5, nil},
		"a missed quorum":      {[]answer{{status: 503, code: "SlowDownWrite"}}, 1, model.ErrUnknown},
		"a server error":       {[]answer{{status: 500, code: "InternalError"}}, 1, model.ErrUnknown},
		"503 without a reason": {[]answer{{status: 503}}, 1, model.ErrUnknown},
		"hanging up":           {[]answer{{}}, 1, model.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := proxied(t, nil)
			for i, c := range writes(model.Record{}) {
				base := drivertest.SeedCalls(t, b)
				n := 0
				p.answers(func(op string) *answer {
					if op != "PUT r" || n == len(test.answers) {
						return nil
					}
					n++
					return &test.answers[n-1]
				})
				p.Requests()
				err := writes(base)[i].Do(t.Context(), b)
				if ops := p.Requests(); model.Kind(err) != test.want || count(ops, "PUT r") != test.writes {
					t.Errorf("%s: %v, after %v; want the kind %v after %d writes", c.Name, err, ops, test.want, test.writes)
				}
				p.answers(nil)
			}
		})
	}
	t.Run("conflict for ever", func(t *testing.T) {
		t.Parallel()
		b, p := proxied(t, nil)
		p.answers(answerTo("PUT r", conflict))
		p.Requests()
		_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAbsent})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if n := count(p.Requests(), "PUT r"); n != writeAttempts {
			t.Errorf("sent %d writes, want %d", n, writeAttempts)
		}
	})
}

func TestEndedContexts(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.EndedContexts(t, b, p)
}

// TestContextsThatEndMeanwhile ends the context while the record is sent, and
// while another request before it is.
func TestContextsThatEndMeanwhile(t *testing.T) {
	b, p := proxied(t, nil)
	base := drivertest.SeedCalls(t, b)
	b.deletes(t.Context(), nil) // reads the marker
	for _, c := range writes(base) {
		for during, want := range map[string]error{"record": model.ErrUnknown, "request before it": nil} {
			if want == nil && (c.Name == "delete known" || c.Name == "bulk") { // they send one request
				continue
			}
			ctx, cancel := context.WithCancel(t.Context())
			p.answers(func(op string) *answer {
				if (op == "PUT r") != (want != nil) {
					return nil
				}
				cancel()
				return &answer{}
			})
			err := c.Do(ctx, b)
			p.answers(nil)
			cancel()
			if model.Kind(err) != want || !errors.Is(err, context.Canceled) {
				t.Errorf("%s, while the %s is sent: %v, want %v and the kind %v", c.Name, during, err, context.Canceled, want)
			}
		}
	}
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
	if got := drivertest.Get(t, b, "id"); got.ServerVersion != base.ServerVersion {
		t.Error("the record has changed")
	}
}

// TestNothingSent fails before there is a connection.
func TestNothingSent(t *testing.T) {
	endpoint := "http://" + drivertest.NoServer(t)
	for name, opt := range map[string]func(*awss3.Options){
		"no listener": func(*awss3.Options) {},
		"no credentials": func(o *awss3.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("no role, said hunter2")
			})
		},
		"credentials that a server gives": func(o *awss3.Options) {
			role := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(role.Close)
			o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, role.URL, http.NoBody)
				if err != nil {
					return aws.Credentials{}, err
				}
				res, err := role.Client().Do(r)
				if err != nil {
					return aws.Credentials{}, err
				}
				return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "hunter2"}, res.Body.Close()
			})
			o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("refused by hunter2")
			}}}
		},
		"a dialer's own error": func(o *awss3.Options) {
			o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("refused by hunter2")
			}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, plainClient(t, endpoint, "key", "hunter2", opt), "none", "none", nil)
			for _, c := range append(writes(drivertest.Record("id", "ann", 0)), drivertest.Reads()...) {
				if err := c.Do(t.Context(), b); model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
		})
	}
}
