package session

import "testing"

// Norm: ASVS 7.2.3, NIST 5.1 (entropy), CheatSheet id entropy
// Asks: tokens come from a secure generator, with 128 bits at least.
// Library: 256 bits of crypto/rand for the secret, 128 for the handle. Since Go 1.24 a generator that fails ends the program: there is no session with a bad token.
// Application: nothing.
func TestASVS_7_2_3_AMillionTokensAreUnique(t *testing.T) {
	const many = 1_000_000
	handles := make(map[[handleBytes]byte]struct{}, many)
	secrets := make(map[[16]byte]struct{}, many)
	for range many {
		tok := newToken(newHandle())
		text := tok.text()
		if len(text) != TokenLen {
			t.Fatalf("a token of %d bytes", len(text))
		}
		back, ok := parseToken(text)
		if !ok || back.handle != tok.handle || back.secret != tok.secret {
			t.Fatal("a token that does not parse")
		}
		var h [handleBytes]byte
		if _, err := encoding.Decode(h[:], []byte(tok.handle)); err != nil {
			t.Fatal(err)
		}
		handles[h] = struct{}{}
		secrets[[16]byte(tok.secret[:16])] = struct{}{}
	}
	if len(handles) != many || len(secrets) != many {
		t.Fatalf("%d handles, %d secrets", len(handles), len(secrets))
	}
}
