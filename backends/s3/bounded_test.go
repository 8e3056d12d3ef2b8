package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

const large = 3 << 20 // bytes of a value

// counting counts the bytes of answers that the client takes.
type counting struct {
	http.RoundTripper
	read atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = countedBody{res.Body, &c.read}
	}
	return res, err
}

type countedBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (b countedBody) Read(to []byte) (int, error) {
	n, err := b.ReadCloser.Read(to)
	b.read.Add(int64(n))
	return n, err
}

// counted returns a backend on a new store of a fake, and a counter.
func counted(t *testing.T) (*Backend, *fake, *counting) {
	t.Helper()
	_, f := fakeStore(t, nil)
	c := &counting{RoundTripper: &http.Transport{}}
	b := newBackend(t, f.client(t, func(o *awss3.Options) { o.HTTPClient = &http.Client{Transport: c} }), "carts", "app", nil)
	return b, f, c
}

// TestPagesEndByBytes lists large records. Each page ends with the record with
// which it reaches PageBytes, and no more bytes were read for it than that.
func TestPagesEndByBytes(t *testing.T) {
	const records = 2*driver.PageBytes/large + 3
	b, f, c := counted(t)
	for i := range records {
		r := drivertest.Record(fmt.Sprintf("id-%02d", i), "ann", time.Hour)
		r.Value = bytes.Repeat([]byte("x"), large)
		drivertest.Seed(t, b, r)
	}
	expired := drivertest.Expired("id-00a", "ann")
	expired.Value = bytes.Repeat([]byte("x"), large)
	drivertest.Seed(t, b, expired)
	for name, q := range map[string]driver.Query{"all": {Limit: 100}, "by label": {Limit: 100, Label: "principal", Value: "ann"}} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			for pages := 0; ; pages++ {
				c.read.Store(0)
				f.requests()
				p, err := b.Page(t.Context(), drivertest.Now, q)
				if err != nil || len(p.Corrupt) > 0 {
					t.Fatal(err, p.Corrupt)
				}
				bytes := len(p.Records) * large
				if bytes >= driver.PageBytes+large {
					t.Errorf("a page of %d bytes", bytes)
				}
				if n := c.read.Load(); n > driver.PageBytes+2*large+128<<10 {
					t.Errorf("%d bytes were read for a page of %d", n, bytes)
				}
				if n := count(f.requests(), "GET r"); name == "all" && n > len(p.Records)+1 {
					t.Errorf("%d reads for %d records", n, len(p.Records))
				}
				seen += len(p.Records)
				if q.After = p.Next; q.After == "" {
					if pages < 2 {
						t.Errorf("%d pages", pages)
					}
					break
				}
			}
			if seen != records {
				t.Errorf("%d records listed, want %d", seen, records)
			}
		})
	}
	c.read.Store(0)
	wantCount(t, b, drivertest.Now, driver.Query{Label: "principal", Value: "ann"}, records)
	wantCount(t, b, drivertest.Now, driver.Query{}, records)
	sweep(t, b, 2*time.Hour, 10)
	if n := c.read.Load(); n > 1<<20 {
		t.Errorf("counts and a sweep read %d bytes", n)
	}
}

// TestABudgetIsSharedInOrder lets reads that know their sizes early wait for
// those before them.
func TestABudgetIsSharedInOrder(t *testing.T) {
	shared := newBudget(4, 10)
	type granted struct {
		i  int
		ok bool
	}
	results := make(chan granted, 2)
	for i, size := range map[int]int64{1: 9, 2: 1} {
		go func() { results <- granted{i, shared.turn(i).grant(size, false)} }()
	}
	select {
	case r := <-results:
		t.Fatalf("read %d did not wait for the one before it", r.i)
	default:
	}
	if !shared.turn(0).grant(1, false) {
		t.Fatal("the first read was refused")
	}
	for range 2 {
		if r := <-results; r.ok != (r.i == 1) {
			t.Errorf("read %d: granted %v", r.i, r.ok)
		}
	}
	if last := shared.turn(3); !last.full() || last.grant(1, false) {
		t.Error("the last read was granted")
	}
	var none *budget
	if one := none.turn(0); !one.grant(1, true) || one.full() {
		t.Error("without a budget a read was refused")
	}
}

// TestWritesDoNotCopyValues writes many large records at a time. The server
// throws them away.
func TestWritesDoNotCopyValues(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"0"`)
	}))
	t.Cleanup(server.Close)
	b := newBackend(t, plainClient(t, server.URL, "key", "secret"), "carts", "app", nil)
	value := make([]byte, 4<<20)
	ops := make([]driver.BatchOp, 2*parallelism)
	for i := range ops {
		r := drivertest.Record(fmt.Sprint("id", i), "", 0)
		r.Value = value
		ops[i].Write = &driver.Write{Record: r, Cond: driver.IfAny}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, r := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("%d writes of %d bytes allocated %d", len(ops), len(value), n)
	}
}

// TestJoined reads a head and a value as the SDK does: to the end, and again.
func TestJoined(t *testing.T) {
	r := joined([]byte("head"), []byte("value"))
	for range 2 {
		if n, err := r.Seek(0, io.SeekEnd); n != 9 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := r.Seek(-7, io.SeekCurrent); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if data, err := io.ReadAll(r); string(data) != "advalue" || err != nil {
			t.Fatalf("%q, %v", data, err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(io.LimitReader(r, 9)); string(data) != "headvalue" || err != nil {
			t.Fatalf("%q, %v", data, err)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("a seek before the start")
	}
}

// TestBatchesReadHeads has a batch of compare-and-sets that conflict: they do not
// read the values of the winners.
func TestBatchesReadHeads(t *testing.T) {
	b, _, c := counted(t)
	r := drivertest.Record("id", "", 0)
	r.Value = make([]byte, large)
	drivertest.Seed(t, b, r)
	other := drivertest.Record("id", "", 0)
	w := driver.Write{Record: other, Cond: driver.IfMatch, Known: drivertest.Record("id", "", 0)}
	c.read.Store(0)
	results := b.WriteMany(context.WithoutCancel(t.Context()), drivertest.Now, []driver.BatchOp{{Write: &w}})
	if n := c.read.Load(); results[0].Err == nil || results[0].Record.Revision != r.Revision || n > 1<<16 {
		t.Errorf("%+v; %d bytes read", results, n)
	}
}

// TestCountsHoldNoRecords counts beside many expired records: what it holds of
// them has a bound, and hardly grows the reads.
func TestCountsHoldNoRecords(t *testing.T) {
	const expired = 1 << 16
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	due := &names{}
	name := make([]byte, 0, 64)
	for i := range expired {
		name = fmt.Appendf(name[:0], "i-old%d", i)
		due.add(string(name))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(due)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 3<<19 {
		t.Errorf("%d names take %d bytes", expired, n)
	}
	needless := 0
	for i := range 5000 {
		if !due.mayHave(fmt.Sprint("i-old", i)) {
			t.Fatalf("the set does not have name %d", i)
		}
		if due.mayHave(fmt.Sprint("i-live", i)) {
			needless++
		}
	}
	if needless > 10 {
		t.Errorf("of 5,000 other names %d pass for due", needless)
	}
}

// TestCountBesideExpired counts a store in which records are due, extended, gone,
// damaged and refused.
func TestCountBesideExpired(t *testing.T) {
	b, f := fakeStore(t, nil)
	f.plant(b, 3*parallelism)
	later := drivertest.Now.Add(time.Minute)
	put := func(id string, ttl time.Duration) { drivertest.Seed(t, b, drivertest.Record(id, "ann", ttl)) }
	put("live", time.Hour)
	put("ever", 0)
	put("extended", time.Minute)
	if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "extended", Mode: driver.TouchClear}); err != nil {
		t.Fatal(err)
	}
	put("archived", time.Minute)
	put("gone", time.Minute)
	remove(t, b, "gone")
	f.mu.Lock()
	f.objects["carts/app/r/i-id0"] = make([]byte, 2*minHead)
	f.mu.Unlock()
	f.refuses("GET r", "i-archived", 403, "InvalidObjectState")
	f.requests()
	wantCount(t, b, later, driver.Query{}, 5)                    // with the damaged and the archived one
	if n := count(f.requests(), "GET r"); n != 3*parallelism+3 { // and a name that no record has
		t.Errorf("%d reads, want one for each record that may have expired", n)
	}
}
