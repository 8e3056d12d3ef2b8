package row

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"reflect"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

// tidy makes nil of what is empty: neither form tells them apart.
func tidy(r Row) Row {
	for _, b := range []*[]byte{&r.Hash, &r.Previous, &r.Retired, &r.Salt, &r.Sealed, &r.MAC} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	if len(r.Data) == 0 {
		r.Data = nil
	}
	return r
}

// A row that was read as JSON keeps every field in the compact form, and is the
// same JSON again for those who look at it.
func TestCompactRowsKeepWhatJSONHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, err := Codec{JSON: true}.Encode(new(someRow(t)))
		if err != nil {
			t.Fatal(err)
		}
		var want, got Row
		if err := (Codec{}).Decode(old, &want); err != nil {
			t.Fatal(err)
		}
		want = tidy(want)
		want.Version = Version
		data, err := Codec{}.Encode(&want)
		if err != nil || !IsCompact(data) || json.Valid(data) {
			t.Fatalf("%x, %v", data, err)
		}
		if err := (Codec{}).Decode(data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: %x is read as\n%+v\nwant\n%+v", err, data, got, want)
		}
		text, err := JSON(data)
		if err != nil {
			t.Fatal(err)
		}
		got = Row{}
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(tidy(got), want) {
			t.Fatalf("%v: %s is\n%+v\nwant\n%+v", err, text, got, want)
		}
	})
}

// Rows are signed in the form of their version, in whatever form they came.
func TestSignedFormFollowsTheVersion(t *testing.T) {
	r := goldenRows2()[0]
	for version := 1; version <= Version; version++ {
		r.Version = version
		signed, err := r.Signed()
		if err != nil || IsCompact(signed) != (version > versionJSON) {
			t.Fatalf("version %d: %q, %v", version, signed, err)
		}
		other := r
		other.MAC = []byte("another")
		if again, err := other.Signed(); err != nil || !bytes.Equal(again, signed) {
			t.Errorf("version %d: the MAC is a part of what it covers", version)
		}
		stored, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var read Row
		if err := (Codec{}).Decode(stored, &read); err != nil {
			t.Fatal(err)
		}
		if again, err := read.Signed(); err != nil || !bytes.Equal(again, signed) {
			t.Errorf("version %d: read from JSON it is signed as another row", version)
		}
	}
}

// withVersion returns the compact form of the row under another version.
func withVersion(t *testing.T, r *Row, version uint64) []byte {
	t.Helper()
	data, err := appendCompact(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint([]byte{compactMark}, version), data[2:]...)
}

// Fields of a later version are skipped, and those that this version knows are
// read. A known field that does not fit is left out, unless every version has it.
func TestCompactRowsOfALaterVersionAreRead(t *testing.T) {
	r := Row{Version: Version, CreatedAt: 1795520650000, Hash: []byte("hash"), HashKey: "k", Retired: []byte("old"), RetiredUntil: 1795520650001, Gone: "ended", Principal: "ann"}
	later := withVersion(t, &r, Version+1)
	later = append(later,
		fieldElevated, 2, 0xff, 0xff, // of another shape
		60<<1+kindNumber, 5, 61<<1+kindBytes, 1, 7, // new
		0xAF, 0x02, 3, 'n', 'e', 'w') // with a tag of two bytes
	want := r
	want.Version = Version + 1
	var got Row
	if err := (Codec{}).Decode(later, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
	}
	now := append([]byte{compactMark, Version}, later[2:]...)
	if err := (Codec{}).Decode(now, new(Row)); err == nil {
		t.Error("a row of this version with unknown fields is read")
	}
	damaged := append(binary.AppendUvarint([]byte{compactMark}, Version+1), fieldPreviousUntil, 0)
	if err := (Codec{}).Decode(damaged, new(Row)); err == nil {
		t.Error("a later row without a time that it has in every version is read")
	}
}

// No row has two compact forms, and none is a version that was stored as JSON.
func TestOtherBytesOfACompactRowAreRefused(t *testing.T) {
	head := string([]byte{compactMark, Version})
	for name, text := range map[string]string{
		"no version":            head[:1],
		"a version before":      string([]byte{compactMark, versionJSON}),
		"a long number":         string([]byte{compactMark, Version | 0x80, 0}),
		"an unknown field":      head + string([]byte{60<<1 + kindNumber, 2}),
		"a field of tag zero":   head + string([]byte{kindBytes, 1, 'x'}),
		"zero":                  head + string([]byte{fieldLevel, 0}),
		"no bytes":              head + string([]byte{fieldHash, 0}),
		"bytes that are cut":    head + string([]byte{fieldHash, 3, 'a', 'b'}),
		"a number that is cut":  head + string([]byte{fieldLevel, 0x80}),
		"a field twice":         head + string([]byte{fieldLevel, 2, fieldLevel, 2}),
		"another order":         head + string([]byte{fieldLevel, 2, fieldViews, 2}),
		"another kind":          head + string([]byte{fieldLevel + kindBytes, 1, 2}),
		"a time at zero":        head + string([]byte{fieldCreatedAt, 2, fieldWrittenAt, 1}),
		"an address":            head + string([]byte{fieldAddress, 3, 1, 2, 3}),
		"an elevation":          head + string([]byte{fieldElevated, 2, 0, 0}),
		"an actor and more":     head + string([]byte{fieldActor, 4, 0, 0, 0, 0}),
		"labels out of order":   head + string([]byte{fieldLabels, 8, 1, 'b', 1, 'x', 1, 'a', 1, 'x'}),
		"a label twice":         head + string([]byte{fieldLabels, 8, 1, 'a', 1, 'x', 1, 'a', 1, 'x'}),
		"keys out of order":     head + string([]byte{fieldData, 8, 1, 'b', 1, '1', 1, 'a', 1, '1'}),
		"a value that is cut":   head + string([]byte{fieldData, 4, 1, 'a', 3, '1'}),
		"a value without bytes": head + string([]byte{fieldData, 3, 1, 'a', 0}),
		"a value without JSON":  head + string([]byte{fieldData, 5, 1, 'a', 2, '"', '"' + 1}),
		"a key without UTF-8":   head + string([]byte{fieldData, 4, 1, 0xff, 1, '1'}),
	} {
		if err := (Codec{}).Decode([]byte(text), new(Row)); err == nil {
			t.Errorf("%s: %x is read", name, text)
		}
	}
	if _, err := appendCompact(nil, &Row{Version: versionJSON}); err == nil {
		t.Error("a row of version 2 has a compact form")
	}
}

// allocated returns the bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Any bytes are read without a panic, and without more memory than they are
// worth. What is read is written again byte for byte.
func FuzzCompactRows(f *testing.F) {
	for _, r := range goldenRows3() {
		data, err := appendCompact(nil, &r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[1:])
	}
	zoned := Row{Version: Version, CreatedAt: 1, Absolute: -1 << 63, Level: -1, Client: Client{Address: netip.MustParseAddr("fe80::1%eth0")}}
	data, err := appendCompact(nil, &zoned)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[1:])
	f.Add([]byte{Version + 1, fieldData, 9, 1, 'a', 1, '1', 1, 'b', 2, '1', '2'})
	f.Add(append([]byte{Version, fieldData, 0xe8, 7}, bytes.Repeat([]byte{0, 0}, 500)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append([]byte{compactMark}, data...)
		var r Row
		var err error
		used := allocated(func() { err = Codec{}.Decode(data, &r) })
		if most := uint64(64*len(data) + 64<<10); used > most {
			t.Fatalf("%d bytes allocate %d", len(data), used)
		}
		if err != nil {
			if !reflect.DeepEqual(r, Row{}) {
				t.Fatalf("%x is refused, and read as %+v", data, r)
			}
			return
		}
		if _, err := JSON(data); err != nil {
			t.Fatal(err)
		}
		if r.Version > Version {
			return
		}
		again, err := Codec{}.Encode(&r)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v\n%x is written as\n%x", err, data, again)
		}
	})
}
