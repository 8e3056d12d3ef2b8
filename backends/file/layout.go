package file

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The folders of a store. All names are lower case, so that they stay distinct
// on a file system that ignores case.
const (
	recordsDir = "records" // records/<shard>/<name>
	labelsDir  = "labels"  // labels/l-<label>/<2 digits>/<62 digits of the value's hash>/<shard>.<name>
	expiryDir  = "expiry"  // expiry/<day>/<minute of the day>/<shard>.<name>
	tmpDir     = "tmp"     // tmp/<stripe>-<random>
	locksDir   = "locks"   // locks/<stripe>

	shards  = 256
	stripes = 64

	// maxEscaped is the largest size, in bytes, of a short id's escaped form.
	// It keeps names within 143 bytes, the smallest limit of the file systems
	// in use.
	maxEscaped = 128

	// maxValue bounds the memory that one call needs.
	maxValue = 64 << 20
	// maxFile bounds what is read of a file with a record's name.
	maxFile = maxValue + 1<<20
)

const (
	lowerHex       = "0123456789abcdef"
	plainPrefix    = "i-" // a device name of Windows has none of these prefixes
	hashedPrefix   = "h-"
	labelPrefix    = "l-"
	randomTmpBytes = 16
)

// place says where the record of an id is stored.
type place struct {
	id    string // empty if only the file's name is known, and is a hash
	shard uint8
	name  string // of the file
}

// placeOf returns the place of an id. Every id has a file of its own.
func placeOf(id string) place {
	sum := sha256.Sum256([]byte(id))
	p := place{id: id, shard: sum[0]}
	if name, ok := escaped(id); ok {
		p.name = name
		return p
	}
	p.name = hashedPrefix + hex.EncodeToString(sum[:])
	return p
}

// placeOfFile returns the place of a file in a shard, and whether placeOf
// returns that place for an id. It is false for any foreign file.
func placeOfFile(shard uint8, name string) (place, bool) {
	if digits, ok := strings.CutPrefix(name, hashedPrefix); ok {
		ok = len(digits) == 2*sha256.Size && isHex(digits) && digits[:2] == hexByte(shard)
		return place{shard: shard, name: name}, ok
	}
	id, ok := unescaped(name)
	if !ok || model.CheckID(id) != nil {
		return place{}, false
	}
	p := placeOf(id)
	return p, p.shard == shard && p.name == name
}

// placeOfEntry returns the place that an index entry's name stands for. It is
// false for a foreign name.
func placeOfEntry(entry string) (place, bool) {
	if len(entry) < 4 || entry[2] != '.' || !isHex(entry[:2]) {
		return place{}, false
	}
	return placeOfFile(uint8(parseHex(entry[:2])), entry[3:])
}

func (p *place) dir() string  { return recordsDir + "/" + hexByte(p.shard) }
func (p *place) path() string { return p.dir() + "/" + p.name }
func (p *place) stripe() int  { return int(p.shard) % stripes }

// entry returns the record's name in every index. Listings follow its order.
func (p *place) entry() string { return hexByte(p.shard) + "." + p.name }

// displayName returns the id, or the file's name if the id is not known.
func (p *place) displayName() string {
	if p.id != "" {
		return p.id
	}
	return p.name
}

func hexByte(b uint8) string { return string([]byte{lowerHex[b>>4], lowerHex[b&15]}) }

// parseHex returns the number that the digits stand for. isHex has accepted
// them.
func parseHex(s string) int {
	n, _ := strconv.ParseUint(s, 16, 32)
	return int(n)
}

func isHex(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(lowerHex, s[i]) < 0 {
			return false
		}
	}
	return true
}

// isPlain reports whether a byte stands for itself in a file's name.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escaped returns the file name of a short id: bytes other than a-z 0-9 - _
// become = and two digits. It returns false for a long id.
func escaped(id string) (string, bool) {
	if len(id) > maxEscaped {
		return "", false
	}
	name := driverkit.EscapeID(plainPrefix, id, isPlain)
	return name, len(name) <= maxEscaped+len(plainPrefix)
}

func unescaped(name string) (string, bool) { return driverkit.UnescapeID(plainPrefix, name, isPlain) }

// entry is an empty file of an index. It means that the record may have that
// label value or expiry.
type entry struct {
	base string // a folder that exists as long as the store
	sub  string // folders below it, made and removed as needed
	name string
}

// entriesOf returns the index entries that a record must have. It returns none
// for a nil record.
func entriesOf(p *place, rec *model.Record) []entry {
	if rec == nil {
		return nil
	}
	out := make([]entry, 0, len(rec.Labels)+1)
	for label, value := range rec.Labels {
		out = append(out, entry{base: labelBase(label), sub: labelSub(value), name: p.entry()})
	}
	if !rec.ExpiresAt.IsZero() {
		out = append(out, entry{base: expiryDir, sub: bucketOf(rec.ExpiresAt).sub(), name: p.entry()})
	}
	return out
}

// without returns the entries of list that are not in other.
func without(list, other []entry) []entry {
	return slices.DeleteFunc(list, func(e entry) bool { return slices.Contains(other, e) })
}

func labelBase(label string) string { return labelsDir + "/" + labelPrefix + label }

func labelSub(value string) string {
	sum := sha256.Sum256([]byte(value))
	digits := hex.EncodeToString(sum[:])
	return digits[:2] + "/" + digits[2:]
}

func lockName(stripe int) string { return locksDir + "/" + hexByte(uint8(stripe)) }
