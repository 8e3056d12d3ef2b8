package s3

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, false)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, false)) }

// TestConformanceWithConditionalDeletes runs the cases that remove records on a
// server that obeys If-Match on deletes, as AWS does: a proxy in front of the
// server of the tests.
func TestConformanceWithConditionalDeletes(t *testing.T) {
	groups := regexp.MustCompile(`^(Sweep|Delete|Take|Lost|Concurrency|History|Churn|Left)/|^Interrupted/(Sweep|Delete|Take).*By(AFailedStep|AKill)`)
	drivertest.RunCases(t, harness(t, true), 60, func(name string) bool {
		return groups.MatchString(name) && name != "Sweep/RemovesTwoThousand" // it takes long and adds nothing here
	})
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
	conns := transport(t)
	var archived sync.Map // paths of objects
	first := startProxy(t)
	if obeyDeletes {
		first.obeyDeletes(t)
	}
	_, passed, err := newBackend(t, clientAt(t, first.URL()), shared, folder+"first", nil).examine(t.Context(), nil, &driverkit.Clock{})
	if err != nil || passed == nil || passed.ConditionalDeletes != obeyDeletes {
		t.Fatalf("the server has %+v, %v", passed, err)
	}
	return conformance.Harness{
		Cases:    557, // all but those on power cuts, which are the server's, and one: see Stepwise
		Stepwise: true,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			if obeyDeletes {
				p.obeyDeletes(t)
			}
			// The shortest grace lets sweeps remove strays during the suite.
			var s stopwatch
			var stalled atomic.Bool
			past := func(o *awss3.Options) {
				o.HTTPClient = &http.Client{Transport: shortcut{archive{conns, &archived}, strings.TrimPrefix(endpoint, "http://"), func(r *http.Request) bool {
					return stalled.Load() || r.Header.Get(loseHeader) != "" || obeyDeletes && r.Method != http.MethodGet
				}}}
			}
			b := newBackend(t, clientAt(t, p.URL(), markLost, past, queues(&s)), shared, folder+name, &Options{StrayGrace: time.Minute, Labels: []string{"principal", "state"}})
			if b.watch = s.read; !strings.Contains(t.Name(), "/Storage/") {
				b.passed = passed
			}
			return drivertest.NewCallLoser(b).StalledBy(func() { stalled.Store(true); p.Stall() })
		},
		// The strays are old at once: see later.
		Interrupt: drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
			t.Helper()
			at := endpoint
			if obeyDeletes {
				at = first.URL()
			}
			stepped := func(o *awss3.Options) { o.HTTPClient = &http.Client{Transport: through.RoundTripper(later{conns})} }
			b := newBackend(t, clientAt(t, at, stepped), shared, folder+name, &Options{Labels: []string{"principal", "state"}})
			if !strings.Contains(t.Name(), "/CreateStorageBy") {
				b.passed = passed
			}
			return b, nil
		}),
		Stall: drivertest.Stall,
		Delay: delay,
		Unreadable: func(_ testing.TB, name, id string) func() {
			path := "/" + shared + "/" + folder + name + "/" + recordKey(placeOf(id).name)
			archived.Store(path, true)
			return func() { archived.Delete(path) }
		},
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
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			b := newBackend(t, own, shared, folder+name, nil)
			key := recordKey(placeOf(id).name)
			o, err := b.get(t.Context(), key, 0, nil)
			if err != nil || o == nil {
				t.Fatal(o, err)
			}
			n, err := headLength(o.body, int64(len(o.body)))
			if err != nil {
				t.Fatal(err)
			}
			head, value := o.body[:n], o.body[n:]
			put := func(head, value []byte) bool {
				putRaw(t, own, shared, b.full(key), slices.Concat(head, value))
				return true
			}
			return []conformance.Part{
				{Name: "head of the object", Bytes: head, Put: func(_ testing.TB, data []byte) bool {
					if len(data) < len(head) {
						return put(data, nil) // the object ends at the cut
					}
					return put(data, value)
				}},
				{Name: "value of the object", Bytes: value, Unjudged: true, Put: func(_ testing.TB, data []byte) bool { return put(head, data) }},
			}
		},
		Left: func(t testing.TB, name string) int {
			t.Helper()
			return leftIn(t, newBackend(t, own, shared, folder+name, nil))
		},
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			putRaw(t, own, shared, folder+name+"/"+recordKey(placeOf(id).name), data)
		},
	}
}

// archive refuses to give some objects, as S3 does when a lifecycle rule has
// archived them.
type archive struct {
	http.RoundTripper
	paths *sync.Map
}

func (a archive) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, is := a.paths.Load(r.URL.Path); is && r.Method == http.MethodGet {
		return (&answer{status: http.StatusForbidden, code: "InvalidObjectState"}).response()
	}
	return a.RoundTripper.RoundTrip(r)
}

// later is a transport to a server whose listings are dated a day later. The other
// answers are not, since clients sign by their dates.
type later struct{ http.RoundTripper }

func (l later) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasPrefix(opOf(r), "LIST") || res.StatusCode != http.StatusOK {
		return res, err
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return nil, err
	}
	res.Header.Set("Date", at.Add(24*time.Hour).Format(http.TimeFormat))
	return res, nil
}

// leftIn counts the objects of a store, but for tombstones and for what a sweep
// removes after the grace. Of a record that bears labels and never expires, the
// label entries that only a listing removes are left out too.
func leftIn(t testing.TB, b *Backend) (n int) {
	t.Helper()
	b.opts.StrayGrace = -time.Hour // all strays are old enough
	_, err := b.DeleteExpired(t.Context(), driver.Sweep{
		Before: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Limit: 1 << 20,
		OnExpire: func(model.Record) error { return errors.New("all records stay") },
	})
	if err != nil && !errors.Is(err, model.ErrCorrupt) {
		t.Fatal(err)
	}
	for key, o := range objectsOf(t, b) {
		if strings.HasPrefix(key, recordsDir+"/") && *o.Size == tombstoneSize || isUnswept(t, b, key) {
			continue
		}
		n++
	}
	return n
}

// isUnswept reports whether the object is the label entry of an earlier record of
// the same id, and only a listing removes it.
func isUnswept(t testing.TB, b *Backend, key string) bool {
	t.Helper()
	if !isLabelKey(key) {
		return false
	}
	p, s, _ := parseEntry(key[strings.LastIndexByte(key, '/')+1:])
	cur, err := b.read(t.Context(), &p, true, nil)
	if err != nil || cur.head == nil {
		return false
	}
	h := cur.head
	return len(h.labels) > 0 && h.expiresAt.IsZero() && !slices.ContainsFunc(h.labels, func(l label) bool { return l.stamp == s })
}
