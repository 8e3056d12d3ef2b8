package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// stopwatch is one that only a test moves.
type stopwatch struct{ at, next atomic.Int64 }

func (s *stopwatch) read() time.Duration { return time.Duration(s.at.Load()) }

// queue makes the next request wait for its connection.
func (s *stopwatch) queue(d time.Duration) { s.next.Store(int64(d)) }

// queued is a transport whose requests wait for their connections as their
// stopwatch says.
type queued struct {
	http.RoundTripper
	*stopwatch
}

func (q queued) RoundTrip(r *http.Request) (*http.Response, error) {
	if d := q.next.Swap(0); d > 0 {
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GetConn("")
		q.at.Add(d)
		trace.GotConn(httptrace.GotConnInfo{})
	}
	return q.RoundTripper.RoundTrip(r)
}

// queues lets the requests of a client wait by the stopwatch.
func queues(s *stopwatch) func(*awss3.Options) {
	return func(o *awss3.Options) {
		c := o.HTTPClient.(*http.Client)
		o.HTTPClient = &http.Client{Transport: queued{c.Transport, s}}
	}
}

// delay makes the next call of a backend that queues wait for a connection.
func delay(t testing.TB, b driver.ModelExpirySupport, d time.Duration) {
	t.Helper()
	for {
		if own, ok := b.(*Backend); ok {
			own.client.(*awss3.Client).Options().HTTPClient.(*http.Client).Transport.(queued).queue(d)
			return
		}
		b = b.(driver.Unwrapper).Unwrap()
	}
}

// TestWritesThatWaitForAConnection wait until their record has expired. They were
// decided before, and the server itself would carry them out: it never gets their
// bodies.
func TestWritesThatWaitForAConnection(t *testing.T) {
	var s stopwatch
	_, f := fakeStore(t, nil)
	for name, b := range map[string]*Backend{
		"server": openOn(t, clientAt(t, mustEndpoint(t), queues(&s)), nil),
		"fake":   newBackend(t, f.client(t, queues(&s)), "carts", "app", nil),
	} {
		b.watch = s.read
		for what, do := range map[string]func(known model.Record) error{
			"compare-and-set": func(known model.Record) error {
				_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record(known.ID, "", time.Hour), Cond: driver.IfMatch, Known: known})
				return err
			},
			"touch": func(known model.Record) error {
				_, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: known.ID, Mode: driver.TouchClear, Known: known})
				return err
			},
			"delete": func(known model.Record) error {
				return b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: known.ID, Cond: driver.IfMatch, Known: known})
			},
		} {
			known := drivertest.Put(t, b, drivertest.Record(what, "", time.Minute))
			s.queue(time.Minute)
			if err := do(known); !errors.Is(err, model.ErrNotFound) {
				t.Errorf("%s on the %s that waits until its record expires: %v, want %v", what, name, err, model.ErrNotFound)
			}
			if got, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: what}); what != "delete" && (err != nil || got.Revision != known.Revision || !got.ExpiresAt.Equal(known.ExpiresAt)) {
				t.Errorf("%s on the %s changed the record: %+v, %v", what, name, got, err)
			}
		}
	}
}

func mustEndpoint(t testing.TB) string {
	t.Helper()
	endpoint, _, _ := serverAt(t)
	return endpoint
}

// TestReadsThatWaitForAConnection answer as of the time at which they are sent.
func TestReadsThatWaitForAConnection(t *testing.T) {
	var s stopwatch
	_, f := fakeStore(t, nil)
	b := newBackend(t, f.client(t, queues(&s)), "carts", "app", nil)
	b.watch = s.read
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
	ann := driver.Query{Label: "principal", Value: "ann", Limit: 10}
	page := func(q driver.Query) func() (int, error) {
		return func() (int, error) {
			p, err := b.Page(t.Context(), drivertest.Now, q)
			return len(p.Records), err
		}
	}
	number := func(q driver.Query) func() (int, error) {
		return func() (int, error) { return b.Count(t.Context(), drivertest.Now, q) }
	}
	found := func(err error) (int, error) {
		if errors.Is(err, model.ErrNotFound) {
			return 0, nil
		}
		return 1, err
	}
	for name, do := range map[string]func() (int, error){
		"get": func() (int, error) {
			_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			return found(err)
		},
		"stat": func() (int, error) {
			_, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			return found(err)
		},
		"batch":       func() (int, error) { return found(b.GetMany(t.Context(), drivertest.Now, driver.Gets("id"))[0].Err) },
		"page":        page(driver.Query{Limit: 10}),
		"label page":  page(ann),
		"count":       number(driver.Query{}),
		"label count": number(ann),
	} {
		for waits, want := range map[time.Duration]int{time.Minute - time.Millisecond: 1, time.Minute: 0} {
			s.queue(waits)
			if n, err := do(); err != nil || n != want {
				t.Errorf("%s that waits %v of the record's minute finds %d, %v; want %d", name, waits, n, err, want)
			}
		}
	}
}

// TestPausesCount has a server that refuses the first attempt: as a conflict, or
// because of its load, when the SDK pauses itself. The record expires during the
// pause.
func TestPausesCount(t *testing.T) {
	for name, refusal := range map[string]answer{"conflict": {status: 409, code: codeConflict}, "slow down": {status: 503, code: "SlowDown"}} {
		for what, op := range map[string]string{"update": "PUT r", "touch": "PUT r", "read": "GET r"} {
			if op == "GET r" && name == "conflict" {
				continue
			}
			t.Run(name+" "+what, func(t *testing.T) {
				_, f := fakeStore(t, nil)
				b := newBackend(t, f.client(t), "carts", "app", nil)
				known := drivertest.Put(t, b, drivertest.Record("id", "", time.Minute))
				var at, armed atomic.Int64
				b.watch = func() time.Duration { return time.Duration(at.Add(armed.Load())) }
				var once sync.Once
				f.answers(func(got, _ string) (a *answer) {
					if got == op {
						// From now on each look at the stopwatch is a minute later.
						once.Do(func() { a = &refusal; armed.Store(int64(time.Minute)) })
					}
					return a
				})
				var err error
				switch what {
				case "update":
					_, err = b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", time.Hour), Cond: driver.IfMatch, Known: known})
				case "touch":
					_, err = b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear, Known: known})
				case "read":
					_, err = b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
				}
				drivertest.WantKind(t, err, model.ErrNotFound)
				armed.Store(0)
				at.Store(0)
				if got := drivertest.Get(t, b, "id"); got.Revision != known.Revision || !got.ExpiresAt.Equal(known.ExpiresAt) {
					t.Errorf("the record has changed: %+v", got)
				}
			})
		}
	}
}

// TestTurnsCount has more items than a call sends at a time. The records expire
// while the first ones are under way.
func TestTurnsCount(t *testing.T) {
	const extra = 3
	for name, test := range map[string]struct {
		op string
		do func(t *testing.T, b *Backend) int // how many records it finds
	}{
		"GetMany": {"GET r", func(t *testing.T, b *Backend) int {
			t.Helper()
			var gets []driver.Get
			for i := range parallelism + extra {
				gets = append(gets, driver.Get{ID: fmt.Sprintf("id-%02d", i)})
			}
			return successes(t, b.GetMany(t.Context(), drivertest.Now, gets))
		}},
		"WriteMany": {"GET r", func(t *testing.T, b *Backend) int {
			t.Helper()
			var ops []driver.BatchOp
			for i := range parallelism + extra {
				ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: fmt.Sprintf("id-%02d", i), Cond: driver.IfPresent}})
			}
			return successes(t, b.WriteMany(t.Context(), drivertest.Now, ops))
		}},
		"Page": {"GET r", func(t *testing.T, b *Backend) int {
			t.Helper()
			p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 100, KeysOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			return len(p.Records)
		}},
		"Count by label": {"GET r", func(t *testing.T, b *Backend) int {
			t.Helper()
			n, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, f := fakeStore(t, nil)
			var s stopwatch
			b.watch = s.read
			for i := range parallelism + extra {
				drivertest.Seed(t, b, drivertest.Record(fmt.Sprintf("id-%02d", i), "ann", time.Minute))
			}
			b.deletes(t.Context(), nil) // reads the marker
			var arrived atomic.Int64
			all := make(chan struct{})
			f.answers(func(op, _ string) *answer {
				if op != test.op {
					return nil
				}
				if n := arrived.Add(1); n == parallelism {
					s.at.Add(int64(time.Minute)) // those under way have their connections
					close(all)
				}
				<-all
				return nil
			})
			if n := test.do(t, b); n != parallelism {
				t.Errorf("%d records found, want the %d that were read at once", n, parallelism)
			}
		})
	}
}

// TestPartsCount has pages and counts of several parts, one after another. The
// record expires while an earlier part is under way.
func TestPartsCount(t *testing.T) {
	ann := driver.Query{Label: "principal", Value: "ann"}
	page := func(q driver.Query) func(*testing.T, *Backend) int {
		return func(t *testing.T, b *Backend) int {
			t.Helper()
			q.Limit, q.KeysOnly = 1, true
			p, err := b.Page(t.Context(), drivertest.Now, q)
			if err != nil {
				t.Fatal(err)
			}
			return len(p.Records)
		}
	}
	number := func(q driver.Query) func(*testing.T, *Backend) int {
		return func(t *testing.T, b *Backend) int {
			t.Helper()
			n, err := b.Count(t.Context(), drivertest.Now, q)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	for name, test := range map[string]struct {
		most int    // keys in one answer of a listing
		op   string // the request that takes the time: the first of these
		do   func(t *testing.T, b *Backend) int
	}{
		"page":              {0, "GET r", page(driver.Query{})},
		"page of lists":     {1, "GET r", page(driver.Query{})},
		"by label":          {0, "GET r", page(ann)},
		"by label of lists": {1, "GET r", page(ann)},
		"count by label":    {1, "GET r", number(ann)},
		"count of due":      {1, "LIST x", number(driver.Query{})},
		"count":             {1, "LIST r", number(driver.Query{})},
	} {
		for takes, want := range map[time.Duration]int{time.Minute - time.Millisecond: 1, time.Minute: 0} {
			t.Run(fmt.Sprint(name, " ", takes), func(t *testing.T) {
				b, f := fakeStore(t, nil)
				f.most = test.most // CreateStorage tells a server that answers with one key from AWS
				var s stopwatch
				b.watch = s.read
				drivertest.Seed(t, b, drivertest.Record("a", "ann", -time.Minute), drivertest.Record("b", "ann", time.Minute))
				var once sync.Once
				met := false
				f.answers(func(op, _ string) *answer {
					if op == test.op {
						once.Do(func() { s.at.Add(int64(takes)); met = true })
					}
					return nil
				})
				if n := test.do(t, b); n != want || !met {
					t.Errorf("%d records found after %v of the record's minute, want %d; the server met %s: %v", n, takes, want, test.op, met)
				}
			})
		}
	}
}

// TestTheLookAtTheMarkerCounts deletes for the first time, which reads the marker.
// The record expires meanwhile: the delete removes it as a sweep does.
func TestTheLookAtTheMarkerCounts(t *testing.T) {
	for takes, want := range map[time.Duration]error{time.Minute - time.Millisecond: nil, time.Minute: model.ErrNotFound} {
		_, f := fakeStore(t, nil)
		b := newBackend(t, f.client(t), "carts", "app", nil)
		var s stopwatch
		b.watch = s.read
		known := drivertest.Put(t, b, drivertest.Record("id", "", time.Minute))
		f.answers(func(op, _ string) *answer {
			if op == "GET "+markerName {
				s.at.Add(int64(takes))
			}
			return nil
		})
		err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent, Known: known})
		if !errors.Is(err, want) {
			t.Errorf("a delete after a look of %v: %v, want %v", takes, err, want)
		}
	}
}

func successes(t *testing.T, results []driver.BatchResult) (n int) {
	t.Helper()
	for i, r := range results {
		switch {
		case r.Err == nil:
			n++
		case !errors.Is(r.Err, model.ErrNotFound):
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	return n
}

// TestWaitsForEntries count before the record is written: of those that are
// written at the same time, the longest.
func TestWaitsForEntries(t *testing.T) {
	var s stopwatch
	_, f := fakeStore(t, nil)
	b := newBackend(t, f.client(t, queues(&s)), "carts", "app", nil)
	b.watch = s.read
	known := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Minute))
	s.queue(time.Minute)
	w := driver.Write{Record: drivertest.Record("id", "bob", time.Hour), Cond: driver.IfMatch, Known: known}
	_, err := b.Write(t.Context(), drivertest.Now, w)
	drivertest.WantKind(t, err, model.ErrNotFound)
	wantIDs(t, bearers(t, b, "ann"), "id")
	if keys := f.keys(); len(keys) != 4 { // the marker, the record and its two entries
		t.Errorf("left %q", keys)
	}
}

// TestIdleConnectionsAreNoWait reads with a connection that is there, however long
// the process itself takes.
func TestIdleConnectionsAreNoWait(t *testing.T) {
	_, f := fakeStore(t, nil)
	b := newBackend(t, f.client(t), "carts", "app", nil)
	drivertest.Seed(t, b, drivertest.Record("id", "", time.Minute))
	var at atomic.Int64
	b.watch = func() time.Duration { return time.Duration(at.Add(int64(time.Minute))) }
	if _, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"}); err != nil {
		t.Errorf("with an idle connection: %v", err)
	}
	f.CloseClientConnections()
	_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrNotFound)
}
