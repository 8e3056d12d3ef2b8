package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
)

// result is what one run of the program did.
type result struct {
	code     int
	out, err string
}

// environment are the variables of a run.
type environment map[string]string

// run runs the program in this process.
func run(t *testing.T, env environment, args ...string) result {
	t.Helper()
	return runIn(t.Context(), env, args...)
}

func runIn(ctx context.Context, env environment, args ...string) result {
	var out, errs bytes.Buffer
	code := Main(ctx, &System{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(name string) string { return env[name] }}, args)
	return result{code, out.String(), errs.String()}
}

// want fails the test unless the run ended with the code and printed the texts.
func (r result) want(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Fatalf("printed\n%s%s\nwant %q in it", r.out, r.err, text)
		}
	}
	return r
}

// lines decodes each line of JSON.
func lines[T any](t *testing.T, r result) []T {
	t.Helper()
	var list []T
	for text := range strings.Lines(r.out) {
		var one T
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatalf("%q is no JSON: %v", text, err)
		}
		list = append(list, one)
	}
	return list
}

// cart is the value of the tests' records.
type cart struct {
	Owner string `json:"owner"`
	Goods int    `json:"goods"`
}

func openURL(t testing.TB, url string) driver.ModelExpirySupport {
	t.Helper()
	b, err := backends.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// site makes what a program leaves in the working directory: carts, and sessions
// of ann and ben. It returns the handle of ann's session.
func site(t *testing.T) (handle string) {
	t.Helper()
	t.Chdir(t.TempDir())
	carts, err := expiry.NewStore[cart](openURL(t, "file:data?name=carts&no_sync=true"), &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for id, owner := range map[string]string{"cart-1": "ann", "cart-2": "ann", "cart-3": "ben"} {
		if _, err := carts.Create(t.Context(), id, cart{owner, 3}, &expiry.WriteOptions{Labels: map[string]string{"principal": owner}}); err != nil {
			t.Fatal(err)
		}
	}
	svc, err := session.New(openURL(t, "file:data?name=sessions&no_sync=true"), &session.Options{SweptElsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ben", "ann"} {
		s := svc.Open("")
		if err := s.SignIn(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Persist(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, err := s.Principal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		handle = p.SessionID
	}
	b := openURL(t, "sqlite:"+filepath.Join(".", "app.db")+"?table=carts")
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return handle
}

// expire makes a record expire long ago.
func expire(t *testing.T, url, id string) {
	t.Helper()
	if _, err := openURL(t, url).Touch(t.Context(), now(), driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: time.Unix(1e9, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
}
