package redis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// sessionLike returns a record of the size of a small session: an id of 22 bytes, a
// principal of 11, a value of 300.
func sessionLike(i int) model.Record {
	r := drivertest.Record(fmt.Sprintf("session-%014d", i*7919), fmt.Sprintf("user-%06d", i), time.Hour)
	r.Value, r.Encoding = []byte(strings.Repeat("v", 300)), "json"
	return r
}

// usage returns what the keys of a store take in the server, by kind: r, x, i, and
// l:LABEL.
func usage(t testing.TB, b *Backend) map[string]int {
	t.Helper()
	out := map[string]int{}
	for some := range slices.Chunk(keysOf(t, b), 1000) {
		pipe := b.client.Pipeline()
		cmds := make([]*goredis.IntCmd, len(some))
		for i, key := range some {
			cmds[i] = pipe.MemoryUsage(t.Context(), key, 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, key := range some {
			_, kind, _ := strings.Cut(key, "}:")
			if strings.HasPrefix(kind, "r:") {
				kind = "r"
			}
			out[kind] += int(cmds[i].Val())
		}
	}
	return out
}

// TestBytesOfARecord has what a record of a fixed size takes in Redis 7.0. An entry
// of a set with more than 128 takes about three times as much. On other servers only
// that is looked at.
func TestBytesOfARecord(t *testing.T) {
	const n = 3000
	known := strings.HasPrefix(server(t).String(), "Redis 7.0.")
	indexes := map[int]float64{} // by number of buckets
	for buckets, want := range map[int]map[string]int{
		bucketCount: {"r": 472, "x": 125, "i": 141, "l:principal": 141},
		256:         {"r": 472, "x": 36, "i": 44, "l:principal": 43},
	} {
		b := shortlyNamed(t, buckets)
		empty := usage(t, b)
		fill(t, b, n)
		for kind, used := range usage(t, b) {
			each := float64(used-empty[kind]) / n
			if kind != "meta" && kind != "r" {
				indexes[buckets] += each
			}
			if known && kind != "meta" && (each > float64(want[kind])+2 || each < float64(want[kind])-2) {
				t.Errorf("%d buckets: %s takes %.1f bytes for each record, want %d", buckets, kind, each, want[kind])
			}
		}
	}
	if indexes[bucketCount] < 1.5*indexes[256] {
		t.Errorf("index entries take %v bytes for each record, by number of buckets", indexes)
	}
}

// shortlyNamed returns a backend on a store whose name has eight bytes.
func shortlyNamed(t testing.TB, buckets int) *Backend {
	t.Helper()
	name := drivertest.Name()
	return openOn(t, clientOf(t, options(t)), name[len(name)-8:], &Options{Buckets: buckets})
}

func fill(t testing.TB, b *Backend, n int) {
	t.Helper()
	recs := make([]model.Record, 0, 1000)
	for i := range n {
		if recs = append(recs, sessionLike(i)); len(recs) == cap(recs) || i == n-1 {
			drivertest.Seed(t, b, recs...)
			recs = recs[:0]
		}
	}
}

// BenchmarkBytes measures what a record takes, by kind of key, for the table in
// docs/operations/redis.md.
//
//	go test -run xxx -bench Bytes -benchtime 1x ./backends/redis
func BenchmarkBytes(b *testing.B) {
	for _, records := range []int{1000, 10_000, 100_000} {
		for _, buckets := range []int{bucketCount, 256, maxBuckets} {
			b.Run(fmt.Sprintf("records=%d/buckets=%d", records, buckets), func(b *testing.B) {
				for range b.N {
					store := shortlyNamed(b, buckets)
					fill(b, store, records)
					used, sum := usage(b, store), 0
					for _, kind := range slices.Sorted(maps.Keys(used)) {
						b.ReportMetric(float64(used[kind])/float64(records), strings.ReplaceAll(kind, ":", "-")+"-B/record")
						sum += used[kind]
					}
					b.ReportMetric(float64(sum)/float64(records), "B/record")
				}
			})
		}
	}
}
