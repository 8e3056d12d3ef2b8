package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// csrfSize is the size in bytes of the code inside a CSRF token, and of its mask.
const csrfSize = sha256.Size

// csrfEncoding is strict: no two texts decode to the same bytes.
var csrfEncoding = base64.RawURLEncoding.Strict()

// CSRFToken returns a text that only a page of this session can have. Forms send
// it back, for clients that do not say where a request comes from. It has a new
// mask each time, so the size of a compressed page reveals nothing. It returns
// ErrNotStored if the session is not stored.
//
// A session of OpenFor has a token before it is stored too. It is made from
// Options.IdentityKey, and is good as long as the issuer's session.
//
// It is bound to the session's secret. It outlives one periodic rotation, since
// the answer that brings a page can bring the next secret too. A second one ends
// it, and so do Rotate, Reauthenticate, Elevate and every sign-in. It is made from
// the hash in the store: only with Options.Pepper can nobody who reads the store
// make one.
func (s *Session) CSRFToken(ctx context.Context) (string, error) {
	codes, err := s.csrf(ctx)
	if err != nil {
		return "", err
	}
	out := make([]byte, 2*csrfSize)
	_, _ = rand.Read(out[:csrfSize])
	subtle.XORBytes(out[csrfSize:], out[:csrfSize], codes[0])
	return csrfEncoding.EncodeToString(out), nil
}

// CheckCSRF reports whether text is a CSRFToken of this session. It returns false
// if the session is not stored. Its error is the store's.
func (s *Session) CheckCSRF(ctx context.Context, text string) (bool, error) {
	codes, err := s.csrf(ctx)
	if err == ErrNotStored { //nolint:errorlint // csrf never wraps it
		return false, nil
	}
	if err != nil || len(text) != csrfEncoding.EncodedLen(2*csrfSize) {
		return false, err
	}
	given, err := csrfEncoding.DecodeString(text)
	if err != nil {
		return false, nil //nolint:nilerr // a malformed text is not an error
	}
	subtle.XORBytes(given[csrfSize:], given[:csrfSize], given[csrfSize:])
	good := 0
	for _, code := range codes {
		good |= subtle.ConstantTimeCompare(given[csrfSize:], code)
	}
	return good == 1, nil
}

// csrf returns the code of the current secret, and that of the secret before the
// last periodic rotation if there is one.
func (s *Session) csrf(ctx context.Context) ([][]byte, error) {
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.identity != nil && s.closed == nil:
		handle := s.brought[0].Handle
		return [][]byte{s.svc.csrfCode(handle, s.svc.identityKey, "")}, nil
	case !s.state.stored() || s.detached:
		return nil, ErrNotStored
	}
	r := &s.item.Value
	codes := [][]byte{s.svc.csrfCode(s.item.ID, r.Hash, r.HashKey)}
	if len(r.Previous) > 0 && (r.PreviousUntil == 0 || r.PreviousUntil > r.RotatedAt) { // no verb has ended it
		codes = append(codes, s.svc.csrfCode(s.item.ID, r.Previous, r.PreviousKey))
	}
	return codes, nil
}

// csrfCode returns the code of a secret from its hash. Under a pepper it needs the
// seal key as well.
func (s *Service) csrfCode(handle string, hash []byte, keyID string) []byte {
	key := hash
	if keyID != "" {
		pepper, err := s.keyring.Derive(keyID, "session csrf")
		if err != nil { // the key was removed since the row was read
			pepper = make([]byte, csrfSize)
			_, _ = rand.Read(pepper)
		}
		m := hmac.New(sha256.New, pepper)
		m.Write(hash)
		key = m.Sum(nil)
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("sojourn csrf\x00" + handle))
	return m.Sum(nil)
}
