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

// Key is a secret that seals. It prints without its secret.
type Key struct {
	// ID names the key in every record that it seals: 1 to 64 bytes of
	// printable ASCII, public.
	ID string
	// Secret has 32 bytes from a cryptographic random source.
	Secret []byte
}

// Format prints the id, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key %q", k.ID) }

const (
	secretSize = 32
	maxKeyID   = 64
)

// Keyring holds the keys that seal what a store keeps: values here, and the
// data and secrets of sessions in package session. The active key seals, and
// all of them open. Secrets come from the program, which keeps them as it
// keeps its others: what is sealed with a key that is lost stays closed.
//
// To change the key on many nodes without a gap: Add the new one on each, Use
// it on each, and Remove the old one when nothing is left under it. What is
// stored is sealed anew with its next write. A Keyring is safe for concurrent
// use and prints without its secrets; NewKeyring makes one.
type Keyring struct {
	mu     sync.RWMutex
	active string
	keys   map[string][]byte
}

// NewKeyring returns a keyring that seals with the active key and opens with
// the older ones too. ErrInvalid for a key without an id or with a secret of
// another size, ErrExists for two keys of one id.
func NewKeyring(active Key, older ...Key) (*Keyring, error) {
	k := &Keyring{active: active.ID, keys: map[string][]byte{}}
	for _, key := range append([]Key{active}, older...) {
		if err := k.Add(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Add adds a key that opens and does not seal. Errors as of NewKeyring.
func (k *Keyring) Add(key Key) error {
	switch {
	case !isKeyID(key.ID):
		return model.NewError(model.ErrInvalid, "a key's id has 1 to 64 bytes of printable ASCII", nil)
	case len(key.Secret) != secretSize:
		return model.NewError(model.ErrInvalid, fmt.Sprintf("the secret of key %q has not 32 bytes", key.ID), nil)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[key.ID] != nil {
		return model.NewError(model.ErrExists, fmt.Sprintf("key %q is in the ring already", key.ID), nil)
	}
	k.keys[key.ID] = slices.Clone(key.Secret)
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

// Use makes the key of that id the active one; the one before it still opens.
// ErrNotFound for an id that is not in the ring.
func (k *Keyring) Use(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[id] == nil {
		return noKey(id)
	}
	k.active = id
	return nil
}

// Remove forgets a key: what it sealed is ErrCorrupt from then on. ErrNotFound
// for an id that is not in the ring, ErrInvalid for the active one.
func (k *Keyring) Remove(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.keys[id] == nil:
		return noKey(id)
	case id == k.active:
		return model.NewError(model.ErrInvalid, fmt.Sprintf("key %q is the active one", id), nil)
	}
	delete(k.keys, id)
	return nil
}

func noKey(id string) error {
	return model.NewError(model.ErrNotFound, fmt.Sprintf("key %q is not in the ring", id), nil)
}

// Active returns the id of the key that seals.
func (k *Keyring) Active() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active
}

// Has reports whether a key of that id is in the ring; a nil ring has none.
func (k *Keyring) Has(id string) bool { return k.secret(id) != nil }

// Derive returns 32 bytes that follow from a key's secret and the purpose and
// do not lead back to it, for uses of the program's own. ErrNotFound for an id
// that is not in the ring.
func (k *Keyring) Derive(id, purpose string) ([]byte, error) {
	secret := k.secret(id)
	if secret == nil {
		return nil, noKey(id)
	}
	return hkdf.Expand(sha256.New, secret, "sojourn derived: "+purpose, secretSize)
}

// Format prints the ids, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.text()) }

// LogValue is the text of Format.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.text()) }

func (k *Keyring) text() string {
	if k == nil {
		return "keyring(nil)"
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return fmt.Sprintf("keyring(%s of %q)", k.active, slices.Sorted(maps.Keys(k.keys)))
}

func (k *Keyring) secret(id string) []byte {
	if k == nil {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[id]
}

// sealing returns the key that seals. It is there, whatever others do to the
// ring meanwhile.
func (k *Keyring) sealing() (id string, secret []byte) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active, k.keys[k.active]
}
