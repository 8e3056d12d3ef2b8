package session

import (
	"context"
	"errors"
)

// User returns the id of the principal of the context's session, and false for
// an anonymous session. During an impersonation it is the principal as whom the
// actor acts: Session.Principal names both. It returns ErrNoSession if the
// context has no session, and the store's error if the session could not be
// loaded. So a store that is down never looks like a visitor who is not signed
// in.
func User(ctx context.Context) (id string, ok bool, err error) {
	s, err := Require(ctx)
	if err != nil {
		return "", false, err
	}
	p, err := s.Principal(ctx)
	if errors.Is(err, ErrUnauthenticated) {
		return "", false, nil
	}
	return p.ID, err == nil, err
}
