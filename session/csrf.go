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
// it back, for clients that do not say where a request comes from. It is bound
// to the session's secret, so it changes with the secret. It has a new mask each
// time, so the size of a compressed page reveals nothing. It returns
// ErrNotStored if the session is not stored.
func (s *Session) CSRFToken(ctx context.Context) (string, error) {
	code, err := s.csrf(ctx)
	if err != nil {
		return "", err
	}
	out := make([]byte, 2*csrfSize)
	_, _ = rand.Read(out[:csrfSize])
	subtle.XORBytes(out[csrfSize:], out[:csrfSize], code)
	return csrfEncoding.EncodeToString(out), nil
}

// CheckCSRF reports whether text is a CSRFToken of this session. It returns false
// if the session is not stored. Its error is the store's.
func (s *Session) CheckCSRF(ctx context.Context, text string) (bool, error) {
	code, err := s.csrf(ctx)
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
	return subtle.ConstantTimeCompare(given[csrfSize:], code) == 1, nil
}

func (s *Session) csrf(ctx context.Context) ([]byte, error) {
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.stored() || s.detached {
		return nil, ErrNotStored
	}
	m := hmac.New(sha256.New, s.token.Secret[:])
	m.Write([]byte("sojourn csrf"))
	return m.Sum(nil), nil
}
