package expiry_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// TestUpdateSparesWhatItCannotOpen updates a sealed value from stores that
// cannot open it. Only an upsert replaces it.
func TestUpdateSparesWhatItCannotOpen(t *testing.T) {
	ring, both := keyring(t, "k1"), keyring(t, "k2", "k1")
	forged, err := expiry.NewKeyring(expiry.SealKey{ID: "k1", Secret: bytes.Repeat([]byte{'?'}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		opts expiry.StoreOptions
		want error
	}{
		"the same":                    {expiry.StoreOptions{Purpose: "test", Seal: ring}, nil},
		"a newer key as well":         {expiry.StoreOptions{Purpose: "test", Seal: both}, nil},
		"another key":                 {expiry.StoreOptions{Purpose: "test", Seal: keyring(t, "k2")}, model.ErrCorrupt},
		"another secret of that id":   {expiry.StoreOptions{Purpose: "test", Seal: forged}, model.ErrCorrupt},
		"another codec":               {expiry.StoreOptions{Purpose: "test", Seal: ring, Codec: expiry.Gob()}, model.ErrCorrupt},
		"another purpose":             {expiry.StoreOptions{Purpose: "tests", Seal: ring}, model.ErrCorrupt},
		"no key":                      {expiry.StoreOptions{}, model.ErrCorrupt},
		"another key, moving to seal": {expiry.StoreOptions{Purpose: "test", Seal: keyring(t, "k2"), OpenUnsealed: true}, model.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := sealedStore(t, ring)
			if _, err := s.Create(t.Context(), "a", value{1}, nil); err != nil {
				t.Fatal(err)
			}
			before := raw(t, b, "a")
			other := storeOn(t, b, &tt.opts)
			_, update := other.Update(t.Context(), "a", value{2}, nil)
			_, match := other.Update(t.Context(), "a", value{3}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(raw(t, b, "a").Revision)})
			bulk, err := other.Bulk(t.Context(), []expiry.Op[value]{{Kind: expiry.OpUpdate, ID: "a"}})
			if err != nil {
				t.Fatal(err)
			}
			for verb, err := range map[string]error{"Update": update, "Update at the revision": match, "Bulk": bulk.Results[0].Err} {
				if !errors.Is(err, tt.want) {
					t.Errorf("%s: got %v, want %v", verb, err, tt.want)
				}
			}
			if after := raw(t, b, "a"); (after.Revision == before.Revision) != (tt.want != nil) {
				t.Errorf("the record was changed: %v", after.Revision != before.Revision)
			}
			if _, err := other.Upsert(t.Context(), "a", value{4}, nil); err != nil {
				t.Error(err)
			}
			if it, err := other.Get(t.Context(), "a"); err != nil || it.Value.N != 4 {
				t.Errorf("got %+v, %v, want the value of the upsert", it.Value, err)
			}
		})
	}
}

// TestValuesSealedByEarlierVersions reads and replaces a value whose encoding
// names no key.
func TestValuesSealedByEarlierVersions(t *testing.T) {
	b, s := sealedStore(t, keyring(t, "k1"))
	if _, err := s.Create(t.Context(), "a", value{1}, nil); err != nil {
		t.Fatal(err)
	}
	r := raw(t, b, "a")
	r.Encoding = "sealed"
	put(t, b, r)
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != 1 {
		t.Errorf("got %+v, %v", it.Value, err)
	}
	if _, err := s.Update(t.Context(), "a", value{2}, nil); err != nil {
		t.Error(err)
	}
	if r := raw(t, b, "a"); !strings.HasPrefix(r.Encoding, "sealed:k1:") {
		t.Errorf("written as %q", r.Encoding)
	}
}

// TestAKeyThatIsRemovedEndsUpdates removes the key of a stored value: an update
// must not replace what nobody has read.
func TestAKeyThatIsRemovedEndsUpdates(t *testing.T) {
	k := keyring(t, "k2", "k1")
	if err := k.Use("k1"); err != nil {
		t.Fatal(err)
	}
	_, s := sealedStore(t, k)
	if _, err := s.Create(t.Context(), "a", value{1}, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Use("k2"), k.Remove("k1")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(t.Context(), "a", value{2}, nil)
	wantKind(t, err, model.ErrCorrupt)
}

// TestUpdateDoesNotReadASeal damages a seal and moves a sealed value to another
// record. Calls that read the old value return ErrCorrupt and change nothing.
// Update replaces it, as its documentation says.
func TestUpdateDoesNotReadASeal(t *testing.T) {
	for _, damage := range []string{"changed", "moved"} {
		b, s := sealedStore(t, keyring(t, "k1"))
		for _, id := range []string{"a", "other"} {
			if _, err := s.Create(t.Context(), id, value{1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		r := raw(t, b, "a")
		if damage == "moved" {
			r.Value = raw(t, b, "other").Value
		} else {
			r.Value = bytes.Clone(r.Value)
			r.Value[len(r.Value)-1] ^= 1
		}
		put(t, b, r)
		before := raw(t, b, "a").Revision
		_, get := s.Get(t.Context(), "a")
		_, mutate := s.Mutate(t.Context(), "a", func(v *value) error { v.N++; return nil }, nil)
		_, partial := s.UpdatePartial(t.Context(), "a", map[string]any{"N": 2}, nil)
		for _, err := range []error{get, mutate, partial} {
			wantKind(t, err, model.ErrCorrupt)
		}
		if raw(t, b, "a").Revision != before {
			t.Errorf("%s: the record was changed", damage)
		}
		if it, err := s.Update(t.Context(), "a", value{2}, nil); err != nil || it.Value.N != 2 {
			t.Errorf("%s: update: %+v, %v", damage, it.Value, err)
		}
	}
}
