package drivertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// EndedContexts calls every method with a context that ended before: it
// returns the context's error alone and sends nothing. Wire may be nil.
func EndedContexts(t *testing.T, b driver.ModelExpirySupport, wire Wire) {
	t.Helper()
	base := SeedCalls(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range append(Writes(base), Reads()...) {
		t.Run(c.Name, func(t *testing.T) {
			if wire != nil {
				wire.Requests()
			}
			err := c.Do(ctx, b)
			if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
				t.Errorf("got %v, want %v alone", err, context.Canceled)
			}
			if wire != nil {
				if sent := wire.Requests(); len(sent) > 0 {
					t.Errorf("sent %v, want nothing", sent)
				}
			}
		})
	}
	Holds(t, b, base.ID, base.Revision, base.ExpiresAt)
}

// RefuseURLs opens each URL: the error is ErrInvalid and does not have the
// secret in its text.
func RefuseURLs(t *testing.T, secret string, urls ...string) {
	t.Helper()
	for _, u := range urls {
		b, err := backends.Open(t.Context(), u)
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v, want %v", u, err, model.ErrInvalid)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the error has the secret in its text: %v", u, err)
		}
		if err == nil {
			_ = b.Close()
		}
	}
}

// OpenURL opens a store by its URL and uses it: it creates the storage, stores
// a record that another store does not have, deletes the storage and closes
// the backend twice. It returns the closed backend.
func OpenURL(t *testing.T, url string, other driver.ModelExpirySupport) driver.ModelExpirySupport {
	t.Helper()
	b, err := backends.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	w := driver.Write{Record: Record("a", "ann", time.Hour), Cond: driver.IfAbsent}
	if _, err := b.Write(t.Context(), Now, w); err != nil {
		t.Error(err)
	}
	Gone(t, other, "a")
	if err := driver.DeleteStorage(t.Context(), b); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = b.Get(t.Context(), Now, driver.Get{ID: "a"})
	WantKind(t, err, model.ErrClosed)
	return b
}

// NewErrors checks the errors of constructors: each is a *model.Error of the
// method New that matches ErrInvalid.
func NewErrors(t *testing.T, backend string, errs map[string]error) {
	t.Helper()
	for name, err := range errs {
		var e *model.Error
		if !errors.As(err, &e) || e.Op != "New" || e.Backend != backend || model.Kind(err) != model.ErrInvalid {
			t.Errorf("%s: %v, want a *model.Error of %s.New that matches %v", name, err, backend, model.ErrInvalid)
		}
	}
}
