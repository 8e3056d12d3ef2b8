package config

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sojourn-go/sojourn/expiry"
)

// secretSize is the length of a key's secret in bytes.
const secretSize = 32

// ParseKeyring returns the keyring of a text with one key a line. A line has
// the form id:secret, with the secret's 32 bytes in base64:
//
//	printf '2026-11:%s\n' "$(openssl rand -base64 32)"
//
// The first key seals, and all of them open. Empty lines and lines that begin
// with # are skipped. It returns ErrInvalid for other lines, for two keys with
// one id, and for no key. Its errors name the line and quote nothing of it.
func ParseKeyring(text string) (*expiry.Keyring, error) {
	var keys []expiry.SealKey
	seen := map[string]bool{}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ':')
		if at < 0 {
			return nil, invalid(fmt.Sprintf("line %d is not of the form id:secret", n), nil)
		}
		key := expiry.SealKey{ID: line[:at], Secret: decode(line[at+1:])}
		if len(key.Secret) != secretSize {
			return nil, invalid(fmt.Sprintf("the secret of line %d is not 32 bytes in base64", n), nil)
		}
		if _, err := expiry.NewKeyring(key); err != nil {
			return nil, invalid(fmt.Sprintf("the id of line %d is not 1 to 64 bytes of printable ASCII", n), nil)
		}
		if seen[key.ID] {
			return nil, invalid(fmt.Sprintf("line %d has the id of an earlier line", n), nil)
		}
		seen[key.ID] = true
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, invalid("there is no line with a key", nil)
	}
	return expiry.NewKeyring(keys[0], keys[1:]...)
}

// decode decodes base64 of either alphabet, padded or not. It returns nil for
// anything else.
func decode(text string) []byte {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	data, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	return data
}
