package session

import "context"

type contextKey struct{}

// NewContext returns a context with the session, for From and the typed keys.
func NewContext(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// From returns the context's session. It returns false if the context has none.
func From(ctx context.Context) (*Session, bool) {
	s, ok := ctx.Value(contextKey{}).(*Session)
	return s, ok && s != nil
}

// Require returns the context's session. It returns ErrNoSession if the context
// has none. It never panics.
func Require(ctx context.Context) (*Session, error) {
	s, ok := From(ctx)
	if !ok {
		return nil, ErrNoSession
	}
	return s, nil
}
