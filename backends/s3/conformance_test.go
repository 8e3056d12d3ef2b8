package s3

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, false)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, false)) }

// TestConformanceWithConditionalDeletes runs the cases that remove records on a
// server that obeys If-Match on deletes, as AWS does: a proxy in front of the
// server of the tests.
func TestConformanceWithConditionalDeletes(t *testing.T) {
	groups := regexp.MustCompile(`^(Sweep|Delete|Take|Lost|Concurrency|History|Churn)/`)
	h := harness(t, true)
	ran := 0
	for _, c := range conformance.Cases() {
		if !groups.MatchString(c.Name) || c.Name == "Sweep/RemovesTwoThousand" { // it takes long and adds nothing here
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
		t.Errorf("%d cases, want at least 60", ran)
	}
	t.Logf("%d cases", ran)
}

// harness opens each backend behind a proxy of its own.
func harness(t *testing.T, obeyDeletes bool) conformance.Harness {
	t.Helper()
	server := serverOf(t)
	own, shared := client(t), bucket(t)
	folder := "tombstones/"
	if obeyDeletes {
		folder = "deletes/"
	}
	return conformance.Harness{
		Cases: 428,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			if obeyDeletes {
				p.obeyDeletes(t)
			}
			// The shortest grace lets sweeps remove strays during the suite.
			var s stopwatch
			b := newBackend(t, clientAt(t, p.URL(), markLost, queues(&s)), shared, folder+name, &Options{StrayGrace: time.Minute, Labels: []string{"principal", "state"}})
			b.watch = s.read
			return drivertest.NewCallLoser(b).StalledBy(p.Stall)
		},
		Stall: drivertest.Stall,
		Delay: delay,
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			b := newBackend(t, own, shared, folder+name, nil)
			const key = "2026/report.csv"
			putObject(t, b, key, []byte("1;2;3"))
			t.Cleanup(func() { _ = b.deleteMany(context.WithoutCancel(t.Context()), []string{key}) })
			return func(t testing.TB) {
				t.Helper()
				if o, err := b.get(t.Context(), key, 0, nil); err != nil || o == nil || string(o.body) != "1;2;3" {
					t.Fatalf("another program's object: %v, %v", o, err)
				}
			}
		},
		Server:   server.String(),
		LoseNext: drivertest.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			putRaw(t, own, shared, folder+name+"/"+recordKey(placeOf(id).name), data)
		},
	}
}
