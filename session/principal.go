package session

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Principal is who a session belongs to.
type Principal struct {
	ID        string
	SessionID string    // the session's handle, new for each sign-in
	IssuedAt  time.Time // of the sign-in or the last reauthentication
	ExpiresAt time.Time // the session ends then, unless it is used before
	Level     int       // of the sign-in, or of an elevation in force
	// ProvedAt is when they last proved who they are: at sign-in, by
	// Reauthenticate or by Elevate.
	ProvedAt time.Time
	// Actor is who acts as the principal by Impersonate. Empty means the
	// principal themselves.
	Actor string
}

// Principal returns who the session belongs to. It returns ErrUnauthenticated
// for an anonymous session, and the store's error if the session could not be
// loaded.
func (s *Session) Principal(ctx context.Context) (Principal, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return Principal{}, err
	}
	if info.Principal == "" {
		return s.principalFor()
	}
	return Principal{
		ID: info.Principal, SessionID: info.Handle, Level: info.Level,
		IssuedAt: info.AuthenticatedAt, ExpiresAt: info.ExpiresAt(),
		ProvedAt: info.ProvedAt, Actor: info.Actor,
	}, nil
}

// Info returns what the store has of the session. It returns the zero Info,
// which has no handle, if the session is not stored.
func (s *Session) Info(ctx context.Context) (Info, error) {
	if err := s.ensure(ctx); err != nil {
		return Info{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.stored() {
		return Info{}, nil
	}
	return infoOf(&s.item, s.svc.now()), nil
}

// RequireRecent checks how well the principal has proved who they are. Call it
// before something that matters. It returns nil if they did so within the given
// time, and at the given level at least. Zero means at any time. A negative time
// is model.ErrInvalid. A proof that is further in the future than that, because of
// a clock that was wrong, does not count either.
//
// Else it returns ErrUnauthenticated for an anonymous session, ErrImpersonating
// during an impersonation, or ErrReauthenticate. A session that the Binder has
// challenged is also ErrReauthenticate. It returns the store's error if the
// session could not be loaded.
func (s *Session) RequireRecent(ctx context.Context, within time.Duration, level int) error {
	if within < 0 {
		return &model.Error{Op: "session.RequireRecent", Err: model.NewError(model.ErrInvalid, "the time is negative; zero means at any time", nil)}
	}
	p, err := s.Principal(ctx)
	if err != nil {
		return err
	}
	switch {
	case p.Actor != "":
		return ErrImpersonating
	case s.Challenged(), p.Level < level, within > 0 && s.svc.now().Sub(p.ProvedAt).Abs() > within:
		return ErrReauthenticate
	}
	return nil
}
