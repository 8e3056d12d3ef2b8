package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// unreadableError is about a row that is there and cannot be used: foreign bytes, a newer
// format, a key that is not in the ring. The session is anonymous then, and
// the row is left alone.
type unreadableError struct {
	reason Reason
	cause  error
}

func (u *unreadableError) Error() string { return "session: " + string(u.reason) }
func (u *unreadableError) Unwrap() error { return u.cause }

// get reads a row and opens its data. With an *unreadableError that matches
// model.ErrCorrupt the item is there as far as it could be read.
func (s *Service) get(ctx context.Context, id string) (expiry.Item[row], error) {
	it, err := s.store.Get(ctx, id)
	if err != nil {
		return it, err
	}
	err = s.opened(&it)
	return it, err
}

// opened checks the format of a row that was read and opens its data.
func (s *Service) opened(it *expiry.Item[row]) error {
	r := &it.Value
	switch {
	case r.Version > rowVersion:
		return &unreadableError{NewerVersion, model.ErrCorrupt}
	case r.Version < 1:
		return &unreadableError{Unreadable, model.ErrCorrupt}
	case r.SealKey == "":
		return nil
	}
	if !s.keyring.Has(r.SealKey) {
		return &unreadableError{UnknownKey, model.ErrCorrupt}
	}
	plain, err := s.keyring.Open(it.ID, r.Sealed)
	if err == nil {
		r.Data, err = decodeValues(plain)
	}
	if err != nil {
		return &unreadableError{Unreadable, model.ErrCorrupt}
	}
	return nil
}

// createRow and updateRow store a row, with its data sealed where there is a
// keyring, and return the item with its data in the clear. With ErrConflict
// updateRow returns the row that won as it is stored, where the store told it.
func (s *Service) createRow(ctx context.Context, id string, r row, opts *expiry.WriteOptions) (expiry.Item[row], error) {
	plain, err := s.sealed(id, &r)
	if err != nil {
		return expiry.Item[row]{}, err
	}
	it, err := s.store.Create(ctx, id, r, opts)
	it.Value.Data = plain
	return it, err
}

func (s *Service) updateRow(ctx context.Context, id string, r row, opts *expiry.WriteOptions) (expiry.Item[row], error) {
	plain, err := s.sealed(id, &r)
	if err != nil {
		return expiry.Item[row]{}, err
	}
	it, err := s.store.Update(ctx, id, r, opts)
	if err == nil {
		it.Value.Data = plain
	}
	return it, err
}

// sealed moves the row's data into its sealed form and returns it.
func (s *Service) sealed(id string, r *row) (values, error) {
	plain := r.Data
	r.SealKey, r.Sealed = "", nil
	if s.keyring == nil || len(plain) == 0 {
		return plain, nil
	}
	sealed, keyID, err := s.keyring.Seal(id, encodeValues(plain))
	if err != nil {
		return nil, err
	}
	r.SealKey, r.Sealed, r.Data = keyID, sealed, nil
	return plain, nil
}

// newHash is what a new row keeps of a secret: an HMAC under the key in use
// with Options.Pepper, and the key's id; else a SHA-256.
func (s *Service) newHash(t *token) (hash []byte, keyID string) {
	if !s.pepper {
		return t.hash(), ""
	}
	for hash == nil { // the key may be retired and removed between the two calls
		keyID = s.keyring.Active()
		hash = s.hashUnder(t, keyID)
	}
	return hash, keyID
}

// hashUnder is nil where the key is not in the ring.
func (s *Service) hashUnder(t *token, keyID string) []byte {
	if keyID == "" {
		return t.hash()
	}
	pepper, err := s.keyring.Derive(keyID, "session pepper")
	if err != nil {
		return nil
	}
	m := hmac.New(sha256.New, pepper)
	m.Write(t.secret[:])
	return m.Sum(nil)
}
