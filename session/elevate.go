package session

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Elevate is for a principal who has just proven more of who they are, by a
// second factor say: a Rotate after which the level is at least the given one
// for so long, and then what it was. ErrUnauthenticated for an anonymous
// session, ErrImpersonating for one under which somebody else acts;
// model.ErrInvalid for a level or a time that is not positive.
func (s *Session) Elevate(ctx context.Context, level int, ttl time.Duration) error {
	if level <= 0 || ttl < time.Millisecond {
		return &model.Error{Op: "session.Elevate", Err: model.NewError(model.ErrInvalid, "a level or a time that is not positive", nil)}
	}
	return s.verb(ctx, &verb{kind: Elevated, edit: func(r *row, now time.Time) {
		r.Elevated = &elevation{Level: level, At: instantOf(now), Until: instantOf(now.Add(ttl))}
	}}, true)
}

// RequireRecent returns nil where the principal proved who they are within the
// time (zero: at any time) and at that level at least: what to ask before
// something that matters. Else ErrUnauthenticated; ErrReauthenticate, also for a
// session that the Binder has challenged; ErrImpersonating where somebody acts
// as the principal; or the store's error.
func (s *Session) RequireRecent(ctx context.Context, within time.Duration, level int) error {
	p, err := s.Principal(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	challenged := s.challenged
	s.mu.Unlock()
	switch {
	case p.Actor != "":
		return ErrImpersonating
	case challenged, p.Level < level, within > 0 && s.svc.now().Sub(p.ProvedAt) > within:
		return ErrReauthenticate
	}
	return nil
}

// Challenged reports whether the Binder wants the principal to prove once more
// who they are.
func (s *Session) Challenged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.challenged
}
