// Command counts prints what does not depend on time, for each operation of a
// Store and each request with a session, on the backend in memory: calls of the
// backend, allocations and bytes. It is a program of its own, since the race
// detector of a test changes the last two.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

const calls = 1001 // of an operation

func main() {
	debug.SetGCPercent(-1) // pools keep what they have
	if err := errors.Join(stores(), sessions()); err != nil {
		fmt.Fprintln(os.Stderr, "counts:", err)
		os.Exit(1)
	}
}

// counting is a backend that counts its calls.
type counting struct {
	driver.ModelExpirySupport
	n int
}

func (c *counting) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	c.n++
	return c.ModelExpirySupport.Get(ctx, now, g)
}

func (c *counting) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	c.n++
	return c.ModelExpirySupport.Write(ctx, now, w)
}

func (c *counting) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	c.n++
	return c.ModelExpirySupport.Touch(ctx, now, t)
}

func (c *counting) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	c.n++
	return c.ModelExpirySupport.Delete(ctx, now, d)
}

func open() (*counting, error) {
	b, err := memory.New(nil, "counts", nil)
	if err != nil {
		return nil, err
	}
	return &counting{ModelExpirySupport: b}, nil
}

// count prints a line: the middle one of all calls, since a map that grows takes
// more in some of them, and when it grows depends on its random seed.
func count(b *counting, name string, do func() error) error {
	allocs, bytes := make([]uint64, calls), make([]uint64, calls)
	made := b.n
	var before, after runtime.MemStats
	for i := range calls {
		runtime.ReadMemStats(&before)
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		runtime.ReadMemStats(&after)
		allocs[i], bytes[i] = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	}
	made = b.n - made
	slices.Sort(allocs)
	slices.Sort(bytes)
	fmt.Printf("%-28s %6.2f calls %6d allocs %8d bytes\n", name, float64(made)/calls, allocs[calls/2], bytes[calls/2])
	return nil
}

func stores() error {
	b, err := open()
	if err != nil {
		return err
	}
	ctx := context.Background()
	st, err := expiry.NewStore[[]byte](b, &expiry.StoreOptions{TTL: time.Hour, Codec: expiry.Bytes()})
	if err != nil {
		return err
	}
	value := make([]byte, 200)
	item, err := st.Create(ctx, "there", value, nil)
	if err != nil {
		return err
	}
	return errors.Join(
		count(b, "store get", func() error {
			_, err := st.Get(ctx, "there")
			return err
		}),
		count(b, "store miss", func() error {
			if _, err := st.Get(ctx, "never"); !errors.Is(err, model.ErrNotFound) {
				return fmt.Errorf("a record that was never written: %w", err)
			}
			return nil
		}),
		count(b, "store create, delete", func() error {
			_, err := st.Create(ctx, "new", value, nil)
			return errors.Join(err, st.Delete(ctx, "new", nil))
		}),
		count(b, "store update", func() error {
			item, err = st.Update(ctx, "there", value, nil)
			return err
		}),
		count(b, "store compare-and-set", func() error {
			item, err = st.Update(ctx, "there", value, &expiry.WriteOptions{IfMatch: item.Known()})
			return err
		}),
		count(b, "store touch", func() error {
			_, err := st.Touch(ctx, "there", expiry.After(time.Hour), nil)
			return err
		}),
	)
}

// discard is a ResponseWriter that keeps only headers and status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

func sessions() error {
	b, err := open()
	if err != nil {
		return err
	}
	svc, err := session.New(b, &session.Options{SweptElsewhere: true})
	if err != nil {
		return err
	}
	user, number := session.NewKey[string]("user"), session.NewKey[int]("count")
	h := sessionhttp.Handler(svc, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := session.Require(r.Context())
		switch {
		case err != nil:
		case r.URL.Path == "/in":
			err = errors.Join(user.Set(r.Context(), "ann"), s.SignIn(r.Context(), "ann", nil))
		case r.URL.Path == "/first":
			err = user.Set(r.Context(), "ann")
		case r.URL.Path == "/write":
			err = number.Update(r.Context(), func(n *int) error { *n = 7 - *n; return nil })
		case r.URL.Path == "/renew":
			err = s.Rotate(r.Context())
		case r.URL.Path == "/out":
			err = s.SignOut(r.Context())
		case r.URL.Path == "/read":
			_, _, err = user.Get(r.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}))
	cookie := ""
	send := func(path string) error {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		w := &discard{http.Header{}, http.StatusOK}
		h.ServeHTTP(w, r)
		if set := w.header["Set-Cookie"]; len(set) > 0 {
			cookie, _, _ = strings.Cut(set[0], ";")
		}
		if w.status != http.StatusOK {
			return fmt.Errorf("%s is answered with status %d", path, w.status)
		}
		return nil
	}
	if err := send("/in"); err != nil {
		return err
	}
	request := func(path string) func() error { return func() error { return send(path) } }
	return errors.Join(
		count(b, "request without its session", request("/none")),
		count(b, "request read-only", request("/read")),
		count(b, "request write", request("/write")),
		count(b, "request renew", request("/renew")),
		count(b, "requests first, sign-out", func() error {
			cookie = ""
			return errors.Join(send("/first"), send("/out"))
		}),
		count(b, "requests sign-in, sign-out", func() error {
			cookie = ""
			return errors.Join(send("/in"), send("/out"))
		}),
	)
}
