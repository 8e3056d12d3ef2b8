package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

const (
	handleBytes = 16
	secretBytes = 32
	handleLen   = 22 // base64url of handleBytes
	secretLen   = 43 // base64url of secretBytes

	// TokenLen is the length of every token in bytes, so that a transport can
	// refuse any other at once.
	TokenLen = handleLen + 1 + secretLen
)

// encoding is strict: no two texts decode to the same bytes, so that a token
// with any byte changed is another token.
var encoding = base64.RawURLEncoding.Strict()

// token is a credential: the handle names the row and is public, the secret
// proves the right to it and is stored nowhere.
type token struct {
	handle string
	secret [secretBytes]byte
	sum    []byte // the hash of the secret
}

// newHandle returns 128 random bits. crypto/rand.Read cannot fail since Go
// 1.24: the program ends rather than go on with a bad one.
func newHandle() string {
	var b [handleBytes]byte
	_, _ = rand.Read(b[:])
	return encoding.EncodeToString(b[:])
}

func newToken(handle string) token {
	t := token{handle: handle}
	_, _ = rand.Read(t.secret[:])
	return hashed(t)
}

func (t *token) text() string { return t.handle + "." + encoding.EncodeToString(t.secret[:]) }

// hash is what the row keeps of the secret. The secret has 256 random bits, so
// a plain hash cannot be searched.
func (t *token) hash() []byte { return t.sum }

// hashed returns the token with its hash, which each request compares several times.
func hashed(t token) token {
	h := sha256.Sum256(t.secret[:])
	t.sum = h[:]
	return t
}

// parseToken reports whether s has the form of a token.
func parseToken(s string) (token, bool) {
	if len(s) != TokenLen {
		return token{}, false
	}
	handle, secret, ok := strings.Cut(s, ".")
	if !ok || !isHandle(handle) || len(secret) != secretLen {
		return token{}, false
	}
	t := token{handle: handle}
	var text [secretLen]byte // on the stack, as every request parses a token
	copy(text[:], secret)
	if n, err := encoding.Decode(t.secret[:], text[:]); err != nil || n != secretBytes {
		return token{}, false
	}
	return hashed(t), true
}

func isHandle(s string) bool {
	if len(s) != handleLen {
		return false
	}
	var text [handleLen]byte
	copy(text[:], s)
	var b [handleBytes]byte
	n, err := encoding.Decode(b[:], text[:])
	return err == nil && n == handleBytes
}

func equalHash(a, b []byte) bool { return len(b) > 0 && subtle.ConstantTimeCompare(a, b) == 1 }
