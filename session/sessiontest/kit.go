package sessiontest

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
)

// Kit is a service on a store in memory. Its clock moves when told, and its
// backend counts calls and fails them when told.
type Kit struct {
	Clock   *Clock
	Backend *Backend
	Service *session.Service
}

// New returns a Kit with the options, but with a Clock of its own. Nil means all
// defaults. Without a Logger nothing is logged. New ends the test if the options
// are refused. It closes the service when the test ends.
func New(t testing.TB, opts *session.Options) *Kit {
	t.Helper()
	var o session.Options
	if opts != nil {
		o = *opts
	}
	raw, err := memory.New(memory.NewSpace(), "sessiontest", &memory.Options{Labels: []string{"principal", "sid"}})
	if err != nil {
		t.Fatalf("sessiontest: %v", err)
	}
	k := &Kit{Clock: NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)), Backend: Wrap(raw)}
	o.Clock = k.Clock
	o.SweptElsewhere = true
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if k.Service, err = session.New(k.Backend, &o); err != nil {
		t.Fatalf("sessiontest: %v", err)
	}
	t.Cleanup(func() { _ = k.Service.Close() })
	return k
}

// Option sets up a session: see As and With.
type Option func(ctx context.Context, s *session.Session) error

// As signs the session in.
func As(principal string) Option {
	return func(ctx context.Context, s *session.Session) error { return s.SignIn(ctx, principal, nil) }
}

// With sets a value of the session.
func With[T any](key session.Key[T], v T) Option {
	return func(ctx context.Context, _ *session.Session) error { return key.Set(ctx, v) }
}

// Request returns the request with a session in its context, for handlers that
// are not wrapped by sessionhttp. The session has a store of its own. Request
// ends the test if an option fails.
func Request(t testing.TB, r *http.Request, opts ...Option) *http.Request {
	t.Helper()
	return New(t, nil).Request(t, r, opts...)
}

// Request is like the function Request, with a session in the Kit's store.
func (k *Kit) Request(t testing.TB, r *http.Request, opts ...Option) *http.Request {
	t.Helper()
	s := k.Service.Open(k.Token(t, opts...))
	return r.WithContext(session.NewContext(r.Context(), s))
}

// Token returns the token of a new session in the Kit's store, for a cookie or a
// header. It is empty if no option stores anything. Token ends the test if an
// option fails.
func (k *Kit) Token(t testing.TB, opts ...Option) string {
	t.Helper()
	s := k.Service.Open("")
	ctx := session.NewContext(context.WithoutCancel(t.Context()), s)
	for _, set := range opts {
		if err := set(ctx, s); err != nil {
			t.Fatalf("sessiontest: %v", err)
		}
	}
	c, err := s.Commit(ctx)
	if err != nil {
		t.Fatalf("sessiontest: %v", err)
	}
	return c.Token()
}
