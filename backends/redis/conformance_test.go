package redis

import (
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

func TestClusterConformance(t *testing.T) { conformance.Run(t, clusterHarness(t)) }
func TestClusterSessions(t *testing.T)    { sessions.Run(t, clusterHarness(t)) }

// cases is how many cases of the suite run here: all.
const cases = 404

// harness opens each backend behind a proxy of its own.
func harness(t *testing.T) conformance.Harness {
	t.Helper()
	o := options(t)
	return harnessOf(t, containers.Redis(t).String(), clientOf(t, o), func(t testing.TB) (goredis.UniversalClient, *proxy) {
		p := startProxy(t, o.Addr)
		return clientOf(t, p.through(o)), p
	})
}

// clusterHarness is the same before three masters.
func clusterHarness(t *testing.T) conformance.Harness {
	t.Helper()
	o := clusterOptions(t)
	return harnessOf(t, containers.RedisCluster(t).String(), clusterOf(t, o), func(t testing.TB) (goredis.UniversalClient, *proxy) {
		p := newProxy(t)
		return clusterOf(t, p.throughCluster(o)), p
	})
}

func harnessOf(t testing.TB, server string, own goredis.UniversalClient, connect func(t testing.TB) (goredis.UniversalClient, *proxy)) conformance.Harness {
	t.Helper()
	var proxies sync.Map // of *Backend
	loadScripts(t, own)
	return conformance.Harness{
		Cases: cases,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			c, p := connect(t)
			b, err := New(c, name, &Options{MaxValue: 8 << 20}) // a limit in reach of a test
			if err != nil {
				t.Fatal(err)
			}
			proxies.Store(b, p)
			return b
		},
		Server: server,
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("a backend that Open did not return")
			}
			p.(*proxy).play(loseAnswer)
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
