package s3

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// decodeObject decodes a whole object, as Get does.
func decodeObject(id string, raw []byte) (*stored, error) {
	p := placeOf(id)
	n, err := headLength(raw, int64(len(raw)))
	if err != nil {
		return nil, err
	}
	if n > len(raw) {
		return nil, driverkit.Corrupt(whyTruncated)
	}
	return (&object{etag: `"e"`, total: int64(len(raw)), body: raw}).stored(&p, n, false)
}

func headOf(r *model.Record) *head {
	h := &head{id: r.ID, rev: r.Revision, expiresAt: r.ExpiresAt, stamp: newStamp(), due: newStamp()}
	h.labels, _ = sortedLabels(r.Labels, nil, h.stamp)
	h.setValue(r.Value, r.Encoding)
	return h
}

func codecRecords() []model.Record {
	full := drivertest.Record("full", "ann", time.Hour)
	full.Labels = map[string]string{"a": "1", "b": strings.Repeat("é", 128), "principal": "ann"}
	long := drivertest.Record(strings.Repeat("x", model.MaxID), "", time.Hour)
	long.Value, long.Encoding = bytes.Repeat([]byte{0, 0xff}, 5000), strings.Repeat("e", driverkit.MaxEncoding)
	empty := drivertest.Record("empty", "", 0)
	empty.Value, empty.Encoding = []byte{}, ""
	return []model.Record{drivertest.Record("plain", "", 0), drivertest.Record("id", "ann", time.Hour), full, long, empty}
}

func TestCodec(t *testing.T) {
	for _, r := range codecRecords() {
		h := headOf(&r)
		raw := append(h.encode(), r.Value...)
		if n := len(raw) - len(r.Value); n < minHead {
			t.Errorf("%.4q: a head of %d bytes, want at least %d", r.ID, n, minHead)
		}
		s, err := decodeObject(r.ID, raw)
		if err != nil {
			t.Fatal(err)
		}
		got := *s.record()
		if got.ID != r.ID || got.Revision != r.Revision || !got.ExpiresAt.Equal(r.ExpiresAt) || got.Encoding != r.Encoding || !bytes.Equal(got.Value, r.Value) || !maps.Equal(got.Labels, r.Labels) {
			t.Errorf("decoded %+v, want %+v", got, r)
		}
		known := parseServerVersion(got.ServerVersion, r.ID)
		if known == nil || known.etag != `"e"` || known.head.due != h.due || known.head.stamp != h.stamp || !known.head.holds(r.Value, r.Encoding) {
			t.Fatalf("the server version says %+v", known)
		}
		if known.head.holds(append(bytes.Clone(r.Value), 'x'), r.Encoding) || known.head.holds(r.Value, r.Encoding+"x") {
			t.Error("the server version accepts another value")
		}
		if parseServerVersion(got.ServerVersion, r.ID+"x") != nil || parseServerVersion(got.ServerVersion[1:], r.ID) == nil || parseServerVersion(got.ServerVersion+"x", r.ID) != nil {
			t.Error("a server version of another id or length is accepted, or one with another ETag is not")
		}
	}
}

func flipped(raw []byte, i int) []byte {
	bad := bytes.Clone(raw)
	bad[i] ^= 0x41
	return bad
}

// wantCorrupt ends the test unless the object is ErrCorrupt.
func wantCorrupt(t *testing.T, what, id string, raw []byte) {
	t.Helper()
	if _, err := decodeObject(id, raw); model.Kind(err) != model.ErrCorrupt {
		t.Fatalf("%s: %v, want %v", what, err, model.ErrCorrupt)
	}
}

// TestEveryDamageIsCorrupt changes bytes, truncates the object and adds a byte.
func TestEveryDamageIsCorrupt(t *testing.T) {
	for _, r := range codecRecords() {
		raw := append(headOf(&r).encode(), r.Value...)
		for i := range min(len(raw), 1000) {
			wantCorrupt(t, fmt.Sprintf("%.4q with byte %d changed", r.ID, i), r.ID, flipped(raw, i))
			wantCorrupt(t, fmt.Sprintf("%.4q truncated to %d bytes", r.ID, i), r.ID, raw[:i])
		}
		wantCorrupt(t, "one byte more", r.ID, append(bytes.Clone(raw), 0))
		wantCorrupt(t, "under another id", "another", raw)
	}
}

func TestNewerFormatIsCorrupt(t *testing.T) {
	r := drivertest.Record("id", "", 0)
	raw := append(headOf(&r).encode(), r.Value...)
	raw[len(magic)] = version + 1
	if _, err := decodeObject("id", raw); model.Kind(err) != model.ErrCorrupt || !strings.Contains(err.Error(), driverkit.WhyNewer) {
		t.Error(err)
	}
}

func TestTombstone(t *testing.T) {
	s, err := decodeObject("id", tombstone)
	if err != nil || s.head != nil || s.record() != nil || s.live(drivertest.Now) {
		t.Errorf("%+v, %v", s, err)
	}
	if len(tombstone) != tombstoneSize || tombstoneSize >= minHead {
		t.Errorf("a tombstone has %d bytes, want less than the %d of a record", len(tombstone), minHead)
	}
	for i := range tombstone {
		wantCorrupt(t, fmt.Sprintf("with byte %d changed", i), "id", flipped(tombstone, i))
	}
}

// TestOneFormForARecord refuses heads with a valid checksum and invalid fields.
func TestOneFormForARecord(t *testing.T) {
	whole := drivertest.Record("id", "ann", time.Hour)
	for name, change := range map[string]func(raw []byte){
		"no revision":        func(raw []byte) { clear(raw[revAt:stampAt]) },
		"an id too long":     func(raw []byte) { binary.LittleEndian.PutUint16(raw[lengthsAt:], 0xffff) },
		"no id":              func(raw []byte) { binary.LittleEndian.PutUint16(raw[lengthsAt:], 0) },
		"many labels":        func(raw []byte) { binary.LittleEndian.PutUint32(raw[labelsAt:], 1<<31) },
		"an expiry too late": func(raw []byte) { binary.LittleEndian.PutUint64(raw[expiryAt:], 1<<62) },
		"another kind":       func(raw []byte) { raw[kindAt] = 'x' },
	} {
		h := headOf(&whole)
		raw := append(h.encode(), whole.Value...)
		change(raw)
		n := len(raw) - len(whole.Value)
		binary.LittleEndian.PutUint32(raw[crcAt:], headSum(raw[:n]))
		wantCorrupt(t, name, "id", raw)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range codecRecords() {
		f.Add(append(headOf(&r).encode(), r.Value...))
	}
	f.Add(tombstone)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeObject("id", raw)
		if err != nil {
			if model.Kind(err) != model.ErrCorrupt {
				t.Errorf("%v", err)
			}
			return
		}
		if s.head != nil && !bytes.Equal(append(s.head.encode(), s.value...), raw) {
			t.Errorf("%x decodes to %+v, which has another encoded form", raw, s.head)
		}
	})
}

func FuzzServerVersion(f *testing.F) {
	r := drivertest.Record("id", "ann", time.Hour)
	f.Add(serverVersion(`"e"`, headOf(&r)), "id")
	f.Add("nonsense\n", "id")
	f.Fuzz(func(t *testing.T, text, id string) {
		if s := parseServerVersion(text, id); s != nil && (s.head == nil || s.head.id != id || s.etag == "") {
			t.Errorf("%q says %+v about %q", text, s, id)
		}
	})
}
