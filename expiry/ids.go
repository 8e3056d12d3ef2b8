package expiry

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// hashedPrefix starts the ids that are hashes.
const hashedPrefix = "sha256-"

// SafeID returns an id for any string, such as a cookie or a URL that somebody
// sent: the string itself if it is a legal id, else a hash of it. Different
// strings have different ids.
func SafeID(s string) string {
	if model.CheckID(s) == nil && !strings.HasPrefix(s, hashedPrefix) {
		return s
	}
	return hashedID("sojourn safe id", s)
}

// SecretID returns the hash that leaves a Store with StoreOptions.SecretIDs in place
// of the id: the id in the backend.
func SecretID(id string) string { return hashedID("sojourn secret id", id) }

func hashedID(purpose, s string) string {
	sum := sha256.Sum256([]byte(purpose + "\x00" + s))
	return hashedPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}
