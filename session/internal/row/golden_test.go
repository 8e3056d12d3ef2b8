package row

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

// goldenRows have every field of format version 1, few fields, and the fields
// with special cases.
func goldenRows() []Row {
	full := Row{
		Version: 1, Hash: []byte("hash of the secret"), HashKey: "pepper 2",
		Previous: []byte("hash before"), PreviousKey: "pepper 1", PreviousUntil: 1795520661000,
		RotatedAt: 1795520660000, CreatedAt: 1795520650000, AuthenticatedAt: 1795520655000,
		WrittenAt: 1795520661647, Absolute: 1795607055000, Idle: 1800000, Life: 86400000, NotAfter: 1795607060000,
		Principal: "ann", Level: 1, Elevated: &Elevation{Level: 2, At: 1795520661000, Until: 1795520961000},
		Actor: &Actor{"root", "AAAAAAAAAAAAAAAAAAAAAA", "ticket <7> & \"more\""},
		SID:   "idp/1", Client: Client{"Mozilla/5.0 (X11)", netip.MustParseAddr("2001:db8::1")}, Name: "Küche",
		Data: goldenValues(), SealKey: "seal 1", Sealed: []byte{0, 1, 2, 0xff},
	}
	plain := Row{Version: 1, Hash: []byte("h"), RotatedAt: 1, CreatedAt: 1, WrittenAt: 1, Idle: 1800000, Absolute: 86400001, Data: Values{{"note", json.RawMessage(`"v"`)}}}
	return []Row{
		full, plain, {},
		{Version: 1, Client: Client{Address: netip.MustParseAddr("192.0.2.1")}},
		{Version: 1, Client: Client{UserAgent: "a\"b"}},
		{Version: 1},
	}
}

// goldenRows2 are goldenRows with what format version 2 adds.
func goldenRows2() []Row {
	rows := goldenRows()
	for i := range rows {
		rows[i].Version = 2
	}
	full := &rows[0]
	full.Retired, full.RetiredKey, full.RetiredUntil = []byte("hash retired"), "pepper 0", 1795520691000
	full.Salt, full.Parked, full.Views, full.Persistence = []byte("salt"), 1795520700000, 3, 1
	full.Labels = map[string]string{"tenant": "acme", "app": "<shop>"}
	full.MACKey, full.MAC = "seal 2", []byte("mac")
	return append(rows, Row{Version: 2, Gone: "signed out", MACKey: "seal 2", MAC: []byte("mac")})
}

func goldenValues() Values {
	return Values{{"cart", json.RawMessage(`{"items":3}`)}, {"count", json.RawMessage("1")}, {"é<", json.RawMessage(`"x"`)}}
}

func golden(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// goldenRows3 are goldenRows2 in version 3, which only has another form.
func goldenRows3() []Row {
	rows := goldenRows2()
	for i := range rows {
		rows[i].Version = 3
	}
	return rows
}

// Stores hold rows for days, so their bytes are a format. A change of these
// bytes needs a new Version and a golden file of its own.
func TestBytesOfCompactRowsAreTheGoldenOnes(t *testing.T) {
	want := golden(t, "v3.golden")
	rows := goldenRows3()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, the golden file has %d", len(rows), len(want))
	}
	for i, r := range rows {
		data, err := Codec{}.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		if have := hex.EncodeToString(data); have != want[i] {
			t.Errorf("row %d is\n%s\nthe golden file has\n%s", i, have, want[i])
		}
		var got Row
		if err := (Codec{}).Decode(data, &got); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("row %d is read as\n%+v, %v\nwant\n%+v", i, got, err, r)
		}
	}
}

// Rows of version 2 are written while nodes of it run.
func TestBytesOfRowsAreTheGoldenOnes(t *testing.T) {
	want := golden(t, "v2.golden")
	var have []string
	for _, r := range goldenRows2() {
		b, err := Codec{JSON: true}.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, string(b))
	}
	have = append(have, string(EncodeValues(goldenValues())))
	if len(have) != len(want) {
		t.Fatalf("%d rows, the golden file has %d", len(have), len(want))
	}
	for i := range have {
		if have[i] != want[i] {
			t.Errorf("row %d is\n%s\nthe golden file has\n%s", i, have[i], want[i])
		}
	}
}

// Rows that version 1 has written are read as they were.
func TestRowsOfVersion1AreRead(t *testing.T) {
	lines := golden(t, "v1.golden")
	rows := goldenRows()
	for i, want := range rows {
		var got Row
		if err := (Codec{}).Decode([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("row %d is\n%+v\nwant\n%+v", i, got, want)
		}
	}
	values, err := DecodeValues([]byte(lines[len(rows)]))
	if err != nil || !values.Equal(goldenValues()) {
		t.Errorf("values: %v, %v", values, err)
	}
}

// Of a row of a later version, the secrets that open it are known.
func TestSecretsOfARowOfALaterVersionAreRead(t *testing.T) {
	for _, text := range []string{
		`{"v":4,"hash":"aGFzaA==","hashKey":"k","new":[1]}`,
		`{"v":4,"hash":"aGFzaA==","hashKey":"k","principal":{"id":"ann"},"idle":"30m"}`,
	} {
		var got Row
		if err := (Codec{}).Decode([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Version != 4 || string(got.Hash) != "hash" || got.HashKey != "k" {
			t.Errorf("%s is read as %+v", text, got)
		}
	}
	if err := (Codec{}).Decode([]byte(`{"v":2,"hash":"aGFzaA==","idle":"30m"}`), new(Row)); err == nil {
		t.Error("a row of this version with a wrong field is read")
	}
}

func TestValuesAreNotNestedTooDeep(t *testing.T) {
	nested := func(n int) *json.RawMessage {
		raw := json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
		return &raw
	}
	if _, err := EncodeValue(nested(maxDepth)); err != nil {
		t.Error(err)
	}
	if _, err := EncodeValue(nested(maxDepth + 1)); err == nil {
		t.Error("a value that is nested too deep is encoded")
	}
	quoted := []any{`[[[[\"[[{`, map[string]string{"{{[": "]"}}
	raw, err := json.Marshal(quoted)
	if err != nil || depth(raw) != 2 {
		t.Errorf("depth of %s is %d, %v", raw, depth(raw), err)
	}
}
