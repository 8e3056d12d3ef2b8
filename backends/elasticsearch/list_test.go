package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

const tooMuch = `{"error":{"root_cause":[],"type":"search_phase_execution_exception","reason":"","caused_by":{"type":"circuit_breaking_exception",` +
	`"reason":"[parent] Data too large, data for [<http_request>] would be [1026005142/978.4mb], which is larger than the limit of [1020054732/972.7mb]"}},"status":429}`

// TestShortOfMemory has a node whose circuit breaker refuses more than two records
// at a time, as Elastic's page "Circuit breaker errors" has it: reads are made
// again in halves. A node that refuses every request is ErrUnavailable.
func TestShortOfMemory(t *testing.T) {
	for name, most := range map[string]int{"two at a time": 2, "none": 0} {
		t.Run(name, func(t *testing.T) {
			h := &holder{value: `"` + strings.Repeat("v", 9000) + `"`}
			refused := 0
			b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
				body, err := bodyOf(r)
				if err != nil {
					return nil, err
				}
				if name := requestName(r, body); name != "_refresh" && asked(body) > most {
					refused++
					if refused%2 > 0 && name == "_mget" { // a shard's own refusal
						one := `{"_index":"carts","error":{"type":"circuit_breaking_exception","reason":""}}`
						return answer(http.StatusOK, `{"docs":[`+strings.TrimSuffix(strings.Repeat(one+",", asked(body)), ",")+`]}`), nil
					}
					return answer(http.StatusTooManyRequests, tooMuch), nil
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				return h.Perform(r)
			}), "carts", nil)
			p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
			if swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 6}); most > 0 && (err != nil || swept.Removed != 6 || !swept.More) {
				t.Errorf("%+v, %v", swept, err)
			}
			out := b.GetMany(t.Context(), drivertest.Now, driver.Gets("a", "b", "c", "d", "e"))
			if most == 0 {
				drivertest.WantKind(t, err, model.ErrUnavailable)
				drivertest.WantKind(t, out[4].Err, model.ErrUnavailable)
				if !strings.Contains(err.Error(), "heap") || !strings.Contains(err.Error(), "[parent] Data too large") {
					t.Errorf("%v does not say why", err)
				}
				return
			}
			if err != nil || len(p.Records) != 1 || p.Next == "" || refused == 0 {
				t.Errorf("%d records, next %q, %v", len(p.Records), p.Next, err)
			}
			for _, o := range out {
				if o.Err != nil || len(o.Record.Value) != 9000 {
					t.Errorf("%d bytes, %v", len(o.Record.Value), o.Err)
				}
			}
		})
	}
}

// TestRecordsThatChangeUnderAPage changes long records between the search for a
// page and the read of their values. The page has the new ones, and leaves out
// those that no longer belong to the listing.
func TestRecordsThatChangeUnderAPage(t *testing.T) {
	long := func(id, principal string, expires time.Duration) model.Record {
		r := drivertest.Record(id, principal, expires)
		r.Value = []byte(strings.Repeat(id, 10_000))
		return r
	}
	doc := func(r model.Record, read part) string {
		b := &Backend{}
		source := b.encode(&r)
		if read == short {
			source.LongValue = nil
		}
		text, err := marshal(source)
		must(t, err)
		return fmt.Sprintf(`{"_index":"carts@0123456789abcdef","_id":%q,"found":true,"_seq_no":1,"_primary_term":1,"sort":[%[1]q],"_source":%s}`, r.ID, text)
	}
	var before, after []string
	fresh := long("e", "ann", time.Hour)
	for _, r := range []model.Record{long("a", "ann", time.Hour), long("b", "ann", time.Hour), long("c", "ann", time.Hour), long("d", "ann", time.Hour), long("e", "ann", time.Hour)} {
		before = append(before, doc(r, short))
	}
	corrupt := strings.Replace(doc(long("d", "ann", time.Hour), whole), `"format":1`, `"format":"x"`, 1)
	after = append(after, doc(long("a", "bob", time.Hour), whole), `{"_index":"carts@0123456789abcdef","_id":"b","found":false}`, doc(long("c", "ann", -time.Hour), whole), corrupt, doc(fresh, whole))
	b, _ := fake(t,
		canned{200, `{"_shards":{"failed":0}}`},
		canned{200, `{"hits":{"hits":[` + strings.Join(before, ",") + `]}}`},
		canned{200, `{"docs":[` + strings.Join(after, ",") + `]}`})
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 10})
	if err != nil || len(p.Records) != 1 || p.Records[0].Revision != fresh.Revision || !bytes.Equal(p.Records[0].Value, fresh.Value) || fmt.Sprint(p.Corrupt) != "[d]" || p.Next != "" {
		t.Errorf("%d records, corrupt %v, next %q, %v", len(p.Records), p.Corrupt, p.Next, err)
	}
}

// asked returns how many documents a request asks for.
func asked(body []byte) int {
	var q struct {
		IDs  []string `json:"ids"`
		Size int      `json:"size"`
	}
	_ = json.Unmarshal(body, &q)
	return max(len(q.IDs), q.Size)
}

// TestSizesAreKept has a node that cannot serve more than 40 documents at a time:
// its circuit breaker refuses more, or its own limit of time for a search passes.
// A call learns that once, and later steps and calls begin with what was possible.
func TestSizesAreKept(t *testing.T) {
	const most = 40
	for name, too := range map[string]canned{
		"circuit breaker": {429, tooMuch},
		"time limit":      {200, `{"timed_out":true,"hits":{"hits":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			h := &holder{value: `"` + strings.Repeat("v", 9000) + `"`, hits: 1000}
			b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
				body, err := bodyOf(r)
				if err != nil {
					return nil, err
				}
				if requestName(r, body) == "_search" && asked(body) > most {
					refused++
					return answer(too.status, too.body), nil
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				return h.Perform(r)
			}), "carts", nil)
			calls := map[string]func() error{
				"sweep": func() error {
					swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 200})
					if swept.Removed != 200 {
						t.Errorf("swept %+v", swept)
					}
					return err
				},
				"ids": func() error {
					p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 1000, KeysOnly: true})
					if len(p.Records) == 0 || p.Next == "" {
						t.Errorf("%d records, next %q", len(p.Records), p.Next)
					}
					return err
				},
			}
			must(t, calls["sweep"]())
			must(t, calls["ids"]())
			// 200, 100, 50, 25, and at most twice as it grows again.
			if refused > 5 {
				t.Errorf("%d searches were too large, want the size kept", refused)
			}
		})
	}
}

// TestSizesShrinkForTheNextCall has a server that does not answer to large requests
// in time. A call whose time is over cannot try again, so that the next one asks
// for less, and in the end the calls succeed.
func TestSizesShrinkForTheNextCall(t *testing.T) {
	for name, end := range map[string]time.Duration{"the limit of a request": time.Hour, "the deadline of a call": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &holder{value: `"` + strings.Repeat("v", 9000) + `"`, hits: 1000}
				b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
					body, err := bodyOf(r)
					if err != nil {
						return nil, err
					}
					if asked(body) > 70 {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					return h.Perform(r)
				}), "carts", nil)
				many := make([]string, 100)
				for i := range many {
					many[i] = fmt.Sprint("id", i)
				}
				for what, do := range map[string]func(ctx context.Context) error{
					"sweep": func(ctx context.Context) error {
						_, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 200})
						return err
					},
					"ids": func(ctx context.Context) error {
						_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 1000, KeysOnly: true})
						return err
					},
					"get many": func(ctx context.Context) error {
						return b.GetMany(ctx, drivertest.Now, driver.Gets(many...))[0].Err
					},
				} {
					tries := 0
					for err := error(model.ErrUnavailable); err != nil; tries++ {
						ctx, cancel := context.WithTimeout(t.Context(), end)
						if err = do(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) || tries > 10 {
							t.Fatalf("%s: %v at try %d", what, err, tries)
						}
						cancel()
					}
				}
			})
		})
	}
}

// TestSeveralDocumentsWithOneID has documents of another program whose field id is
// that of a record. Pages of any size have each record once, and name the others.
func TestSeveralDocumentsWithOneID(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	r := drivertest.Record("b", "ann", time.Hour)
	r.Value = []byte(strings.Repeat("v", 10_000))
	theirs := docSource(t, r)
	foreign := func(ids ...string) {
		var body strings.Builder
		for _, id := range ids {
			fmt.Fprintf(&body, "{\"index\":{\"_id\":%q}}\n%s\n", id, strings.TrimSpace(theirs))
		}
		request(t, b.client, http.MethodPost, "/"+b.name+"/_bulk", body.String())
	}
	foreign("x", "y")
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour), r, drivertest.Record("c", "ann", time.Hour))
	foreign("z")
	for limit := 1; limit < 6; limit++ {
		for _, keysOnly := range []bool{false, true} {
			var records, corrupt []string
			for q := (driver.Query{Limit: limit, KeysOnly: keysOnly}); ; {
				p, err := b.Page(t.Context(), drivertest.Now, q)
				must(t, err)
				for i := range p.Records {
					records = append(records, p.Records[i].ID)
				}
				if corrupt = append(corrupt, p.Corrupt...); len(p.Records) > limit {
					t.Errorf("%d records on a page of %d", len(p.Records), limit)
				}
				if q.After = p.Next; p.Next == "" {
					break
				}
			}
			slices.Sort(corrupt)
			if fmt.Sprint(records) != "[a b c]" || fmt.Sprint(corrupt) != "[x y z]" {
				t.Errorf("pages of %d have %v and name %v, want a, b, c and x, y, z", limit, records, corrupt)
			}
		}
	}
}
