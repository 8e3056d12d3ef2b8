package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
// empty. After model.ErrUnknown, Principal says which session it is: the new one,
// of which the next Persist ends what may be left of the old one, or the one
// before. After any other error it is the one before. SignIn returns ErrLimit if Options.Limit refuses another session,
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
	if err := s.undoubted(work); err != nil {
		return err
	}
	o.Discard = o.Discard || !s.carries(principal)
	r := o.row(principal)
	var from *row.Row
	if s.state.stored() {
		from = &s.item.Value
	}
	r.Data = o.carried(from, s.data)
	r.Name = s.keptName(principal)
	if err := s.svc.mayAuthenticate(work, r); err != nil {
		return err
	}
	seats, err := s.svc.seats(work, principal, s.endedBySignIn())
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
		if still := (*stillStoredError)(nil); errors.As(err, &still) {
			return still // it takes a seat, so that another try could fail because of it
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
	var left *ended // the old row, if nobody can tell whether it is gone
	if err == nil && s.state.stored() {
		it, left, err = s.supersede(ctx, it, o)
	}
	if err != nil && left == nil {
		return s.undo(ctx, it.ID, err)
	}
	rest := s.owned
	if left != nil {
		rest = append(rest, *left)
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
	if left != nil {
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

// carried returns the part of the data of a row that a sign-in carries over. From
// may be nil: there is no row yet.
func (o *SignInOptions) carried(from *row.Row, data row.Values) row.Values {
	switch {
	case o.Discard:
		return nil
	case o.Carry == nil, from != nil && from.Principal != "":
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
// new row. With model.ErrUnknown it also returns the old row, if nobody can tell
// whether that is gone.
func (s *Session) supersede(ctx context.Context, it item, o *SignInOptions) (_ item, left *ended, _ error) {
	e := endedOf(&s.item, ReasonReplaced)
	for attempt := 0; ; attempt++ {
		old := e.row
		winner, err := s.svc.markOnce(ctx, &old, &e, true)
		switch {
		case err == nil:
			s.svc.watch.end(old.ID, ErrGone)
			return it, nil, nil
		case errors.Is(err, model.ErrNotFound):
			return it, nil, gone(nil)
		case errors.Is(err, model.ErrUnknown):
			e.heir = &heir{handle: it.ID, token: s.token, ops: s.ops, opts: *o, data: it.Value.Data}
			return it, &e, err
		case !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts:
			return it, nil, err
		}
		if e.row, err = s.svc.reread(ctx, old.ID, attempt, winner); err != nil {
			return it, nil, err
		}
		if !s.match(&e.row.Value, s.svc.now()).Opens() {
			return it, nil, &goneError{WhyReplaced} // its secret was replaced meanwhile
		}
		data, err := replay(e.row.Value.Data, s.ops)
		if err != nil {
			return it, nil, err
		}
		s.svc.conflict(ctx, &e.row, ReasonMerged)
		if data = o.carried(&e.row.Value, data); data.Equal(it.Value.Data) {
			continue
		}
		r := it.Value
		r.Data = data
		next, err := s.svc.updateSettled(ctx, &it, r, expiry.Keep())
		if err != nil {
			return it, nil, err // the old row is as it was
		}
		it = next
	}
}

// heir is the new row of a sign-in that could not learn whether the old one has
// ended. Until it has, other requests may write to the old row.
type heir struct {
	handle string
	token  *row.Token // that opened the old row
	ops    []op       // of the sign-in's request, before the sign-in
	opts   SignInOptions
	data   row.Values // that was carried over
}

// finishReplaced ends the old row of a sign-in, as supersede does. What others
// have written to it meanwhile is stored in the new row before.
func (s *Session) finishReplaced(ctx context.Context, e *ended) error {
	for attempt := 0; attempt < persistAttempts && s.handle() == e.heir.handle; attempt++ {
		old := e.row
		winner, err := s.svc.markOnce(ctx, &old, e, true)
		if err == nil {
			s.svc.watch.end(e.handle, ErrGone)
			s.svc.emitEnded(ctx, e)
			return nil
		}
		if errors.Is(err, model.ErrConflict) {
			old, err = s.svc.reread(ctx, e.handle, attempt, winner)
		}
		if errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrCorrupt) || err == nil && !s.svc.match(&old.Value, e.heir.token, s.svc.now()).Opens() {
			break // it is not this client's now, and ends in any case
		}
		if err != nil {
			return err
		}
		if err := s.inherit(e.heir, &old.Value); err != nil {
			return err
		}
		if err := s.flush(ctx, nil); err != nil {
			return err
		}
		e.row = old
	}
	_, err := s.svc.remove(ctx, e)
	return err
}

// inherit takes over what has changed in the old row. The session's own later
// changes win.
func (s *Session) inherit(h *heir, old *row.Row) error {
	data, err := replay(old.Data, h.ops)
	if err != nil {
		return err
	}
	data = h.opts.carried(old, data)
	for _, v := range append(slices.Clone(data), h.data...) {
		was, is := h.data.Get(v.Key), data.Get(v.Key)
		if bytes.Equal(s.data.Get(v.Key), was) && !bytes.Equal(was, is) {
			s.record(op{key: v.Key, raw: is}, is)
		}
	}
	h.data = data
	return nil
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
		return errors.Join(reason, &stillStoredError{err})
	}
	return reason
}

// stillStoredError is about the new row of a sign-in that failed.
type stillStoredError struct{ cause error }

func (e *stillStoredError) Error() string {
	return "session: a sign-in that failed is still stored: " + e.cause.Error()
}
func (e *stillStoredError) Unwrap() error { return e.cause }
