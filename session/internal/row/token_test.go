package row

import "testing"

// Norm: ASVS 7.2.3, NIST 5.1 (entropy), CheatSheet id entropy
// Asks: tokens come from a secure generator, with 128 bits at least.
// Library: 256 bits of crypto/rand for the secret, 128 for the handle. Since Go 1.24 a generator that fails ends the program, so no session has a weak token.
// Application: nothing.
func TestASVS_7_2_3_AMillionTokensAreUnique(t *testing.T) {
	const many = 1_000_000
	handles := make(map[[HandleBytes]byte]struct{}, many)
	secrets := make(map[[16]byte]struct{}, many)
	for range many {
		tok := NewToken(NewHandle())
		text := tok.Text()
		if len(text) != TokenLen {
			t.Fatalf("a token of %d bytes", len(text))
		}
		back, ok := ParseToken(text)
		if !ok || back.Handle != tok.Handle || back.Secret != tok.Secret {
			t.Fatal("a token that does not parse")
		}
		var h [HandleBytes]byte
		if _, err := encoding.Decode(h[:], []byte(tok.Handle)); err != nil {
			t.Fatal(err)
		}
		handles[h] = struct{}{}
		secrets[[16]byte(tok.Secret[:16])] = struct{}{}
	}
	if len(handles) != many || len(secrets) != many {
		t.Fatalf("%d handles, %d secrets", len(handles), len(secrets))
	}
}
