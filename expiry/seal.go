package expiry

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/model"
)

// Key is a secret that seals values. It prints without its secret.
type Key struct {
	// ID names the key in every record that it seals: 1 to 64 bytes, public.
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

// Keyring seals values with its active key and opens what any of its keys
// sealed. Keys come and go while it is in use. It is safe for concurrent use;
// NewKeyring makes one.
type Keyring struct {
	mu     sync.RWMutex
	active string
	keys   map[string][]byte
}

// NewKeyring returns a keyring that seals with the active key and opens with
// the older ones too. ErrInvalid for a key without an id or with a secret of
// another size, and for two keys of one id.
func NewKeyring(active Key, older ...Key) (*Keyring, error) {
	k := &Keyring{active: active.ID, keys: map[string][]byte{}}
	for _, key := range append([]Key{active}, older...) {
		if err := k.add(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *Keyring) add(key Key) error {
	switch {
	case key.ID == "" || len(key.ID) > maxKeyID:
		return model.Fault(model.ErrInvalid, "a key's id has 1 to 64 bytes", nil)
	case len(key.Secret) != secretSize:
		return model.Fault(model.ErrInvalid, fmt.Sprintf("the secret of key %q has not 32 bytes", key.ID), nil)
	case k.keys[key.ID] != nil:
		return model.Fault(model.ErrInvalid, fmt.Sprintf("key %q is there already", key.ID), nil)
	}
	k.keys[key.ID] = slices.Clone(key.Secret)
	return nil
}

// Rotate makes the key the active one. What older keys sealed is opened as
// before, and sealed anew with the record's next write.
func (k *Keyring) Rotate(key Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.add(key); err != nil {
		return err
	}
	k.active = key.ID
	return nil
}

// Remove forgets a key: what it sealed is ErrCorrupt from then on. The active
// one is ErrInvalid.
func (k *Keyring) Remove(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id == k.active {
		return model.Fault(model.ErrInvalid, fmt.Sprintf("key %q is the active one", id), nil)
	}
	delete(k.keys, id)
	return nil
}

// Active returns the id of the key that seals.
func (k *Keyring) Active() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active
}

func (k *Keyring) secret(id string) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[id]
}

// The encoding of sealed values, and the layout of one: format, length of the
// key's id, the id, length of the codec's name, the name, salt, ciphertext with
// its tag.
const (
	sealedEncoding = "sealed"
	sealFormat     = 1
	saltSize       = 24
	sealLabel      = "sojourn sealed value 1"
)

// seal encrypts a value for one record and no other. Each seal has a key of
// its own, derived from the keyring's by 192 random bits, so that the number of
// values that one key may seal has no bound that matters, and the nonce can be
// fixed.
func (k *Keyring) seal(id, codec string, plain []byte) ([]byte, error) {
	keyID := k.Active()
	out := make([]byte, 0, 3+len(keyID)+len(codec)+saltSize+len(plain)+16)
	out = append(out, sealFormat, byte(len(keyID)))
	out = append(out, keyID...)
	out = append(out, byte(len(codec)))
	out = append(out, codec...)
	head := len(out)
	out = out[:head+saltSize]
	_, _ = rand.Read(out[head:])
	aead, err := newAEAD(k.secret(keyID), out[head:])
	if err != nil {
		return nil, model.Fault(model.ErrInvalid, "the value cannot be sealed", err)
	}
	nonce := make([]byte, aead.NonceSize())                         // zero: the key is used once
	return aead.Seal(out, nonce, plain, bound(out[:head], id)), nil //nolint:gosec // see above
}

// open decrypts what seal made for that record. Whatever is wrong, nothing of
// the value is returned.
func (k *Keyring) open(id, codec string, sealed []byte) ([]byte, error) {
	keyID, name, head, ok := parseSealed(sealed)
	switch {
	case !ok:
		return nil, model.Fault(model.ErrCorrupt, "no sealed value, or one of a newer format", nil)
	case name != codec:
		return nil, model.Fault(model.ErrCorrupt, "sealed "+name+", read as "+codec, nil)
	}
	secret := k.secret(keyID)
	if secret == nil {
		return nil, model.Fault(model.ErrCorrupt, fmt.Sprintf("sealed with the key %q, which the keyring does not have", keyID), nil)
	}
	text := head + saltSize
	aead, err := newAEAD(secret, sealed[head:text])
	if err != nil {
		return nil, model.Fault(model.ErrCorrupt, "the seal cannot be opened", err)
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[text:], bound(sealed[:head], id))
	if err != nil {
		return nil, model.Fault(model.ErrCorrupt, "the seal is broken, or is another record's", err)
	}
	return plain, nil
}

// bound is what a seal is bound to beside its value: its own head and the
// record's id.
func bound(head []byte, id string) []byte { return append(slices.Clip(slices.Clone(head)), id...) }

func newAEAD(secret, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, sealLabel, secretSize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// parseSealed returns the names in front of a sealed value and their length.
func parseSealed(b []byte) (keyID, codec string, head int, ok bool) {
	if len(b) < 2 || b[0] != sealFormat {
		return "", "", 0, false
	}
	at := 2 + int(b[1])
	if len(b) <= at {
		return "", "", 0, false
	}
	keyID = string(b[2:at])
	head = at + 1 + int(b[at])
	if len(b) < head+saltSize {
		return "", "", 0, false
	}
	return keyID, string(b[at+1 : head]), head, true
}
