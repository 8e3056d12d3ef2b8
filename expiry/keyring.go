package expiry

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/model"
)

// SealKey is a secret that seals values. It prints without its secret.
type SealKey struct {
	// ID names the key in every record that it seals. It is public and has 1 to
	// 64 bytes of printable ASCII.
	ID string
	// Secret has 32 bytes from a cryptographic random source.
	Secret []byte
}

// String returns the id, not the secret.
func (k SealKey) String() string { return fmt.Sprintf("key %q", k.ID) }

// Format prints the text of String for every verb.
func (k SealKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.String()) }

// LogValue returns the text of String.
func (k SealKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the text of String, also for encoders such as those of
// JSON and XML: a key is not written by accident with what it is a field of.
func (k SealKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalBinary returns ErrUnsupported, also for encoders such as gob.
func (k SealKey) MarshalBinary() ([]byte, error) {
	return nil, model.NewError(model.ErrUnsupported, "a key is not encoded: write its secret where secrets are kept", nil)
}

const (
	secretSize = 32
	maxKeyID   = 64
)

// Keyring holds the keys that seal a store's values, and the data and secrets
// of sessions. The active key seals, and every key opens. The program provides
// the secrets and must keep them: a value whose key is lost cannot be opened.
//
// To change the key on many nodes without a gap, Add the new one on every node,
// then Use it on every node, and Remove the old one when no record needs it. A
// stored value is sealed again with its next write. A Keyring is safe for
// concurrent use and prints without its secrets. NewKeyring makes one.
type Keyring struct {
	mu     sync.RWMutex
	active string
	// Printers that do not ask for methods follow fields and pointers, but not
	// functions.
	keys map[string]func() []byte
}

// NewKeyring returns a keyring that seals with the active key and also opens
// with the older ones. It returns ErrInvalid for a key with an invalid id or
// secret, and ErrExists for two keys with the same id.
func NewKeyring(active SealKey, older ...SealKey) (*Keyring, error) {
	k := &Keyring{active: active.ID, keys: map[string]func() []byte{}}
	for _, key := range append([]SealKey{active}, older...) {
		if err := k.Add(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Add adds a key that opens and does not seal. It returns the errors of
// NewKeyring.
func (k *Keyring) Add(key SealKey) error {
	switch {
	case !isKeyID(key.ID):
		return model.NewError(model.ErrInvalid, "a key's id must have 1 to 64 bytes of printable ASCII", nil)
	case len(key.Secret) != secretSize:
		return model.NewError(model.ErrInvalid, fmt.Sprintf("the secret of key %q must have 32 bytes", key.ID), nil)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		return model.NewError(model.ErrInvalid, "the keyring has no active key: make it with NewKeyring", nil)
	}
	if k.keys[key.ID] != nil {
		return model.NewError(model.ErrExists, fmt.Sprintf("the keyring already has the key %q", key.ID), nil)
	}
	secret := slices.Clone(key.Secret)
	k.keys[key.ID] = func() []byte { return secret }
	return nil
}

func isKeyID(id string) bool {
	for _, c := range []byte(id) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxKeyID
}

// Use makes the key with that id the active one. The one before it still opens.
// It returns ErrNotFound if the keyring does not have the key.
func (k *Keyring) Use(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[id] == nil {
		return noKey(id)
	}
	k.active = id
	return nil
}

// Remove removes a key: values that it sealed are ErrCorrupt from then on. It
// returns ErrNotFound if the keyring does not have the key, and ErrInvalid for
// the active one.
func (k *Keyring) Remove(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.keys[id] == nil:
		return noKey(id)
	case id == k.active:
		return model.NewError(model.ErrInvalid, fmt.Sprintf("the key %q is active: use another one first", id), nil)
	}
	delete(k.keys, id)
	return nil
}

func noKey(id string) error {
	return model.NewError(model.ErrNotFound, fmt.Sprintf("the keyring does not have the key %q", id), nil)
}

// Active returns the id of the active key. A nil keyring has none.
func (k *Keyring) Active() string {
	if k == nil {
		return ""
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active
}

// Has reports whether the keyring has a key with that id. A nil keyring has
// none.
func (k *Keyring) Has(id string) bool { return k.secret(id) != nil }

// Derive returns 32 bytes derived from a key's secret and the purpose, for the
// program's own use. They do not reveal the secret. It returns ErrNotFound if
// the keyring does not have the key.
func (k *Keyring) Derive(id, purpose string) ([]byte, error) {
	secret := k.secret(id)
	if secret == nil {
		return nil, noKey(id)
	}
	return hkdf.Expand(sha256.New, secret, "sojourn derived: "+purpose, secretSize)
}

// Format prints the text of String for every verb.
func (k *Keyring) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.String()) }

// LogValue returns the text of String.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the text of String, also for encoders such as that of
// JSON.
func (k *Keyring) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String returns the ids of the keys, not their secrets.
func (k *Keyring) String() string {
	if k == nil {
		return "keyring(nil)"
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return fmt.Sprintf("keyring(%s of %q)", k.active, slices.Sorted(maps.Keys(k.keys)))
}

// ids returns the ids of all keys, sorted.
func (k *Keyring) ids() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Sorted(maps.Keys(k.keys))
}

func (k *Keyring) secret(id string) []byte {
	if k == nil {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if secret := k.keys[id]; secret != nil {
		return secret()
	}
	return nil
}

// usable returns ErrInvalid for a keyring that NewKeyring did not make.
func (k *Keyring) usable() error {
	if _, secret := k.sealing(); secret == nil {
		return model.NewError(model.ErrInvalid, "the keyring has no active key: make it with NewKeyring", nil)
	}
	return nil
}

// sealing returns the active key.
func (k *Keyring) sealing() (id string, secret []byte) {
	if k == nil {
		return "", nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if secret := k.keys[k.active]; secret != nil {
		return k.active, secret()
	}
	return k.active, nil
}
