package row

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// texts have every kind of character that JSON writes in its own way.
var texts = []string{
	"", "a", "Ann Example", `"`, `\`, "<&>", "\x00\x1f", "\n\t", "\x7f", "é", "日本", "\u2028\u2029", "😀", "\xff", "a\xc3", "Mozilla/5.0 (X11)",
}

var text = rapid.SampledFrom(texts)

func someValues(t *rapid.T) Values {
	var v Values
	for range rapid.IntRange(0, 5).Draw(t, "values") {
		raw, err := json.Marshal(rapid.SampledFrom([]any{nil, true, false, 0, -1, 12, 1.5, 1e21, "a", `"\`, "<é\u2028", []any{}, []any{1, "]"}, map[string]any{"}": []any{"\\\""}, "b": nil}}).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		v = v.With(text.Filter(utf8.ValidString).Draw(t, "key"), raw)
	}
	return v
}

func someBytes(t *rapid.T) []byte {
	return rapid.SampledFrom([][]byte{nil, {}, {0}, {1, 2}, bytes.Repeat([]byte{0xff}, 32)}).Draw(t, "bytes")
}

func someRow(t *rapid.T) Row {
	at := func(name string) Instant {
		return Instant(rapid.SampledFrom([]int64{0, 1, -1, 1795520661647, 1 << 62}).Draw(t, name))
	}
	r := Row{
		Version: rapid.IntRange(-1, versionJSON).Draw(t, "v"),
		Hash:    someBytes(t), HashKey: text.Draw(t, "hashKey"),
		Previous: someBytes(t), PreviousKey: text.Draw(t, "prevKey"), PreviousUntil: at("prevUntil"), RotatedAt: at("rotatedAt"),
		Retired: someBytes(t), RetiredKey: text.Draw(t, "retiredKey"), RetiredUntil: at("retiredUntil"), Salt: someBytes(t), Parked: at("parked"), Views: int64(at("views")),
		Persistence: rapid.IntRange(-1, 2).Draw(t, "persist"), Gone: text.Draw(t, "gone"), MACKey: text.Draw(t, "macKey"), MAC: someBytes(t),
		CreatedAt: at("createdAt"), AuthenticatedAt: at("authenticatedAt"), WrittenAt: at("writtenAt"),
		Absolute: at("absolute"), Idle: int64(at("idle")), Life: int64(at("life")), NotAfter: at("notAfter"),
		Principal: text.Draw(t, "principal"), Level: rapid.IntRange(-1, 3).Draw(t, "level"),
		SID: text.Draw(t, "sid"), Name: text.Draw(t, "name"),
		Data: someValues(t), SealKey: text.Draw(t, "sealKey"), Sealed: someBytes(t),
	}
	if rapid.Bool().Draw(t, "elevated") {
		r.Elevated = &Elevation{Level: 2, At: at("at"), Until: at("until")}
	}
	if rapid.Bool().Draw(t, "acted") {
		r.Actor = &Actor{ID: text.Draw(t, "actor"), Handle: "h", Reason: text.Draw(t, "reason")}
	}
	if rapid.Bool().Draw(t, "labelled") {
		r.Labels = map[string]string{text.Draw(t, "label"): text.Draw(t, "labelValue"), "b": ""}
	}
	r.Client.UserAgent = text.Draw(t, "userAgent")
	addresses := []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr(`fe80::1%"<`)}
	r.Client.Address = rapid.SampledFrom(addresses).Draw(t, "address")
	return r
}

// Codec writes the JSON of encoding/json, and the parser reads all of it.
func TestRowsAreTheJSONOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := someRow(t)
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Codec{}.Encode(&r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n got %s\nwant %s", err, got, want)
		}
		agree(t, got)
		if r.Hash == nil {
			return // no row that is stored has null here
		}
		p := parse(got)
		if p.row(new(Row)); !p.done() {
			t.Fatalf("lost at byte %d of %s", p.at, got)
		}
	})
}

// Writer and parser know every field. A new field of Row fails this test until
// both do.
func TestEveryFieldOfARowIsKept(t *testing.T) {
	full := Row{
		Version: 1, Hash: []byte("h"), HashKey: "k", Previous: []byte("p"), PreviousKey: "k", PreviousUntil: 1, RotatedAt: 2, CreatedAt: 3, AuthenticatedAt: 4,
		WrittenAt: 5, Absolute: 6, Idle: 7, Life: 8, NotAfter: 9, Principal: "ann", Level: 1, Elevated: &Elevation{1, 2, 3, &Elevation{Level: 1}}, Actor: &Actor{"a", "b", "c"},
		SID: "s", Client: Client{"agent", netip.MustParseAddr("192.0.2.1")}, Name: "n", Data: Values{{"k", json.RawMessage("1")}}, SealKey: "k", Sealed: []byte("s"),
		Retired: []byte("r"), RetiredKey: "k", RetiredUntil: 10, Salt: []byte("salt"), Parked: 11, Views: 12, Labels: map[string]string{"a": "b"},
		Persistence: 1, Gone: "ended", MACKey: "k", MAC: []byte("m"),
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s: not in this test", v.Type().Field(i).Name)
		}
	}
	data, err := Codec{}.Encode(&full)
	if err != nil {
		t.Fatal(err)
	}
	p := parse(data)
	var got Row
	if p.row(&got); !p.done() || !reflect.DeepEqual(got, full) {
		t.Fatalf("lost at byte %d of %s\n%+v", p.at, data, got)
	}
	full.Version = Version
	if data, err = (Codec{}).Encode(&full); err != nil {
		t.Fatal(err)
	}
	got = Row{}
	if err := decodeCompact(data, &got); err != nil || !reflect.DeepEqual(got, full) {
		t.Fatalf("%v: %x is read as\n%+v", err, data, got)
	}
}

func agree(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, data []byte) {
	t.Helper()
	if IsCompact(data) {
		return
	}
	p := parse(data)
	var short, want Row
	p.row(&short)
	err := json.Unmarshal(data, &want)
	if p.done() && (err != nil || !reflect.DeepEqual(short, want)) {
		t.Fatalf("%q\n%v\n got %+v\nwant %+v", data, err, short, want)
	}
	var got Row
	if gotErr := (Codec{}).Decode(data, &got); (gotErr == nil) != (err == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\n%v, want %v\n got %+v\nwant %+v", data, gotErr, err, got, want)
	}
}

// Codec decodes any bytes to the same row or error as encoding/json.
func FuzzRows(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"hash":"AAAA","rotatedAt":1,"createdAt":2,"writtenAt":3,"principal":"a\u00e9\n","client":{"userAgent":"x","address":"192.0.2.1"},"data":{"a":1,"b":"\"}","c":[{"d":"]"}]}}`,
		`{"v":1,"hash":"AAAA","rotatedAt":1,"createdAt":2,"writtenAt":3,"elevated":{"level":1,"at":1,"until":2},"actor":{"id":"a","handle":"b","reason":"c"},"data":{}}`,
		`{"v":1}`, `{"v":01}`, `{"v":-0}`, `{"v":1e1}`, `{"v":9223372036854775808}`, `{"v":1,"hash":null}`, `{"v":1,"hash":"A"}`, `{"v":1,"hash":"\u0041AAA"}`,
		`{"v":1,"principal":"` + "\xff" + `"}`, `{"v":1,"principal":"\ud800"}`, `{"v":1,"principal":"\x"}`, `{"v":1,"principal":"` + "\t" + `"}`, `{"v":1,"principal":"\"`,
		`{"v":1,"client":{}}`, `{"v":1,"client":{"address":""}}`, `{"v":1,"client":{"address":"x"}}`, `{"v":1,"client":{"address":"::1%` + "\xff" + `"}}`,
		`{"v":1,"data":{"a":1,"a":2}}`, `{"v":1,"data":{"b":1,"a":2}}`, `{"v":1,"data":{"a":}}`, `{"v":1,"data":{"a":01}}`, `{"v":1,"data":{"a":"\u12"}}`,
		`{"v":1,"data":{"a":[}}`, `{"v":1,"data":{"a":nulL}}`, `{"v":1,"data":{"a":-}}`, `{"v":1,"data":{"a":1.e1}}`, `{"v":1,"data":{"a": 1}}`, `{"v":1,"data":{"a":1},}`,
		`{"v":1,"data":{"\u0061":null,"b":true,"c":false}}`, `{"v":1,"v":2}`, `{"V":1}`, `{"v":1,"new":{}}`, ` {"v":1}`, `{"v":1} `, `null`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}

func TestValuesAreTheJSONOfEncodingJSON(t *testing.T) {
	for _, s := range texts {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := EncodeValue(&s)
		if valid := utf8.ValidString(s); valid != (err == nil) || valid && !bytes.Equal(got, want) {
			t.Errorf("%q: %s, %v, want %s", s, got, err, want)
		}
		valueAgrees[string](t, want)
		valueAgrees[int](t, want)
	}
	for _, s := range []string{`0`, `-0`, `12`, `-9223372036854775808`, `9223372036854775808`, `1.0`, `1e2`, `null`, `true`, `"\u00e9"`, `"\ud83d"`, `{}`, `"`} {
		valueAgrees[string](t, json.RawMessage(s))
		valueAgrees[int](t, json.RawMessage(s))
	}
	for _, n := range []int{0, -1, math.MaxInt} {
		if got, err := EncodeValue(&n); err != nil || string(got) != string(mustJSON(t, n)) {
			t.Errorf("%d: %s, %v", n, got, err)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func valueAgrees[T comparable](t *testing.T, raw json.RawMessage) {
	t.Helper()
	var got, want T
	err := json.Unmarshal(raw, &want)
	if gotErr := DecodeValue(raw, &got); (gotErr == nil) != (err == nil) || err == nil && got != want {
		t.Errorf("%s as %T: %v, %v, want %v, %v", raw, got, got, gotErr, want, err)
	}
}

// Sealed values decode on the fast path, and on the slow path if there are spaces.
func TestSealedValuesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := someValues(t)
		for _, data := range [][]byte{EncodeValues(v), append([]byte(" "), EncodeValues(v)...)} {
			got, err := DecodeValues(data)
			var want Values
			if jerr := json.Unmarshal(data, &want); jerr != nil || err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %v, %v, want %v, %v", data, got, err, want, jerr)
			}
		}
	})
}
