package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// SignInOptions configures a sign-in. Nil means all defaults.
type SignInOptions struct {
	// Level says how strong the authentication was, in the program's own
	// numbers. RequireRecent compares it.
	Level int
	// Discard drops the data of the previous session. Without it, the data of
	// an anonymous session or of the same principal is carried over. The data
	// of another principal never is.
	Discard bool
	// Carry names the keys of an anonymous session that are carried over. Nil
	// means all keys. Empty means no keys.
	Carry []string
	// Idle and Lifetime replace Policy.Idle and Policy.Absolute for this
	// session, for example for "remember me". Zero means the policy's.
	Idle, Lifetime time.Duration
	// NotAfter ends the session at the latest, for example at the limit of an
	// identity provider. Zero means no such limit.
	NotAfter time.Time
	// SID is the identity provider's name for its own session, for
	// DestroyByLabel when that one ends. It has 1 to 256 bytes of UTF-8 and is
	// unique among all providers. The backend must declare the label "sid".
	SID string
	// Labels are the program's own, such as a tenant, for DestroyByLabel and
	// SessionsByLabel. The backend must declare them. "principal" and "sid" are
	// not for them.
	Labels map[string]string
	// Persistence says whether the client keeps the token when its program
	// ends: "remember me", or not. Zero means as the transport is configured.
	Persistence Persistence
}

// check returns model.ErrInvalid for options that no session can have.
func (o *SignInOptions) check(s *Service) error {
	switch {
	case o.Idle < 0, o.Lifetime < 0, tooShort(o.Idle), tooShort(o.Lifetime):
		return model.NewError(model.ErrInvalid, "SignInOptions: a lifetime is negative or shorter than a millisecond", nil)
	case !o.NotAfter.IsZero() && !s.now().Before(o.NotAfter):
		return model.NewError(model.ErrInvalid, "SignInOptions: NotAfter is past", nil)
	case o.Persistence > PersistencePersistent:
		return model.NewError(model.ErrInvalid, "SignInOptions: Persistence is unknown", nil)
	}
	desc := s.store.Describe()
	for name, value := range o.Labels {
		switch {
		case name == labelPrincipal || name == labelSID:
			return model.NewError(model.ErrInvalid, fmt.Sprintf("SignInOptions: the label %q is set by the sign-in itself", name), nil)
		case !desc.HasLabel(name):
			return model.NewError(model.ErrInvalid, fmt.Sprintf("SignInOptions: the label %q is missing in the backend's Options.Labels", name), nil)
		}
		if err := model.CheckLabelValue(value); err != nil {
			return err
		}
	}
	switch {
	case o.SID == "":
		return nil
	case !desc.HasLabel(labelSID):
		return model.NewError(model.ErrInvalid, `SignInOptions: SID needs the label "sid" in the backend's Options.Labels`, nil)
	}
	return model.CheckLabelValue(o.SID)
}

// row returns the new row of a sign-in, without data.
func (o *SignInOptions) row(principal string) row.Row {
	return row.Row{
		Principal: principal, Level: o.Level, SID: o.SID, Idle: o.Idle.Milliseconds(), Life: o.Lifetime.Milliseconds(),
		NotAfter: row.InstantOf(o.NotAfter.Truncate(time.Millisecond)),
		Labels:   maps.Clone(o.Labels), Persistence: int(o.Persistence),
	}
}

// SignIn makes the session the principal's. It creates a new row under a new
// handle and a new token, and then replaces the old row by a marker, so that the
// old token opens nothing. When it returns, both are done in the store. The
// client gets the token with the credential of the next Persist. The principal's
// id has 1 to 256 bytes of UTF-8 without NUL. For another one SignIn returns
// model.ErrInvalid.
//
// It returns ErrGone if the old session was ended meanwhile, for example by a
// sign-out. Then the new row is deleted again, and the session is anonymous and
// empty. After model.ErrUnknown the session is the new one, and the next Persist
// ends what may be left of the old one. After any other error the session is the
// one before. SignIn returns ErrLimit if Options.Limit refuses another session,
// ErrNotBefore if Options.NotBefore does, ErrImpersonating during an
// impersonation, and ErrDetached for a detached session.
//
// It makes three calls of the store over an anonymous session, and at most two
// more each time another request changes the old session meanwhile. A limit adds
// a listing and a batch of evictions. OnLimitReject adds another listing before.
// If another session is as new, because of a clock that is late, there are three
// more.
func (s *Session) SignIn(ctx context.Context, principal string, opts *SignInOptions) error {
	var o SignInOptions
	if opts != nil {
		o = *opts
	}
	err := checkPrincipal(principal)
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
	if err := s.handsOver(); err != nil {
		return err
	}
	if err := s.finishEnded(work); err != nil {
		return err
	}
	o.Discard = o.Discard || !s.carries(principal)
	r := o.row(principal)
	r.Data = s.carried(&o, s.data)
	r.Name = s.keptName(principal)
	if err := s.svc.mayAuthenticate(work, r); err != nil {
		return err
	}
	seats, err := s.svc.seats(work, principal, s.handle())
	if err != nil {
		return err
	}
	for range signInAttempts {
		r.CreatedAt = seats.after
		it, t, err := s.create(work, r)
		if err != nil {
			return err
		}
		err = s.replace(work, it, t, &o, seats)
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
	s.svc.emit(work, Event{Kind: EventRejected, Reason: ReasonLimitReached, Principal: principal})
	return ErrLimit
}

// signInAttempts bounds how often a sign-in steps behind others that are made at
// the same time.
const signInAttempts = 20

// replace ends what the session was before and makes the item, which is stored,
// its row. Others are evicted at the end only, so that nobody loses a session to
// a sign-in that fails.
func (s *Session) replace(ctx context.Context, it item, t *row.Token, o *SignInOptions, seats *seats) error {
	old := s.handle()
	over, err := seats.over(ctx, &it)
	lost := false
	if err == nil && s.state.stored() {
		it, lost, err = s.supersede(ctx, it, o)
	}
	if err != nil && !lost {
		return s.undo(ctx, it.ID, err)
	}
	rest := s.owned
	if lost {
		rest = append(rest, endedOf(&s.item, ReasonReplaced))
	}
	s.locked(func() {
		s.issue(it, t)
		s.becomeProved()
		s.owned = nil
		s.ended = append(s.ended, rest...)
	})
	e := eventOf(EventSignedIn, it.ID, &it.Value)
	e.Previous = old
	s.svc.emit(ctx, e)
	seats.evict(ctx, over)
	if lost {
		return err
	}
	if err := s.finishEnded(ctx); err != nil {
		// The sign-in has happened. The next Persist tries the others again.
		s.svc.log.LogAttrs(ctx, slog.LevelWarn, "other sessions of a client were not ended",
			slog.String("handle", it.ID), slog.String("error", err.Error()))
	}
	return nil
}

// checkPrincipal returns model.ErrInvalid for what cannot be a principal's id.
func checkPrincipal(principal string) error {
	if row.IsMarkerLabel(principal) {
		return model.NewError(model.ErrInvalid, "this id is reserved", nil)
	}
	return model.CheckLabelValue(principal)
}

// mayAuthenticate returns ErrNotBefore if a sign-in of this moment would not be
// served.
func (s *Service) mayAuthenticate(ctx context.Context, r row.Row) error {
	r.AuthenticatedAt = row.InstantOf(s.now())
	reason, err := s.tooOld(ctx, &r)
	if err == nil && reason != "" {
		s.emit(ctx, Event{Kind: EventRejected, Reason: reason, Principal: r.Principal})
		return ErrNotBefore
	}
	return err
}

// handsOver returns nil if the session may go to another principal.
func (s *Session) handsOver() error {
	switch {
	case s.detached:
		return ErrDetached
	case s.state.stored() && s.item.Value.Actor != nil:
		return ErrImpersonating
	case !s.state.stored():
		return s.refuseNew
	}
	return nil
}

// carried returns the part of the data that a sign-in carries over.
func (s *Session) carried(o *SignInOptions, data row.Values) row.Values {
	switch {
	case o.Discard:
		return nil
	case o.Carry == nil, s.state.stored() && s.item.Value.Principal != "":
		return data
	}
	var out row.Values
	for _, key := range o.Carry {
		if raw := data.Get(key); raw != nil {
			out = out.With(key, raw)
		}
	}
	return out
}

// carries reports whether the principal may get the data.
func (s *Session) carries(principal string) bool {
	return !s.state.stored() || s.item.Value.Principal == "" || s.item.Value.Principal == principal
}

// supersede replaces the old row by a marker, at the revision from which the new
// row got its data. After a conflict it copies the data again. It returns the
// new row. Lost says, with model.ErrUnknown, that nobody can tell whether the old
// row is gone.
func (s *Session) supersede(ctx context.Context, it item, o *SignInOptions) (_ item, lost bool, _ error) {
	old := s.item
	for attempt := 0; ; attempt++ {
		winner, err := s.svc.markOnce(ctx, &old, ReasonReplaced, true)
		if errors.Is(err, model.ErrUnknown) {
			winner, err = s.svc.settleMarker(ctx, &old, err)
		}
		switch {
		case err == nil:
			s.svc.watch.end(old.ID, ErrGone)
			return it, false, nil
		case errors.Is(err, model.ErrNotFound):
			return it, false, gone(nil)
		case !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts:
			return it, errors.Is(err, model.ErrUnknown), err
		}
		if old, err = s.svc.reread(ctx, old.ID, attempt, winner); err != nil {
			return it, false, err
		}
		if !s.match(&old.Value, s.svc.now()).Opens() {
			return it, false, &goneError{WhyReplaced} // its secret was replaced meanwhile
		}
		data, err := replay(old.Value.Data, s.ops)
		if err != nil {
			return it, false, err
		}
		s.svc.conflict(ctx, &old, ReasonMerged)
		if data = s.carried(o, data); data.Equal(it.Value.Data) {
			continue
		}
		r := it.Value
		r.Data = data
		next, err := s.svc.updateSettled(ctx, &it, r, expiry.Keep())
		if err != nil {
			return it, false, err // the old row is as it was
		}
		it = next
	}
}

// settleMarker learns the outcome of a marker whose answer was lost. It returns
// nil if the row is a marker or gone, model.ErrConflict if it is still a
// session, and lost if nobody can tell.
func (s *Service) settleMarker(ctx context.Context, base *item, lost error) (item, error) {
	ctx, cancel := s.uncancelled(ctx)
	defer cancel()
	it, err := s.store.Get(ctx, base.ID)
	switch {
	case errors.Is(err, model.ErrNotFound), err == nil && it.Value.Gone != "":
		return it, nil
	case err == nil:
		return it, model.ErrConflict
	}
	return it, lost
}

// undo deletes the new row of a sign-in that failed with reason, and returns
// reason. It has its own time limit, because that of the sign-in may be over.
func (s *Session) undo(ctx context.Context, id string, reason error) error {
	switch {
	case errors.Is(reason, ErrGone):
		s.locked(func() { s.becomeGone(whyGone(reason)); s.cred = Credential{} })
	case s.handle() == id:
		s.locked(func() { s.becomeGone(WhyEnded); s.cred = Credential{Action: ActionClear} })
	}
	if err := s.svc.discard(ctx, id); err != nil {
		return errors.Join(reason, fmt.Errorf("session: a sign-in that failed is still stored: %w", err))
	}
	return reason
}
