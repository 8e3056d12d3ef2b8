package redis

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, bucketCount)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, bucketCount)) }

func TestClusterConformance(t *testing.T) { conformance.Run(t, clusterHarness(t, bucketCount)) }
func TestClusterSessions(t *testing.T)    { sessions.Run(t, clusterHarness(t, bucketCount)) }

// harness opens each backend behind a proxy of its own.
func harness(t *testing.T, buckets int) conformance.Harness {
	t.Helper()
	o := options(t)
	return harnessOf(t, buckets, server(t).String(), clientOf(t, o), func(t testing.TB, p *proxy) goredis.UniversalClient {
		return clientOf(t, p.options(o))
	}, func(s *faultnet.Steps) goredis.UniversalClient {
		own := *o
		own.Dialer, own.PoolSize, own.DialerRetries, own.MinRetryBackoff = s.DialContext, 2, 1, -1
		return goredis.NewClient(&own)
	})
}

// clusterHarness does the same on a cluster of three masters.
func clusterHarness(t *testing.T, buckets int) conformance.Harness {
	t.Helper()
	o := clusterOptions(t)
	return harnessOf(t, buckets, containers.RedisCluster(t).String(), clusterOf(t, o), func(t testing.TB, p *proxy) goredis.UniversalClient {
		return clusterOf(t, p.clusterOptions(o))
	}, func(s *faultnet.Steps) goredis.UniversalClient {
		own := *o
		own.Addrs, own.Dialer, own.PoolSize, own.DialerRetries, own.MinRetryBackoff = slices.Clone(o.Addrs), s.DialContext, 2, 1, -1
		return goredis.NewClusterClient(&own)
	})
}

func harnessOf(t testing.TB, buckets int, server string, own goredis.UniversalClient, connect func(testing.TB, *proxy) goredis.UniversalClient, stepped func(*faultnet.Steps) goredis.UniversalClient) conformance.Harness {
	t.Helper()
	var proxies sync.Map // by *Backend
	loadScripts(t, own)
	return conformance.Harness{
		Cases: 550, // all but those on power cuts, which are the server's
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := newProxy(t)
			b := newOn(t, connect(t, p), name, &Options{Buckets: buckets, MaxValue: 8 << 20, Labels: []string{"principal", "state"}}) // small enough for a test to exceed
			proxies.Store(b, p)
			return b
		},
		Server: server,
		Interrupt: drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
			t.Helper()
			c := stepped(through)
			return newOn(t, c, name, &Options{Buckets: 2, Labels: []string{"principal", "state"}}), c.Close
		}),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("Open did not return this backend")
			}
			p.(*proxy).Next(faultnet.LoseAnswer)
		},
		Stall: func(t testing.TB, b driver.ModelExpirySupport) func() {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("Open did not return this backend")
			}
			p.(*proxy).Stall()
			return func() {}
		},
		// A call waits for the look at the store's layout, which the first one makes.
		// Calls also wait for a place in a shared round trip: see lane_test.go.
		Delay: func(t testing.TB, b driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			own := b.(*Backend)
			own.watch = drivertest.Jumps(d)
			own.agreed.Store(false)
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			key := bucketAt(name, bucketOf("a", buckets), buckets, nil).ids
			if err := own.ZAdd(t.Context(), key, goredis.Z{Member: "theirs"}).Err(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { own.Del(context.WithoutCancel(t.Context()), key) })
			return func(t testing.TB) {
				t.Helper()
				if _, err := own.ZScore(t.Context(), key, "theirs").Result(); err != nil {
					t.Fatalf("what another program stored: %v", err)
				}
			}
		},
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			key := bucketAt(name, bucketOf(id, buckets), buckets, nil).records + id
			data, err := own.Get(t.Context(), key).Bytes()
			if err != nil {
				t.Fatal(err)
			}
			// The format has lengths and no checksum: Redis has one over its file.
			return []conformance.Part{{
				Name: "record", Bytes: data, Loose: []string{"revision", "expiry", "labels", "encoding", "value"}, Sized: true,
				Put: func(t testing.TB, data []byte) bool {
					t.Helper()
					if err := own.Set(t.Context(), key, data, 0).Err(); err != nil {
						t.Fatal(err)
					}
					return true
				},
			}}
		},
		Left: func(t testing.TB, name string) int { t.Helper(); return leftIn(t, own, name) },
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			key := bucketAt(name, bucketOf(id, buckets), buckets, nil).records + id
			if err := own.Set(t.Context(), key, data, 0).Err(); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// leftIn counts the keys of a store, and the members of those that are indexes.
func leftIn(t testing.TB, own goredis.UniversalClient, name string) int {
	t.Helper()
	var n atomic.Int64
	count := func(ctx context.Context, c *goredis.Client) error {
		keys := c.Scan(ctx, 0, name+":{*", 1000).Iterator()
		for keys.Next(ctx) {
			if strings.Contains(keys.Val(), "}:w:") && c.PTTL(ctx, keys.Val()).Val() > 0 {
				continue // it goes by itself
			}
			n.Add(1)
			kind, err := c.Type(ctx, keys.Val()).Result()
			if err == nil && kind == "zset" {
				var members int64
				members, err = c.ZCard(ctx, keys.Val()).Result()
				n.Add(members - 1)
			}
			if err != nil {
				return err
			}
		}
		return keys.Err()
	}
	var err error
	switch c := own.(type) {
	case *goredis.ClusterClient:
		err = c.ForEachMaster(t.Context(), count)
	case *goredis.Client:
		err = count(t.Context(), c)
	default:
		t.Fatalf("%T", own)
	}
	if err != nil {
		t.Fatal(err)
	}
	return int(n.Load())
}
