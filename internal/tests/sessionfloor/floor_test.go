package sessionfloor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// values is what the sessions hold: six keys.
var values = map[string]string{"user": "ann", "name": "Ann Example", "theme": "dark", "language": "en", "zone": "Europe/Lisbon", "cart": "apple, pear, plum"}

var (
	user  = session.NewKey[string]("user")
	count = session.NewKey[int]("count")
)

// answer is the body of every handler here.
func answer(w http.ResponseWriter, who string) { _, _ = fmt.Fprintln(w, "hello", who) }

// reader and writer are a program's handlers.
func reader(w http.ResponseWriter, r *http.Request) {
	who, _, err := user.Get(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, who)
}

func writer(w http.ResponseWriter, r *http.Request) {
	if err := count.Update(r.Context(), func(n *int) error { *n++; return nil }); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reader(w, r)
}

// signedIn is the service's handler around next, and the cookie of a session
// with the values.
func signedIn(tb testing.TB, b driver.ModelExpirySupport, next http.HandlerFunc) (http.Handler, string) {
	tb.Helper()
	svc, err := session.New(b, &session.Options{SweptElsewhere: true})
	if err != nil {
		tb.Fatal(err)
	}
	h := sessionhttp.Handler(svc, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login" {
			next(w, r)
			return
		}
		s, _ := session.From(r.Context())
		for k, v := range values {
			if err := session.NewKey[string](k).Set(r.Context(), v); err != nil {
				tb.Error(err)
			}
		}
		if err := s.SignIn(r.Context(), "ann", nil); err != nil {
			tb.Error(err)
		}
	}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/login", nil))
	cookie, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	if cookie == "" {
		tb.Fatal("no cookie")
	}
	return h, cookie
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// serve is a side that sends one request after the other.
func serve(name string, h http.Handler, cookie string) ratio.Side {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	return ratio.Side{Name: name, Do: func(int) error {
		h.ServeHTTP(discard{http.Header{}}, r)
		return nil
	}}
}

// byHand is a handler with a minimal session layer. The hash of the cookie is the
// key of the session, JSON its value. Each request calls get and, if set is not
// nil, set.
func byHand(get func(key string) ([]byte, error), set func(key string, data []byte) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("id")
		if err != nil {
			http.Error(w, "no cookie", http.StatusUnauthorized)
			return
		}
		sum := sha256.Sum256([]byte(c.Value))
		data, err := get(hex.EncodeToString(sum[:]))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var v map[string]string
		if err := json.Unmarshal(data, &v); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if set != nil {
			v["count"] = fmt.Sprint(len(v["count"]) + 1)
			if data, err = json.Marshal(v); err == nil {
				err = set(hex.EncodeToString(sum[:]), data)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		answer(w, v["user"])
	})
}

const handCookie = "id=0123456789012345678901.0123456789012345678901234567890123456789012"

func handKey() string {
	_, token, _ := strings.Cut(handCookie, "=")
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// TestAReadOnlyRequestAllocatesLittle counts what sessions add to a request,
// from cookie to answer.
func TestAReadOnlyRequestAllocatesLittle(t *testing.T) {
	b, err := memory.New(nil, "sessions", nil)
	if err != nil {
		t.Fatal(err)
	}
	h, cookie := signedIn(t, b, reader)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	n := testing.AllocsPerRun(200, func() { h.ServeHTTP(discard{http.Header{}}, r) })
	t.Logf("%v allocations", n)
	if n > 23 {
		t.Errorf("a read-only request makes %v allocations, want 23 at most", n)
	}
}

// spy keeps what was written last.
type spy struct {
	driver.ModelExpirySupport
	wrote driver.Write
}

func (s *spy) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	s.wrote = w
	return s.ModelExpirySupport.Write(ctx, now, w)
}

func BenchmarkFloorMemory(b *testing.B) {
	m, err := memory.New(nil, "sessions", nil)
	if err != nil {
		b.Fatal(err)
	}
	h, cookie := signedIn(b, m, reader)
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, "ann") })
	results, err := ratio.Measure(2000, serve("bare-handler", bare, ""), serve("again", bare, ""), serve("sessions", h, cookie))
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		b.Log(r)
	}
	b.ReportMetric(float64(results[2].PerCall-results[0].PerCall)/1000, "us-over-bare")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkFloorRedis(b *testing.B) {
	o, err := goredis.ParseURL(containers.Redis(b).URL)
	if err != nil {
		b.Fatal(err)
	}
	o.ContextTimeoutEnabled = true // as in a client that a URL opens
	client := goredis.NewClient(o)
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	name := fmt.Sprint("floor-", time.Now().UnixNano())
	backend, err := redis.New(client, name, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = backend.DeleteStorage(ctx) }()

	b.Run("read", func(b *testing.B) {
		data, err := json.Marshal(values)
		if err != nil {
			b.Fatal(err)
		}
		key := name + ":hand:" + handKey()
		if err := client.Set(ctx, key, data, time.Hour).Err(); err != nil {
			b.Fatal(err)
		}
		defer client.Del(ctx, key)
		get := byHand(func(k string) ([]byte, error) { return client.Get(ctx, name+":hand:"+k).Bytes() }, nil)
		h, cookie := signedIn(b, backend, reader)
		ratio.Report(b, 400, serve("one-GET", get, handCookie), serve("again", get, handCookie), serve("sessions", h, cookie))
	})
	// The floor of a write makes the same two driver calls: it reads a record
	// like the session's, and puts it back as the session layer does.
	b.Run("write", func(b *testing.B) {
		spy := &spy{ModelExpirySupport: backend}
		h, cookie := signedIn(b, spy, writer)
		if err := serve("", h, cookie).Do(0); err != nil {
			b.Fatal(err)
		}
		now := func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
		row, same := spy.wrote, spy.wrote
		row.Record.ID, row.Record.Labels = handKey(), spy.wrote.Known.Labels
		if _, err := backend.Write(ctx, now(), driver.Write{Record: row.Record, Cond: driver.IfAny}); err != nil {
			b.Fatal(err)
		}
		life := row.Record.ExpiresAt.Sub(now())
		data, err := json.Marshal(values)
		if err != nil {
			b.Fatal(err)
		}
		both := byHand(func(k string) ([]byte, error) {
			cur, err := backend.Get(ctx, now(), driver.Get{ID: k})
			same.Known = cur
			return data, err
		}, func(k string, _ []byte) error {
			same.Record.ID, same.Record.Revision = k, model.NewRevision()
			if !same.Record.ExpiresAt.IsZero() {
				same.Record.ExpiresAt = now().Add(life)
			}
			_, err := backend.Write(ctx, now(), same)
			return err
		})
		h, cookie = signedIn(b, backend, writer)
		ratio.Report(b, 400, serve("two-driver-calls", both, handCookie), serve("again", both, handCookie), serve("sessions", h, cookie))
	})
}
