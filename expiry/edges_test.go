package expiry_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func memoryBackend(t *testing.T) *memory.Backend {
	t.Helper()
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGetManyDoesNotMistakeAHashForItsID(t *testing.T) {
	s := storeOn(t, memoryBackend(t), &expiry.StoreOptions{SecretIDs: true})
	it, err := s.Issue(t.Context(), value{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Page(t.Context(), nil)
	if err != nil || len(l.Items) != 1 {
		t.Fatal(l, err)
	}
	hash := l.Items[0].ID
	for _, ids := range [][]string{{hash, it.ID}, {it.ID, hash}} {
		out, err := s.GetMany(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if found := out[i].Err == nil; found != (id == it.ID) {
				t.Errorf("%q: %+v", id, out[i])
			}
		}
	}
}

// asks is a value whose methods return the errors of another store.
type asks struct{ fails error }

func (a *asks) MarshalJSON() ([]byte, error) { return []byte("1"), a.fails }
func (*asks) UnmarshalJSON([]byte) error     { return model.ErrNotFound }

func TestAnErrorOfTheValueGivesNoSecondKind(t *testing.T) {
	_, s := storeOfType[asks](t, expiry.JSON())
	for _, fails := range []error{model.ErrNotFound, model.ErrConflict, context.Canceled} {
		_, err := s.Create(t.Context(), "a", asks{fails}, nil)
		wantKind(t, err, model.ErrInvalid)
		if errors.Is(err, fails) {
			t.Errorf("%v is also %v", err, fails)
		}
	}
	if _, err := s.Create(t.Context(), "a", asks{}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.MutateOrCreate(t.Context(), "a", func(*asks) error { return nil }, nil)
	wantKind(t, err, model.ErrCorrupt)
}

func TestEachWriteOfABulkHasTheLifetimeOfItsOwnTime(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var ticks atomic.Int64
	s := storeOn(t, memoryBackend(t), &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time {
		return start.Add(time.Duration(ticks.Add(1)) * time.Second)
	})})
	ops := make([]expiry.Op[value], 20)
	for i := range ops {
		ops[i] = expiry.Op[value]{Kind: expiry.OpCreate, ID: string(rune('a' + i)), Opts: &expiry.WriteOptions{Expiry: expiry.After(5 * time.Second)}}
	}
	out, err := s.Bulk(t.Context(), ops)
	if err = errors.Join(err, out.Err()); err != nil {
		t.Fatal(err)
	}
	if first, last := out.Results[0].Item.ExpiresAt, out.Results[19].Item.ExpiresAt; last.Sub(first) < 19*time.Second {
		t.Errorf("expiries %v and %v", first, last)
	}
}

func TestReadsAfterLostAnswersShareTheTimeThatTheyTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stored model.Record
		lose := func(wait time.Duration) func(context.Context, any) (model.Record, error) {
			return func(_ context.Context, arg any) (model.Record, error) {
				<-time.After(wait)                 // of the bubble's clock
				stored = arg.(driver.Write).Record //nolint:forcetypeassert // the script's
				return model.Record{}, model.ErrUnknown
			}
		}
		look := func(ctx context.Context, _ any) (model.Record, error) { return stored, ctx.Err() }
		b := newScripted(t, step{"Write", lose(0)}, step{"Get", look}, step{"Write", lose(80 * time.Millisecond)}, step{"Get", look})
		s := storeOn(t, b, &expiry.StoreOptions{LookTimeout: 60 * time.Millisecond})
		out, err := s.Bulk(t.Context(), []expiry.Op[value]{{Kind: expiry.OpUpsert, ID: "a"}, {Kind: expiry.OpUpsert, ID: "b"}})
		if err = errors.Join(err, out.Err()); err != nil {
			t.Error(err)
		}
		b.wants("Write", "Get", "Write", "Get")
	})
}

// reaches reports whether a printer that follows fields and pointers meets the
// text.
func reaches(v reflect.Value, text string, depth int) bool {
	if depth == 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && reaches(v.Elem(), text, depth-1)
	case reflect.Struct:
		for i := range v.NumField() {
			if reaches(v.Field(i), text, depth-1) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if reaches(it.Value(), text, depth-1) {
				return true
			}
		}
	case reflect.Slice:
		return v.Type().Elem().Kind() == reflect.Uint8 && strings.Contains(string(v.Bytes()), text)
	}
	return false
}

func TestNoFieldOfAKeyringLeadsToASecret(t *testing.T) {
	secret := strings.Repeat("s", 32)
	k, err := expiry.NewKeyring(expiry.SealKey{ID: "1", Secret: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	if reaches(reflect.ValueOf(k), secret, 9) {
		t.Error("a printer that follows fields shows the secret")
	}
	var none *expiry.Keyring
	_, _, err = none.Seal("a", nil)
	wantKind(t, err, model.ErrInvalid)
	if none.Active() != "" {
		t.Error("a nil keyring has an active key")
	}
}

func TestUpdatePartialOfAMapWithAHookKeepsNamesApart(t *testing.T) {
	s, err := expiry.NewStore(memoryBackend(t), nil, expiry.Hooks[map[string]int]{
		BeforeWrite: func(_ context.Context, _ string, v *map[string]int) error { (*v)["n"]++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "a", map[string]int{"N": 7}, nil); err != nil {
		t.Fatal(err)
	}
	it, err := s.UpdatePartial(t.Context(), "a", map[string]any{"m": 1}, nil)
	if err != nil || it.Value["n"] != 2 || it.Value["N"] != 7 {
		t.Errorf("%v, %v", it.Value, err)
	}
	_, err = s.UpdatePartial(t.Context(), "a", map[string]any{"m": struct{ n int }{1}}, nil)
	wantKind(t, err, model.ErrInvalid)
}

// undeletable lists a record that a delete finds to be corrupt.
type undeletable struct{ *memory.Backend }

func (u undeletable) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if d.ID == "a" {
		return model.ErrCorrupt
	}
	return u.Backend.Delete(ctx, now, d)
}

func TestDeleteAllGoesOnAfterACorruptRecord(t *testing.T) {
	s := storeOn(t, undeletable{memoryBackend(t)}, nil)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := s.Create(t.Context(), id, value{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.DeleteAll(t.Context())
	wantKind(t, err, model.ErrCorrupt)
	if n != 2 {
		t.Errorf("%d removed, want 2", n)
	}
}

func TestTheLongestLifetimeIsLegal(t *testing.T) {
	b := newScripted(t, step{"Write", answer(model.Record{}, nil)})
	b.desc.MaxTTL = time.Hour
	at := time.Date(2030, 1, 1, 0, 0, 0, 1, time.UTC) // no whole millisecond
	s := storeOn(t, b, &expiry.StoreOptions{TTL: time.Hour, Clock: expiry.ClockFunc(func() time.Time { return at })})
	if _, err := s.Create(t.Context(), "a", value{}, nil); err != nil {
		t.Error(err)
	}
}

type namedCodec struct {
	expiry.Codec
	name string
}

func (c namedCodec) Name() string { return c.name }

func TestACodecIsNotNamedLikeASeal(t *testing.T) {
	for _, name := range []string{"sealed", "sealed:k1:"} {
		_, err := expiry.NewStore[value](memoryBackend(t), &expiry.StoreOptions{Codec: namedCodec{expiry.JSON(), name}})
		wantKind(t, err, model.ErrInvalid)
	}
	_, err := expiry.NewStore[value](memoryBackend(t), &expiry.StoreOptions{Codec: namedCodec{expiry.JSON(), "sealedbox"}})
	if err != nil {
		t.Error(err)
	}
}
