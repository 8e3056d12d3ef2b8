package session

import (
	"context"
	"errors"
	"fmt"
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
}

// check returns model.ErrInvalid for options that no session can have.
func (o *SignInOptions) check(s *Service) error {
	switch {
	case o.Idle < 0, o.Lifetime < 0, tooShort(o.Idle), tooShort(o.Lifetime):
		return model.NewError(model.ErrInvalid, "SignInOptions: a lifetime is negative or shorter than a millisecond", nil)
	case !o.NotAfter.IsZero() && !s.now().Before(o.NotAfter):
		return model.NewError(model.ErrInvalid, "SignInOptions: NotAfter is past", nil)
	case o.SID == "":
		return nil
	case !s.store.Describe().HasLabel(labelSID):
		return model.NewError(model.ErrInvalid, `SignInOptions: SID needs the label "sid" in the backend's Options.Labels`, nil)
	}
	return model.CheckLabelValue(o.SID)
}

// row returns the new row of a sign-in, without data.
func (o *SignInOptions) row(principal string) row.Row {
	return row.Row{
		Principal: principal, Level: o.Level, SID: o.SID, Idle: o.Idle.Milliseconds(), Life: o.Lifetime.Milliseconds(),
		NotAfter: row.InstantOf(o.NotAfter.Truncate(time.Millisecond)),
	}
}

// SignIn makes the session the principal's. It creates a new row under a new
// handle and a new token, and then deletes the old row. When it returns, both
// are done in the store. The client gets the token with the credential of the
// next Persist. The principal's id has 1 to 256 bytes of UTF-8 without NUL. For
// another one SignIn returns model.ErrInvalid.
//
// It returns ErrGone if the old session was ended meanwhile, for example by a
// sign-out. Then the new row is deleted again, and the session is anonymous and
// empty. After any other error the session is the one before. It returns
// ErrLimit if Options.Limit refuses another session, ErrImpersonating during an
// impersonation, and ErrDetached for a detached session.
//
// It makes three calls of the store over an anonymous session, and two more each
// time another request changes the old session meanwhile. A limit adds a
// listing, and a delete for each session that it evicts. OnLimitReject adds
// another listing before.
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
	seats, err := s.svc.seats(work, principal, s.handle())
	if err != nil {
		return err
	}
	r.CreatedAt = seats.after
	it, t, err := s.create(work, r)
	if err != nil {
		return err
	}
	over, err := seats.over(work, &it)
	if err != nil {
		return s.undo(work, it.ID, err)
	}
	old := s.handle()
	if s.state.stored() {
		if it, err = s.supersede(work, it, &o); err != nil {
			return s.undo(work, it.ID, err)
		}
	}
	s.locked(func() { s.issue(it, t); s.becomeProved() })
	e := eventOf(EventSignedIn, it.ID, &it.Value)
	e.Previous = old
	s.svc.emit(work, e)
	seats.evict(work, over)
	return nil
}

// handsOver returns nil if the session may go to another principal.
func (s *Session) handsOver() error {
	switch {
	case s.detached:
		return ErrDetached
	case s.state.stored() && s.item.Value.Actor != nil:
		return ErrImpersonating
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

// supersede deletes the old row at the revision from which the new row got its
// data. After a conflict it copies the data again. It returns the new row.
func (s *Session) supersede(ctx context.Context, it item, o *SignInOptions) (item, error) {
	old := s.item
	for attempt := 0; ; attempt++ {
		err := s.svc.store.Delete(ctx, old.ID, &expiry.DeleteOptions{IfMatch: old.Known()})
		if errors.Is(err, model.ErrNotFound) {
			err = ErrGone
		}
		if err == nil {
			s.svc.watch.end(old.ID, ErrGone)
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return it, err
		}
		if old, err = s.svc.reread(ctx, old.ID, attempt, item{}); err != nil {
			return it, err
		}
		data, err := replay(old.Value.Data, s.ops)
		if err != nil {
			return it, err
		}
		s.svc.conflict(ctx, &old, ReasonMerged)
		if data = s.carried(o, data); data.Equal(it.Value.Data) {
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

// undo deletes the new row of a sign-in that failed with reason, and returns
// reason. It has its own time limit, because that of the sign-in may be over.
func (s *Session) undo(ctx context.Context, id string, reason error) error {
	if errors.Is(reason, ErrGone) {
		s.locked(func() { s.becomeAnonymous(); s.cred = Credential{} })
	}
	ctx, cancel := s.svc.uncancelled(ctx)
	defer cancel()
	if _, err := s.svc.delete(ctx, id, nil); err != nil {
		return errors.Join(reason, fmt.Errorf("session: a sign-in that failed is still stored: %w", err))
	}
	return reason
}
