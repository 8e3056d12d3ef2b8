package redis

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// encode returns a whole record as Write sends it.
func encode(rec *model.Record) []byte {
	head := appendLabels(make([]byte, labelsAt, recordSize(rec, false)), rec.Labels)
	putHead(head, rec)
	return appendTail(head, rec)
}

func sample() model.Record {
	return model.Record{
		ID: "id", Revision: model.Revision{1, 2, 3, 15: 16}, ExpiresAt: time.UnixMilli(1893553445006).UTC(),
		Labels: map[string]string{"principal": "ann", "a": "ü"}, Value: []byte(`{"n":1}`), Encoding: "json",
	}
}

// TestGolden pins the format, so that records of earlier versions stay readable.
func TestGolden(t *testing.T) {
	rec := sample()
	const want = "5301" + "01020300000000000000000000000010" + "303031383933353533343435303036" +
		"00000007" + "000c" + "016100" + "02c3bc" + "00" + "0003616e6e" + "046a736f6e" + "7b226e223a317d"
	if got := hex.EncodeToString(encode(&rec)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestCodecRoundTrip(t *testing.T) {
	plain := sample()
	plain.Labels, plain.ExpiresAt, plain.Value, plain.Encoding = nil, time.Time{}, []byte{}, ""
	latest := sample()
	latest.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	latest.Labels["principal"] = strings.Repeat("x", model.MaxLabel)
	for name, rec := range map[string]model.Record{"all": sample(), "least": plain, "most": latest} {
		t.Run(name, func(t *testing.T) {
			data := encode(&rec)
			if len(data) != cap(data) {
				t.Fatalf("%d bytes in a buffer of %d", len(data), cap(data))
			}
			got, err := decodeRecord(rec.ID, string(data), data)
			if err != nil || !reflect.DeepEqual(got, rec) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, rec)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	rec := sample()
	good := encode(&rec)
	change := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	tests := map[string][]byte{
		"empty": {}, "foreign": []byte("hello"), "json": []byte(`{"a":1}`), "longer": append(bytes.Clone(good), 0),
		"another magic": change(0, 's'), "a newer version": change(1, 2), "version zero": change(1, 0),
		"a bad digit": change(expiryAt, 'x'), "labels too long": change(labelLenAt, 255), "a label too long": change(labelsAt, 255),
		"labels out of order": change(labelsAt+1, 'z'),
	}
	tests["the usual label spelled out"] = bytes.Replace(bytes.Replace(good, []byte("\x00\x00\x03ann"), []byte("\x09principal\x00\x03ann"), 1), []byte{0, 12}, []byte{0, 21}, 1)
	for n := range good {
		tests["cut at "+string(rune('a'+n%26))+hex.EncodeToString([]byte{byte(n)})] = good[:n]
	}
	for name, data := range tests {
		if _, err := decodeRecord("id", string(data), data); !errors.Is(err, model.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := decodeRecord("id", "S\x02", []byte("S\x02"))
	if err == nil || !strings.Contains(err.Error(), "newer format") {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	rec := sample()
	f.Add(encode(&rec))
	f.Add([]byte("S\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := decodeRecord("id", string(data), bytes.Clone(data))
		if err != nil {
			if !errors.Is(err, model.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := encode(&rec); !bytes.Equal(again, data) {
			t.Fatalf("%x was encoded again as %x", data, again)
		}
	})
}
