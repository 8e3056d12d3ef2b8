package dynamodb

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// crowd is a client of a table that has one label with n bearers. It makes the
// items when they are asked for. A BatchGetItem has at most 16 MB and leaves
// other keys than the last ones:
// docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
type crowd struct {
	API
	b     *Backend // encodes
	n     int
	size  int           // of a value
	takes time.Duration // of a request
	gone  sync.Map
	sent  atomic.Int64 // bytes of values
}

func newCrowd(t testing.TB, n, size int) *Backend {
	t.Helper()
	c := &crowd{b: testBackend(t, nil), n: n, size: size}
	b, err := New(c, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return b
}

func crowdID(i int) string { return fmt.Sprintf("id%06d", i) }

const maxResponse = 16 << 20

func (c *crowd) Query(ctx context.Context, in *awsdynamodb.QueryInput, _ ...func(*awsdynamodb.Options)) (*awsdynamodb.QueryOutput, error) {
	if err := driverkit.Wait(ctx, c.takes); err != nil {
		return nil, err
	}
	out := &awsdynamodb.QueryOutput{}
	first := 0
	if sk, ok := stringOf(in.ExclusiveStartKey[attrSK]); ok {
		_, _ = fmt.Sscanf(sk, "id%06d", &first)
		first++
	}
	for i := first; i < c.n; i++ {
		if len(out.Items) == int(aws.ToInt32(in.Limit)) {
			out.LastEvaluatedKey = labelKey("principal", "ann", crowdID(i-1))
			break
		}
		if _, gone := c.gone.Load(crowdID(i)); !gone {
			out.Items = append(out.Items, attributes{attrSK: str(crowdID(i))})
		}
	}
	return out, nil
}

func (c *crowd) BatchGetItem(ctx context.Context, in *awsdynamodb.BatchGetItemInput, _ ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchGetItemOutput, error) {
	if err := driverkit.Wait(ctx, c.takes); err != nil {
		return nil, err
	}
	keys := in.RequestItems["carts"].Keys
	size := c.size
	if p := in.RequestItems["carts"].ProjectionExpression; p != nil && !strings.Contains(*p, "#value") {
		size = 0
	}
	value := strings.Repeat("x", size)
	var items []attributes
	var left []attributes
	bytesOf := 0
	for i := range keys { // the odd ones first
		at := 2*i + 1
		if at >= len(keys) {
			at = 2 * (i - len(keys)/2)
		}
		id, _ := idOf(keys[at])
		if bytesOf+size > maxResponse {
			left = append(left, keys[at])
			continue
		}
		r := drivertest.Record(id, "ann", time.Hour)
		r.Value = nil
		it := c.b.encode(&r)
		it[attrValue] = str(value)
		items = append(items, it)
		bytesOf += size
	}
	c.sent.Add(int64(bytesOf))
	out := &awsdynamodb.BatchGetItemOutput{Responses: map[string][]attributes{"carts": items}}
	if len(left) > 0 {
		out.UnprocessedKeys = map[string]types.KeysAndAttributes{"carts": {Keys: left}}
	}
	return out, nil
}

func (c *crowd) TransactWriteItems(ctx context.Context, in *awsdynamodb.TransactWriteItemsInput, _ ...func(*awsdynamodb.Options)) (*awsdynamodb.TransactWriteItemsOutput, error) {
	if err := driverkit.Wait(ctx, c.takes); err != nil {
		return nil, err
	}
	id, _ := idOf(in.TransactItems[0].Delete.Key)
	c.gone.Store(id, true)
	return &awsdynamodb.TransactWriteItemsOutput{}, nil
}

// TestPageHoldsFewValues has records of the largest size and a server that
// leaves keys from the middle unprocessed. A page ends with the record with
// which its values reach driver.PageBytes, and the call has read at most 32 MB.
func TestPageHoldsFewValues(t *testing.T) {
	for _, size := range []int{400_000, 90_000, 200} {
		b := newCrowd(t, 300, size)
		c := b.client.(*crowd)
		q := driver.Query{Label: "principal", Value: "ann", Limit: 1000}
		for n := 0; ; {
			c.sent.Store(0)
			p, err := b.Page(t.Context(), drivertest.Now, q)
			if err != nil {
				t.Fatal(err)
			}
			total := 0
			for i, r := range p.Records {
				if total >= driver.PageBytes {
					t.Fatalf("%d bytes: the page has %d records, and %d were enough", size, len(p.Records), i)
				}
				if r.ID != crowdID(n) || len(r.Value) != size || !bytes.HasPrefix(r.Value, []byte("xx")) {
					t.Fatalf("%d bytes: the record %d is %q with %d bytes", size, n, r.ID, len(r.Value))
				}
				total += len(r.Value)
				n++
			}
			if sent := c.sent.Load(); sent > 2*maxResponse {
				t.Errorf("%d bytes: the page of %d bytes took %d bytes of values", size, total, sent)
			}
			if p.Next != "" && total < driver.PageBytes {
				t.Errorf("%d bytes: the page ends early, at %d bytes", size, total)
			}
			if q.After = p.Next; p.Next == "" {
				if n != 300 {
					t.Errorf("%d bytes: %d records are listed", size, n)
				}
				break
			}
		}
	}
}

// TestLabelOfManyBearers pages through 100,000 bearers: each page reads few
// values, and nothing is kept between them.
func TestLabelOfManyBearers(t *testing.T) {
	const n = 100_000
	b := newCrowd(t, n, 100)
	c := b.client.(*crowd)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	seen, pages := 0, 0
	var first uint64
	for q := (driver.Query{Label: "principal", Value: "ann", Limit: n}); ; pages++ {
		c.sent.Store(0)
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.sent.Load(); got > countPage*100 {
			t.Fatalf("page %d took %d bytes of values", pages, got)
		}
		seen += len(p.Records)
		if pages == 1 {
			first = heap()
		}
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	if seen != n {
		t.Errorf("%d of %d records are listed", seen, n)
	}
	const ofAnID = 40 // bytes: that many for each record would be its id
	if last := heap(); last > first+n*ofAnID {
		t.Errorf("%d bytes are in use after the second page, %d after the last of %d", first, last, pages)
	}
	if got, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"}); got != n || err != nil {
		t.Errorf("counted %d, %v", got, err)
	}
}

// TestGetManyOfLargeRecords asks for 400 records of the largest size. After the
// first batch it sends one request at a time.
func TestGetManyOfLargeRecords(t *testing.T) {
	for size, want := range map[int]int64{400_000: 1, 100: batchWidth} {
		synctest.Test(t, func(t *testing.T) {
			b := newCrowd(t, 400, size)
			c := b.client.(*crowd)
			c.takes = 15 * time.Millisecond
			width := &widest{API: c}
			b.client = width
			ids := make([]string, 600)
			for i := range ids {
				ids[i] = crowdID(i)
			}
			for i, r := range b.GetMany(t.Context(), drivertest.Now, driver.Gets(ids...)) {
				if r.Err != nil || r.Record.ID != ids[i] || len(r.Record.Value) != size {
					t.Fatalf("%s: %d bytes, %v", ids[i], len(r.Record.Value), r.Err)
				}
			}
			if got := width.most.Load(); got != want {
				t.Errorf("%d bytes: up to %d requests at a time, want %d", size, got, want)
			}
		})
	}
}

// widest counts the requests at a time.
type widest struct {
	API
	now, most atomic.Int64
}

func (w *widest) BatchGetItem(ctx context.Context, in *awsdynamodb.BatchGetItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchGetItemOutput, error) {
	now := w.now.Add(1)
	for most := w.most.Load(); now > most && !w.most.CompareAndSwap(most, now); {
		most = w.most.Load()
	}
	defer w.now.Add(-1)
	return w.API.BatchGetItem(ctx, in, opts...)
}

// TestDeleteByLabelInTime has 200 bearers and a server that takes 15 ms for
// each request, by a clock that waits for nothing.
func TestDeleteByLabelInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCrowd(t, 200, 100)
		b.client.(*crowd).takes = 15 * time.Millisecond
		store, err := expiry.NewStore[string](b, &expiry.StoreOptions{Clock: fixed{}})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		n, err := store.DeleteByLabel(t.Context(), "principal", "ann")
		if took := time.Since(begun); n != 200 || err != nil || took > 600*time.Millisecond {
			t.Errorf("removed %d in %v, %v", n, took, err)
		}
	})
}

// fixed is a clock.
type fixed struct{}

func (fixed) Now() time.Time { return drivertest.Now }
