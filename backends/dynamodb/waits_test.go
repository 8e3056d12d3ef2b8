package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// stopwatch is one that only a test moves. It is safe for concurrent use.
type stopwatch struct{ at atomic.Int64 }

func (s *stopwatch) read() time.Duration   { return time.Duration(s.at.Load()) }
func (s *stopwatch) move(by time.Duration) { s.at.Add(int64(by)) }

// pauses makes all pauses of b take d by the stopwatch, and no time.
func (s *stopwatch) pauses(b *Backend, d time.Duration) {
	b.watch = s.read
	b.pause = func(ctx context.Context, _ time.Duration) error { s.move(d); return ctx.Err() }
	b.contended = func(ctx context.Context, _ int) error { s.move(d); return ctx.Err() }
}

// sentAt returns the id of a write of one item, and how long after
// drivertest.Now it says that it is.
func sentAt(t testing.TB, r *http.Request) (id string, after time.Duration) {
	t.Helper()
	type value struct {
		S string `json:"S"`
		N string `json:"N"`
	}
	var in struct {
		Key    map[string]value `json:"Key"`
		Item   map[string]value `json:"Item"`
		Values map[string]value `json:"ExpressionAttributeValues"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		t.Error(err)
	}
	for _, pk := range []string{in.Key[attrPK].S, in.Item[attrPK].S} {
		if pk != "" {
			id = strings.TrimPrefix(pk, recordPrefix)
		}
	}
	ms, err := strconv.ParseInt(in.Values[tokenNow].N, 10, 64)
	if err != nil {
		t.Error(err)
	}
	return id, time.UnixMilli(ms).Sub(drivertest.Now)
}

// TestPausesCount refuses the first two attempts of writes: the third one says
// that it is later, by both pauses, whoever made the server refuse (rule R100).
func TestPausesCount(t *testing.T) {
	for name, refusal := range map[string]answer{
		"another transaction": {status: 400, code: "TransactionConflictException"},
		"throttled":           {status: 400, code: "ThrottlingException"},
		"too many":            {status: 429, code: "BusyException"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []time.Duration
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, after := sentAt(t, r)
				if sent = append(sent, after); len(sent)%3 != 0 {
					refusal.write(w)
					return
				}
				answer{status: 400, code: "ConditionalCheckFailedException"}.write(w)
			})
			new(stopwatch).pauses(b, time.Minute)
			for _, c := range drivertest.Pick(t, writes(drivertest.Record("id", "", time.Hour)), "update", "touch", "extend", "clear", "delete") {
				sent = nil
				drivertest.WantKind(t, c.Do(t.Context(), b), model.ErrNotFound)
				if fmt.Sprint(sent) != "[0s 1m0s 2m0s]" {
					t.Errorf("%s: the attempts are as of %v after now", c.Name, sent)
				}
			}
		})
	}
}

// TestPendingTransactionsStayTheSame has a transaction that is in progress: with
// its token, DynamoDB refuses other parameters. So the time stays.
// docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func TestPendingTransactionsStayTheSame(t *testing.T) {
	var bodies []string
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if bodies = append(bodies, fmt.Sprint(body)); len(bodies) < 3 {
			answer{status: 400, code: codeInProgress}.write(w)
			return
		}
		done.write(w)
	})
	new(stopwatch).pauses(b, time.Minute)
	if err := create(t, b, drivertest.Record("id", "ann", time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[1] != bodies[2] {
		t.Errorf("the requests differ: %q", bodies)
	}
}

// TestTurnsCount has more operations in a batch than are sent at a time. The ones
// after these wait for their turn and say that it is later.
func TestTurnsCount(t *testing.T) {
	const n = parallelism + 4
	var watch stopwatch
	after := make([]atomic.Int64, n)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		id, at := sentAt(t, r)
		i, err := strconv.Atoi(id)
		if err != nil {
			t.Error(err)
			return
		}
		after[i].Store(int64(at))
		watch.move(time.Minute)
		done.write(w)
	})
	b.watch = watch.read
	ops := make([]driver.BatchOp, n)
	for i := range ops {
		ops[i].Write = &driver.Write{Record: drivertest.Record(strconv.Itoa(i), "", time.Hour), Cond: driver.IfAbsent}
		if i%2 == 0 {
			ops[i] = driver.BatchOp{Delete: &driver.Delete{ID: strconv.Itoa(i), Cond: driver.IfPresent}}
		}
	}
	for i, r := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		drivertest.WantKind(t, r.Err, nil)
		switch at := time.Duration(after[i].Load()); {
		case i < parallelism && at != 0:
			t.Errorf("operation %d began at once and is as of %v later", i, at)
		case i >= parallelism && at < time.Minute:
			t.Errorf("operation %d waited for another one and is as of %v later", i, at)
		}
	}
}

// slow is a client of a crowd whose requests take a time by the stopwatch and
// leave keys unprocessed. It serves heads and values.
type slow struct {
	*crowd
	watch *stopwatch
	takes time.Duration
}

func (s *slow) BatchGetItem(ctx context.Context, in *awsdynamodb.BatchGetItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchGetItemOutput, error) {
	defer s.watch.move(s.takes)
	return s.crowd.BatchGetItem(ctx, in, opts...)
}

func (s *slow) Query(ctx context.Context, in *awsdynamodb.QueryInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.QueryOutput, error) {
	defer s.watch.move(s.takes)
	return s.crowd.Query(ctx, in, opts...)
}

// TestTurnsOfReadsCount reads records that live for an hour. What is read after
// another part of the call took an hour is expired, and what is read first is not.
func TestTurnsOfReadsCount(t *testing.T) {
	const n = 450
	for _, takes := range []time.Duration{time.Second, time.Hour} {
		server := func() *Backend {
			b := newCrowd(t, n, 100)
			var watch stopwatch
			b.client, b.watch = &slow{b.client.(*crowd), &watch, takes}, watch.read
			return b
		}
		live := func(first int) int {
			if takes < time.Minute {
				return n
			}
			return first
		}
		ids := make([]string, n)
		for i := range ids {
			ids[i] = crowdID(i)
		}
		found := 0
		for i, r := range server().GetMany(t.Context(), drivertest.Now, driver.Gets(ids...)) {
			switch {
			case r.Err == nil:
				found++
			case model.Kind(r.Err) != model.ErrNotFound || r.Record.ID != "" || i < batchSize:
				t.Fatalf("%s: %+v", ids[i], r)
			}
		}
		if want := live(batchSize); found != want {
			t.Errorf("requests of %v: found %d, want %d", takes, found, want)
		}
		for keysOnly, first := range map[bool]int{false: batchSize, true: batchWidth * batchSize} {
			p, err := server().Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: n, KeysOnly: keysOnly})
			if want := live(first); err != nil || len(p.Records) != want || len(p.Corrupt) > 0 {
				t.Errorf("requests of %v, ids only %v: listed %d, want %d; %v", takes, keysOnly, len(p.Records), want, err)
			}
		}
	}
}

// TestUnprocessedKeysCount has a server that reads only the half of a batch. What
// it reads after the pause is as of later.
func TestUnprocessedKeysCount(t *testing.T) {
	for pause, want := range map[time.Duration]int{time.Minute: 60, time.Hour: maxResponse / 400_000} {
		b := newCrowd(t, 60, 400_000)
		new(stopwatch).pauses(b, pause)
		ids, found := make([]string, 60), 0
		for i := range ids {
			ids[i] = crowdID(i)
		}
		for _, r := range b.GetMany(t.Context(), drivertest.Now, driver.Gets(ids...)) {
			if r.Err == nil {
				found++
			}
		}
		if found != want {
			t.Errorf("after a pause of %v: found %d, want %d", pause, found, want)
		}
	}
}

// TestLaterScansCount has empty scans before one with a record. By the stopwatch
// they take an hour, in which the record expires.
func TestLaterScansCount(t *testing.T) {
	for takes, want := range map[time.Duration]int{time.Minute: 1, time.Hour: 0} {
		var watch stopwatch
		n := 0
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			watch.move(takes)
			if n++; n == 1 {
				answer{status: 200, body: `{"Count":0,"Items":[],"LastEvaluatedKey":{"pk":{"S":"r#m"},"sk":{"S":"r"}}}`}.write(w)
				return
			}
			answer{status: 200, body: `{"Count":1,"Items":[{"pk":{"S":"r#z"},"sk":{"S":"r"},"format":{"N":"1"},"revision":{"B":"MDEyMzQ1Njc4OWFiY2RlZg=="},` +
				`"expires":{"N":"` + strconv.FormatInt(drivertest.Now.Add(time.Hour).UnixMilli(), 10) + `"},"labels":{"M":{}},"encoding":{"S":"json"},"value":{"S":"1"}}]}`}.write(w)
		})
		b.watch = watch.read
		p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
		if err != nil || len(p.Records) != want {
			t.Errorf("after a scan of %v: %d records, want %d; %v", takes, len(p.Records), want, err)
		}
	}
}

// TestLaterCountsCount has two pages to count. The second one says that it is
// later.
func TestLaterCountsCount(t *testing.T) {
	var watch stopwatch
	var sent []time.Duration
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, after := sentAt(t, r)
		watch.move(time.Minute)
		body := `{"Count":1}`
		if sent = append(sent, after); len(sent) == 1 {
			body = `{"Count":1,"LastEvaluatedKey":{"pk":{"S":"r#m"},"sk":{"S":"r"}}}`
		}
		answer{status: 200, body: body}.write(w)
	})
	b.watch = watch.read
	wantCount(t, b, "", "", 2)
	if fmt.Sprint(sent) != "[0s 1m0s]" {
		t.Errorf("the scans are as of %v after now", sent)
	}
}

// TestConnectionsCount has a request that waits for its connection, and one whose
// first attempt fails after that time because it gets none.
func TestConnectionsCount(t *testing.T) {
	for name, failure := range map[string]error{
		"made":   nil,
		"failed": &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ETIMEDOUT},
	} {
		for waits, want := range map[time.Duration]error{time.Hour - time.Second: nil, time.Hour: model.ErrNotFound} {
			t.Run(fmt.Sprint(name, " ", waits), func(t *testing.T) {
				var watch stopwatch
				live := stored(t, drivertest.Record("id", "", time.Hour))
				b := serve(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					live.write(w)
				})
				dials := 0
				transport := sdkOf(b).Options().HTTPClient.(*http.Client).Transport.(*http.Transport)
				transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials++; dials == 1 {
						watch.move(waits)
						if failure != nil {
							return nil, failure
						}
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}
				b.watch = watch.read
				_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
				drivertest.WantKind(t, err, want)
				if wanted := map[bool]int{true: 1, false: 2}[failure == nil]; dials != wanted {
					t.Errorf("%d connections were tried, want %d", dials, wanted)
				}
			})
		}
	}
}

// TestWritesThatWaitForAConnection are signed before they wait, and their record
// expires meanwhile. The server does not get such a write, but one as of later. A
// write that does not know the expiry goes out as it was signed: see the package's
// comment.
func TestWritesThatWaitForAConnection(t *testing.T) {
	known := drivertest.Record("id", "", time.Hour)
	for name, do := range map[string]func(context.Context, *Backend) error{
		"compare-and-set": func(ctx context.Context, b *Backend) error {
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 2*time.Hour), Cond: driver.IfMatch, Known: known})
			return err
		},
		"update that keeps": func(ctx context.Context, b *Backend) error {
			w := driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfMatch, Known: known, Keep: driver.Keep{Expiry: true}}
			_, err := b.Write(ctx, drivertest.Now, w)
			return err
		},
		"touch": func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear, Known: known})
			return err
		},
		"delete": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent, Known: known})
		},
	} {
		for waits, want := range map[time.Duration]string{time.Hour - time.Second: "[0s]", time.Hour: "[1h0m0s]"} {
			t.Run(fmt.Sprint(name, " ", waits), func(t *testing.T) {
				var watch stopwatch
				var sent []time.Duration
				b := serve(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return // a service carries out nothing without the whole body
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					_, after := sentAt(t, r)
					sent = append(sent, after)
					answer{status: 400, code: "ConditionalCheckFailedException"}.write(w)
				})
				dials := 0
				transport := sdkOf(b).Options().HTTPClient.(*http.Client).Transport.(*http.Transport)
				transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials++; dials == 1 {
						watch.move(waits)
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}
				b.watch = watch.read
				drivertest.WantKind(t, do(t.Context(), b), model.ErrNotFound)
				if fmt.Sprint(sent) != want {
					t.Errorf("the server got writes as of %v after now, want %s", sent, want)
				}
			})
		}
	}
}

// stored returns the answer to a GetItem of the record.
func stored(t testing.TB, r model.Record) answer {
	t.Helper()
	it := testBackend(t, nil).encode(&r)
	ms, _ := intOf(it[attrExpires])
	return answer{status: 200, body: `{"Item":{"format":{"N":"1"},"revision":{"B":"MDEyMzQ1Njc4OWFiY2RlZg=="},"labels":{"M":{}},"encoding":{"S":"json"},` +
		`"value":{"S":"1"},"expires":{"N":"` + strconv.FormatInt(ms, 10) + `"}}}`}
}

// TestLooksAtABusyTableCount looks at a table that stays busy. Each look takes
// longer than all pauses.
func TestLooksAtABusyTableCount(t *testing.T) {
	var watch stopwatch
	b := serve(t, func(http.ResponseWriter, *http.Request) {})
	watch.pauses(b, 0)
	looks := 0
	err := b.await(t.Context(), func() (bool, string, error) {
		if looks++; looks > 100 {
			t.Fatal("it waits without an end")
		}
		watch.move(10 * time.Minute)
		return false, "is busy", nil
	})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if looks != 4 {
		t.Errorf("%d looks of 10 minutes, want 4 for %v", looks, maxWait)
	}
}

// TestCredentialsDoNotCount fetches credentials through a connection of their own,
// for an hour by the stopwatch: that is a part of the call's time that nobody sees.
func TestCredentialsDoNotCount(t *testing.T) {
	var watch stopwatch
	live := stored(t, drivertest.Record("id", "", time.Hour))
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		live.write(w)
	})
	b.watch = watch.read
	b.client = awsdynamodb.New(sdkOf(b).Options(), func(o *awsdynamodb.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			trace := httptrace.ContextClientTrace(ctx)
			if trace != nil && trace.GetConn != nil {
				trace.GetConn("169.254.169.254:80")
			}
			watch.move(time.Hour)
			if trace != nil && trace.GotConn != nil {
				trace.GotConn(httptrace.GotConnInfo{})
			}
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "hunter2"}, nil
		})
	})
	_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, nil)
}

// TestResentReadsCount has a read that the SDK sends again after a pause of its
// own, by a stopwatch that goes on while the retryer is asked.
func TestResentReadsCount(t *testing.T) {
	for takes, want := range map[time.Duration]error{time.Minute: nil, time.Hour: model.ErrNotFound} {
		var watch stopwatch
		live := stored(t, drivertest.Record("id", "", time.Hour))
		b, _ := fake(t, answer{status: 400, code: "ThrottlingException"}, live)
		b.watch = watch.read
		b.client = awsdynamodb.New(sdkOf(b).Options(), func(o *awsdynamodb.Options) { o.Retryer = pausing{o.Retryer, func() { watch.move(takes) }} })
		_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		drivertest.WantKind(t, err, want)
	}
}

// pausing is a retryer that is asked for a pause.
type pausing struct {
	aws.Retryer
	asked func()
}

func (p pausing) RetryDelay(attempt int, err error) (time.Duration, error) {
	p.asked()
	return p.Retryer.RetryDelay(attempt, err)
}
