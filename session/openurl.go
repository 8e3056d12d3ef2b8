package session

import (
	"context"

	"github.com/sojourn-go/sojourn/backends"
)

// OpenURL returns a Service on a backend of its own: it opens the backend at the URL,
// as backends.Open does, and creates its storage. Expired sessions are removed in the
// background, as by Run. Close ends that, and closes the backend. The scheme's
// package must be imported, for example
//
//	import _ "github.com/sojourn-go/sojourn/backends/redis"
//
//	svc, err := session.OpenURL(ctx, "redis://127.0.0.1:6379/0?name=sessions", nil)
//
// It returns the errors of backends.Open, New and CreateStorage. The context is
// that of these calls, and does not end the Service.
func OpenURL(ctx context.Context, url string, opts *Options) (*Service, error) {
	backend, err := backends.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	s, err := New(backend, opts)
	if err == nil {
		err = s.CreateStorage(ctx)
	}
	if err != nil {
		_ = backend.Close()
		return nil, err
	}
	s.backend = backend
	s.swept.Store(true)
	s.runs.Go(func() { _ = s.Run(context.WithoutCancel(ctx)) }) // until Close
	return s, nil
}
