package s3

import (
	"regexp"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, false)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, false)) }

// TestConformanceWithConditionalDeletes runs what removes records on a server
// that heeds If-Match on deletes, as AWS does: a proxy before this one.
func TestConformanceWithConditionalDeletes(t *testing.T) {
	groups := regexp.MustCompile(`^(Sweep|Delete|Take|Lost|Concurrency|History|Churn)/`)
	h := harness(t, true)
	ran := 0
	for _, c := range conformance.Cases() {
		if !groups.MatchString(c.Name) || c.Name == "Sweep/RemovesTwoThousand" { // which takes long, and shows nothing more
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := conformance.Check(t.Context(), h, c.Name); err != nil {
				t.Error(err)
			}
		})
	}
	if ran < 60 {
		t.Errorf("%d cases", ran)
	}
	t.Logf("%d cases", ran)
}

// harness opens each backend behind a proxy of its own. A store is a prefix of
// its own.
func harness(t *testing.T, heedDeletes bool) conformance.Harness {
	t.Helper()
	server := serverOf(t)
	own, shared := client(t), bucket(t)
	folder := "tombstones"
	if heedDeletes {
		folder = "deletes"
	}
	return conformance.Harness{
		Cases: 404,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			if heedDeletes {
				p.heedDeletes(t)
			}
			// The shortest grace has strays removed while the suite is at it.
			b, err := New(clientAt(t, p.url, marking), shared, folder+"/"+name, &Options{StrayGrace: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return &lossy{Backend: b}
		},
		Server: server.String(),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			l, ok := b.(*lossy)
			if !ok {
				t.Fatal("a backend that Open did not return")
			}
			l.armed.Store(true)
		},
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			p := placeOf(id)
			if err := putRaw(t.Context(), own, shared, folder+"/"+name+"/"+recordKey(p.name), data); err != nil {
				t.Fatal(err)
			}
		},
	}
}
