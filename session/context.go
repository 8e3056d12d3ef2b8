package session

import "context"

// contextKey finds the session that was added last, and serviceKey that of a
// service.
type (
	contextKey struct{}
	serviceKey struct{ svc *Service }
)

// sessionContext answers both keys with one allocation.
type sessionContext struct {
	context.Context //nolint:containedctx // this is a context
	s               *Session
}

func (c *sessionContext) Value(key any) any {
	switch k := key.(type) {
	case contextKey:
		return c.s
	case serviceKey:
		if k.svc == c.s.svc {
			return c.s
		}
	}
	return c.Context.Value(key)
}

// From returns the service's session in the context. It returns false if the
// context has none. It serves programs with several services, such as a shop and
// its back office.
func (s *Service) From(ctx context.Context) (*Session, bool) {
	found, ok := ctx.Value(serviceKey{s}).(*Session)
	return found, ok
}

// In returns the key for the sessions of one service. Its methods take that
// service's session from the context, and ErrNoSession means that there is none.
// It serves programs with several services.
func (k Key[T]) In(svc *Service) Key[T] {
	k.svc = svc
	return k
}

// Presented reports whether text is the token that opened the session, of those
// that OpenAny got. A transport answers the way that it came. It is false if none
// did, and before the session is loaded.
func (s *Session) Presented(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened != nil && s.opened.Text() == text
}
