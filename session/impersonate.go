package session

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// maxReason is the longest reason for an impersonation in bytes.
const maxReason = 256

// Impersonate lets the session's principal, the actor, act as the target: a new
// session of the target's that begins empty and names the actor in lists and
// events. Whether the actor may is the program's to decide before. The reason,
// 1 to 256 bytes, is kept with it; model.ErrInvalid for another, and for a
// target that is no principal's id or the actor's own.
//
// It ends after Policy.Impersonation or with the actor's own session, whichever
// is first: by the actor's sign-out or absolute deadline, by DestroyPrincipal
// of either, by NotBefore of either. The actor's session waits meanwhile, with
// no secret that opens it. Under it SignIn, Reauthenticate, Elevate,
// DestroyOthers and another Impersonate are ErrImpersonating, and SignOut ends
// both.
//
// ErrUnauthenticated for an anonymous session; ErrGone where it was ended
// meanwhile. It takes three driver calls, loading included, and one more for
// each load of a session under impersonation.
func (s *Session) Impersonate(ctx context.Context, target, reason string) error {
	err := model.CheckLabelValue(target)
	if err == nil && (reason == "" || len(reason) > maxReason || !utf8.ValidString(reason)) {
		err = model.NewError(model.ErrInvalid, "a reason has 1 to 256 bytes of UTF-8", nil)
	}
	if err != nil {
		return &model.Error{Op: "session.Impersonate", Err: err}
	}
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.ownVerb(); err != nil {
		return err
	}
	if !s.stored || s.item.Value.Principal == "" {
		return ErrUnauthenticated
	}
	own := s.item.Value
	if own.Principal == target {
		return &model.Error{Op: "session.Impersonate", Err: model.NewError(model.ErrInvalid, "the target is the principal", nil)}
	}
	until := instantOf(s.svc.now().Add(s.svc.policy.Impersonation))
	if own.Absolute != 0 && own.Absolute < until {
		until = own.Absolute
	}
	it, t, err := s.create(work, row{
		Principal: target, NotAfter: until,
		Actor: &actor{ID: own.Principal, Handle: s.item.ID, Reason: reason},
	})
	if err != nil {
		return err
	}
	if err := s.park(work, until.time()); err != nil {
		return s.undo(work, it.ID, err)
	}
	old := s.item.ID
	s.mark(func() { s.owns(it, t) })
	e := eventOf(Impersonated, it.ID, &it.Value)
	e.Previous = old
	s.svc.emit(work, e)
	return nil
}

// park writes the actor's row, with what was changed so far, so that no secret
// opens it, and keeps it alive until then.
func (s *Session) park(ctx context.Context, until time.Time) error {
	base := s.item
	for attempt := 0; ; attempt++ {
		// Who has lost the session by now must not get it back by EndImpersonation.
		if shown := s.match(&base.Value, s.svc.now()); shown < matchPrevious {
			return ErrGone
		}
		data, err := replay(base.Value.Data, s.ops)
		if err != nil {
			return err
		}
		r, now := base.Value, s.svc.now()
		r.Data, r.WrittenAt, r.RotatedAt = data, instantOf(now), instantOf(now)
		for _, edit := range s.edits {
			edit(&r, now)
		}
		r.Hash, r.HashKey = make([]byte, secretBytes), ""
		_, _ = rand.Read(r.Hash)
		r.Prev, r.PrevKey, r.PrevUntil = nil, "", 0
		opts := &expiry.WriteOptions{IfMatch: base.Known(), Expiry: expiry.Keep()}
		if until.After(base.ExpiresAt) {
			opts.Expiry = expiry.At(until)
		}
		won, err := s.svc.updateRow(ctx, base.ID, r, opts)
		if errors.Is(err, model.ErrNotFound) {
			err = ErrGone
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return err
		}
		if base, err = s.fresh(ctx, base.ID, attempt, won); err != nil {
			return err
		}
	}
}

// EndImpersonation ends the impersonation and makes the session the actor's own
// again, under a new token. ErrUnauthenticated where there is none to end;
// ErrGone where it or the actor's session was ended meanwhile, and then the
// session is an anonymous one.
func (s *Session) EndImpersonation(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case s.trusted:
		return ErrDetached
	case !s.stored || s.item.Value.Actor == nil:
		return ErrUnauthenticated
	}
	acting := s.item
	o := endedOf(&acting, ByEndOfImpersonation)
	did, err := s.svc.remove(work, &o)
	if err != nil {
		return err
	}
	own, t, err := s.unpark(work, acting.Value.Actor)
	if err == nil && !did {
		err = ErrGone
	}
	if err != nil {
		s.mark(func() { s.begin(); s.token, s.cred = nil, Credential{Action: Clear} })
		return err
	}
	s.mark(func() { s.owns(own, t); s.challenged = false })
	e := eventOf(ImpersonationEnded, own.ID, &own.Value)
	e.Previous, e.Actor = acting.ID, acting.Value.Actor.ID
	s.svc.emit(work, e)
	return nil
}

// unpark gives the actor's row a secret again.
func (s *Session) unpark(ctx context.Context, a *actor) (expiry.Item[row], *token, error) {
	for attempt := 0; ; attempt++ {
		base, err := s.fresh(ctx, a.Handle, attempt, expiry.Item[row]{})
		if err != nil {
			return base, nil, err
		}
		if base.Value.Principal != a.ID {
			return base, nil, ErrGone
		}
		r, now := base.Value, s.svc.now()
		t := newToken(base.ID)
		r.Hash, r.HashKey = s.svc.newHash(&t)
		r.RotatedAt, r.WrittenAt = instantOf(now), instantOf(now)
		it, err := s.svc.updateRow(ctx, base.ID, r, &expiry.WriteOptions{IfMatch: base.Known(), Expiry: expiry.At(r.deadline(now))})
		if errors.Is(err, model.ErrNotFound) {
			err = ErrGone
		}
		if err == nil || !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return it, &t, err
		}
	}
}
