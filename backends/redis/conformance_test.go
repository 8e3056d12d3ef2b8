package redis

import (
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend behind a proxy of its own.
func harness(t *testing.T) conformance.Harness {
	t.Helper()
	o := options(t)
	own := clientOf(t, o)
	var proxies sync.Map // of *Backend
	return conformance.Harness{
		Cases: 258,
		Open: func(t testing.TB, name string) expiry.ModelExpirySupport {
			p := startProxy(t, o.Addr)
			b, err := New(clientOf(t, p.through(o)), name, &Options{MaxValue: 8 << 20}) // a limit in reach of a test
			if err != nil {
				t.Fatal(err)
			}
			proxies.Store(b, p)
			return b
		},
		Server: containers.Redis(t).String(),
		LoseNext: func(t testing.TB, b expiry.ModelExpirySupport) {
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
