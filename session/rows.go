package session

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// unreadableError is about a stored row that cannot be used: foreign bytes, a
// newer format, a wrong MAC, or a seal key that is not in the keyring.
type unreadableError struct {
	reason Reason
	cause  error
}

func (u *unreadableError) Error() string { return "session: " + string(u.reason) }
func (u *unreadableError) Unwrap() error { return u.cause }

// get reads a row and decrypts its data. With an *unreadableError, which matches
// model.ErrCorrupt, it also returns what it could read of the item. A marker is
// an *endedError, which matches model.ErrNotFound.
func (s *Service) get(ctx context.Context, id string) (item, error) {
	it, err := s.store.Get(ctx, id)
	if err != nil {
		return it, err
	}
	err = s.unseal(&it)
	return it, err
}

// check reports whether a row that was read is a session of this service. Every
// use of a row begins with it.
func (s *Service) check(it *item) error {
	r := &it.Value
	switch {
	case r.Version > row.Version && r.Gone != "": // markers keep their meaning
		return &endedError{Reason(r.Gone)}
	case r.Version > row.Version:
		return &unreadableError{ReasonNewerVersion, model.ErrCorrupt}
	case r.Version < 1:
		return &unreadableError{ReasonUnreadable, model.ErrCorrupt}
	}
	if err := s.verify(it); err != nil {
		return err
	}
	if r.Gone != "" {
		return &endedError{Reason(r.Gone)}
	}
	return nil
}

// unseal checks a row that was read, and decrypts its data.
func (s *Service) unseal(it *item) error {
	if err := s.check(it); err != nil {
		return err
	}
	r := &it.Value
	if r.SealKey == "" {
		return nil
	}
	if s.keyring == nil || !s.keyring.Has(r.SealKey) {
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

// seal moves the row's data into its encrypted form and signs the row, if there
// is a keyring. It returns the plain data.
func (s *Service) seal(id string, r *row.Row) (row.Values, error) {
	plain := r.Data
	r.Version, r.SealKey, r.Sealed = s.writes, "", nil
	if s.keyring != nil && len(plain) > 0 {
		sealed, keyID, err := s.keyring.Seal(s.binding(id), row.EncodeValues(plain))
		if err != nil {
			return nil, err
		}
		r.SealKey, r.Sealed, r.Data = keyID, sealed, nil
	}
	return plain, s.sign(id, r)
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
func (s *Service) createRow(ctx context.Context, id string, r row.Row, at time.Time) (item, error) {
	plain, err := s.seal(id, &r)
	if err != nil {
		return item{}, err
	}
	it, err := s.store.Create(ctx, id, r, &expiry.WriteOptions{Expiry: expiry.At(at), Labels: labelsOf(id, &r)})
	it.Value.Data = plain
	return it, err
}

// updateRow is createRow for an existing row. Base is the row before, whose
// labels are not written again if they stay. With model.ErrConflict updateRow
// returns the row that won as it is stored, if the store returned it. With
// model.ErrUnknown it returns the revision that it may have written.
func (s *Service) updateRow(ctx context.Context, base *item, r row.Row, at expiry.Expiry) (item, error) {
	plain, err := s.seal(base.ID, &r)
	if err != nil {
		return item{}, err
	}
	opts := &expiry.WriteOptions{IfMatch: base.Known(), Expiry: at}
	if labels := labelsOf(base.ID, &r); !maps.Equal(labels, base.Labels) {
		if opts.Labels = labels; labels == nil {
			opts.Labels = map[string]string{}
		}
	}
	it, err := s.store.Update(ctx, base.ID, r, opts)
	if err == nil {
		it.Value.Data = plain
	}
	return it, err
}

// updateSettled is updateRow for a write that is not made again later: see
// settled. With model.ErrUnknown nobody can tell whether the row was written.
func (s *Service) updateSettled(ctx context.Context, base *item, r row.Row, at expiry.Expiry) (item, error) {
	var lost doubts
	it, err := s.settled(ctx, base, &lost, func(ctx context.Context) (item, error) { return s.updateRow(ctx, base, r, at) })
	switch {
	case len(lost) == 0:
	case err == nil:
		err = s.unseal(&it)
	case errors.Is(err, model.ErrConflict):
		err = errDoubt()
	}
	return it, err
}

// labelsOf returns the labels of a row.
func labelsOf(id string, r *row.Row) map[string]string {
	switch {
	case r.Gone != "":
		return map[string]string{labelPrincipal: row.MarkerLabelOf(id)}
	case r.Principal == "":
		return nil
	}
	labels := make(map[string]string, len(r.Labels)+2)
	maps.Copy(labels, r.Labels)
	labels[labelPrincipal] = r.Principal
	if r.SID != "" {
		labels[labelSID] = r.SID
	}
	return labels
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

// tooOld asks Options.NotBefore and NotBeforeSID about a row. With an error it
// returns no reason: a hook without an answer says nothing about the row.
func (s *Service) tooOld(ctx context.Context, r *row.Row) (Reason, error) {
	if r.Principal == "" {
		return "", nil
	}
	if s.notBefore != nil {
		switch t, err := s.notBefore(ctx, r.Principal); {
		case err != nil:
			return "", err
		case olderThan(r, t):
			return ReasonTooOld, nil
		}
	}
	old, err := s.tooOldSID(ctx, r)
	if err != nil || !old {
		return "", err
	}
	return ReasonTooOld, nil
}

// tooOldSID asks Options.NotBeforeSID alone.
func (s *Service) tooOldSID(ctx context.Context, r *row.Row) (bool, error) {
	if s.notBeforeSID == nil || r.SID == "" {
		return false, nil
	}
	t, err := s.notBeforeSID(ctx, r.SID)
	return err == nil && olderThan(r, t), err
}

// olderThan compares in whole milliseconds: what was authenticated in that
// millisecond is not too old.
func olderThan(r *row.Row, t time.Time) bool {
	return r.AuthenticatedAt.Time().Before(t.Truncate(time.Millisecond))
}
