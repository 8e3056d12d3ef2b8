package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// newHash returns what a new row keeps of a secret. With Options.Pepper that is
// an HMAC under the seal key in use, and the key's id. Without it that is a
// SHA-256.
func (s *Service) newHash(t *row.Token) (hash []byte, keyID string) {
	if !s.pepper {
		return slices.Clone(t.Hash()), ""
	}
	for hash == nil { // the seal key may be removed between the two calls
		keyID = s.keyring.Active()
		hash = s.hashUnder(t, keyID)
	}
	return hash, keyID
}

// hashUnder returns nil if the seal key is not in the keyring.
func (s *Service) hashUnder(t *row.Token, keyID string) []byte {
	if keyID == "" {
		return t.Hash()
	}
	pepper, err := s.keyring.Derive(keyID, "session pepper")
	if err != nil {
		return nil
	}
	m := hmac.New(sha256.New, pepper)
	m.Write(t.Secret[:])
	return m.Sum(nil)
}

// match says which of the row's secrets the token has.
func (s *Service) match(r *row.Row, t *row.Token, now time.Time) row.Match {
	return r.Match(func(keyID string) []byte { return s.hashUnder(t, keyID) }, now)
}

// sign adds a MAC over the row and its handle, if there is a keyring.
func (s *Service) sign(id string, r *row.Row) error {
	r.MACKey, r.MAC = "", nil
	if s.keyring == nil {
		return nil
	}
	r.MACKey = s.keyring.Active()
	var err error
	r.MAC, err = s.mac(id, r)
	return err
}

// mac returns the MAC of the row under the seal key that the row names.
func (s *Service) mac(id string, r *row.Row) ([]byte, error) {
	key, err := s.keyring.Derive(r.MACKey, "session row")
	if err != nil {
		return nil, err
	}
	signed, err := r.Signed()
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s.binding(id)))
	m.Write([]byte{0}) // ids have no NUL
	m.Write(signed)
	return m.Sum(nil), nil
}

// verify checks that this service, or another one with its keyring, has written
// the row with its labels. Without a keyring it accepts rows without a MAC.
func (s *Service) verify(it *item) error {
	r := &it.Value
	switch {
	case r.MACKey == "" && (s.keyring == nil || s.now().Before(s.unsignedUntil)):
		return nil
	case r.MACKey == "":
		return &unreadableError{ReasonUnsigned, model.ErrCorrupt}
	case s.keyring == nil || !s.keyring.Has(r.MACKey):
		return &unreadableError{ReasonUnknownSealKey, model.ErrCorrupt}
	}
	want, err := s.mac(it.ID, r)
	if err != nil || !hmac.Equal(want, r.MAC) || !maps.Equal(it.Labels, labelsOf(it.ID, r)) {
		return &unreadableError{ReasonForged, model.ErrCorrupt}
	}
	return nil
}
