package redis

import (
	"context"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

func TestClusterConformance(t *testing.T) { conformance.Run(t, clusterHarness(t)) }
func TestClusterSessions(t *testing.T)    { sessions.Run(t, clusterHarness(t)) }

// cases is the number of the suite's cases, all of which run here.
const cases = 437

// harness opens each backend behind a proxy of its own.
func harness(t *testing.T) conformance.Harness {
	t.Helper()
	o := options(t)
	return harnessOf(t, server(t).String(), clientOf(t, o), func(t testing.TB, p *proxy) goredis.UniversalClient {
		return clientOf(t, p.options(o))
	})
}

// clusterHarness does the same on a cluster of three masters.
func clusterHarness(t *testing.T) conformance.Harness {
	t.Helper()
	o := clusterOptions(t)
	return harnessOf(t, containers.RedisCluster(t).String(), clusterOf(t, o), func(t testing.TB, p *proxy) goredis.UniversalClient {
		return clusterOf(t, p.clusterOptions(o))
	})
}

func harnessOf(t testing.TB, server string, own goredis.UniversalClient, connect func(testing.TB, *proxy) goredis.UniversalClient) conformance.Harness {
	t.Helper()
	var proxies sync.Map // by *Backend
	loadScripts(t, own)
	return conformance.Harness{
		Cases: cases,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := newProxy(t)
			b := newOn(t, connect(t, p), name, &Options{MaxValue: 8 << 20, Labels: []string{"principal", "state"}}) // small enough for a test to exceed
			proxies.Store(b, p)
			return b
		},
		Server: server,
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
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			key := newBucket(name, bucketOf("a"), nil).ids
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
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			key := newBucket(name, bucketOf(id), nil).records + id
			if err := own.Set(t.Context(), key, data, 0).Err(); err != nil {
				t.Fatal(err)
			}
		},
	}
}
