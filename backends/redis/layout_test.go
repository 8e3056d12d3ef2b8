package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestSlots has the slots that CLUSTER KEYSLOT tells.
func TestSlots(t *testing.T) {
	for tag, want := range map[string]int{"": 0, "0": 13907, "foo": 12182, "somekey": 11058} {
		if got := slot(tag); got != want {
			t.Errorf("%q is in slot %d, want %d", tag, got, want)
		}
	}
}

func TestBucketsAreEvenOverSlots(t *testing.T) {
	for _, count := range []int{1, 2, 3, 7, bucketCount, 100, 256, 1000, maxBuckets} {
		for n, tag := range bucketTags(count) {
			if at := slot(tag); at < (n*slots+count-1)/count || at >= ((n+1)*slots+count-1)/count {
				t.Errorf("bucket %d of %d, tag %s: slot %d is not in its part", n, count, tag, at)
			}
		}
	}
	if got := strings.Join(bucketTags(bucketCount), " "); got != "10 3 61 43 11 2 60 42 12 1 63 41 13 0 62 40" {
		t.Errorf("the tags of sixteen buckets are %s", got)
	}
}

func TestIDsAreEvenOverBuckets(t *testing.T) {
	for _, count := range []int{1, 3, bucketCount, 100, 256, 1000, maxBuckets} {
		n := 1000 * count
		for _, format := range []string{"%d", "user:%d", "%08x", "%d/a/b"} {
			counts := make([]int, count)
			for i := range n {
				counts[bucketOf(fmt.Sprintf(format, i), count)]++
			}
			for b, c := range counts {
				if c < n/count*3/4 || c > n/count*5/4 {
					t.Errorf("%s: bucket %d has %d of %d", format, b, c, n)
				}
			}
		}
	}
}

// TestLayoutGolden pins the keys: all nodes must agree on them.
func TestLayoutGolden(t *testing.T) {
	for id, want := range map[string]int{"a": 3, "id": 13, "user:1/{x}": 8, "ü": 3} {
		if got := bucketOf(id, bucketCount); got != want {
			t.Errorf("%q is in bucket %d, want %d", id, got, want)
		}
	}
	k := bucketAt("shop", 0, bucketCount, []string{"principal"})
	if got := fmt.Sprint(k.records, k.index); got != "shop:{10}:r:[shop:{10}:x shop:{10}:i shop:{10}:l:principal]" {
		t.Error(got)
	}
	b := &Backend{name: "shop"}
	if b.metaKey() != "shop:{0}:meta" {
		t.Error(b.metaKey())
	}
}

// unconnected returns a client that never connects.
func unconnected(t *testing.T) *goredis.Client {
	t.Helper()
	return clientOf(t, &goredis.Options{Addr: "127.0.0.1:1"})
}

func TestNewRefuses(t *testing.T) {
	c := unconnected(t)
	many := make([]string, driverkit.MaxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	replicas := clusterOf(t, &goredis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer func() { _ = ring.Close() }()
	caching := clientOf(t, &goredis.Options{Addr: "127.0.0.1:1", Protocol: 3, ClientSideCacheConfig: &goredis.ClientSideCacheConfig{}})

	blocking, err := c.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	async, err := caching.AsyncAutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	type wrapper struct{ goredis.UniversalClient }

	errs := map[string]error{}
	for name, test := range map[string]struct {
		client goredis.UniversalClient
		name   string
		opts   *Options
	}{
		"no client": {nil, "n", nil}, "a nil client": {(*goredis.Client)(nil), "n", nil},
		"a nil cluster client": {(*goredis.ClusterClient)(nil), "n", nil},
		"replicas":             {replicas, "n", nil}, "a ring": {ring, "n", nil}, "a cache": {caching, "n", nil},
		"a pipeliner": {blocking, "n", nil}, "a pipeliner over a cache": {async, "n", nil},
		"a trusted pipeliner": {async, "n", &Options{TrustClient: true}}, "a trusted cache": {caching, "n", &Options{TrustClient: true}},
		"a wrapper": {wrapper{c}, "n", nil}, "a wrapper of a cache": {&wrapper{caching}, "n", nil},
		"no name": {c, "", nil}, "a long name": {c, strings.Repeat("n", maxName+1), nil}, "braces": {c, "a{b}", nil},
		"NUL": {c, "a\x00", nil}, "no UTF-8": {c, "a\xff", nil},
		"a label": {c, "n", &Options{Labels: []string{"No"}}}, "a label twice": {c, "n", &Options{Labels: []string{"a", "b", "a"}}},
		"many labels": {c, "n", &Options{Labels: many}},
		"too large":   {c, "n", &Options{MaxValue: maxValue + 1}}, "a negative size": {c, "n", &Options{MaxValue: -1}},
	} {
		b, err := New(test.client, test.name, test.opts)
		if errs[name] = err; b != nil {
			t.Errorf("%s: got a backend", name)
		}
	}
	drivertest.NewErrors(t, backendName, errs)
	if got := errs["a wrapper"].Error(); !strings.Contains(got, "redis.wrapper") || !strings.Contains(got, "TrustClient") {
		t.Errorf("the error does not say what to do: %s", got)
	}
	newOn(t, wrapper{c}, "n", &Options{TrustClient: true})
}

func TestDescribe(t *testing.T) {
	c := unconnected(t)
	for name, test := range map[string]struct {
		opts   *Options
		labels string
		size   int
	}{
		"nil":  {nil, "[principal]", 512<<20 - 128<<10},
		"none": {&Options{Labels: []string{}}, "[]", 512<<20 - 128<<10},
		"own":  {&Options{Labels: []string{"b", "a"}, MaxValue: 10}, "[a b]", 10},
	} {
		if d := newOn(t, c, "n", test.opts).Describe(); d.Backend != "redis" || fmt.Sprint(d.Labels) != test.labels || d.MaxValue != test.size {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestTokens changes each byte of a token, and uses tokens in other listings.
func TestTokens(t *testing.T) {
	c := unconnected(t)
	b, other := newOn(t, c, "a", nil), newOn(t, c, "b", nil)
	q := driver.Query{Limit: 1}
	read := func(b *Backend, q driver.Query, token string) (position, error) {
		q.After = token
		s, err := b.gate.Page(t.Context(), &q)
		if err != nil {
			return position{}, err
		}
		return b.parsePosition(s)
	}
	refuses := func(what string, b *Backend, q driver.Query, token string) {
		t.Helper()
		if _, err := read(b, q, token); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v, want %v", what, err, model.ErrInvalid)
		}
	}
	for _, p := range []position{{b.bucketOf("id"), 0, "id"}, {3, 7, ""}, {0, maxEach, ""}, {b.bucketOf("ü/{}"), 300, "ü/{}"}} {
		token := b.gate.Token(&q, p.String())
		if got, err := read(b, q, token); err != nil || got != p {
			t.Fatalf("%v was decoded as %v, %v", p, got, err)
		}
		refuses("another listing", b, driver.Query{Limit: 1, Label: "principal", Value: "ann"}, token)
		refuses("another store", other, q, token)
		for i := range token {
			for _, c := range []string{"", "A", "z", "%"} {
				if changed := token[:i] + c + token[i+1:]; changed != token && changed != "" {
					refuses(changed+" for "+token, b, q, changed)
				}
			}
		}
	}
	wrong := position{(b.bucketOf("id") + 1) % bucketCount, 0, "id"}
	refuses("an id of another bucket", b, q, b.gate.Token(&q, wrong.String()))
	refuses("a bucket too high", b, q, b.gate.Token(&q, position{bucketCount, 0, ""}.String()))
}

func TestKeepFor(t *testing.T) {
	b := &Backend{grace: 1000}
	for name, test := range map[string]struct {
		at   time.Time
		want any
	}{
		"never": {time.Time{}, ""}, "later": {drivertest.Now.Add(time.Second), int64(2000)}, "past": {drivertest.Now.Add(-time.Hour), int64(1000)},
	} {
		if got := b.keepFor(drivertest.Now, test.at); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := (&Backend{grace: -1}).keepFor(drivertest.Now, drivertest.Now.Add(time.Hour)); got != "" {
		t.Errorf("without the server's TTL: %v", got)
	}
}
