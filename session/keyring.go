package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/model"
)

// KeySize is the size of a keyring's keys in bytes.
const KeySize = 32

// maxKeyID is the longest id of a key in bytes.
const maxKeyID = 32

// Keyring holds the keys that seal the data of sessions and pepper the hashes
// of their secrets. One key is in use for what is written; all others still
// open what was written under them. Keys come from the program, which keeps
// them as it keeps its other secrets: a key that is lost makes the sessions
// under it anonymous.
//
// To change the key on many nodes without a gap: Add the new one on each, Use
// it on each, and Remove the old one when the sessions under it have ended.
// Data is sealed anew with the next write of its session. A Keyring is safe
// for concurrent use and prints without its keys.
type Keyring struct {
	mu      sync.RWMutex
	keys    map[string]derived
	current string
}

// derived are the two keys that one key of the program is for. One master key
// is never used for two purposes.
type derived struct {
	aead   cipher.AEAD
	pepper []byte
}

// NewKeyring returns a Keyring with one key, which is in use. The id has 1 to
// 32 bytes of printable ASCII and is stored in the clear; the key has KeySize
// random bytes. Else model.ErrInvalid.
func NewKeyring(id string, key []byte) (*Keyring, error) {
	k := &Keyring{keys: map[string]derived{}}
	if err := k.Add(id, key); err != nil {
		return nil, err
	}
	k.current = id
	return k, nil
}

// Add adds a key that opens and does not seal. model.ErrExists for an id that
// is there already, model.ErrInvalid as NewKeyring.
func (k *Keyring) Add(id string, key []byte) error {
	const op = "session.Keyring.Add"
	if !isKeyID(id) || len(key) != KeySize {
		return &model.Error{Op: op, Err: model.Fault(model.ErrInvalid, "a key has an id of 1 to 32 printable ASCII bytes and 32 bytes", nil)}
	}
	d, err := derive(key)
	if err != nil {
		return &model.Error{Op: op, Err: model.Fault(model.ErrInvalid, "the key cannot be used", err)}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, there := k.keys[id]; there {
		return &model.Error{Op: op, Err: model.Fault(model.ErrExists, "a key with that id is in the ring", nil)}
	}
	k.keys[id] = d
	return nil
}

// Use makes the key the one that seals; the one before it is retired: it still
// opens. model.ErrNotFound for an id that is not in the ring.
func (k *Keyring) Use(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, there := k.keys[id]; !there {
		return &model.Error{Op: "session.Keyring.Use", Err: model.ErrNotFound}
	}
	k.current = id
	return nil
}

// Remove takes a retired key out: sessions under it are anonymous from now on.
// model.ErrNotFound for an id that is not in the ring, model.ErrInvalid for
// the key in use.
func (k *Keyring) Remove(id string) error {
	const op = "session.Keyring.Remove"
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, there := k.keys[id]; !there {
		return &model.Error{Op: op, Err: model.ErrNotFound}
	}
	if id == k.current {
		return &model.Error{Op: op, Err: model.Fault(model.ErrInvalid, "the key is in use", nil)}
	}
	delete(k.keys, id)
	return nil
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
	return fmt.Sprintf("keyring(%s of %q)", k.current, slices.Sorted(maps.Keys(k.keys)))
}

func isKeyID(id string) bool {
	for _, c := range []byte(id) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxKeyID
}

func derive(key []byte) (derived, error) {
	seal, err := hkdf.Expand(sha256.New, key, "sojourn session data", KeySize)
	if err != nil {
		return derived{}, err
	}
	pepper, err := hkdf.Expand(sha256.New, key, "sojourn session pepper", KeySize)
	if err != nil {
		return derived{}, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return derived{}, err
	}
	aead, err := cipher.NewGCM(block)
	return derived{aead: aead, pepper: pepper}, err
}

// inUse returns the key that seals, and its id.
func (k *Keyring) inUse() (string, derived) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.current, k.keys[k.current]
}

func (k *Keyring) get(id string) (derived, bool) {
	if k == nil {
		return derived{}, false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, there := k.keys[id]
	return d, there
}

// binding is what sealed data is tied to, so that it opens nowhere else: the
// key's id and the row's handle, neither of which can run into the other.
func binding(keyID, handle string) []byte { return []byte(keyID + "\x00" + handle) }

// seal returns a random nonce and the sealed text. A key may seal some 2^32
// times before two nonces are likely enough to be the same: years of use, and
// the reason to change keys at all.
func (d derived) seal(keyID, handle string, plain []byte) []byte {
	nonce := make([]byte, d.aead.NonceSize(), d.aead.NonceSize()+len(plain)+d.aead.Overhead())
	_, _ = rand.Read(nonce)
	return d.aead.Seal(nonce, nonce, plain, binding(keyID, handle))
}

func (d derived) open(keyID, handle string, sealed []byte) ([]byte, bool) {
	n := d.aead.NonceSize()
	if len(sealed) < n {
		return nil, false
	}
	plain, err := d.aead.Open(nil, sealed[:n], sealed[n:], binding(keyID, handle))
	return plain, err == nil
}

func (d derived) hash(secret []byte) []byte {
	m := hmac.New(sha256.New, d.pepper)
	m.Write(secret)
	return m.Sum(nil)
}
