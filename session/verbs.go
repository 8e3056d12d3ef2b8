package session

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// SignOut ends the session, signed in or not, and every other one that the
// client's tokens open. During an impersonation it ends the actor's session too.
// When it returns, no token opens them, even if other requests are writing to
// them, and nothing can bring them back: a marker of a few bytes is left for
// Policy.Overlap. The client is told to forget its token with the credential of
// the next Persist. What is written afterwards goes to a new anonymous session.
//
// It asks neither NotBefore nor the Binder. After an error the session may still
// exist. Persist tries again.
func (s *Session) SignOut(ctx context.Context) error {
	work, done, err := s.changing(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	if err := s.finishEnded(work); err != nil {
		return err
	}
	s.locked(func() {
		unreadable := s.why == WhyUnreadable && len(s.owned) == 0
		if s.identity != nil && !s.state.stored() && (s.closed == nil || unreadable) {
			s.ended = append(s.ended, ended{handle: s.brought[0].Handle, principal: s.identity.Principal, reason: ReasonDestroyed, absent: !unreadable})
		}
		if s.state.stored() {
			s.ended = append(s.ended, endedOf(&s.item, s.leaves()))
		}
		for _, e := range s.owned {
			if s.identity != nil { // of its own row alone, which cannot be read
				e.reason = ReasonDestroyed
			}
			s.ended = append(s.ended, e)
		}
		if s.sent || s.token != nil {
			s.cred = Credential{Action: ActionClear}
		}
		s.becomeAnonymous()
		if s.identity != nil {
			s.becomeGone(WhyEnded)
			return
		}
		s.brought, s.sent = nil, false
	})
	return s.finishEnded(work)
}

// leaves returns the reason that a sign-out leaves in the row. That of an
// identity's session is not brief: its client will come back with the same one. A
// view of such a session knows it by the row, which no secret opens.
func (s *Session) leaves() Reason {
	if s.identity != nil || len(s.item.Value.Hash) == 0 {
		return ReasonDestroyed
	}
	return ReasonSignOut
}

// Rotate gives the session a new secret without any overlap: when it returns,
// the old token opens nothing. For Policy.Overlap, a request that still brings it
// is known to be late: it is anonymous, may write nothing and gets no token. Handle, times and data stay. Pending changes are
// written too. The client gets the new token with the credential of the next
// Persist. Rotate does nothing if the session is not stored.
//
// It returns ErrGone if the session was ended meanwhile, or if another request
// has already replaced the secret, also before this one was loaded.
func (s *Session) Rotate(ctx context.Context) error {
	return s.verb(ctx, &verb{kind: EventRotated})
}

// Reauthenticate is for a principal who has just proved again who they are. It
// rotates the secret, sets AuthenticatedAt to now, counts the absolute deadline
// from now, and binds the session to the current client. It returns
// ErrUnauthenticated for an anonymous session, and ErrNotBefore if
// Options.NotBefore does not accept an authentication of this moment.
func (s *Session) Reauthenticate(ctx context.Context) error {
	s.mu.Lock()
	client, claimed := row.Client(s.client), s.claimed
	s.mu.Unlock()
	return s.verb(ctx, &verb{kind: EventReauthenticated, signedIn: true, proves: true, edit: edit{deadline: true, apply: func(r *row.Row, now time.Time) {
		r.AuthenticatedAt = row.InstantOf(now)
		r.SetAbsolute(s.svc.policy.Absolute)
		if claimed {
			r.Client = client
		}
	}}})
}

// Elevate is for a principal who has just proved more, for example with a second
// factor. It rotates the secret and raises the level to at least level for ttl. A
// higher elevation that is in force stays so until its end. It returns ErrUnauthenticated for an anonymous session, and ErrImpersonating
// during an impersonation. It returns model.ErrInvalid for a level that is not
// positive, or a ttl under a millisecond.
func (s *Session) Elevate(ctx context.Context, level int, ttl time.Duration) error {
	if level <= 0 || ttl < time.Millisecond {
		return &model.Error{Op: "session.Elevate", Err: model.NewError(model.ErrInvalid, "the level must be positive and the time at least a millisecond", nil)}
	}
	return s.verb(ctx, &verb{kind: EventElevated, signedIn: true, edit: edit{apply: func(r *row.Row, now time.Time) {
		r.Elevate(row.Elevation{Level: level, At: row.InstantOf(now), Until: row.InstantOf(now.Add(ttl))}, now)
	}}})
}

// verb carries out a verb that keeps the row.
func (s *Session) verb(ctx context.Context, v *verb) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case s.detached:
		return ErrDetached
	case v.signedIn && (!s.state.stored() || s.item.Value.Principal == ""):
		return ErrUnauthenticated
	case v.signedIn && s.item.Value.Actor != nil:
		return ErrImpersonating
	case !s.state.stored() && s.closed != nil:
		return s.closed // the client's row is another one by now, or has ended
	}
	if v.proves {
		if err := s.svc.mayAuthenticate(work, s.item.Value); err != nil {
			return err
		}
	}
	return s.flush(work, v)
}

// SetIdle gives this session its own idle limit from the next Persist on. D is
// at least a millisecond, or SetIdle returns model.ErrInvalid. If it is shorter
// than the policy's limit, a use moves the deadline at most once in a tenth of
// d. SetIdle never moves the absolute deadline.
func (s *Session) SetIdle(ctx context.Context, d time.Duration) error {
	return s.lifetime(ctx, "session.SetIdle", d, func(r *row.Row, _ time.Time) { r.Idle = d.Milliseconds() })
}

// SetLifetime gives this session its own absolute limit from the next Persist
// on, in place of the policy's. It counts from the sign-in, or from the creation
// of an anonymous session. A limit that is already over ends the session.
// SignInOptions.NotAfter still applies. D is at least a millisecond, or
// SetLifetime returns model.ErrInvalid.
func (s *Session) SetLifetime(ctx context.Context, d time.Duration) error {
	return s.lifetime(ctx, "session.SetLifetime", d, func(r *row.Row, _ time.Time) {
		r.Life = d.Milliseconds()
		r.SetAbsolute(0)
	})
}

// SetNotAfter replaces SignInOptions.NotAfter from the next Persist on, for
// example after the identity provider has renewed its session. It moves the
// absolute deadline, to t at the latest. The zero time means no such limit.
func (s *Session) SetNotAfter(ctx context.Context, t time.Time) error {
	if !t.IsZero() && !s.svc.now().Before(t) {
		return &model.Error{Op: "session.SetNotAfter", Err: model.NewError(model.ErrInvalid, "the time is past", nil)}
	}
	return s.signedInEdit(ctx, edit{deadline: true, apply: func(r *row.Row, _ time.Time) {
		r.NotAfter = row.InstantOf(t.Truncate(time.Millisecond))
		r.SetAbsolute(s.svc.policy.Absolute)
	}})
}

// SetSID replaces SignInOptions.SID from the next Persist on, for an identity
// provider that begins another session for the same sign-in. Empty means none.
func (s *Session) SetSID(ctx context.Context, sid string) error {
	o := SignInOptions{SID: sid}
	if err := o.check(s.svc); err != nil {
		return &model.Error{Op: "session.SetSID", Err: err}
	}
	return s.signedInEdit(ctx, edit{apply: func(r *row.Row, _ time.Time) { r.SID = sid }})
}

// signedInEdit keeps a change of the row of a signed-in session for the next
// Persist.
func (s *Session) signedInEdit(ctx context.Context, e edit) error {
	if err := s.write(ctx); err != nil {
		return err
	}
	defer s.release()
	switch {
	case !s.state.stored() && s.identity != nil: // for its first value
	case !s.state.stored() || s.item.Value.Principal == "":
		return ErrUnauthenticated
	case s.item.Value.Actor != nil:
		return ErrImpersonating
	}
	s.locked(func() { s.applyEdit(e) })
	return nil
}

func (s *Session) lifetime(ctx context.Context, op string, d time.Duration, apply func(*row.Row, time.Time)) error {
	if d < time.Millisecond {
		return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the lifetime is shorter than a millisecond", nil)}
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	defer s.release()
	s.locked(func() { s.applyEdit(edit{deadline: true, apply: apply}) })
	return nil
}
