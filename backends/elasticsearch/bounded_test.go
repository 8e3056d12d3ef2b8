package elasticsearch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// measured passes requests on and keeps the size of the largest body, of either
// direction.
type measured struct {
	http.RoundTripper
	request, reply atomic.Int64
}

func raise(to *atomic.Int64, n int64) {
	for old := to.Load(); n > old && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

func (m *measured) RoundTrip(r *http.Request) (*http.Response, error) {
	raise(&m.request, r.ContentLength)
	res, err := m.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = &measuredBody{ReadCloser: res.Body, m: m}
	}
	return res, err
}

// measuredBody counts the bytes of an answer as they are read.
type measuredBody struct {
	io.ReadCloser
	m *measured
	n int64
}

func (b *measuredBody) Read(to []byte) (int, error) {
	n, err := b.ReadCloser.Read(to)
	b.n += int64(n)
	raise(&b.m.reply, b.n)
	return n, err
}

// bodyLimit is the size that no body of a request or an answer reaches. A batch
// of values has 8 MB, and base64 makes a third more of it.
const bodyLimit = 12 << 20

// seedLong stores n records of the size and returns their ids, sorted.
func seedLong(t testing.TB, b *Backend, n, size int) []string {
	t.Helper()
	ids, ops := make([]string, n), make([]driver.BatchOp, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("long%04d", i)
		r := drivertest.Record(ids[i], "ann", time.Hour)
		if r.Value = bytes.Repeat([]byte{byte('a' + i%26)}, size); i%2 > 0 {
			r.Value[0] = 0xff // not text
		}
		ops[i].Write = &driver.Write{Record: r, Cond: driver.IfAny}
	}
	for i, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if o.Err != nil {
			t.Fatalf("%s: %v", ids[i], o.Err)
		}
	}
	return ids
}

// listAll lists all records and returns their ids. A page holds no more values
// than driver.PageBytes allows, and each value is whole.
func listAll(ctx context.Context, b *Backend, q driver.Query, size int) (ids []string, pages int, err error) {
	for {
		p, err := b.Page(ctx, drivertest.Now, q)
		if err != nil {
			return ids, pages, err
		}
		pages++
		total := 0
		for _, r := range p.Records {
			if total >= driver.PageBytes || len(r.Value) != size {
				return ids, pages, fmt.Errorf("%s: a value of %d bytes after %d", r.ID, len(r.Value), total)
			}
			total += len(r.Value)
			ids = append(ids, r.ID)
		}
		if len(p.Corrupt) > 0 {
			return ids, pages, fmt.Errorf("corrupt: %v", p.Corrupt)
		}
		if q.After = p.Next; p.Next == "" {
			return ids, pages, nil
		}
	}
}

// TestLongValues makes every call about many with long values: no body has more
// than a batch, and small records beside long ones come with the first read.
func TestLongValues(t *testing.T) {
	const size = 3 << 20
	m := &measured{RoundTripper: pool(t)}
	w := newWire(t)
	b := openOn(t, clientOn(t, w.URL(), m), drivertest.Name(), nil)
	ids := seedLong(t, b, 8, size)
	drivertest.Seed(t, b, drivertest.Record("a", "bob", time.Hour), drivertest.Record("z", "bob", time.Hour))
	w.Requests()
	out := b.GetMany(t.Context(), drivertest.Now, driver.Gets(append([]string{"z", "none"}, ids...)...))
	for i, o := range out {
		if want := map[int]error{1: model.ErrNotFound}[i]; model.Kind(o.Err) != want || i > 1 && len(o.Record.Value) != size {
			t.Errorf("%d: %d bytes, %v", i, len(o.Record.Value), o.Err)
		}
	}
	if sent := w.Requests(); len(sent) != 5 {
		t.Errorf("sent %v, want one _mget, and one for two long values", sent)
	}
	st, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: ids[0]})
	if err != nil || st.Size != size || st.Record.Value != nil || st.Record.Labels["principal"] != "ann" {
		t.Errorf("%+v, %v", st, err)
	}
	if n, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != len(ids) {
		t.Errorf("%d, %v", n, err)
	}
	w.Requests()
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "bob", Limit: 10})
	if sent := w.Requests(); err != nil || len(p.Records) != 2 || p.Next != "" || len(sent) != 2 {
		t.Errorf("%+v, %v after %v", p, err, sent)
	}
	got, pages, err := listAll(t.Context(), b, driver.Query{Label: "principal", Value: "ann", Limit: 1000}, size)
	if err != nil || !slices.Equal(got, ids) || pages != 2 {
		t.Errorf("%v on %d pages, %v", got, pages, err)
	}
	// A compare-and-set at an old revision returns the winner, without its value
	// if that would cost a read.
	ops := make([]driver.BatchOp, len(ids))
	for i, id := range ids {
		ops[i].Write = &driver.Write{Record: drivertest.Record(id, "", 0), Cond: driver.IfMatch, Known: drivertest.Record(id, "", 0)}
	}
	for _, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if model.Kind(o.Err) != model.ErrConflict || o.Record.Value != nil {
			t.Errorf("%v with %d bytes", o.Err, len(o.Record.Value))
		}
	}
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 100, OnExpire: func(model.Record) error { return nil }})
	if err != nil || swept.Removed != len(ids)+2 {
		t.Errorf("%+v, %v", swept, err)
	}
	if m.request.Load() > bodyLimit || m.reply.Load() > bodyLimit {
		t.Errorf("bodies of up to %d and %d bytes, want %d at most", m.request.Load(), m.reply.Load(), bodyLimit)
	}
}

// holder answers for a server of long records, and measures what the process
// holds when a request is sent.
type holder struct {
	value           string // as JSON
	hits            int    // documents that a search finds; zero: 12
	sent            int    // bytes of values in answers
	base, held      int
	perBulk, perGet int // the most actions and documents of a request
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// bodyOf returns a request's body, which it may lack.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(r.Body)
}

func (h *holder) Perform(r *http.Request) (*http.Response, error) {
	h.held = max(h.held, heap()-h.base-h.sent)
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	switch name := requestName(r, nil); name {
	case "_refresh":
		return answer(http.StatusOK, `{"_shards":{"failed":0}}`), nil
	case "_mget", "_search":
		var asked struct {
			IDs  []string `json:"ids"`
			Size int      `json:"size"`
			From []string `json:"search_after"`
		}
		if err := json.Unmarshal(body, &asked); err != nil {
			return nil, err
		}
		lacks := name == "_search" || r.URL.Query().Has("_source_excludes")
		for i := 0; name == "_search" && i < min(asked.Size, cmp.Or(h.hits, 12)); i++ {
			asked.IDs = append(asked.IDs, fmt.Sprintf("long%04d", i))
		}
		if !lacks {
			h.perGet = max(h.perGet, len(asked.IDs))
		}
		for i, id := range asked.IDs {
			if i > 0 {
				out.WriteByte(',')
			}
			value, expires := `,"long_value":`+h.value, ""
			if bytes.Contains(body, []byte(`"lte"`)) && bytes.Contains(body, []byte(`"format":1`)) {
				expires = `,"expires":1` // a sweep's
			}
			if lacks {
				value = ""
			} else {
				h.sent += len(h.value) - 2
			}
			fmt.Fprintf(&out, `{"_index":"carts@0123456789abcdef","_id":%q,"found":true,"_seq_no":1,"_primary_term":1,"sort":[%[1]q],`+
				`"_source":{"id":%[1]q,"format":1,"revision":"00000000000000000000000000000001","encoding":"","size":%d%s%s}}`, id, len(h.value)-2, value, expires)
		}
		if name == "_search" {
			return answer(http.StatusOK, `{"hits":{"hits":[`+out.String()+`]}}`), nil
		}
		return answer(http.StatusOK, `{"docs":[`+out.String()+`]}`), nil
	}
	n := bytes.Count(body, []byte(`{"index":{`)) + bytes.Count(body, []byte(`{"delete":`))
	h.perBulk = max(h.perBulk, n)
	item := `{"index":{"_index":"carts@0123456789abcdef","_seq_no":2,"_primary_term":1,"status":200}}`
	return answer(http.StatusOK, `{"items":[`+strings.TrimSuffix(strings.Repeat(item+",", n), ",")+`]}`), nil
}

// TestHeldMemory counts what a call holds beyond what it returns and what its
// caller holds: at most 32 MB.
func TestHeldMemory(t *testing.T) {
	const size = 4 << 20
	ids := make([]string, 12)
	for i := range ids {
		ids[i] = fmt.Sprintf("long%04d", i)
	}
	value := bytes.Repeat([]byte("v"), size) // of all records
	for name, test := range map[string]struct {
		do              func(b *Backend) (any, error)
		perBulk, perGet int
	}{
		"get many": {func(b *Backend) (any, error) {
			out := b.GetMany(t.Context(), drivertest.Now, driver.Gets(ids...))
			return out, out[len(out)-1].Err
		}, 0, 2},
		"page": {func(b *Backend) (any, error) {
			return b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 1000})
		}, 0, 2},
		"write many": {func(b *Backend) (any, error) {
			ops := make([]driver.BatchOp, len(ids))
			for i, id := range ids {
				r := drivertest.Record(id, "ann", time.Hour)
				r.Value = value
				ops[i].Write = &driver.Write{Record: r, Cond: driver.IfPresent}
			}
			out := b.WriteMany(t.Context(), drivertest.Now, ops)
			return out, out[len(out)-1].Err
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := &holder{value: `"` + string(value) + `"`}
			b := newBackend(t, h, "carts", nil)
			h.base = heap()
			out, err := test.do(b)
			if err != nil || h.held > 32<<20 || h.perBulk != test.perBulk || h.perGet != test.perGet {
				t.Errorf("%v; held %d bytes; up to %d writes and %d values in a request, want %d and %d", err, h.held, h.perBulk, h.perGet, test.perBulk, test.perGet)
			}
			runtime.KeepAlive(out)
		})
	}
}

// TestBulkTooLarge has a proxy that refuses bodies of more than a kilobyte, as
// nginx's client_max_body_size does, and a node whose circuit breaker refuses
// more than three writes: nothing was applied, and the halves are sent.
func TestBulkTooLarge(t *testing.T) {
	for name, refuses := range map[string]func(body []byte) *http.Response{
		"a proxy": func(body []byte) *http.Response {
			if len(body) > 1024 {
				return answer(http.StatusRequestEntityTooLarge, "<html>")
			}
			return nil
		},
		"a node": func(body []byte) *http.Response {
			if bytes.Count(body, []byte(`{"index":`)) > 3 {
				return answer(http.StatusTooManyRequests, tooMuch)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &holder{}
			applied := map[string]int{}
			b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
				body, err := bodyOf(r)
				if err != nil {
					return nil, err
				}
				if res := refuses(body); res != nil {
					return res, nil
				}
				for line := range strings.Lines(string(body)) {
					if id, found := strings.CutPrefix(line, `{"index":{"_id":`); found {
						applied[id]++
					}
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				return h.Perform(r)
			}), "carts", nil)
			ops := make([]driver.BatchOp, 11)
			for i := range ops {
				r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
				if name == "a proxy" && i == 5 {
					r.Value = bytes.Repeat([]byte("v"), 2000) // too large by itself
				}
				ops[i].Write = &driver.Write{Record: r, Cond: driver.IfAny}
			}
			for i, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
				if want := len(ops[i].Write.Record.Value) == 2000; want != (model.Kind(o.Err) == model.ErrTooLarge) || !want && o.Err != nil {
					t.Errorf("%d: %v", i, o.Err)
				}
			}
			for id, n := range applied {
				if n != 1 {
					t.Errorf("%s was written %d times", id, n)
				}
			}
			if len(applied) < 10 {
				t.Errorf("%d records were written", len(applied))
			}
		})
	}
}
