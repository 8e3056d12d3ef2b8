package s3

import (
	"bytes"
	"encoding/binary"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// decodeObject reads an object as a whole, as Get does.
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
	full := record("full", "ann", time.Hour)
	full.Labels = map[string]string{"a": "1", "b": strings.Repeat("é", 128), "principal": "ann"}
	long := record(strings.Repeat("x", model.MaxID), "", time.Hour)
	long.Value, long.Encoding = bytes.Repeat([]byte{0, 0xff}, 5000), strings.Repeat("e", driverkit.MaxEncoding)
	empty := record("empty", "", 0)
	empty.Value, empty.Encoding = []byte{}, ""
	return []model.Record{record("plain", "", 0), record("id", "ann", time.Hour), full, long, empty}
}

func TestCodec(t *testing.T) {
	for _, r := range codecRecords() {
		h := headOf(&r)
		raw := h.encode(r.Value)
		if len(raw)-len(r.Value) < minHead {
			t.Errorf("%q: a head of %d bytes", r.ID[:4], len(raw)-len(r.Value))
		}
		s, err := decodeObject(r.ID, raw)
		if err != nil {
			t.Fatal(err)
		}
		got := *s.record()
		if got.ID != r.ID || got.Revision != r.Revision || !got.ExpiresAt.Equal(r.ExpiresAt) || got.Encoding != r.Encoding || !bytes.Equal(got.Value, r.Value) || !maps.Equal(got.Labels, r.Labels) {
			t.Errorf("%+v came back as %+v", r, got)
		}
		hinted := parseServerVersion(got.ServerVersion, r.ID)
		if hinted == nil || hinted.etag != `"e"` || hinted.head.due != h.due || hinted.head.stamp != h.stamp || !hinted.head.holds(r.Value, r.Encoding) {
			t.Errorf("the hint tells %+v", hinted)
		}
		if hinted.head.holds(append(bytes.Clone(r.Value), 'x'), r.Encoding) || hinted.head.holds(r.Value, r.Encoding+"x") {
			t.Error("the hint takes another value for this one")
		}
		if parseServerVersion(got.ServerVersion, r.ID+"x") != nil || parseServerVersion(got.ServerVersion[1:], r.ID) == nil || parseServerVersion(got.ServerVersion+"x", r.ID) != nil {
			t.Error("a hint of another id or length")
		}
	}
}

// TestEveryDamageIsCorrupt changes, cuts off and adds single bytes.
func TestEveryDamageIsCorrupt(t *testing.T) {
	for _, r := range codecRecords() {
		raw := headOf(&r).encode(r.Value)
		for i := range raw {
			if i > 1000 {
				break
			}
			bad := bytes.Clone(raw)
			bad[i] ^= 0x41
			if _, err := decodeObject(r.ID, bad); model.Kind(err) != model.ErrCorrupt {
				t.Fatalf("%q with byte %d changed: %v", r.ID[:4], i, err)
			}
			if _, err := decodeObject(r.ID, raw[:i]); model.Kind(err) != model.ErrCorrupt {
				t.Fatalf("%q cut off at %d: %v", r.ID[:4], i, err)
			}
		}
		if _, err := decodeObject(r.ID, append(bytes.Clone(raw), 0)); model.Kind(err) != model.ErrCorrupt {
			t.Errorf("with a byte more: %v", err)
		}
		if _, err := decodeObject("another", raw); model.Kind(err) != model.ErrCorrupt {
			t.Errorf("under another id: %v", err)
		}
	}
}

func TestNewerFormatIsCorruptAndSaysSo(t *testing.T) {
	r := record("id", "", 0)
	raw := headOf(&r).encode(r.Value)
	raw[len(magic)] = version + 1
	if _, err := decodeObject("id", raw); model.Kind(err) != model.ErrCorrupt || !strings.Contains(err.Error(), driverkit.WhyNewer) {
		t.Error(err)
	}
}

func TestTombstone(t *testing.T) {
	s, err := decodeObject("id", tombstone)
	if err != nil || s.head != nil || s.record() != nil || s.live(testNow) {
		t.Errorf("%+v, %v", s, err)
	}
	if len(tombstone) != tombstoneSize || tombstoneSize >= minHead {
		t.Errorf("a tombstone of %d bytes, records of %d", len(tombstone), minHead)
	}
	for i := range tombstone {
		bad := bytes.Clone(tombstone)
		bad[i] ^= 0x41
		if _, err := decodeObject("id", bad); model.Kind(err) != model.ErrCorrupt {
			t.Errorf("with byte %d changed: %v", i, err)
		}
	}
}

// TestOneFormForARecord refuses heads whose checksum is right and whose fields
// make no record.
func TestOneFormForARecord(t *testing.T) {
	whole := record("id", "ann", time.Hour)
	for name, change := range map[string]func(raw []byte){
		"no revision":        func(raw []byte) { clear(raw[revAt:stampAt]) },
		"an endless id":      func(raw []byte) { binary.LittleEndian.PutUint16(raw[lengthsAt:], 0xffff) },
		"no id":              func(raw []byte) { binary.LittleEndian.PutUint16(raw[lengthsAt:], 0) },
		"many labels":        func(raw []byte) { binary.LittleEndian.PutUint32(raw[labelsAt:], 1<<31) },
		"an expiry too late": func(raw []byte) { binary.LittleEndian.PutUint64(raw[expiryAt:], 1<<62) },
		"another kind":       func(raw []byte) { raw[kindAt] = 'x' },
	} {
		h := headOf(&whole)
		raw := h.encode(whole.Value)
		change(raw)
		n := len(raw) - len(whole.Value)
		binary.LittleEndian.PutUint32(raw[crcAt:], headSum(raw[:n]))
		if _, err := decodeObject("id", raw); model.Kind(err) != model.ErrCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range codecRecords() {
		f.Add(headOf(&r).encode(r.Value))
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
		if s.head != nil && !bytes.Equal(s.head.encode(s.value), raw) {
			t.Errorf("%x is another form of %+v", raw, s.head)
		}
	})
}

func FuzzHint(f *testing.F) {
	r := record("id", "ann", time.Hour)
	f.Add(serverVersion(`"e"`, headOf(&r)), "id")
	f.Add("nonsense\n", "id")
	f.Fuzz(func(t *testing.T, hint, id string) {
		if s := parseServerVersion(hint, id); s != nil && (s.head == nil || s.head.id != id || s.etag == "") {
			t.Errorf("%q tells %+v of %q", hint, s, id)
		}
	})
}
