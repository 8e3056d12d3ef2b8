package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
)

// csrfSize is the size of the code inside a CSRF token, and of its mask.
const csrfSize = sha256.Size

// CSRFToken returns a text that only a page of this session can have: what
// forms send back for clients that say nothing of where a request comes from. It
// is bound to the session's secret, so it changes when that does, and it is
// masked anew each time, so that a compressed page gives nothing away.
// ErrNotStored for a session that has no secret yet.
func (s *Session) CSRFToken(ctx context.Context) (string, error) {
	code, err := s.csrf(ctx)
	if err != nil {
		return "", err
	}
	out := make([]byte, 2*csrfSize)
	_, _ = rand.Read(out[:csrfSize])
	subtle.XORBytes(out[csrfSize:], out[:csrfSize], code)
	return encoding.EncodeToString(out), nil
}

// CheckCSRF reports whether the text is a CSRFToken of this session. False for
// every text where the session is not stored; the error is the store's.
func (s *Session) CheckCSRF(ctx context.Context, text string) (bool, error) {
	code, err := s.csrf(ctx)
	if err == ErrNotStored { //nolint:errorlint // of the line above, never wrapped
		return false, nil
	}
	if err != nil || len(text) != encoding.EncodedLen(2*csrfSize) {
		return false, err
	}
	given, err := encoding.DecodeString(text)
	if err != nil {
		return false, nil //nolint:nilerr // a text that is none is no failure
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
	if !s.stored || s.trusted {
		return nil, ErrNotStored
	}
	m := hmac.New(sha256.New, s.token.secret[:])
	m.Write([]byte("sojourn csrf"))
	return m.Sum(nil), nil
}
