package session

import (
	"context"
	"encoding/json"

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
	key, known := s.keyring.get(r.SealKey)
	if !known {
		return &unreadableError{UnknownKey, model.ErrCorrupt}
	}
	plain, ok := key.open(r.SealKey, it.ID, r.Sealed)
	if !ok || json.Unmarshal(plain, &r.Data) != nil {
		return &unreadableError{Unreadable, model.ErrCorrupt}
	}
	return nil
}

// createRow and updateRow store a row, with its data sealed where there is a
// keyring, and return the item with its data in the clear.
func (s *Service) createRow(ctx context.Context, id string, r row, opts *expiry.WriteOptions) (expiry.Item[row], error) {
	plain := s.sealed(id, &r)
	it, err := s.store.Create(ctx, id, r, opts)
	it.Value.Data = plain
	return it, err
}

func (s *Service) updateRow(ctx context.Context, id string, r row, opts *expiry.WriteOptions) (expiry.Item[row], error) {
	plain := s.sealed(id, &r)
	it, err := s.store.Update(ctx, id, r, opts)
	it.Value.Data = plain
	return it, err
}

// sealed moves the row's data into its sealed form and returns it.
func (s *Service) sealed(id string, r *row) map[string]json.RawMessage {
	plain := r.Data
	r.SealKey, r.Sealed = "", nil
	if s.keyring == nil || len(plain) == 0 {
		return plain
	}
	// Raw messages were checked when they were set.
	text, _ := json.Marshal(plain) //nolint:errchkjson // a map of JSON
	id2, key := s.keyring.inUse()
	r.SealKey, r.Sealed, r.Data = id2, key.seal(id2, id, text), nil
	return plain
}

// newHash is what a new row keeps of a secret: an HMAC under the key in use
// with Options.Pepper, and the key's id; else a SHA-256.
func (s *Service) newHash(t *token) (hash []byte, keyID string) {
	if !s.pepper {
		return t.hash(), ""
	}
	id, key := s.keyring.inUse()
	return key.hash(t.secret[:]), id
}

// hashUnder is nil where the key is not in the ring.
func (s *Service) hashUnder(t *token, keyID string) []byte {
	if keyID == "" {
		return t.hash()
	}
	key, known := s.keyring.get(keyID)
	if !known {
		return nil
	}
	return key.hash(t.secret[:])
}
