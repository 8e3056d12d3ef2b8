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

// SignIn is Session.SignIn on the session of the context. It returns ErrNoSession
// if the context has none, and the store's error if it could not be loaded.
func SignIn(ctx context.Context, principal string, opts *SignInOptions) error {
	s, err := Require(ctx)
	if err != nil {
		return err
	}
	return s.SignIn(ctx, principal, opts)
}

// SignOut is Session.SignOut on the session of the context. It returns
// ErrNoSession if the context has none, and the store's error if it could not be
// loaded.
func SignOut(ctx context.Context) error {
	s, err := Require(ctx)
	if err != nil {
		return err
	}
	return s.SignOut(ctx)
}
