package row

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// goldenRows have every field, few fields, and the fields with special cases.
func goldenRows() []Row {
	full := Row{
		Version: 1, Hash: []byte("hash of the secret"), HashKey: "pepper 2",
		Previous: []byte("hash before"), PreviousKey: "pepper 1", PreviousUntil: 1795520661000,
		RotatedAt: 1795520660000, CreatedAt: 1795520650000, AuthenticatedAt: 1795520655000,
		WrittenAt: 1795520661647, Absolute: 1795607055000, Idle: 1800000, Life: 86400000, NotAfter: 1795607060000,
		Principal: "ann", Level: 1, Elevated: &Elevation{2, 1795520661000, 1795520961000},
		Actor: &Actor{"root", "AAAAAAAAAAAAAAAAAAAAAA", "ticket <7> & \"more\""},
		SID:   "idp/1", Client: Client{"Mozilla/5.0 (X11)", netip.MustParseAddr("2001:db8::1")}, Name: "Küche",
		Data: goldenValues(), SealKey: "seal 1", Sealed: []byte{0, 1, 2, 0xff},
	}
	plain := Row{Version: 1, Hash: []byte("h"), RotatedAt: 1, CreatedAt: 1, WrittenAt: 1, Idle: 1800000, Absolute: 86400001, Data: Values{{"note", json.RawMessage(`"v"`)}}}
	return []Row{
		full, plain, {},
		{Version: 1, Client: Client{Address: netip.MustParseAddr("192.0.2.1")}},
		{Version: 1, Client: Client{UserAgent: "a\"b"}},
		{Version: 1, Data: Values{}},
	}
}

func goldenValues() Values {
	return Values{{"cart", json.RawMessage(`{"items":3}`)}, {"count", json.RawMessage("1")}, {"é<", json.RawMessage(`"x"`)}}
}

// Stores hold rows for days, so their bytes are a format: the golden file has
// the bytes of format version 1. A change of these bytes needs a new Version.
func TestBytesOfRowsAreTheGoldenOnes(t *testing.T) {
	data, err := os.ReadFile("testdata/rows.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var have []string
	for _, r := range goldenRows() {
		b, err := Codec{}.Encode(&r)
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
