package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestConformanceOfOneBucket(t *testing.T)   { conformance.Run(t, harness(t, 1)) }
func TestConformanceOfManyBuckets(t *testing.T) { conformance.Run(t, harness(t, 256)) }

// TestPageShares has pages of stores of all sizes: what they read is bounded, and
// pages after the first one are full.
func TestPageShares(t *testing.T) {
	sum := func(shares []int) (n int) {
		for _, s := range shares {
			n += s
		}
		return n
	}
	for _, limit := range []int{1, 10, 100, 1000, maxPage} {
		for _, count := range []int{1, 2, bucketCount, 256, maxBuckets} {
			first := pageShares(limit, count, 0)
			if len(first) != count || first[0] != limit {
				t.Errorf("limit %d of %d buckets: the first page reads %d of %d buckets", limit, count, first[0], len(first))
			}
			if most := 10*limit + 8*count; sum(first) > most || count <= bucketCount && sum(first) > limit+(count-1)*max(limit/8, minShare) {
				t.Errorf("limit %d of %d buckets: the first page reads %d ids, at most %d", limit, count, sum(first), most)
			}
			for _, mean := range []int{1, 2, 10, 39, 100, 1000, 100_000} {
				shares := pageShares(limit, count, min(mean*sixteenths, maxEach))
				if n := sum(shares); n > 10*limit+50 {
					t.Errorf("limit %d of %d buckets with %d: a page reads %d ids", limit, count, mean, n)
				}
				if n := len(shares); n < count && n*mean < limit {
					t.Errorf("limit %d of %d buckets with %d: a page reads %d buckets", limit, count, mean, n)
				}
			}
		}
	}
}

// dividedBy returns a backend with that number of buckets, and one behind a proxy that
// has the same store. The latter may have the client of a cluster.
func dividedBy(t testing.TB, buckets int, cluster bool) (b *Backend, p *proxy, through *Backend) {
	t.Helper()
	o := options(t)
	opts := &Options{Buckets: buckets}
	b = openOn(t, clientOf(t, o), drivertest.Name(), opts)
	p = newProxy(t)
	var c goredis.UniversalClient = clientOf(t, p.options(o))
	if cluster {
		c = oneNodeCluster(t, o.Addr, func() *goredis.Client { return goredis.NewClient(p.options(o)) })
	}
	through = createOn(t, c, b.name, opts)
	return b, p, through
}

// TestTripsOfManyBuckets counts round trips of calls about many records, to each node
// of a cluster: two at most, however many buckets there are and whether few records or many are there.
func TestTripsOfManyBuckets(t *testing.T) {
	for _, test := range []struct {
		buckets, records int
		cluster          bool
	}{
		{1, 90, false}, {bucketCount, 90, false}, {256, 0, false}, {256, 1, false}, {256, 90, false}, {256, 10_000, false}, {maxBuckets, 90, false},
		{maxBuckets, 10_000, false}, {256, 90, true}, {maxBuckets, 10_000, true},
	} {
		t.Run(fmt.Sprintf("buckets=%d/records=%d/cluster=%t", test.buckets, test.records, test.cluster), func(t *testing.T) {
			b, p, through := dividedBy(t, test.buckets, test.cluster)
			recs := make([]model.Record, test.records)
			for i := range recs {
				recs[i] = drivertest.Record(fmt.Sprintf("id%05d", i), "ann", time.Hour)
			}
			for some := range slices.Chunk(recs, 1000) {
				drivertest.Seed(t, b, some...)
			}
			few := test.records < 100
			for _, label := range []string{"", "principal"} {
				q := driver.Query{Label: label, Limit: 100}
				if label != "" {
					q.Value = "ann"
				}
				p.sent()
				n, err := through.Count(t.Context(), drivertest.Now, q)
				if trips, _ := p.sent(); err != nil || n != test.records || trips != 1 {
					t.Errorf("%q: counted %d in %d round trips, %v", label, n, trips, err)
				}
				pages := 0
				for seen := map[string]bool{}; ; pages++ {
					page, err := through.Page(t.Context(), drivertest.Now, q)
					if err != nil {
						t.Fatal(err)
					}
					trips, commands := p.sent()
					want := 2
					if test.records == 0 {
						want = 1
					}
					if trips != want {
						t.Errorf("%q: %d round trips for a page, want %d", label, trips, want)
					}
					if most := 2*test.buckets + 100; pages == 0 && len(commands) > most || pages > 0 && len(commands) > 2*min(test.buckets, 60)+100 {
						t.Errorf("%q: %d commands for page %d", label, len(commands), pages)
					}
					for _, r := range page.Records {
						seen[r.ID] = true
					}
					if q.After = page.Next; q.After == "" {
						if len(seen) != test.records {
							t.Errorf("%q: listed %d", label, len(seen))
						}
						break
					}
				}
				if most := test.records/90 + 3; few && pages > 0 || pages > most {
					t.Errorf("%q: %d further pages", label, pages)
				}
			}
			p.sent()
			swept, err := through.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(2 * time.Hour), Limit: 100})
			if want := min(test.records, 100); err != nil || swept.Removed != want {
				t.Errorf("swept %+v, %v, want %d", swept, err, want)
			}
			if trips, _ := p.sent(); trips > 2 {
				t.Errorf("%d round trips for a sweep", trips)
			}
		})
	}
}

// TestBucketsOfACluster lists, counts and sweeps a store of 256 buckets on a cluster.
func TestBucketsOfACluster(t *testing.T) {
	b := createOn(t, clusterOf(t, clusterOptions(t)), drivertest.Name(), &Options{Buckets: 256})
	hook := &keysHook{t: t, name: b.name}
	b.client.AddHook(hook)
	const n = 500
	recs := make([]model.Record, n)
	for i := range recs {
		recs[i] = drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
	}
	drivertest.Seed(t, b, recs...)
	wantCount(t, b, "", "", n)
	wantCount(t, b, "principal", "ann", n)
	if got := bearers(t, b, "ann"); len(got) != n {
		t.Errorf("%d are listed", len(got))
	}
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(2 * time.Hour), Limit: 2 * n})
	if err != nil || swept.Removed != n {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := leftIn(t, b.client, b.name); left != 0 {
		t.Errorf("%d keys and members are left", left)
	}
}

// TestBucketsAreChecked has a node with another number of buckets: no call of it
// does anything, and each says what to do.
func TestBucketsAreChecked(t *testing.T) {
	for _, counts := range [][2]int{{0, 256}, {256, 0}, {maxBuckets, 1}, {1, 16}} {
		b := open(t, &Options{Buckets: counts[0]})
		recs := make([]model.Record, 50)
		for i := range recs {
			recs[i] = drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
		}
		drivertest.Seed(t, b, recs...)
		before := leftIn(t, b.client, b.name)
		for _, c := range slices.Concat(drivertest.Writes(recs[0]), drivertest.Reads(), []drivertest.Call{
			{Name: "batch", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
				return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Delete: &driver.Delete{ID: "id0", Cond: driver.IfPresent}}})[0].Err
			}},
		}) {
			if c.Name == "ping" {
				continue
			}
			other := newOn(t, b.client, b.name, &Options{Buckets: counts[1]})
			err := c.Do(t.Context(), other)
			drivertest.WantKind(t, err, model.ErrUnavailable)
			for _, word := range []string{fmt.Sprintf("%q buckets", fmt.Sprint(len(b.buckets))), fmt.Sprint("Options.Buckets is ", len(other.buckets)), "buckets in a URL"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v does not say %s", c.Name, err, word)
				}
			}
		}
		other := newOn(t, b.client, b.name, &Options{Buckets: counts[1]})
		drivertest.WantKind(t, other.CreateStorage(t.Context()), model.ErrCorrupt)
		if after := leftIn(t, b.client, b.name); after != before {
			t.Errorf("%d keys and members, %d before", after, before)
		}
		// What is deleted is the store as it is.
		if err := other.DeleteStorage(t.Context()); err != nil {
			t.Error(err)
		}
		if keys := keysOf(t, b); len(keys) > 0 {
			t.Errorf("left: %q", keys)
		}
		if err := other.CreateStorage(t.Context()); err != nil {
			t.Error(err)
		}
		drivertest.Seed(t, other, recs[0])
		if err := other.DeleteStorage(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestBucketsAreAskedOnce counts the round trips of the first calls of a node: one
// more for the first.
func TestBucketsAreAskedOnce(t *testing.T) {
	b, p := proxied(t)
	node := newOn(t, b.client, b.name, nil)
	for i, want := range []string{"hgetall get", "get"} {
		p.sent()
		_, _ = node.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		if _, commands := p.sent(); strings.Join(commands, " ") != want {
			t.Errorf("call %d: %v", i, commands)
		}
	}
	// A node that has created the storage has asked.
	if err := node.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.sent()
	_, _ = node.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	if _, commands := p.sent(); strings.Join(commands, " ") != "get" {
		t.Errorf("after CreateStorage: %v", commands)
	}
}

// TestBucketsAreAskedInTime has a first call that waits for the layout until its
// record has expired (rule R100).
func TestBucketsAreAskedInTime(t *testing.T) {
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	for name, call := range map[string]func(node *Backend) error{
		"get": func(node *Backend) error {
			_, err := node.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			return err
		},
		"delete": func(node *Backend) error {
			return node.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent})
		},
	} {
		node, reads := newOn(t, b.client, b.name, nil), 0
		node.watch = func() time.Duration { reads++; return time.Duration(reads-1) * 2 * time.Hour }
		if err := call(node); !errors.Is(err, model.ErrNotFound) {
			t.Errorf("%s: %v, want %v", name, err, model.ErrNotFound)
		}
	}
	drivertest.Get(t, b, "id")
}

// TestRebuildOfManyBuckets loses all indexes of a store of 256 buckets.
func TestRebuildOfManyBuckets(t *testing.T) {
	b := open(t, &Options{Buckets: 256})
	recs := make([]model.Record, 300)
	for i := range recs {
		recs[i] = drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
	}
	drivertest.Seed(t, b, recs...)
	for _, ids := range []bool{false, true} {
		for i := range b.buckets {
			b.client.Del(t.Context(), b.buckets[i].due, b.buckets[i].labels+"principal")
			if ids {
				b.client.Del(t.Context(), b.buckets[i].ids)
			}
		}
		_, err := b.Count(t.Context(), drivertest.Now, driver.Query{})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCount(t, b, "", "", len(recs))
		wantCount(t, b, "principal", "ann", len(recs))
		if got := bearers(t, b, "ann"); len(got) != len(recs) {
			t.Errorf("%d are listed", len(got))
		}
	}
}
