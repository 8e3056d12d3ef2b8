package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// unreadableError is about a stored row that cannot be used: foreign bytes, a
// newer format, or a seal key that is not in the keyring.
type unreadableError struct {
	reason Reason
	cause  error
}

func (u *unreadableError) Error() string { return "session: " + string(u.reason) }
func (u *unreadableError) Unwrap() error { return u.cause }

// get reads a row and decrypts its data. With an *unreadableError, which matches
// model.ErrCorrupt, it also returns what it could read of the item.
func (s *Service) get(ctx context.Context, id string) (item, error) {
	it, err := s.store.Get(ctx, id)
	if err != nil {
		return it, err
	}
	err = s.unseal(&it)
	return it, err
}

// unseal checks the format of a row that was read, and decrypts its data.
func (s *Service) unseal(it *item) error {
	r := &it.Value
	switch {
	case r.Version > row.Version:
		return &unreadableError{ReasonNewerVersion, model.ErrCorrupt}
	case r.Version < 1:
		return &unreadableError{ReasonUnreadable, model.ErrCorrupt}
	case r.SealKey == "":
		return nil
	}
	if !s.keyring.Has(r.SealKey) {
		return &unreadableError{ReasonUnknownSealKey, model.ErrCorrupt}
	}
	plain, err := s.keyring.Open(s.binding(it.ID), r.Sealed)
	if err == nil {
		r.Data, err = row.DecodeValues(plain)
	}
	if err != nil {
		return &unreadableError{ReasonUnreadable, model.ErrCorrupt}
	}
	return nil
}

// seal moves the row's data into its encrypted form, if there is a keyring. It
// returns the plain data.
func (s *Service) seal(id string, r *row.Row) (row.Values, error) {
	plain := r.Data
	r.SealKey, r.Sealed = "", nil
	if s.keyring == nil || len(plain) == 0 {
		return plain, nil
	}
	sealed, keyID, err := s.keyring.Seal(s.binding(id), row.EncodeValues(plain))
	if err != nil {
		return nil, err
	}
	r.SealKey, r.Sealed, r.Data = keyID, sealed, nil
	return plain, nil
}

// binding returns what a sealed row is bound to.
func (s *Service) binding(id string) string {
	if s.purpose == "" {
		return id
	}
	return s.purpose + "\x00" + id // ids and purposes have no NUL
}

// createRow stores a new row, encrypted if there is a keyring. It returns the
// item with its plain data.
func (s *Service) createRow(ctx context.Context, id string, r row.Row, opts *expiry.WriteOptions) (item, error) {
	plain, err := s.seal(id, &r)
	if err != nil {
		return item{}, err
	}
	it, err := s.store.Create(ctx, id, r, opts)
	it.Value.Data = plain
	return it, err
}

// updateRow is createRow for an existing row. With model.ErrConflict it returns
// the row that won as it is stored, if the store returned it.
func (s *Service) updateRow(ctx context.Context, id string, r row.Row, opts *expiry.WriteOptions) (item, error) {
	plain, err := s.seal(id, &r)
	if err != nil {
		return item{}, err
	}
	it, err := s.store.Update(ctx, id, r, opts)
	if err == nil {
		it.Value.Data = plain
	}
	return it, err
}

// ended is a row to delete, and why.
type ended struct {
	handle    string
	principal string
	actor     string
	reason    Reason
	known     *expiry.Known // may be nil
}

func endedOf(it *item, why Reason) ended {
	e := ended{handle: it.ID, principal: it.Value.Principal, reason: why, known: it.Known()}
	if it.Value.Actor != nil {
		e.actor = it.Value.Actor.ID
	}
	return e
}

// remove ends a session. It deletes the row and reports whether this call did.
func (s *Service) remove(ctx context.Context, e *ended) (bool, error) {
	did, err := s.delete(ctx, e.handle, e.known)
	if did {
		s.emitEnded(ctx, e)
	}
	return did, err
}

// delete deletes a row at any revision, so that it wins over writers. It reports
// whether this call did.
func (s *Service) delete(ctx context.Context, id string, known *expiry.Known) (did bool, err error) {
	if did, err = s.deleteRow(ctx, id, known); err == nil {
		s.watch.end(id, ErrGone)
	}
	return did, err
}

// deleteRow is delete without the views. After a lost answer it reads the row
// one time to find out.
func (s *Service) deleteRow(ctx context.Context, id string, known *expiry.Known) (bool, error) {
	opts := &expiry.DeleteOptions{Known: known}
	err := s.store.Delete(ctx, id, opts)
	if err == nil || !errors.Is(err, model.ErrUnknown) {
		return err == nil, absentIsFine(err)
	}
	ctx, cancel := s.uncancelled(ctx)
	defer cancel()
	switch _, readErr := s.store.Get(ctx, id); {
	case errors.Is(readErr, model.ErrNotFound):
		return true, nil
	case readErr == nil, errors.Is(readErr, model.ErrCorrupt):
		err = s.store.Delete(ctx, id, opts)
		return err == nil, absentIsFine(err)
	}
	return false, err
}

// absentIsFine returns nil for model.ErrNotFound: an absent row need not be
// deleted.
func absentIsFine(err error) error {
	if errors.Is(err, model.ErrNotFound) {
		return nil
	}
	return err
}

// standing checks what a row cannot know: whether its principal, and an actor
// who impersonates them, may still have sessions with this authentication. It
// returns the reason if not. It makes no calls without Options.NotBefore and
// without an actor.
func (s *Service) standing(ctx context.Context, r *row.Row) (Reason, error) {
	if reason, err := s.tooOld(ctx, r); reason != "" || err != nil {
		return reason, err
	}
	if r.Actor == nil {
		return "", nil
	}
	own, err := s.get(ctx, r.Actor.Handle)
	switch {
	case errors.Is(err, model.ErrNotFound), errors.Is(err, model.ErrCorrupt):
		return ReasonActorGone, nil
	case err != nil:
		return "", err
	case own.Value.Principal != r.Actor.ID, own.Value.Expired(s.now()):
		return ReasonActorGone, nil
	}
	return s.tooOld(ctx, &own.Value)
}

func (s *Service) tooOld(ctx context.Context, r *row.Row) (Reason, error) {
	if s.notBefore == nil || r.Principal == "" {
		return "", nil
	}
	t, err := s.notBefore(ctx, r.Principal)
	if err == nil && r.AuthenticatedAt.Time().Before(t) {
		return ReasonTooOld, nil
	}
	return "", err
}
