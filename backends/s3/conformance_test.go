package s3

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

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

// shortcut sends requests past their proxy, with the host that the client has
// signed, unless the proxy has something to do with them.
type shortcut struct {
	http.RoundTripper
	server  string
	proxied func(*http.Request) bool
}

func (s shortcut) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.proxied(r) {
		r = r.Clone(r.Context())
		r.Host, r.URL.Host = r.URL.Host, s.server
	}
	return s.RoundTripper.RoundTrip(r)
}

// harness opens each backend behind a proxy of its own. The backends share their
// connections, and what one test of the server has found: only the cases about
// storage test it again.
func harness(t *testing.T, obeyDeletes bool) conformance.Harness {
	t.Helper()
	server := serverOf(t)
	own, shared := client(t), bucket(t)
	endpoint, _, _ := serverAt(t)
	folder := "tombstones/"
	if obeyDeletes {
		folder = "deletes/"
	}
	conns := http.DefaultTransport.(*http.Transport).Clone()
	conns.MaxIdleConns, conns.MaxIdleConnsPerHost = 0, 256
	t.Cleanup(conns.CloseIdleConnections)
	first := startProxy(t)
	if obeyDeletes {
		first.obeyDeletes(t)
	}
	_, passed, err := newBackend(t, clientAt(t, first.URL()), shared, folder+"first", nil).examine(t.Context(), nil)
	if err != nil || passed == nil || passed.ConditionalDeletes != obeyDeletes {
		t.Fatalf("the server has %+v, %v", passed, err)
	}
	return conformance.Harness{
		Cases: 438,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			if obeyDeletes {
				p.obeyDeletes(t)
			}
			// The shortest grace lets sweeps remove strays during the suite.
			var s stopwatch
			var stalled atomic.Bool
			past := func(o *awss3.Options) {
				o.HTTPClient = &http.Client{Transport: shortcut{conns, strings.TrimPrefix(endpoint, "http://"), func(r *http.Request) bool {
					return stalled.Load() || r.Header.Get(loseHeader) != "" || obeyDeletes && r.Method != http.MethodGet
				}}}
			}
			b := newBackend(t, clientAt(t, p.URL(), markLost, past, queues(&s)), shared, folder+name, &Options{StrayGrace: time.Minute, Labels: []string{"principal", "state"}})
			if b.watch = s.read; !strings.Contains(t.Name(), "/Storage/") {
				b.passed = passed
			}
			return drivertest.NewCallLoser(b).StalledBy(func() { stalled.Store(true); p.Stall() })
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
