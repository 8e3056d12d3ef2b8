package expiry_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// panics fails whenever it is encoded or decoded.
type panics struct{ Secret string }

func (*panics) MarshalJSON() ([]byte, error) { panic("421337") }
func (*panics) UnmarshalJSON([]byte) error   { panic("421337") }
func (*panics) GobEncode() ([]byte, error)   { panic("421337") }
func (*panics) GobDecode([]byte) error       { panic("421337") }

func storeOfType[T any](t *testing.T, codec expiry.Codec) (*memory.Backend, *expiry.Store[T]) {
	t.Helper()
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := expiry.NewStore[T](b, &expiry.StoreOptions{Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func TestACodecThatPanicsIsAnError(t *testing.T) {
	for _, codec := range []expiry.Codec{expiry.JSON(), expiry.Gob()} {
		b, s := storeOfType[panics](t, codec)
		_, err := s.Create(t.Context(), "a", panics{}, nil)
		wantKind(t, err, model.ErrInvalid)
		put(t, b, model.Record{ID: "b", Revision: model.NewRevision(), Value: encoded(t, codec), Encoding: codec.Name()})
		_, err = s.Get(t.Context(), "b")
		wantKind(t, err, model.ErrCorrupt)
		if strings.Contains(err.Error(), "421337") {
			t.Errorf("the error quotes the panic: %v", err)
		}
	}
	_, pointers := storeOfType[*big.Int](t, expiry.Gob())
	_, err := pointers.Create(t.Context(), "a", nil, nil)
	wantKind(t, err, model.ErrInvalid)
}

// encoded returns bytes that the codec decodes far enough to call the value.
func encoded(t *testing.T, codec expiry.Codec) []byte {
	t.Helper()
	if codec.Name() == "json" {
		return []byte("{}")
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(big.NewInt(1)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type hidden struct{ n int } //nolint:unused // JSON cannot see it

func TestTypesThatNoStoredValueDecodesInto(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, err error) {
		t.Helper()
		wantKind(t, err, model.ErrInvalid)
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	_, err = expiry.NewStore[fmt.Stringer](b, nil)
	refused("fmt.Stringer", err)
	_, err = expiry.NewStore[*io.Reader](b, nil)
	refused("io.Reader", err)
	_, err = expiry.NewStore[chan int](b, nil)
	refused("chan int", err)
	_, err = expiry.NewStore[hidden](b, nil)
	refused("hidden", err)
	_, err = expiry.NewStore[map[string]big.Int](b, nil)
	refused("big.Int", err)
	_, err = expiry.NewStore[struct {
		In []map[string]struct{ N big.Int }
	}](b, nil)
	refused("big.Int", err)
	_, err = expiry.NewStore[int](b, &expiry.StoreOptions{Codec: expiry.Bytes()})
	refused("int", err)
	for _, err := range []error{
		errOf(expiry.NewStore[any](b, nil)),
		errOf(expiry.NewStore[struct{}](b, nil)),
		errOf(expiry.NewStore[map[string]*big.Int](b, nil)),
		errOf(expiry.NewStore[struct{ Next *value }](b, nil)),
		errOf(expiry.NewStore[fmt.Stringer](b, &expiry.StoreOptions{Codec: expiry.Gob()})),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

func errOf[T any](_ *expiry.Store[T], err error) error { return err }

// keeps is a codec that keeps what it gets, both ways.
type keeps struct{}

func (keeps) Name() string                 { return "keeps" }
func (keeps) Encode(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (keeps) Decode(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func TestACodecMayKeepTheData(t *testing.T) {
	b, s := storeOfType[[]byte](t, keeps{})
	ctx := t.Context()
	mine := []byte("abc")
	if _, err := s.Create(ctx, "a", mine, nil); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'X'
	if got := raw(t, b, "a").Value; string(got) != "abc" {
		t.Errorf("the caller's slice is the stored one: %s", got)
	}
	it, err := s.Mutate(ctx, "a", func(v *[]byte) error { (*v)[0] = 'Z'; return nil }, nil)
	if err != nil || string(it.Value) != "Zbc" || string(raw(t, b, "a").Value) != "Zbc" {
		t.Errorf("a mutation in place returned %s, %v, and stored %s", it.Value, err, raw(t, b, "a").Value)
	}
	got, err := s.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	got.Value[0] = '!'
	if _, err := s.Update(ctx, "a", []byte("new"), &expiry.WriteOptions{IfMatch: got.Known()}); err != nil {
		t.Error(err)
	}
	many, err := s.GetMany(ctx, []string{"a", "a"})
	if err != nil {
		t.Fatal(err)
	}
	many[0].Item.Value[0] = '!'
	if string(many[1].Item.Value) != "new" {
		t.Errorf("two items share their value: %s", many[1].Item.Value)
	}
}

type token string

type digest []byte

func TestBytesAreStoredAsTheyAre(t *testing.T) {
	b, s := storeOfType[[]byte](t, expiry.Bytes())
	mine := []byte{0, 255, 'x'}
	if _, err := s.Create(t.Context(), "a", mine, nil); err != nil {
		t.Fatal(err)
	}
	mine[0] = 9
	if r := raw(t, b, "a"); !bytes.Equal(r.Value, []byte{0, 255, 'x'}) || r.Encoding != "bytes" {
		t.Errorf("stored %q as %s", r.Value, r.Encoding)
	}
	it, err := s.Mutate(t.Context(), "a", func(v *[]byte) error { (*v)[0] = 1; return nil }, nil)
	if err != nil || !bytes.Equal(raw(t, b, "a").Value, it.Value) || it.Value[0] != 1 {
		t.Errorf("got %q, %v", it.Value, err)
	}
	_, tokens := storeOfType[token](t, expiry.Bytes())
	if _, err := tokens.Create(t.Context(), "a", "t\x00", nil); err != nil {
		t.Error(err)
	}
	if it, err := tokens.Get(t.Context(), "a"); err != nil || it.Value != "t\x00" {
		t.Errorf("got %q, %v", it.Value, err)
	}
	_, digests := storeOfType[digest](t, expiry.Bytes())
	if _, err := digests.Create(t.Context(), "a", nil, nil); err != nil {
		t.Error(err)
	}
	if it, err := digests.Get(t.Context(), "a"); err != nil || len(it.Value) != 0 {
		t.Errorf("got %q, %v", it.Value, err)
	}
	_, err = s.UpdatePartial(t.Context(), "a", nil, nil)
	wantKind(t, err, model.ErrUnsupported)
}

// TestNoPrinterShowsASecret prints a key, a keyring and options that have one
// with everything that prints.
func TestNoPrinterShowsASecret(t *testing.T) {
	secret := "0123456789abcdefSECRETSECRETxxxx"
	k := expiry.SealKey{ID: "k1", Secret: []byte(secret)}
	ring, err := expiry.NewKeyring(k)
	if err != nil {
		t.Fatal(err)
	}
	options := expiry.StoreOptions{Seal: ring, Purpose: "p"}
	leaks := []string{secret, "SECRET", "[48 49 50", fmt.Sprintf("%x", secret), "MDEyMzQ1Njc4OWFiY2RlZlNFQ1JFVFNFQ1JFVHh4eHg"}
	for _, v := range []any{k, &k, ring, []expiry.SealKey{k}, map[string]any{"key": k, "ring": ring}, struct{ K expiry.SealKey }{k}, options, &options} {
		var out []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			out = append(out, fmt.Sprintf(verb, v))
		}
		asJSON, _ := json.Marshal(v) //nolint:errchkjson // a refusal prints nothing
		asXML, _ := xml.Marshal(v)
		var b bytes.Buffer
		_ = gob.NewEncoder(&b).Encode(v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		for _, text := range append(out, string(asJSON), string(asXML), b.String()) {
			for _, leak := range leaks {
				if strings.Contains(text, leak) {
					t.Errorf("%T prints its secret: %s", v, text)
				}
			}
		}
	}
}

func TestAKeyringThatNobodyMadeSealsNothing(t *testing.T) {
	var zero expiry.Keyring
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = expiry.NewStore[value](b, &expiry.StoreOptions{Seal: &zero, Purpose: "p"})
	wantKind(t, err, model.ErrInvalid)
	_, _, err = zero.Seal("x", []byte("y"))
	wantKind(t, err, model.ErrInvalid)
	wantKind(t, zero.Add(key("k1")), model.ErrInvalid)
	ring := keyring(t, "k1")
	_, err = expiry.NewStore[value](b, &expiry.StoreOptions{Seal: ring})
	wantKind(t, err, model.ErrInvalid)
	_, err = expiry.NewStore[value](b, &expiry.StoreOptions{Seal: ring, Purpose: strings.Repeat("p", 65)})
	wantKind(t, err, model.ErrInvalid)
}

func TestTheZeroValuesOfExportedTypesDoNotPanic(t *testing.T) {
	ctx := t.Context()
	var s expiry.Store[value]
	_, get := s.Get(ctx, "a")
	_, create := s.Create(ctx, "a", value{}, nil)
	_, touch := s.Touch(ctx, "a", expiry.Never(), nil)
	_, mutate := s.Mutate(ctx, "a", func(*value) error { return nil }, nil)
	_, sweep := s.DeleteExpired(ctx, nil)
	_, count := s.Count(ctx, nil)
	for verb, err := range map[string]error{"Get": get, "Create": create, "Touch": touch, "Mutate": mutate, "DeleteExpired": sweep, "Count": count, "Delete": s.Delete(ctx, "a", nil), "Ping": s.Ping(ctx)} {
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s of the zero Store: %v", verb, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	var it expiry.Item[value]
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storeOn(t, b, nil).Update(ctx, "a", value{}, &expiry.WriteOptions{IfMatch: it.Known()})
	wantKind(t, err, model.ErrInvalid)
	_, err = storeOn(t, b, nil).Touch(ctx, "a", expiry.Never(), &expiry.TouchOptions{IfMatch: &expiry.Known{}})
	wantKind(t, err, model.ErrInvalid)
	var sweeper expiry.Sweeper
	if err := sweeper.Close(); err != nil {
		t.Error(err)
	}
	if err := sweeper.Run(ctx); !errors.Is(err, model.ErrInvalid) && err != nil {
		t.Error(err)
	}
	if got := (expiry.Observation{}).Outcome(); got != "ok" {
		t.Error(got)
	}
}

// TestTextsThatAreNotUTF8 stores strings that JSON would change. Other codecs
// keep them.
func TestTextsThatAreNotUTF8(t *testing.T) {
	const torn = "caf\xe9"
	type profile struct{ Name string }
	_, s := storeOfType[profile](t, expiry.JSON())
	_, err := s.Create(t.Context(), "a", profile{torn}, nil)
	wantKind(t, err, model.ErrInvalid)
	if text := err.Error(); !strings.Contains(text, "a string of the field Name is not UTF-8") || strings.Contains(text, "caf") {
		t.Errorf("the error is %q", text)
	}
	if _, err := s.Create(t.Context(), "a", profile{"café"}, nil); err != nil {
		t.Fatal(err)
	}
	for verb, change := range map[string]func() error{
		"update":  func() error { return onlyErr(s.Update(t.Context(), "a", profile{torn}, nil)) },
		"upsert":  func() error { return onlyErr(s.Upsert(t.Context(), "a", profile{torn}, nil)) },
		"partial": func() error { return onlyErr(s.UpdatePartial(t.Context(), "a", map[string]any{"Name": torn}, nil)) },
		"mutate": func() error {
			return onlyErr(s.Mutate(t.Context(), "a", func(p *profile) error { p.Name = torn; return nil }, nil))
		},
	} {
		if err := change(); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", verb, err, model.ErrInvalid)
		}
	}
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.Name != "café" {
		t.Errorf("got %+v, %v", it.Value, err)
	}
	for _, codec := range []expiry.Codec{expiry.Gob(), expiry.Bytes()} {
		_, s := storeOfType[string](t, codec)
		if _, err := s.Create(t.Context(), "a", torn, nil); err != nil {
			t.Fatal(err)
		}
		if it, err := s.Get(t.Context(), "a"); err != nil || it.Value != torn {
			t.Errorf("%s returned %q, %v", codec.Name(), it.Value, err)
		}
	}
}

func onlyErr[T any](_ T, err error) error { return err }
