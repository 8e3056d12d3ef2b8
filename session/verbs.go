package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// SignInOptions are the extras of a sign-in; nil is all defaults.
type SignInOptions struct {
	// Level says how strong the authentication was, in the program's own
	// numbers. It is kept for the program to read.
	Level int
	// Discard leaves the data of the session before behind. Without it the
	// data of an anonymous session is carried over, and of one of the same
	// principal; that of another principal never is.
	Discard bool
	// Carry names the keys of an anonymous session that are carried over. Nil:
	// all; empty: none.
	Carry []string
	// Idle and Lifetime are this session's own, in place of Policy.Idle and
	// Policy.Absolute: "remember me". Zero: the policy's.
	Idle, Lifetime time.Duration
	// NotAfter ends the session whatever else moves its deadlines: what an
	// identity provider said. Zero: no such limit.
	NotAfter time.Time
	// SID is the identity provider's name for its own session, for
	// DestroyByLabel when that one ends: 1 to 256 bytes of UTF-8, unique among
	// all providers in use. The backend must declare the label "sid".
	SID string
}

// check returns model.ErrInvalid for what no session can have.
func (o *SignInOptions) check(s *Service) error {
	switch {
	case o.Idle < 0, o.Lifetime < 0, tooShort(o.Idle), tooShort(o.Lifetime):
		return model.NewError(model.ErrInvalid, "SignInOptions: a lifetime under a millisecond", nil)
	case !o.NotAfter.IsZero() && !s.now().Before(o.NotAfter):
		return model.NewError(model.ErrInvalid, "SignInOptions: NotAfter is past", nil)
	case o.SID == "":
		return nil
	case !s.store.Describe().HasLabel(sidLabel):
		return model.NewError(model.ErrInvalid, `SignInOptions: SID needs the label "sid" in the backend's Options.Labels`, nil)
	}
	return model.CheckLabelValue(o.SID)
}

// row is the new row of a sign-in, without data.
func (o *SignInOptions) row(principal string) row {
	return row{
		Principal: principal, Level: o.Level, SID: o.SID, Idle: o.Idle.Milliseconds(), Life: o.Lifetime.Milliseconds(),
		NotAfter: instantOf(o.NotAfter.Truncate(time.Millisecond)),
	}
}

// SignIn makes the session the principal's: a new row under a new handle and a
// new token, then the old row is deleted. Both have happened in the store when
// it returns; the client is told with the credential of the next Persist. The
// principal's id has 1 to 256 bytes of UTF-8 without NUL, else
// model.ErrInvalid.
//
// ErrGone: the old session was ended meanwhile, by a sign-out say; the new row
// is deleted again, and the session is anonymous and empty. After any other
// error the session is the one before: ErrLimit where Options.Limit refuses
// another session, ErrImpersonating and ErrDetached where the session may not
// change hands.
//
// It takes three driver calls over an anonymous session, and two more for each
// time that another request changes the old one meanwhile. A limit adds a
// listing, one with Reject before it, and a delete for each session that it
// evicts.
func (s *Session) SignIn(ctx context.Context, principal string, opts *SignInOptions) error {
	var o SignInOptions
	if opts != nil {
		o = *opts
	}
	err := model.CheckLabelValue(principal)
	if err == nil {
		err = o.check(s.svc)
	}
	if err != nil {
		return &model.Error{Op: "session.SignIn", Err: err}
	}
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.ownVerb(); err != nil {
		return err
	}
	if err := s.finishEnded(work); err != nil {
		return err
	}
	o.Discard = o.Discard || !s.carries(principal)
	r := o.row(principal)
	r.Data = s.carried(&o, s.data)
	r.CreatedAt, err = s.svc.room(work, principal, s.handle())
	if err != nil {
		return err
	}
	it, t, err := s.create(work, r)
	if err != nil {
		return err
	}
	if err := s.svc.enforce(work, &it, s.handle()); err != nil {
		return s.undo(work, it.ID, err)
	}
	old := s.handle()
	if s.stored {
		if it, err = s.supersede(work, it, &o); err != nil {
			return s.undo(work, it.ID, err)
		}
	}
	s.mark(func() { s.owns(it, t); s.challenged = false })
	e := eventOf(SignedIn, it.ID, &it.Value)
	e.Previous = old
	s.svc.emit(work, e)
	return nil
}

// ownVerb refuses what only the principal may do, with a client at the other
// end.
func (s *Session) ownVerb() error {
	switch {
	case s.trusted:
		return ErrDetached
	case s.stored && s.item.Value.Actor != nil:
		return ErrImpersonating
	}
	return nil
}

// handle of the stored row, or empty.
func (s *Session) handle() string {
	if !s.stored {
		return ""
	}
	return s.item.ID
}

// carried is the part of the data that a sign-in takes over.
func (s *Session) carried(o *SignInOptions, data values) values {
	switch {
	case o.Discard:
		return nil
	case o.Carry == nil, s.stored && s.item.Value.Principal != "":
		return data
	}
	var out values
	for _, key := range o.Carry {
		if raw := data.get(key); raw != nil {
			out = out.with(key, raw)
		}
	}
	return out
}

// carries reports whether the data may follow to the principal.
func (s *Session) carries(principal string) bool {
	return !s.stored || s.item.Value.Principal == "" || s.item.Value.Principal == principal
}

// supersede deletes the old row at the revision whose data the new one has; on
// a conflict the data is copied afresh. It returns the new row in force.
func (s *Session) supersede(ctx context.Context, it expiry.Item[row], o *SignInOptions) (expiry.Item[row], error) {
	old := s.item
	for attempt := 0; ; attempt++ {
		err := s.svc.store.Delete(ctx, old.ID, &expiry.DeleteOptions{IfMatch: old.Known()})
		if errors.Is(err, model.ErrNotFound) {
			err = ErrGone
		}
		if err == nil {
			s.svc.watch.ended(old.ID)
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return it, err
		}
		if old, err = s.fresh(ctx, old.ID, attempt, expiry.Item[row]{}); err != nil {
			return it, err
		}
		data, err := replay(old.Value.Data, s.ops)
		if err != nil {
			return it, err
		}
		s.svc.conflict(ctx, &old, Merged)
		if data = s.carried(o, data); data.equal(it.Value.Data) {
			continue
		}
		r := it.Value
		r.Data = data
		next, err := s.svc.updateRow(ctx, it.ID, r, &expiry.WriteOptions{IfMatch: it.Known()})
		if err != nil {
			return it, err
		}
		it = next
	}
}

// undo deletes the new row of a sign-in that failed for the given reason. It
// has a time limit of its own: the sign-in's may be what has run out.
func (s *Session) undo(ctx context.Context, id string, reason error) error {
	if errors.Is(reason, ErrGone) {
		s.mark(func() { s.begin(); s.cred = Credential{} })
	}
	ctx, cancel := s.svc.detached(ctx)
	defer cancel()
	if _, err := s.svc.delete(ctx, id, nil); err != nil {
		return errors.Join(reason, fmt.Errorf("session: a sign-in that failed is still stored: %w", err))
	}
	return reason
}

// SignOut ends the session, signed in or not, and with an impersonation that of
// the actor too: its row is deleted from the
// store before it returns, whatever other requests are writing to it, and none
// of them can bring it back. The client is told to forget its token with the
// credential of the next Persist. What is written to the session afterwards
// goes to a new anonymous one.
//
// After an error the row may still be there; Persist tries once more.
func (s *Session) SignOut(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.finishEnded(work); err != nil {
		return err
	}
	s.mark(func() {
		if s.stored {
			s.ended = append(s.ended, endedOf(&s.item, BySignOut))
			if a := s.item.Value.Actor; a != nil {
				s.ended = append(s.ended, ended{handle: a.Handle, principal: a.ID, reason: BySignOut})
			}
		}
		if s.orphan != nil {
			s.ended = append(s.ended, *s.orphan)
		}
		if s.token != nil {
			s.cred = Credential{Action: Clear}
		}
		s.begin()
		s.token = nil
	})
	return s.finishEnded(work)
}

// Rotate gives the session a new secret, without any overlap: from the moment
// it returns the old token is worth nothing. Handle, times and data stay; what
// was changed so far is written with it. The client gets the new token with
// the credential of the next Persist. A session that is not stored has nothing
// to rotate.
//
// ErrGone: the session was ended meanwhile, or another request has replaced
// the secret already.
func (s *Session) Rotate(ctx context.Context) error {
	return s.verb(ctx, &verb{kind: Rotated}, false)
}

// Reauthenticate is for a principal who has just proven once more who they
// are: a Rotate that also makes AuthenticatedAt now, counts the absolute
// deadline from it, and binds the session to the client of today.
// ErrUnauthenticated for an anonymous session.
func (s *Session) Reauthenticate(ctx context.Context) error {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	return s.verb(ctx, &verb{kind: Reauthenticated, deadline: true, edit: func(r *row, now time.Time) {
		r.AuthenticatedAt = instantOf(now)
		r.setAbsolute(s.svc.policy.Absolute)
		if client != (Client{}) {
			r.Client = client
		}
	}}, true)
}

// verb carries out a verb that keeps the row; signedIn says that only a
// principal of its own may ask for it.
func (s *Session) verb(ctx context.Context, v *verb, signedIn bool) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case s.trusted:
		return ErrDetached
	case signedIn && (!s.stored || s.item.Value.Principal == ""):
		return ErrUnauthenticated
	case signedIn && s.item.Value.Actor != nil:
		return ErrImpersonating
	}
	if err := s.flush(work, v); err != nil {
		return err
	}
	if signedIn {
		s.mark(func() { s.challenged = false })
	}
	return nil
}

// DestroyOthers ends all other sessions of this session's principal and
// returns how many, also beside an error: what to offer after a password has
// changed, along with Rotate. ErrUnauthenticated for an anonymous session.
func (s *Session) DestroyOthers(ctx context.Context) (int, error) {
	p, err := s.Principal(ctx)
	if err == nil && p.Actor != "" {
		err = ErrImpersonating
	}
	if err != nil {
		return 0, err
	}
	return s.svc.DestroyOthers(ctx, p.ID, p.SessionID)
}
