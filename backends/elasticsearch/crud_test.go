package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// stopwatch is a stopwatch that goes on only when a test says so.
type stopwatch struct{ at atomic.Int64 }

func (s *stopwatch) read() time.Duration    { return time.Duration(s.at.Load()) }
func (s *stopwatch) pass(d time.Duration)   { s.at.Add(int64(d)) }
func (s *stopwatch) of(b *Backend) *Backend { b.watch = s.read; return b }

const (
	refreshed = `{"_shards":{"failed":0}}`
	conflict  = `{"items":[{"index":{"_index":"carts@0123456789abcdef","_id":"id","status":409,"error":{"type":"version_conflict_engine_exception","reason":""}}}]}`
	accepted  = `{"items":[{"index":{"_index":"carts@0123456789abcdef","_id":"id","_seq_no":9,"_primary_term":1,"status":200}}]}`
)

// found is the answer to an _mget that finds the records.
func found(t testing.TB, recs ...model.Record) string {
	t.Helper()
	text := ""
	for _, r := range recs {
		text += `,{"_index":"carts@0123456789abcdef","_id":"` + r.ID + `","found":true,"_seq_no":1,"_primary_term":1,"sort":["` + r.ID + `"],"_source":` + docSource(t, r) + `}`
	}
	return `{"docs":[` + text[1:] + `],"hits":{"hits":[` + text[1:] + `]}}`
}

// decisions are the calls that decide by the expiry of a record with the id "id",
// and that send a change. The last one has a server version, and reads nothing.
func decisions(r model.Record) map[string]func(context.Context, *Backend) error {
	next := drivertest.Record("id", "ann", 24*time.Hour)
	known := r
	known.ServerVersion = docVersion{"0123456789abcdef", 1, 1}.serverVersion(&r)
	write := func(w driver.Write) func(context.Context, *Backend) error {
		return func(ctx context.Context, b *Backend) error {
			w.Record = next
			_, err := b.Write(ctx, drivertest.Now, w)
			return err
		}
	}
	return map[string]func(context.Context, *Backend) error{
		"update":          write(driver.Write{Cond: driver.IfPresent}),
		"compare-and-set": write(driver.Write{Cond: driver.IfMatch, Known: known}),
		"touch": func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: next.ExpiresAt})
			return err
		},
		"delete": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: known})
		},
		"batch": func(ctx context.Context, b *Backend) error {
			return b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: next, Cond: driver.IfPresent}}})[0].Err
		},
	}
}

// inPause returns a stopwatch that shows d after the bubble's clock has moved. Only a
// pause moves that: a fake server answers at once.
func inPause(d time.Duration) func() time.Duration {
	start := time.Now()
	return func() time.Duration {
		if time.Since(start) > 0 {
			return d
		}
		return 0
	}
}

// TestPauseCounts has a server that refuses two changes as contended. If the record
// expires while the call pauses, the next attempt finds it expired (rule R100).
func TestPauseCounts(t *testing.T) {
	r := drivertest.Record("id", "ann", time.Minute)
	for name, do := range decisions(r) {
		for what, pause := range map[string]time.Duration{"kept": time.Minute - time.Millisecond, "passed": time.Minute} {
			t.Run(name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					attempts := 0
					b := newBackend(t, clientFunc(func(req *http.Request) (*http.Response, error) {
						if _, err := bodyOf(req); err != nil {
							return nil, err
						}
						if requestName(req, nil) == "_mget" {
							return answer(http.StatusOK, found(t, r)), nil
						}
						if attempts++; attempts < 3 {
							return answer(http.StatusOK, conflict), nil
						}
						return answer(http.StatusOK, accepted), nil
					}), "carts", nil)
					b.watch = inPause(pause)
					err, want := do(t.Context(), b), 3
					if what == "passed" {
						drivertest.WantKind(t, err, model.ErrNotFound)
						want = 2
					} else {
						must(t, err)
					}
					if attempts != want {
						t.Errorf("%d attempts, want %d", attempts, want)
					}
				})
			})
		}
	}
}

// TestConnectionCounts has a client that waits for a connection before each
// request, after another one for credentials that took an hour. The wait for the
// request's own connection counts, and so does that for a node that was away. A
// change whose record expired meanwhile is not sent.
func TestConnectionCounts(t *testing.T) {
	r := drivertest.Record("id", "ann", time.Minute)
	calls := decisions(r)
	calls["get"] = func(ctx context.Context, b *Backend) error {
		_, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
		return err
	}
	calls["stat"] = func(ctx context.Context, b *Backend) error {
		_, err := b.Stat(ctx, drivertest.Now, driver.Get{ID: "id"})
		return err
	}
	calls["get many"] = func(ctx context.Context, b *Backend) error {
		return b.GetMany(ctx, drivertest.Now, driver.Gets("id"))[0].Err
	}
	calls["page"] = func(ctx context.Context, b *Backend) error {
		p, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 10})
		if err == nil && len(p.Records) == 0 {
			return model.ErrNotFound
		}
		return err
	}
	for name, do := range calls {
		for what, test := range map[string]struct {
			waits, fails time.Duration // for a connection, before one fails
		}{
			"kept":               {waits: time.Minute - time.Millisecond},
			"passed":             {waits: time.Minute},
			"kept by failures":   {fails: time.Minute - time.Millisecond},
			"passed by failures": {fails: time.Minute},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				var watch stopwatch
				changes := 0
				b := watch.of(newBackend(t, clientFunc(func(req *http.Request) (*http.Response, error) {
					trace := httptrace.ContextClientTrace(req.Context())
					trace.GetConn("login.example.org:443")
					watch.pass(time.Hour)
					trace.GotConn(httptrace.GotConnInfo{})
					if test.fails > 0 {
						trace.GetConn("away:9200")
						watch.pass(test.fails)
					}
					trace.GetConn("localhost:9200")
					watch.pass(test.waits)
					test.waits, test.fails = 0, 0 // only the first request waits
					trace.GotConn(httptrace.GotConnInfo{})
					if _, err := bodyOf(req); err != nil {
						return nil, err
					}
					switch requestName(req, nil) {
					case "_refresh":
						return answer(http.StatusOK, refreshed), nil
					case "_mget", "_search":
						return answer(http.StatusOK, found(t, r)), nil
					}
					changes++
					return answer(http.StatusOK, accepted), nil
				}), "carts", nil))
				err := do(t.Context(), b)
				if strings.HasPrefix(what, "kept") {
					must(t, err)
					return
				}
				drivertest.WantKind(t, err, model.ErrNotFound)
				if changes > 0 {
					t.Errorf("%d changes of a record that had expired", changes)
				}
			})
		}
	}
}

// TestIdleConnectionCountsAsNoWait has a connection that is there at once.
func TestIdleConnectionCountsAsNoWait(t *testing.T) {
	var watch stopwatch
	b := watch.of(newBackend(t, clientFunc(func(req *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(req.Context())
		trace.GetConn("localhost:9200")
		watch.pass(time.Hour)
		trace.GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true})
		return answer(http.StatusOK, found(t, drivertest.Record("id", "ann", time.Minute))), nil
	}), "carts", nil))
	_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	must(t, err)
}

// TestTurnCounts has batches of several requests, each of which takes a minute. What
// a later one is for waits for its turn. The request's own minute does not count.
func TestTurnCounts(t *testing.T) {
	var recs []model.Record
	var gets []driver.Get
	var known []model.Record
	for i := range bulkItems + 1 {
		r := drivertest.Record(fmt.Sprintf("id%04d", i), "ann", time.Minute)
		recs, gets = append(recs, r), append(gets, driver.Get{ID: r.ID})
		r.ServerVersion = docVersion{"0123456789abcdef", 1, 1}.serverVersion(&r)
		known = append(known, r)
	}
	var watch stopwatch
	changes := 0
	b := watch.of(newBackend(t, clientFunc(func(req *http.Request) (*http.Response, error) {
		body, err := bodyOf(req)
		if err != nil {
			return nil, err
		}
		watch.pass(time.Minute)
		if requestName(req, nil) == "_mget" {
			var asked struct {
				IDs []string `json:"ids"`
			}
			must(t, json.Unmarshal(body, &asked))
			first := slices.IndexFunc(recs, func(r model.Record) bool { return r.ID == asked.IDs[0] })
			return answer(http.StatusOK, found(t, recs[first:first+len(asked.IDs)]...)), nil
		}
		n := bytes.Count(body, []byte(`{"delete":`))
		changes += n
		item := `{"delete":{"_index":"carts@0123456789abcdef","_seq_no":2,"_primary_term":1,"status":200}}`
		return answer(http.StatusOK, `{"items":[`+strings.TrimSuffix(strings.Repeat(item+",", n), ",")+`]}`), nil
	}), "carts", nil))
	for i, o := range b.GetMany(t.Context(), drivertest.Now, gets) {
		if want := i >= getBatch; want != errors.Is(o.Err, model.ErrNotFound) {
			t.Fatalf("%d: %v, want it found only in the first request", i, o.Err)
		}
	}
	var ops []driver.BatchOp
	for i := range known {
		ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: known[i].ID, Cond: driver.IfMatch, Known: known[i]}})
	}
	for i, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if want := i >= bulkItems; want != errors.Is(o.Err, model.ErrNotFound) {
			t.Fatalf("%d: %v, want it removed only by the first request", i, o.Err)
		}
	}
	if changes != bulkItems {
		t.Errorf("%d records were removed, want %d", changes, bulkItems)
	}
}

// TestSharedRefreshCounts has two readers of which one waits for the other's refresh.
func TestSharedRefreshCounts(t *testing.T) {
	for name, read := range map[string]func(context.Context, *Backend) error{
		"page": func(ctx context.Context, b *Backend) error {
			_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 10})
			return err
		},
		"count": func(ctx context.Context, b *Backend) error {
			_, err := b.Count(ctx, drivertest.Now, driver.Query{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var watch stopwatch
				release := make(chan struct{})
				var refreshes atomic.Int64
				var searches []string
				b := watch.of(newBackend(t, clientFunc(func(req *http.Request) (*http.Response, error) {
					body, err := bodyOf(req)
					if err != nil {
						return nil, err
					}
					if requestName(req, nil) == "_refresh" {
						if refreshes.Add(1) == 1 {
							<-release
						}
						return answer(http.StatusOK, refreshed), nil
					}
					searches = append(searches, string(body))
					return answer(http.StatusOK, `{"hits":{"hits":[]}}`), nil
				}), "carts", nil))
				go func() { _ = b.refresh(t.Context(), b.waited()) }()
				synctest.Wait()
				done := make(chan error)
				go func() { done <- read(t.Context(), b) }()
				synctest.Wait() // it waits for the refresh
				watch.pass(time.Minute)
				close(release)
				must(t, <-done)
				if want := fmt.Sprint(drivertest.Now.Add(time.Minute).UnixMilli()); len(searches) != 1 || !strings.Contains(searches[0], want) {
					t.Errorf("the search is %v, want as of %s", searches, want)
				}
			})
		})
	}
}
