package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// maxReason is the maximum length of an impersonation's reason in bytes.
const maxReason = 256

// Impersonate lets the session's principal, the actor, act as the target. It
// creates an empty session of the target that names the actor in lists and
// events. The program decides before whether the actor may do this. The reason
// has 1 to 256 bytes and is stored.
//
// The impersonation ends after Policy.Impersonation or with the actor's own
// session, whichever comes first. Meanwhile no secret opens the actor's session,
// and its detached views stay open. SignIn, Reauthenticate, Elevate,
// DestroyOthers and another Impersonate return ErrImpersonating. SignOut ends
// both sessions. So does what else ends the impersonation before its time: a
// Destroy method, the Binder, OnReuse. Only EndImpersonation gives the actor's
// session back. After NotBefore of the target, or when the impersonation has
// expired, nothing opens the actor's session, and it expires.
//
// A load checks the actor's session, and a write does not. So a request that
// loaded the impersonation before the actor's session ended elsewhere can still
// write to it.
//
// The client keeps the token as long as the actor's: see SignInOptions.Persistence.
//
// It returns ErrUnauthenticated for an anonymous session, ErrNotBefore if
// Options.NotBefore does not accept the target now, and ErrGone if the
// session was ended meanwhile. It returns model.ErrInvalid for an invalid
// reason, and for a target that is not a principal's id or is the actor. It
// makes three calls of the store, with the load, and each later load makes one
// more.
func (s *Session) Impersonate(ctx context.Context, target, reason string) error {
	err := checkPrincipal(target)
	if err == nil && (reason == "" || len(reason) > maxReason || !utf8.ValidString(reason)) {
		err = model.NewError(model.ErrInvalid, "the reason must have 1 to 256 bytes of UTF-8", nil)
	}
	if err != nil {
		return &model.Error{Op: "session.Impersonate", Err: err}
	}
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.handsOver(); err != nil {
		return err
	}
	if !s.state.stored() || s.item.Value.Principal == "" {
		return ErrUnauthenticated
	}
	if err := s.finishEnded(work); err != nil { // what a sign-in is to take over goes to this row
		return err
	}
	if err := s.undoubted(work); err != nil {
		return err
	}
	own := s.item.Value
	if own.Principal == target {
		return &model.Error{Op: "session.Impersonate", Err: model.NewError(model.ErrInvalid, "the target is the principal", nil)}
	}
	if err := s.svc.mayAuthenticate(work, row.Row{Principal: target}); err != nil { // nothing would serve it, and the actor's session is put aside
		return err
	}
	until := row.InstantOf(s.svc.now().Add(s.svc.policy.Impersonation))
	if own.Absolute != 0 && own.Absolute < until {
		until = own.Absolute
	}
	it, t, err := s.create(work, row.Row{
		Principal: target, NotAfter: until, Persistence: own.Persistence,
		Actor: &row.Actor{ID: own.Principal, Handle: s.item.ID, Reason: reason},
	})
	if err != nil {
		return err
	}
	lost := s.park(work, until, it.ID)
	if lost != nil && !errors.Is(lost, model.ErrUnknown) {
		return s.undo(work, it.ID, lost)
	}
	old := s.item.ID
	s.locked(func() { s.issue(it, t) })
	e := eventOf(EventImpersonated, it.ID, &it.Value)
	e.Previous = old
	s.svc.emit(work, e)
	return lost
}

// park writes the actor's row, with its pending changes, so that no secret opens
// it during the impersonation with the handle. It keeps the row alive until the
// given time. With model.ErrUnknown nobody
// can tell whether a secret still does.
func (s *Session) park(ctx context.Context, until row.Instant, handle string) error {
	base := s.item
	for attempt := 0; ; attempt++ {
		// A client that has lost the session by now must not get it back by
		// EndImpersonation.
		if !s.match(&base.Value, s.svc.now()).Opens() {
			return &goneError{WhyReplaced}
		}
		data, err := replay(base.Value.Data, s.ops)
		if err != nil {
			return err
		}
		r, now := base.Value, s.svc.now()
		r.Data, r.WrittenAt, r.RotatedAt = data, row.InstantOf(now), row.InstantOf(now)
		for _, edit := range s.edits {
			edit.apply(&r, now)
		}
		s.svc.retire(&r, &base.Value, now)
		r.Hash, r.HashKey = parkedBy(handle), ""
		r.Parked = until
		at := expiry.Keep()
		if until.Time().After(base.ExpiresAt) {
			at = expiry.At(until.Time())
		}
		winner, err := s.svc.updateSettled(ctx, &base, r, at)
		if errors.Is(err, model.ErrNotFound) {
			err = gone(nil)
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return err
		}
		if base, err = s.svc.reread(ctx, base.ID, attempt, winner); err != nil {
			return err
		}
	}
}

// parkedBy returns what stands in place of a secret's hash during an
// impersonation, so that no other one can end it. No secret has this hash, since
// secrets are shorter.
func parkedBy(handle string) []byte {
	h := sha256.Sum256([]byte("sojourn session parked by the impersonation " + handle))
	return h[:]
}

// isParkedBy reports whether the impersonation with the handle has parked the row.
func isParkedBy(r *row.Row, handle string) bool {
	return r.Parked != 0 && bytes.Equal(r.Hash, parkedBy(handle))
}

// EndImpersonation ends the impersonation. The session is the actor's own again,
// under a new token. It returns ErrUnauthenticated without an impersonation. It
// returns ErrGone if the impersonation or the actor's session was ended
// meanwhile, also by another EndImpersonation, as after a double click. Then the
// session is anonymous, and what the client has stays as it is.
func (s *Session) EndImpersonation(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case s.detached:
		return ErrDetached
	case !s.state.stored() || s.item.Value.Actor == nil:
		return ErrUnauthenticated
	}
	acting := s.item
	if s.over == nil || s.over.handle != acting.ID { // it can be that of an earlier impersonation
		e := endedOf(&acting, ReasonImpersonationEnded)
		s.locked(func() { s.over = &e })
	}
	gone := s.over
	own, t, did, err := s.svc.unpark(work, &acting, gone)
	if err != nil {
		if errors.Is(err, ErrGone) {
			s.locked(func() { s.becomeGone(whyGone(err)); s.cred = Credential{} })
		}
		return err
	}
	if !did {
		did, err = s.svc.remove(work, gone)
	}
	if err == nil && !did { // another one has ended it, and gives the client a token
		s.locked(func() { s.becomeGone(WhyReplaced); s.cred = Credential{} })
		return ErrGone
	}
	s.locked(func() {
		s.issue(own, t)
		s.becomeProved()
		if err != nil {
			s.ended = append(s.ended, *gone)
		}
	})
	e := eventOf(EventImpersonationEnded, own.ID, &own.Value)
	e.Previous, e.Actor = acting.ID, acting.Value.Actor.ID
	s.svc.emit(work, e)
	return err
}

// unpark gives the actor's row a new secret. The impersonation is still there
// then, so that a failure leaves the client a way back. Of two calls at the same
// time, the one whose client is given a secret is the one that ends the
// impersonation. Did says that this call has done so already.
func (s *Service) unpark(ctx context.Context, acting *item, over *ended) (own item, t *row.Token, did bool, err error) {
	a := acting.Value.Actor
	for attempt := 0; ; attempt++ {
		base, err := s.reread(ctx, a.Handle, attempt, item{})
		if err == nil && base.Value.Principal != a.ID {
			err = gone(nil)
		}
		if errors.Is(err, ErrGone) {
			_, endErr := s.remove(ctx, over)
			return base, nil, did, errors.Join(err, endErr)
		}
		if err != nil {
			return base, nil, did, err
		}
		if !isParkedBy(&base.Value, acting.ID) && !did {
			// Another call has come first, or the answer to one was lost. The row
			// may be that of another impersonation by now.
			if did, err = s.remove(ctx, over); err == nil && !did {
				err = &goneError{WhyReplaced}
			}
			if err != nil {
				return base, nil, did, err
			}
		}
		r, now := base.Value, s.now()
		fresh := row.NewToken(base.ID)
		r.Hash, r.HashKey = s.newHash(&fresh)
		r.RotatedAt, r.WrittenAt, r.Parked = row.InstantOf(now), row.InstantOf(now), 0
		it, err := s.updateSettled(ctx, &base, r, expiry.At(r.Deadline(now)))
		if errors.Is(err, model.ErrNotFound) {
			err = gone(nil)
		}
		if err == nil || !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return it, &fresh, did, err
		}
	}
}
