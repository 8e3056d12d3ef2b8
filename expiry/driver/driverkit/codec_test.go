package driverkit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

func codecRecords() map[string]model.Record {
	rev := model.NewRevision()
	many := map[string]string{}
	for c := 'a'; c <= 'z'; c++ {
		many[string(c)] = strings.Repeat(string(c), model.MaxLabel)
	}
	return map[string]model.Record{
		"minimum":    {ID: "a", Revision: rev, Value: []byte{}},
		"all fields": {ID: "cart-1", Revision: rev, ExpiresAt: time.UnixMilli(1893456000123).UTC(), Labels: map[string]string{"principal": "ann", "a": "b"}, Value: []byte(`{"n":1}`), Encoding: "json"},
		"limits":     {ID: strings.Repeat("é", model.MaxID/2), Revision: rev, ExpiresAt: time.UnixMilli(maxMillis - 1).UTC(), Labels: many, Value: bytes.Repeat([]byte{0, 255}, 1<<15), Encoding: strings.Repeat("e", 32)},
		"odd bytes":  {ID: "\x01/../=%", Revision: rev, ExpiresAt: time.UnixMilli(1).UTC(), Labels: map[string]string{"l": "\n\x7f🙂"}, Value: []byte(magic), Encoding: "gob"},
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for name, want := range codecRecords() {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeRecord(AppendRecord(nil, &want))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("decoded %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestCodecGolden(t *testing.T) {
	rec := model.Record{
		ID: "a/B", Revision: model.Revision{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, ExpiresAt: time.UnixMilli(0x0102030405).UTC(),
		Labels: map[string]string{"principal": "ann"}, Value: []byte("{}"), Encoding: "json",
	}
	const want = "sojourn\x01" + "\x29\x7e\xea\xc8" + "\x47\x00\x00\x00" +
		"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10" + "\x05\x04\x03\x02\x01\x00\x00\x00" +
		"\x03\x00\x04\x00\x01\x00" + "a/Bjson" + "\x09\x00\x03\x00principalann" + "{}"
	if got := AppendRecord(nil, &rec); string(got) != want {
		t.Errorf("the encoded record is\n%q, want\n%q", got, want)
	}
}

func TestCodecAppends(t *testing.T) {
	rec := codecRecords()["all fields"]
	const prefix = "prefix"
	data := AppendRecord([]byte(prefix), &rec)
	if got, err := DecodeRecord(data[len(prefix):]); string(data[:len(prefix)]) != prefix || err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("behind a prefix: decoded %+v, %v", got, err)
	}
}

func TestCodecTruncated(t *testing.T) {
	rec := codecRecords()["all fields"]
	whole := AppendRecord(nil, &rec)
	for n := range whole {
		if _, err := DecodeRecord(whole[:n]); !errors.Is(err, model.ErrCorrupt) {
			t.Errorf("the first %d of %d bytes: %v, want %v", n, len(whole), err, model.ErrCorrupt)
		}
	}
	if _, err := DecodeRecord(append(bytes.Clone(whole), 0)); !errors.Is(err, model.ErrCorrupt) {
		t.Errorf("with a byte appended: %v, want %v", err, model.ErrCorrupt)
	}
}

func TestCodecFlippedBits(t *testing.T) {
	rec := codecRecords()["all fields"]
	whole := AppendRecord(nil, &rec)
	for i := range len(whole) * 8 {
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := DecodeRecord(bad); !errors.Is(err, model.ErrCorrupt) {
			t.Errorf("with bit %d flipped: %v, want %v", i, err, model.ErrCorrupt)
		}
	}
}

// seal sets the length and the checksum of an encoded record that was changed.
func seal(data []byte) []byte {
	binary.LittleEndian.PutUint32(data[lengthAt:], uint32(len(data)))
	binary.LittleEndian.PutUint32(data[sumAt:], checksum(data))
	return data
}

// sealedAs returns an encoded record with changed bytes and a valid checksum.
func sealedAs(change func(data []byte) []byte) []byte {
	rec := codecRecords()["all fields"]
	return seal(change(AppendRecord(nil, &rec)))
}

func TestCodecRejects(t *testing.T) {
	put16 := func(at int, v uint16) func([]byte) []byte {
		return func(f []byte) []byte { binary.LittleEndian.PutUint16(f[at:], v); return f }
	}
	tests := []struct {
		name   string
		data   []byte
		detail string
	}{
		{"nothing", nil, ""},
		{"zeros", make([]byte, 4096), ""},
		{"JSON", []byte(`{"id":"a"}`), ""},
		{"a newer format", sealedAs(func(f []byte) []byte { f[len(magic)] = 2; return f }), "format 2, newer than 1"},
		{"a newer format with an unknown rest", []byte(magic + "\x63"), "format 99, newer than 1"},
		{"format zero", sealedAs(func(f []byte) []byte { f[len(magic)] = 0; return f }), ""},
		{"no revision", sealedAs(func(f []byte) []byte { clear(f[revisionAt:expiryAt]); return f }), ""},
		{"an expiry before 1970", sealedAs(func(f []byte) []byte { f[expiryAt+7] = 0x80; return f }), ""},
		{"an expiry after 9999", sealedAs(func(f []byte) []byte { f[expiryAt+7] = 1; return f }), ""},
		{"no id", sealedAs(put16(countsAt, 0)), ""},
		{"an id longer than the data", sealedAs(put16(countsAt, 60000)), ""},
		{"an encoding longer than the data", sealedAs(put16(countsAt+2, 60000)), ""},
		{"more labels than the data has", sealedAs(put16(countsAt+4, 60000)), ""},
		{"labels out of order", sealedAs(func(f []byte) []byte { return bytes.Replace(f, []byte("principal"), []byte("Principal"), 1) }), ""},
		{"an id with a NUL", sealedAs(func(f []byte) []byte { f[headerBytes] = 0; return f }), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeRecord(tt.data)
			if !errors.Is(err, model.ErrCorrupt) || !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("%v, want %v with %q", err, model.ErrCorrupt, tt.detail)
			}
		})
	}
}

// FuzzDecodeRecord checks that each encoding is the only one of its record, and
// that other bytes are ErrCorrupt.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range codecRecords() {
		f.Add(AppendRecord(nil, &r))
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := DecodeRecord(data)
		if err != nil {
			if !errors.Is(err, model.ErrCorrupt) {
				t.Error(err)
			}
			// A fuzzer hardly ever finds a valid checksum, so the test sets it.
			if len(data) < headerBytes || string(data[:len(magic)+1]) != magic+"\x01" {
				return
			}
			data = seal(bytes.Clone(data))
			if rec, err = DecodeRecord(data); err != nil {
				return
			}
		}
		if again := AppendRecord(nil, &rec); !bytes.Equal(again, data) {
			t.Errorf("%q decodes to a record that encodes to %q", data, again)
		}
	})
}
