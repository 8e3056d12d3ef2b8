package expiry_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func key(id string) expiry.SealKey {
	return expiry.SealKey{ID: id, Secret: bytes.Repeat([]byte(id[:1]), 32)}
}

func keyring(t *testing.T, active string, older ...string) *expiry.Keyring {
	t.Helper()
	var keys []expiry.SealKey
	for _, id := range older {
		keys = append(keys, key(id))
	}
	k, err := expiry.NewKeyring(key(active), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealedStore is a backend and a store that seals on it.
func sealedStore(t *testing.T, k *expiry.Keyring) (*memory.Backend, *expiry.Store[value]) {
	t.Helper()
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: k})
}

// raw is what the backend keeps of a record; put replaces it.
func raw(t *testing.T, b driver.ModelExpirySupport, id string) model.Record {
	t.Helper()
	r, err := b.Get(t.Context(), time.Now(), driver.Get{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(t *testing.T, b driver.ModelExpirySupport, r model.Record) {
	t.Helper()
	r.Revision = model.NewRevision()
	if _, err := b.Write(t.Context(), time.Now(), driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
		t.Fatal(err)
	}
}

func TestSealedThroughEveryOperation(t *testing.T) {
	b, s := sealedStore(t, keyring(t, "k1"))
	ctx := t.Context()
	if _, err := s.Create(ctx, "a", value{421337}, nil); err != nil {
		t.Fatal(err)
	}
	if r := raw(t, b, "a"); !strings.HasPrefix(r.Encoding, "sealed:k1:") || bytes.Contains(r.Value, []byte("421337")) {
		t.Errorf("stored as %q: %q", r.Encoding, r.Value)
	}
	if _, err := s.Mutate(ctx, "a", func(v *value) error { v.N++; return nil }, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.UpdatePartial(ctx, "a", map[string]any{"N": 7}, nil); err != nil {
		t.Error(err)
	}
	before := raw(t, b, "a")
	if _, err := s.Mutate(ctx, "a", func(*value) error { return nil }, nil); err != nil {
		t.Error(err)
	}
	if after := raw(t, b, "a"); after.Revision != before.Revision {
		t.Error("a mutation that changes nothing was written")
	}
	if _, err := s.Touch(ctx, "a", expiry.After(time.Hour), nil); err != nil {
		t.Error(err)
	}
	res, err := s.Bulk(ctx, []expiry.Op[value]{{Kind: expiry.OpCreate, ID: "b", Value: value{8}}})
	if err != nil || res.Err() != nil {
		t.Error(err, res.Err())
	}
	if n, err := s.Reindex(ctx, func(expiry.Item[value]) map[string]string { return map[string]string{"principal": "ann"} }); n != 2 || err != nil {
		t.Errorf("reindexed %d, %v", n, err)
	}
	got, err := s.GetMany(ctx, []string{"a", "b", "a"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{7, 8, 7} {
		if got[i].Err != nil || got[i].Item.Value.N != want {
			t.Errorf("answer %d: %+v", i, got[i])
		}
	}
	for it, err := range s.All(ctx, &expiry.ListOptions{Label: "principal", Value: "ann"}) {
		if err != nil || it.Value.N < 7 {
			t.Errorf("listed %+v, %v", it, err)
		}
	}
	if it, err := s.Take(ctx, "a"); err != nil || it.Value.N != 7 {
		t.Errorf("took %+v, %v", it, err)
	}
}

func TestASealFailsClosed(t *testing.T) {
	b, s := sealedStore(t, keyring(t, "k1"))
	for i, id := range []string{"a", "b"} {
		if _, err := s.Create(t.Context(), id, value{i}, nil); err != nil {
			t.Fatal(err)
		}
	}
	good := raw(t, b, "a")
	refused := func(what string, store *expiry.Store[value], r model.Record) {
		t.Helper()
		put(t, b, r)
		it, err := store.Get(t.Context(), r.ID)
		wantKind(t, err, model.ErrCorrupt)
		if it.Value != (value{}) {
			t.Errorf("%s: a value came out: %+v", what, it.Value)
		}
		_, err = store.Mutate(t.Context(), r.ID, func(*value) error { return nil }, nil)
		wantKind(t, err, model.ErrCorrupt)
	}
	for n := range good.Value {
		r := good.Clone()
		r.Value = r.Value[:n]
		refused(fmt.Sprint("cut to ", n), s, r)
		r = good.Clone()
		r.Value[n] ^= 1
		refused(fmt.Sprint("changed at ", n), s, r)
	}
	swapped := raw(t, b, "b")
	swapped.ID = "a"
	refused("another record's", s, swapped)
	refused("not sealed", s, model.Record{ID: "a", Value: []byte(`{"N":1}`), Encoding: "json"})
	put(t, b, good)
	refused("a key that the ring lacks", storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: keyring(t, "k2")}), good)
	sameName, err := expiry.NewKeyring(expiry.SealKey{ID: "k1", Secret: bytes.Repeat([]byte{9}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	refused("another key of the same name", storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: sameName}), good)
	refused("another codec", storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: keyring(t, "k1"), Codec: expiry.Gob()}), good)
	refused("without a keyring", storeOn(t, b, nil), good)
	put(t, b, good)
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != 0 {
		t.Errorf("the good one: %+v, %v", it, err)
	}
}

func TestKeysRotate(t *testing.T) {
	k := keyring(t, "old")
	b, s := sealedStore(t, k)
	if _, err := s.Create(t.Context(), "a", value{1}, nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Add(key("new")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "c", value{3}, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw(t, b, "c").Value, []byte("old")) {
		t.Error("a key that was only added seals")
	}
	if err := k.Use("new"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "b", value{2}, nil); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if !bytes.Contains(raw(t, b, "a").Value, []byte("old")) || !bytes.Contains(raw(t, b, "b").Value, []byte("new")) {
		t.Error("records name other keys than those that sealed them")
	}
	if _, err := s.Mutate(t.Context(), "a", func(v *value) error { v.N = 3; return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Remove("old"); err != nil {
		t.Fatal(err)
	}
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != 3 {
		t.Errorf("sealed anew by a write: %+v, %v", it, err)
	}
	wantKind(t, k.Remove("new"), model.ErrInvalid)
	wantKind(t, k.Add(key("new")), model.ErrExists)
	wantKind(t, k.Use("old"), model.ErrNotFound)
	wantKind(t, k.Remove("old"), model.ErrNotFound)
	both, err := expiry.NewKeyring(key("later"), key("new"))
	if err != nil {
		t.Fatal(err)
	}
	if it, err := storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: both}).Get(t.Context(), "a"); err != nil || it.Value.N != 3 {
		t.Errorf("opened with an older key: %+v, %v", it, err)
	}
	if k.Active() != "new" {
		t.Errorf("active is %q", k.Active())
	}
}

func TestMovingAStoreToSealing(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storeOn(t, b, nil).Create(t.Context(), "a", value{1}, nil); err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, b, &expiry.StoreOptions{Purpose: "test", Seal: keyring(t, "k1"), OpenUnsealed: true})
	if _, err := s.Mutate(t.Context(), "a", func(v *value) error { v.N++; return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if r := raw(t, b, "a"); !strings.HasPrefix(r.Encoding, "sealed:k1:") {
		t.Errorf("written as %q", r.Encoding)
	}
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != 2 {
		t.Errorf("got %+v, %v", it, err)
	}
}

func TestKeyringRefuses(t *testing.T) {
	for _, bad := range []expiry.SealKey{{}, {ID: "a"}, {ID: "a", Secret: make([]byte, 31)}, {ID: strings.Repeat("x", 65), Secret: make([]byte, 32)}, {ID: "a\x00", Secret: make([]byte, 32)}, {ID: "é", Secret: make([]byte, 32)}} {
		_, err := expiry.NewKeyring(bad)
		wantKind(t, err, model.ErrInvalid)
	}
	_, err := expiry.NewKeyring(key("a"), key("a"))
	wantKind(t, err, model.ErrExists)
	k := keyring(t, "a")
	if text := fmt.Sprintf("%v %+v %#v %s %v", k, k, k, k, k.LogValue()); !strings.Contains(text, `keyring(a of ["a"])`) || strings.Contains(text, "aaa") {
		t.Errorf("a keyring prints %s", text)
	}
}

func TestKeyringForUsesOfOnesOwn(t *testing.T) {
	k := keyring(t, "a")
	one, err := k.Derive("a", "one")
	if err != nil || len(one) != 32 || bytes.Contains(one, []byte("aaa")) {
		t.Fatal(len(one), err)
	}
	if again, _ := k.Derive("a", "one"); !bytes.Equal(one, again) {
		t.Error("it differs from call to call")
	}
	if two, _ := k.Derive("a", "two"); bytes.Equal(one, two) {
		t.Error("two purposes have one key")
	}
	_, err = k.Derive("b", "one")
	wantKind(t, err, model.ErrNotFound)
	_, err = (*expiry.Keyring)(nil).Derive("a", "one")
	wantKind(t, err, model.ErrNotFound)

	sealed, by, err := k.Seal("row 1", []byte("text"))
	if err != nil || by != "a" || bytes.Contains(sealed, []byte("text")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if plain, err := k.Open("row 1", sealed); err != nil || string(plain) != "text" {
		t.Errorf("%q, %v", plain, err)
	}
	_, err = k.Open("row 2", sealed)
	wantKind(t, err, model.ErrCorrupt)
	_, err = keyring(t, "b").Open("row 1", sealed)
	wantKind(t, err, model.ErrCorrupt)
	if text := fmt.Sprintf("%v %+v %#v %s", key("a"), key("a"), key("a"), key("a")); strings.Contains(text, "97") || strings.Contains(text, "aaa") {
		t.Errorf("a key prints its secret: %s", text)
	}
}

func TestGobKeepsWhatJSONCannot(t *testing.T) {
	type point struct{ X, Y int }
	type odd struct {
		Map     map[point]string
		Complex complex128
		Float   float64
	}
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := expiry.NewStore[odd](b, &expiry.StoreOptions{Codec: expiry.Gob()})
	if err != nil {
		t.Fatal(err)
	}
	want := odd{Map: map[point]string{{1, 2}: "a"}, Complex: 1 + 2i, Float: math.Inf(1)}
	if _, err := s.Create(t.Context(), "a", want, nil); err != nil {
		t.Fatal(err)
	}
	it, err := s.Get(t.Context(), "a")
	if err != nil || it.Value.Map[point{1, 2}] != "a" || it.Value.Complex != 1+2i || !math.IsInf(it.Value.Float, 1) {
		t.Errorf("got %+v, %v", it.Value, err)
	}
	_, err = s.UpdatePartial(t.Context(), "a", map[string]any{"Float": 1}, nil)
	wantKind(t, err, model.ErrUnsupported)
	chans, err := expiry.NewStore[chan int](b, &expiry.StoreOptions{Codec: expiry.Gob()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = chans.Create(t.Context(), "b", make(chan int), nil)
	wantKind(t, err, model.ErrInvalid)
	_, err = storeOn(t, b, nil).Get(t.Context(), "a")
	wantKind(t, err, model.ErrCorrupt)
}
