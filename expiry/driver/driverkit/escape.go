package driverkit

import (
	"encoding/hex"
	"strings"
)

const digits = "0123456789abcdef"

// EscapeID returns the prefix and the id as a name for a store with narrower
// names: each byte that is not kept becomes = and two hexadecimal digits.
func EscapeID(prefix, id string, kept func(byte) bool) string {
	out := make([]byte, 0, len(prefix)+len(id)+16)
	out = append(out, prefix...)
	for i := range len(id) {
		if c := id[i]; kept(c) {
			out = append(out, c)
		} else {
			out = append(out, '=', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// UnescapeID returns the id of a name that EscapeID made. It accepts more than
// one name for an id: a caller that needs exactly one escapes the result again
// and compares.
func UnescapeID(prefix, name string, kept func(byte) bool) (string, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || rest == "" {
		return "", false
	}
	id := make([]byte, 0, len(rest))
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case kept(c):
			id = append(id, c)
		case c == '=' && i+2 < len(rest):
			b, err := hex.DecodeString(rest[i+1 : i+3])
			if err != nil {
				return "", false
			}
			id = append(id, b[0])
			i += 2
		default:
			return "", false
		}
	}
	return string(id), true
}
