package bbolt

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// entry is a key of one of the two buckets of index entries. Its value is the id.
type entry struct {
	bucket string
	key    string
}

// entries returns the index entries of a record, none for nil.
func entries(r *model.Record) []entry {
	if r == nil {
		return nil
	}
	out := make([]entry, 0, 1+len(r.Labels))
	if !r.ExpiresAt.IsZero() {
		out = append(out, entry{expiryBucket, expiryKey(r.ExpiresAt) + r.ID})
	}
	for name, value := range r.Labels {
		out = append(out, entry{labelsBucket, labelKey(name, value) + r.ID})
	}
	return out
}

// without returns the entries that are not in the other list.
func without(list, other []entry) []entry {
	return slices.DeleteFunc(slices.Clone(list), func(e entry) bool { return slices.Contains(other, e) })
}

// expiryKey returns the milliseconds since 1970 in big endian, so that the keys
// are in the order of time.
func expiryKey(at time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(max(0, at.UnixMilli()))))
}

// labelKey returns name and value, each after its length, so that no two labels
// begin alike.
func labelKey(name, value string) string {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(name)))
	key = append(key, name...)
	key = binary.BigEndian.AppendUint16(key, uint16(len(value)))
	return string(append(key, value...))
}
