package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// newHash returns what a new row keeps of a secret. With Options.Pepper that is
// an HMAC under the seal key in use, and the key's id. Without it that is a
// SHA-256.
func (s *Service) newHash(t *row.Token) (hash []byte, keyID string) {
	if !s.pepper {
		return t.Hash(), ""
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
	return r.Match(s.hashUnder(t, r.HashKey), s.hashUnder(t, r.PreviousKey), now)
}
