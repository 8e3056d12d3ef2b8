package elasticsearch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
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
					for err := model.ErrUnavailable; err != nil; tries++ {
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

// TestShrunkSearchOfOneID has as many documents with one id as a search may ask for,
// because the server was short of memory or because there are thousands. The
// listing goes on after them. If the server stays short, it is an error, since
// one that is not returned may be the record.
func TestShrunkSearchOfOneID(t *testing.T) {
	for name, test := range map[string]struct {
		same    int
		refuses func(size, searches int) bool
		want    string
		err     error
	}{
		"short at first": {4, func(size, searches int) bool { return searches < 6 && size > 2 }, "[a b c]", nil},
		"stays short":    {4, func(size, _ int) bool { return size > 2 }, "[a]", model.ErrUnavailable},
		"thousands":      {maxPage + 5, func(int, int) bool { return false }, "[a b c]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				searches := 0
				s := &shelf{t: t, docs: shelved(test.same), meet: func() { searches++ }}
				s.refuses = func(size int) bool { return test.refuses(size, searches) }
				b := newBackend(t, clientFunc(s.Perform), "carts", nil)
				var got []string
				q := driver.Query{Limit: 10, KeysOnly: true}
				for range test.same + 3 {
					p, err := b.Page(t.Context(), drivertest.Now, q)
					if err != nil {
						drivertest.WantKind(t, err, test.err)
						test.err = nil
						break
					}
					for i := range p.Records {
						got = append(got, p.Records[i].ID)
					}
					if q.After = p.Next; p.Next == "" {
						break
					}
				}
				if slices.Sort(got); test.err != nil || fmt.Sprint(got) != test.want {
					t.Errorf("listed %v, want %s; the error %v is missing", got, test.want, test.err)
				}
			})
		})
	}
}

// seedRaw stores n records of the size as another program does, in parallel, and
// returns their ids, sorted. It encodes each of two values once.
func seedRaw(t testing.TB, b *Backend, n, size int) []string {
	t.Helper()
	const mark = "the value"
	lines := func(id string, first byte, value string) string {
		r := drivertest.Record(id, "ann", time.Hour)
		r.Value = append(bytes.Repeat([]byte("a"), shortSize), first)
		d := b.encode(&r)
		text, data := mark, []byte(mark)
		if *d.Size = size; d.LongValue != nil {
			d.LongValue = &text
		} else {
			d.LongBytes = &data
		}
		source, err := marshal(d)
		must(t, err)
		of := strings.NewReplacer(mark, value, base64.StdEncoding.EncodeToString(data), value)
		return fmt.Sprintf("{\"index\":{\"_id\":%q}}\n%s", id, of.Replace(string(source)))
	}
	text := bytes.Repeat([]byte("a"), size)
	other := base64.StdEncoding.EncodeToString(append([]byte{0xff}, text[1:]...))
	ids := make([]string, n)
	driverkit.Parallel(n, 3, func(i int) {
		ids[i] = fmt.Sprintf("long%04d", i)
		body := lines(ids[i], 'a', string(text))
		if i%2 > 0 {
			body = lines(ids[i], 0xff, other)
		}
		r, err := b.do(t.Context(), http.MethodPost, "/"+b.name+"/_bulk", typeNDJSON, []byte(body), nil)
		if err != nil || r.status != http.StatusOK || bytes.Contains(r.body, []byte(`"errors":true`)) {
			t.Errorf("%s: %v, %d %.300s", ids[i], err, r.status, r.body)
		}
	})
	return ids
}

// threefold sends each request three times at once, as three processes that list
// together do. It passes on one answer. It reads the others and does not decode
// them, which takes minutes with the race detector.
type threefold struct {
	http.RoundTripper
	t     testing.TB
	least int // bytes of an answer with values
}

func (f *threefold) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	send := func() (*http.Response, error) {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		return f.RoundTripper.RoundTrip(again)
	}
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			res, err := send()
			if err != nil {
				f.t.Errorf("%s: %v", r.URL.Path, err)
				return
			}
			defer func() { _ = res.Body.Close() }()
			n, err := io.Copy(io.Discard, res.Body)
			if err == nil && res.StatusCode == http.StatusTooManyRequests {
				return // a circuit breaker: a listing asks for less then, and the server stands
			}
			if err != nil || res.StatusCode != http.StatusOK || strings.HasSuffix(r.URL.Path, "/_mget") && n < int64(f.least) {
				f.t.Errorf("%s: %d, %d bytes, %v", r.URL.Path, res.StatusCode, n, err)
			}
		})
	}
	res, err := send()
	others.Wait()
	// A circuit breaker counts garbage too, and refuses for a moment even one value.
	for err == nil && res.StatusCode == http.StatusTooManyRequests {
		_ = res.Body.Close()
		res, err = send()
	}
	return res, err
}

// TestManyLongListings lists 60 values of 4 MiB three times at once. The server's
// heap of 512 MB or 1 GB does not hold three times 60 of them.
func TestManyLongListings(t *testing.T) {
	const size = 4 << 20
	m := &measured{RoundTripper: pool(t)}
	seeded := open(t, nil)
	ids := seedRaw(t, seeded, 60, size)
	b := newBackend(t, clientOn(t, containers.Elasticsearch(t).URL, &threefold{m, t, size}), seeded.name, nil)
	got, pages, err := listAll(t.Context(), b, driver.Query{Limit: 100}, size)
	if err != nil || !slices.Equal(got, ids) || pages != 15 {
		t.Errorf("%d of %d records on %d pages, %v", len(got), len(ids), pages, err)
	}
	if text := request(t, client(t), http.MethodGet, "/_cluster/health", ""); strings.Contains(text, `"red"`) {
		t.Errorf("the server is %s", text)
	}
	if m.request.Load() > bodyLimit || m.reply.Load() > bodyLimit {
		t.Errorf("bodies of up to %d and %d bytes, want %d at most", m.request.Load(), m.reply.Load(), bodyLimit)
	}
}
