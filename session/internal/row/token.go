package row

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

const (
	handleLen = 22 // base64url of HandleBytes
	secretLen = 43 // base64url of SecretBytes

	// HandleBytes is the length of a handle in bytes.
	HandleBytes = 16
	// SecretBytes is the length of a secret in bytes.
	SecretBytes = 32
	// TokenLen is the length of every token in bytes.
	TokenLen = handleLen + 1 + secretLen
)

// encoding is strict: no two texts decode to the same bytes. So a token with
// one byte changed is another token.
var encoding = base64.RawURLEncoding.Strict()

// Token is what the client holds: "handle.secret". The handle names the row and
// is public. The secret proves the right to the row, and the store keeps only
// its hash.
type Token struct {
	Handle string
	Secret [SecretBytes]byte
	sum    [sha256.Size]byte // hash of the secret
	hashed bool
}

// NewHandle returns a new handle of 128 random bits. Since Go 1.24
// crypto/rand.Read cannot fail: the program ends instead.
func NewHandle() string {
	var b [HandleBytes]byte
	_, _ = rand.Read(b[:])
	return encoding.EncodeToString(b[:])
}

// NewToken returns a token for the handle with a new secret of 256 random bits.
func NewToken(handle string) Token {
	t := Token{Handle: handle}
	_, _ = rand.Read(t.Secret[:])
	return hashed(t)
}

// SaltBytes is the length of a Salt in bytes.
const SaltBytes = 16

// NewSalt returns a random salt for Next.
func NewSalt() []byte {
	b := make([]byte, SaltBytes)
	_, _ = rand.Read(b)
	return b
}

// Next returns the token that replaces t in a periodic rotation. It follows
// from the secret of t and the salt, so every request under t can offer it to
// the client, until one answer arrives. Then the salt is dropped.
func (t *Token) Next(salt []byte) Token {
	m := hmac.New(sha256.New, t.Secret[:])
	m.Write([]byte("sojourn rotation"))
	m.Write(salt)
	next := Token{Handle: t.Handle}
	m.Sum(next.Secret[:0])
	return hashed(next)
}

// Text returns the token as the client presents it.
func (t *Token) Text() string { return t.Handle + "." + encoding.EncodeToString(t.Secret[:]) }

// Hash returns the SHA-256 of the secret. A plain hash is enough: nobody can
// search through 256 random bits. The bytes are those of the token: who keeps them
// makes a copy. A token without a secret has none.
func (t *Token) Hash() []byte {
	if !t.hashed {
		return nil
	}
	return t.sum[:]
}

// hashed stores the hash in the token, because each request compares it several
// times.
func hashed(t Token) Token {
	t.sum, t.hashed = sha256.Sum256(t.Secret[:]), true
	return t
}

// ParseToken parses the text of a token. It returns false if s does not have
// the form of one.
func ParseToken(s string) (Token, bool) {
	if len(s) != TokenLen {
		return Token{}, false
	}
	handle, secret, ok := strings.Cut(s, ".")
	if !ok || !IsHandle(handle) || len(secret) != secretLen {
		return Token{}, false
	}
	t := Token{Handle: handle}
	var text [secretLen]byte // on the stack: every request parses a token
	copy(text[:], secret)
	if n, err := encoding.Decode(t.Secret[:], text[:]); err != nil || n != SecretBytes {
		return Token{}, false
	}
	return hashed(t), true
}

// IsHandle reports whether s has the form of a handle.
func IsHandle(s string) bool {
	if len(s) != handleLen {
		return false
	}
	var text [handleLen]byte
	copy(text[:], s)
	var b [HandleBytes]byte
	n, err := encoding.Decode(b[:], text[:])
	return err == nil && n == HandleBytes
}

// IsToken reports whether s has the form of a token: its length, its dot and its
// characters. ParseToken is stricter and computes a hash.
func IsToken(s string) bool {
	if len(s) != TokenLen || s[handleLen] != '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i != handleLen && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
