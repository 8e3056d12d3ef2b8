package expiry

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// The layout of a sealed value is: format, length of the key's id, the id,
// length of the codec's name, the name, salt, ciphertext with its tag.
//
// The encoding's name of a sealed value is "sealed:", the key's id, ":" and 16
// digits for the key, the purpose and the codec. So a backend sees which values
// an update may replace. Values that were sealed before that are "sealed".
const (
	sealedEncoding    = "sealed"
	sealedPrefix      = sealedEncoding + ":"
	encodingTag       = "sojourn sealed encoding 1"
	encodingTagSize   = 8
	sealFormat        = 1 // of Seal: bound to the caller's text
	sealFormatPurpose = 2 // of a Store: bound to its purpose and the id
	saltSize          = 24
	sealLabel         = "sojourn sealed value 1"
)

// Seal encrypts a text with the active key and returns that key's id. Open
// needs the same binding, such as the id of the record that the text belongs
// to.
func (k *Keyring) Seal(binding string, plain []byte) (sealed []byte, keyID string, err error) {
	return k.seal(sealFormat, binding, "", plain)
}

// Open decrypts what Seal returned for the same binding. It returns ErrCorrupt
// if the bytes were changed, have another binding, or were sealed with a key
// that the keyring does not have.
func (k *Keyring) Open(binding string, sealed []byte) ([]byte, error) {
	return k.open(sealFormat, binding, []string{""}, sealed)
}

// sealValue encrypts a value of a Store. It also returns the encoding's name.
func (k *Keyring) sealValue(purpose, id, codec string, plain []byte) (sealed []byte, encoding string, err error) {
	sealed, keyID, err := k.seal(sealFormatPurpose, purposeBinding(purpose, id), codec, plain)
	if err != nil {
		return nil, "", err
	}
	encoding, err = sealedName(keyID, k.secret(keyID), purpose, codec)
	return sealed, encoding, err
}

// opens returns the names of the encodings of all values that the keyring may
// open for one of the codecs.
func (k *Keyring) opens(purpose string, codecs []string) ([]string, error) {
	out := []string{sealedEncoding}
	for _, keyID := range k.ids() {
		for _, codec := range codecs {
			name, err := sealedName(keyID, k.secret(keyID), purpose, codec)
			if err != nil {
				return nil, err
			}
			out = append(out, name)
		}
	}
	return out, nil
}

// sealedName returns the encoding's name of a value that the key sealed.
func sealedName(keyID string, secret []byte, purpose, codec string) (string, error) {
	tag, err := hkdf.Expand(sha256.New, secret, encodingTag+purposeBinding(purpose, codec), encodingTagSize)
	if err != nil {
		return "", model.NewError(model.ErrInvalid, "the value cannot be sealed", err)
	}
	return sealedPrefix + keyID + ":" + hex.EncodeToString(tag), nil
}

// isSealed reports whether the encoding's name is that of sealed values.
func isSealed(encoding string) bool {
	return encoding == sealedEncoding || strings.HasPrefix(encoding, sealedPrefix)
}

// openValue decrypts what sealValue returned for the same purpose and id, and one
// of the codecs.
func (k *Keyring) openValue(purpose, id string, codecs []string, sealed []byte) ([]byte, error) {
	return k.open(sealFormatPurpose, purposeBinding(purpose, id), codecs, sealed)
}

// purposeBinding joins both so that no other pair gives the same text.
func purposeBinding(purpose, id string) string {
	return string([]byte{byte(len(purpose))}) + purpose + id
}

// seal encrypts a text with a binding. Each value has a key of its own, derived
// from the keyring's with 192 random bits. So one keyring key may seal any
// number of values, and the nonce can be fixed.
func (k *Keyring) seal(format byte, binding, codec string, plain []byte) (sealed []byte, keyID string, err error) {
	if err := k.usable(); err != nil {
		return nil, "", err
	}
	keyID, secret := k.sealing()
	out := make([]byte, 0, 3+len(keyID)+len(codec)+saltSize+len(plain)+16)
	out = append(out, format, byte(len(keyID)))
	out = append(out, keyID...)
	out = append(out, byte(len(codec)))
	out = append(out, codec...)
	head := len(out)
	out = out[:head+saltSize]
	_, _ = rand.Read(out[head:])
	aead, err := newAEAD(secret, out[head:])
	if err != nil {
		return nil, "", model.NewError(model.ErrInvalid, "the value cannot be sealed", err)
	}
	nonce := make([]byte, aead.NonceSize())                                     // zero: the key is used once
	return aead.Seal(out, nonce, plain, bound(out[:head], binding)), keyID, nil //nolint:gosec // see above
}

// open decrypts what seal returned for that binding and one of the codecs. With
// an error it returns nothing of the text.
func (k *Keyring) open(format byte, binding string, codecs []string, sealed []byte) ([]byte, error) {
	keyID, name, head, ok := parseSealed(sealed)
	switch {
	case !ok || sealed[0] != format:
		return nil, model.NewError(model.ErrCorrupt, "the value is not sealed, or has a newer format", nil)
	case !slices.Contains(codecs, name):
		return nil, model.NewError(model.ErrCorrupt, "the sealed value is "+name+", the store reads "+strings.Join(codecs, " and "), nil)
	}
	secret := k.secret(keyID)
	if secret == nil {
		return nil, model.NewError(model.ErrCorrupt, fmt.Sprintf("sealed with the key %q, which the keyring does not have", keyID), nil)
	}
	text := head + saltSize
	aead, err := newAEAD(secret, sealed[head:text])
	if err != nil {
		return nil, model.NewError(model.ErrCorrupt, "the seal cannot be opened", err)
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[text:], bound(sealed[:head], binding))
	if err != nil {
		return nil, model.NewError(model.ErrCorrupt, "the value was changed, or was sealed for another record or purpose", err)
	}
	return plain, nil
}

// bound returns the additional data of a seal: its own head and the binding.
func bound(head []byte, binding string) []byte {
	return append(slices.Clip(slices.Clone(head)), binding...)
}

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

// parseSealed returns the names at the start of a sealed value, and the length
// of that start.
func parseSealed(b []byte) (keyID, codec string, head int, ok bool) {
	if len(b) < 2 || b[0] != sealFormat && b[0] != sealFormatPurpose {
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
