package expiry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// short writes the number alone, and reads JSON too.
type short struct{ both bool }

func (short) Name() string { return "short" }

func (c short) Reads() []string {
	if c.both {
		return []string{"json"}
	}
	return nil
}

func (short) Encode(v any) ([]byte, error) { return []byte{byte(v.(*value).N)}, nil }

func (short) Decode(data []byte, v any) error {
	if bytes.HasPrefix(data, []byte("{")) {
		return json.Unmarshal(data, v)
	}
	v.(*value).N = int(data[0])
	return nil
}

// A store moves to a codec that reads the one before: its records are read,
// updated and then of the new codec. Others stay as they are.
func TestACodecReadsWhatAnotherOneWrote(t *testing.T) {
	sealed := func(o expiry.StoreOptions) expiry.StoreOptions {
		o.Purpose, o.Seal = "test", keyring(t, "k1")
		return o
	}
	for name, tt := range map[string]struct {
		before, after, unaware, gob expiry.StoreOptions
	}{
		"plain":  {expiry.StoreOptions{}, expiry.StoreOptions{Codec: short{true}}, expiry.StoreOptions{Codec: short{}}, expiry.StoreOptions{Codec: expiry.Gob()}},
		"sealed": {sealed(expiry.StoreOptions{}), sealed(expiry.StoreOptions{Codec: short{true}}), sealed(expiry.StoreOptions{Codec: short{}}), sealed(expiry.StoreOptions{Codec: expiry.Gob()})},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := memory.New(nil, "x", nil)
			if err != nil {
				t.Fatal(err)
			}
			old, store := storeOn(t, b, &tt.before), storeOn(t, b, &tt.after)
			for _, id := range []string{"a", "b"} {
				if _, err := old.Create(t.Context(), id, value{7}, nil); err != nil {
					t.Fatal(err)
				}
			}
			unaware := storeOn(t, b, &tt.unaware)
			_, err = unaware.Get(t.Context(), "a")
			wantKind(t, err, model.ErrCorrupt)
			_, err = unaware.Update(t.Context(), "a", value{1}, nil)
			wantKind(t, err, model.ErrCorrupt)

			if it, err := store.Get(t.Context(), "a"); err != nil || it.Value.N != 7 {
				t.Fatalf("%+v, %v", it.Value, err)
			}
			if _, err := store.Update(t.Context(), "a", value{8}, nil); err != nil {
				t.Fatal(err)
			}
			if it, err := store.Mutate(t.Context(), "b", func(v *value) error { v.N++; return nil }, nil); err != nil || it.Value.N != 8 {
				t.Fatalf("%+v, %v", it.Value, err)
			}
			for _, id := range []string{"a", "b"} {
				if it, err := unaware.Get(t.Context(), id); err != nil || it.Value.N != 8 {
					t.Errorf("%s is not of the new codec: %+v, %v", id, it.Value, err)
				}
				_, err = old.Update(t.Context(), id, value{9}, nil)
				wantKind(t, err, model.ErrCorrupt)
			}
			foreign := storeOn(t, b, &tt.gob)
			if _, err := foreign.Create(t.Context(), "c", value{1}, nil); err != nil {
				t.Fatal(err)
			}
			_, err = store.Update(t.Context(), "c", value{2}, nil)
			wantKind(t, err, model.ErrCorrupt)
			if _, err := store.Get(t.Context(), "c"); !errors.Is(err, model.ErrCorrupt) {
				t.Errorf("%v, want ErrCorrupt", err)
			}
		})
	}
}
