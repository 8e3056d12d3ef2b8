package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
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
	if err != nil {
		return res, err
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(res.Body)
	_ = res.Body.Close()
	raise(&m.reply, int64(body.Len()))
	res.Body = http.NoBody
	if body.Len() > 0 {
		res.Body = struct {
			*bytes.Reader
			nopCloser
		}{Reader: bytes.NewReader(body.Bytes())}
	}
	return res, err
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

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
func listAll(b *Backend, q driver.Query, size int) (ids []string, pages int, err error) {
	for {
		p, err := b.Page(context.Background(), drivertest.Now, q)
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

// TestManyLongListings lists 60 values of 4 MiB three times at once. The server's
// heap of 512 MB or 1 GB does not hold three times 60 of them.
func TestManyLongListings(t *testing.T) {
	const size = 4 << 20
	m := &measured{RoundTripper: pool(t)}
	b := openOn(t, clientOn(t, containers.Elasticsearch(t).URL, m), drivertest.Name(), nil)
	ids := seedLong(t, b, 60, size)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			got, pages, err := listAll(b, driver.Query{Limit: 100}, size)
			if err != nil || !slices.Equal(got, ids) || pages != 15 {
				t.Errorf("%d of %d records on %d pages, %v", len(got), len(ids), pages, err)
			}
		})
	}
	wg.Wait()
	if text := request(t, client(t), http.MethodGet, "/_cluster/health", ""); strings.Contains(text, `"red"`) {
		t.Errorf("the server is %s", text)
	}
	if m.request.Load() > bodyLimit || m.reply.Load() > bodyLimit {
		t.Errorf("bodies of up to %d and %d bytes, want %d at most", m.request.Load(), m.reply.Load(), bodyLimit)
	}
	t.Log(m.request.Load(), m.reply.Load(), model.ErrInvalid)
}
