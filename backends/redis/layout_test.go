package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// slot is the slot of a hash tag in a cluster: CRC-16/XMODEM.
func slot(tag string) int {
	crc := uint16(0)
	for _, c := range []byte(tag) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % 16384
}

func TestBucketsAreEvenOverSlots(t *testing.T) {
	for n, tag := range bucketTags {
		if got := slot(tag) / (16384 / bucketCount); got != n {
			t.Errorf("bucket %d, tag %s: in part %d of the slots", n, tag, got)
		}
	}
}

func TestIDsAreEvenOverBuckets(t *testing.T) {
	const n = 16000
	for _, format := range []string{"%d", "user:%d", "%08x", "%d/a/b"} {
		var counts [bucketCount]int
		for i := range n {
			counts[bucketOf(fmt.Sprintf(format, i))]++
		}
		for b, c := range counts {
			if c < n/bucketCount*3/4 || c > n/bucketCount*5/4 {
				t.Errorf("%s: bucket %d has %d of %d", format, b, c, n)
			}
		}
	}
}

// TestLayoutGolden pins where things are: every node must agree.
func TestLayoutGolden(t *testing.T) {
	for id, want := range map[string]int{"a": 3, "id": 13, "user:1/{x}": 8, "ü": 3} {
		if got := bucketOf(id); got != want {
			t.Errorf("%q in bucket %d, want %d", id, got, want)
		}
	}
	k := newBucket("shop", 0, []string{"principal"})
	if got := fmt.Sprint(k.records, k.index); got != "shop:{10}:r:[shop:{10}:x shop:{10}:i shop:{10}:l:principal]" {
		t.Error(got)
	}
	b := &Backend{name: "shop"}
	if b.metaKey() != "shop:{0}:meta" {
		t.Error(b.metaKey())
	}
}

func TestNewRefuses(t *testing.T) {
	c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = c.Close() }()
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	replicas := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	defer func() { _ = replicas.Close() }()
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer func() { _ = ring.Close() }()
	caching := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1", Protocol: 3, ClientSideCacheConfig: &goredis.ClientSideCacheConfig{}})
	defer func() { _ = caching.Close() }()

	tests := map[string]struct {
		client goredis.UniversalClient
		name   string
		opts   *Options
	}{
		"no client": {nil, "n", nil}, "a nil client": {(*goredis.Client)(nil), "n", nil},
		"a nil cluster client": {(*goredis.ClusterClient)(nil), "n", nil},
		"replicas":             {replicas, "n", nil}, "a ring": {ring, "n", nil}, "a cache": {caching, "n", nil},
		"no name": {c, "", nil}, "a long name": {c, strings.Repeat("n", maxName+1), nil}, "braces": {c, "a{b}", nil},
		"NUL": {c, "a\x00", nil}, "no UTF-8": {c, "a\xff", nil},
		"a label": {c, "n", &Options{Labels: []string{"No"}}}, "a label twice": {c, "n", &Options{Labels: []string{"a", "b", "a"}}},
		"many labels": {c, "n", &Options{Labels: many}},
		"too large":   {c, "n", &Options{MaxValue: maxValue + 1}}, "a negative size": {c, "n", &Options{MaxValue: -1}},
	}
	for name, test := range tests {
		b, err := New(test.client, test.name, test.opts)
		var e *model.Error
		if b != nil || model.Kind(err) != model.ErrInvalid || !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = c.Close() }()
	for name, test := range map[string]struct {
		opts   *Options
		labels string
		size   int
	}{
		"nil":  {nil, "[principal]", 512<<20 - 128<<10},
		"none": {&Options{Labels: []string{}}, "[]", 512<<20 - 128<<10},
		"own":  {&Options{Labels: []string{"b", "a"}, MaxValue: 10}, "[a b]", 10},
	} {
		b, err := New(c, "n", test.opts)
		if err != nil {
			t.Fatal(err)
		}
		if d := b.Describe(); d.Backend != "redis" || fmt.Sprint(d.Labels) != test.labels || d.MaxValue != test.size {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestTokens changes each byte of a token, and takes tokens elsewhere.
func TestTokens(t *testing.T) {
	b, other := &Backend{name: "a"}, &Backend{name: "b"}
	q := driver.Query{Limit: 1}
	for _, p := range []place{{bucketOf("id"), "id"}, {3, ""}, {bucketOf("ü/{}"), "ü/{}"}} {
		token := b.token(&q, p)
		again := q
		again.After = token
		got, err := b.parseToken(&again)
		if err != nil || got != p {
			t.Fatalf("%v became %v, %v", p, got, err)
		}
		labelled := driver.Query{Limit: 1, Label: "principal", Value: "ann", After: token}
		if _, err := b.parseToken(&labelled); model.Kind(err) != model.ErrInvalid {
			t.Errorf("in another listing: %v", err)
		}
		if _, err := other.parseToken(&again); model.Kind(err) != model.ErrInvalid {
			t.Errorf("in another store: %v", err)
		}
		for i := range token {
			for _, c := range []string{"", "A", "z", "%"} {
				again.After = token[:i] + c + token[i+1:]
				if _, err := b.parseToken(&again); again.After != token && again.After != "" && model.Kind(err) != model.ErrInvalid {
					t.Errorf("%q for %q: %v", again.After, token, err)
				}
			}
		}
	}
	wrong := b.token(&q, place{(bucketOf("id") + 1) % bucketCount, "id"})
	if _, err := b.parseToken(&driver.Query{Limit: 1, After: wrong}); model.Kind(err) != model.ErrInvalid {
		t.Errorf("an id of another bucket: %v", err)
	}
}

func TestKeepFor(t *testing.T) {
	b := &Backend{grace: 1000}
	for name, test := range map[string]struct {
		at   time.Time
		want any
	}{
		"never": {time.Time{}, ""}, "later": {testNow.Add(time.Second), int64(2000)}, "past": {testNow.Add(-time.Hour), int64(1000)},
	} {
		if got := b.keepFor(testNow, test.at); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := (&Backend{grace: -1}).keepFor(testNow, testNow.Add(time.Hour)); got != "" {
		t.Errorf("without a server's TTL: %v", got)
	}
}
