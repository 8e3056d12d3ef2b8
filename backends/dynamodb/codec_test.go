package dynamodb

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// testBackend returns a backend that no test connects to a server.
func testBackend(t testing.TB, opts *Options) *Backend {
	t.Helper()
	b, err := New(awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"}), "carts", opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzCodec(f *testing.F) {
	f.Add("id", []byte(`{"a":1}`), "json", "ann", int64(1))
	f.Add("\u2028/..", []byte{0xff, 0}, "", "", int64(0))
	f.Add("x", []byte{}, "gob", "a#b", int64(253402300799999))
	b := testBackend(f, &Options{Queryable: true})
	f.Fuzz(func(t *testing.T, id string, value []byte, encoding, principal string, ms int64) {
		r := model.Record{ID: id, Revision: model.NewRevision(), Value: value, Encoding: encoding}
		if ms != 0 {
			r.ExpiresAt = time.UnixMilli(ms % 253402300800000).UTC()
		}
		if principal != "" {
			r.Labels = map[string]string{"principal": principal}
		}
		it := b.encode(&r)
		got, err := decode(id, it, false)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Value, value) || got.Revision != r.Revision || !got.ExpiresAt.Equal(r.ExpiresAt) || got.Encoding != encoding || got.Labels["principal"] != principal {
			t.Fatalf("%+v became %+v", r, got)
		}
		if back, ok := idOf(it); ok != (id != "") || ok && back != id {
			t.Fatalf("the id %q became %q", id, back)
		}
		head, err := decode(id, it, true)
		if err != nil || head.Value != nil {
			t.Fatalf("%+v, %v", head, err)
		}
	})
}

func TestValueIsTextIfUTF8(t *testing.T) {
	for value, text := range map[string]bool{"": true, `{"a":1}`: true, "é😀\x00": true, "\xff": false, "a\xc3": false} {
		_, isText := stringOf(valueAttribute([]byte(value)))
		if got, ok := valueOf(valueAttribute([]byte(value))); isText != text || !ok || string(got) != value {
			t.Errorf("%q: text %v, back %q", value, isText, got)
		}
	}
}

func TestTTLIncludesTheGrace(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_001)
	for grace, want := range map[time.Duration]int64{time.Second: 1_700_000_002, time.Hour: 1_700_003_601, 0: 1_700_003_601, time.Millisecond: 1_700_000_002} {
		if got := testBackend(t, &Options{GraceTTL: grace}).ttl(at); got != want {
			t.Errorf("%v: %d, want %d", grace, got, want)
		}
	}
}

// TestNativeCopy compares copies with what encoding/json decodes.
func TestNativeCopy(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for value, ok := range map[string]bool{
		`{"a":[1,"x",true,null,{"b":{}}],"c":""}`: true, `1.10`: true, `"text"`: true, `null`: true, ` [ ] `: true, `-0.0`: true,
		`12345678901234567890123456789012345678`: true, `123456789012345678901234567890123456789`: false,
		`1e80`: true, `1e126`: false, `1E-130`: false, `0e999`: true, `1e99999999999999999999`: false,
		`{"":1}`: false, deep(31): true, deep(32): false,
		``: false, `{`: false, `[1`: false, `{"a"`: false, `{"a":}`: false, `1 2`: false, `nope`: false,
	} {
		native, got := nativeCopy([]byte(value), 1000)
		if got != ok {
			t.Errorf("%q: %v", value, got)
			continue
		}
		if !ok {
			continue
		}
		var want any
		d := json.NewDecoder(strings.NewReader(value))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if back := plain(native); !reflect.DeepEqual(back, want) {
			t.Errorf("%q became %v", value, back)
		}
	}
	if _, ok := nativeCopy([]byte(`["`+strings.Repeat("x", 100)+`"]`), 107); ok {
		t.Error("got a copy that exceeds its limit")
	}
	if _, ok := nativeCopy([]byte(`["`+strings.Repeat("x", 100)+`"]`), 108); !ok {
		t.Error("got no copy that just fits its limit")
	}
}

// plain returns the value that encoding/json would decode.
func plain(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		out := map[string]any{}
		for name, v := range v.Value {
			out[name] = plain(v)
		}
		return out
	case *types.AttributeValueMemberL:
		out := []any{}
		for _, v := range v.Value {
			out = append(out, plain(v))
		}
		return out
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	}
	return nil
}

// TestLargestFits adds up the largest possible item.
func TestLargestFits(t *testing.T) {
	names := []string{"principal", strings.Repeat("x", 64)}
	b := testBackend(t, &Options{Labels: names})
	r := model.Record{
		ID: strings.Repeat("i", model.MaxID), Revision: model.NewRevision(), Encoding: strings.Repeat("e", driverkit.MaxEncoding),
		ExpiresAt: time.UnixMilli(253402300799999), Value: make([]byte, b.gate.MaxValue()), Labels: map[string]string{},
	}
	for _, name := range names {
		r.Labels[name] = strings.Repeat("v", model.MaxLabel)
	}
	if size := sizeOf(b.encode(&r)); size > maxItem || size < maxItem-100 {
		t.Errorf("%d bytes of %d", size, maxItem)
	}
	if math.MaxInt32 < maxItem {
		t.Error("sizes do not fit")
	}
}

// sizeOf returns an item's size as DynamoDB's manual describes it.
func sizeOf(it attributes) int {
	n := 0
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		case *types.AttributeValueMemberM:
			n += mapSize + len(v.Value)*memberSize + sizeOf(v.Value)
		}
	}
	return n
}
