package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The folders of a store, below its prefix.
const (
	recordsDir = "r" // r/<name>
	dueDir     = "x" // x/<hour>/<ms>.<name>.<stamp>
	labelsDir  = "l" // l/<label>/<64 digits of the value's hash>/<name>.<stamp>
	probeDir   = "p" // p/<stamp>=<n>: test objects of CreateStorage and Check
	markerName = "store.json"

	maxEscaped = 128 // bytes of a short id's escaped form; MinIO allows 255 in a segment

	plainPrefix  = "i-"
	hashedPrefix = "h-"
	hexDigits    = "0123456789abcdef"

	hourDigits  = 8
	milliDigits = 7
	hour        = int64(time.Hour / time.Millisecond)
)

// place is where the record of an id is kept.
type place struct {
	id   string // empty if only the name is known and the name is a hash
	name string
}

// placeOf returns the place of an id. Its name has no dots and no slashes, and
// no other id has it.
func placeOf(id string) place {
	if name, ok := escaped(id); ok {
		return place{id, name}
	}
	sum := sha256.Sum256([]byte(id))
	return place{id, hashedPrefix + hex.EncodeToString(sum[:])}
}

// placeOfName returns the place with the name. It reports false for a name that
// placeOf does not return: the object is foreign then.
func placeOfName(name string) (place, bool) {
	if digits, ok := strings.CutPrefix(name, hashedPrefix); ok {
		return place{name: name}, len(digits) == 2*sha256.Size && isHex(digits)
	}
	id, ok := unescaped(name)
	if !ok || model.CheckID(id) != nil {
		return place{}, false
	}
	p := placeOf(id)
	return p, p.name == name
}

// idOrName returns the id, or the name if only a hash of the id is known.
func (p *place) idOrName() string {
	if p.id != "" {
		return p.id
	}
	return p.name
}

// kept reports whether a byte is not escaped in a name.
func kept(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escaped returns the name of a short id: bytes other than a-z A-Z 0-9 - _ become
// = and two digits. It reports false for a long id.
func escaped(id string) (string, bool) {
	if len(id) > maxEscaped {
		return "", false
	}
	name := driverkit.EscapeID(plainPrefix, id, kept)
	return name, len(name) <= maxEscaped+len(plainPrefix)
}

func unescaped(name string) (string, bool) { return driverkit.UnescapeID(plainPrefix, name, kept) }

func isHex(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(hexDigits, s[i]) < 0 {
			return false
		}
	}
	return true
}

// recordKey returns the key of a record, without the prefix. All keys are
// without the prefix, except those that full returns.
func recordKey(name string) string { return recordsDir + "/" + name }

// full returns the whole key in the bucket.
func (b *Backend) full(key string) string { return b.prefix + "/" + key }

// labelFolder returns the folder with the entries of all records that bear the
// label. The value is hashed: it may be any string, and keys appear in access
// logs.
func labelFolder(name, value string) string {
	sum := sha256.Sum256([]byte(value))
	return labelsDir + "/" + name + "/" + hex.EncodeToString(sum[:]) + "/"
}

func labelKey(l *label, name string) string {
	return labelFolder(l.name, l.value) + entryName(name, l.stamp)
}

// entryName returns the name of an index entry. No two writes share an entry, so
// that removing one never affects another write.
func entryName(name string, s stamp) string { return name + "." + s.String() }

// afterEntries returns a name that sorts after all entries of the name and before
// the entries of the next one: no name has a dot.
func afterEntries(name string) string { return name + ".g" }

// parseEntry parses the name of an index entry.
func parseEntry(entry string) (p place, s stamp, ok bool) {
	name, digits, ok := strings.Cut(entry, ".")
	if !ok || !parseStamp(digits, &s) {
		return place{}, s, false
	}
	p, ok = placeOfName(name)
	return p, s, ok
}

// isProbe reports whether rest is the name of a test object.
func isProbe(rest string) bool {
	var s stamp
	digits, _, _ := strings.Cut(rest, "=")
	return parseStamp(digits, &s) && len(rest) <= len(digits)+2
}

// isTestKey reports whether a key is that of a test object, in any folder.
func isTestKey(key string) bool {
	dir, rest, _ := strings.Cut(key, "/")
	if dir == recordsDir {
		rest = strings.TrimPrefix(rest, plainPrefix)
	}
	return slices.Contains([]string{recordsDir, dueDir, labelsDir, probeDir}, dir) && isProbe(rest)
}

func parseStamp(digits string, s *stamp) bool {
	if len(digits) != 2*len(s) || !isHex(digits) {
		return false
	}
	_, err := hex.Decode(s[:], []byte(digits))
	return err == nil
}

// dueKey returns the key of an entry in the index by expiry. The keys sort by
// time.
func dueKey(at time.Time, name string, s stamp) string {
	ms := at.UnixMilli()
	return dueDir + "/" + padded(ms/hour, hourDigits) + "/" + padded(ms%hour, milliDigits) + "." + entryName(name, s)
}

// parseDue parses a dueKey without its folder.
func parseDue(rest string) (at time.Time, p place, s stamp, ok bool) {
	hours, rest, ok1 := strings.Cut(rest, "/")
	millis, entry, ok2 := strings.Cut(rest, ".")
	h, ok3 := parsePadded(hours, hourDigits)
	ms, ok4 := parsePadded(millis, milliDigits)
	p, s, ok5 := parseEntry(entry)
	ok = ok1 && ok2 && ok3 && ok4 && ok5 && ms < hour
	return time.UnixMilli(h*hour + ms).UTC(), p, s, ok
}

func padded(n int64, digits int) string {
	s := strconv.FormatInt(n, 10)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

func parsePadded(s string, digits int) (int64, bool) {
	if len(s) != digits {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil
}

// labelKeys returns the keys of the record's label entries.
func (h *head) labelKeys(name string) []string {
	keys := make([]string, 0, len(h.labels))
	for i := range h.labels {
		keys = append(keys, labelKey(&h.labels[i], name))
	}
	return keys
}

// isLabelKey reports whether a key is a labelKey.
func isLabelKey(key string) bool {
	rest, ok := strings.CutPrefix(key, labelsDir+"/")
	return ok && isLabelEntry(rest)
}

// isLabelEntry reports whether rest is a labelKey without its folder.
func isLabelEntry(rest string) bool {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || model.CheckLabelName(parts[0]) != nil || len(parts[1]) != 2*sha256.Size || !isHex(parts[1]) {
		return false
	}
	_, _, ok := parseEntry(parts[2])
	return ok
}

// StoragePlan returns the commands of the AWS CLI that do what CreateStorage
// does, and the lifecycle rule that servers without conditional deletes need. It
// does no I/O.
func (b *Backend) StoragePlan() string {
	var s strings.Builder
	if isARN(b.bucket) {
		s.WriteString("# The access point and its bucket exist already. The commands below are for that bucket.")
	} else {
		fmt.Fprintf(&s, "aws s3api create-bucket --bucket %s", b.bucket)
	}
	if region := b.clientOptions().Region; region != "" && region != "us-east-1" && !isARN(b.bucket) {
		fmt.Fprintf(&s, " \\\n  --create-bucket-configuration LocationConstraint=%s", region)
	}
	rules, _ := json.Marshal(map[string]any{"Rules": []any{map[string]any{ //nolint:errchkjson // only strings and numbers
		"ID": tombstoneRuleID, "Status": "Enabled", "Expiration": map[string]any{"Days": 1},
		"Filter": map[string]any{"And": map[string]any{"Prefix": b.full(recordsDir + "/"), "ObjectSizeLessThan": minHead}},
	}}})
	fmt.Fprintf(&s, "\n# CreateStorage then tests the server and writes the result to %s.\n", b.full(markerName))
	s.WriteString("# If that says \"conditionalDeletes\":false, the bucket needs a rule. First see which rules it has:\n")
	fmt.Fprintf(&s, "aws s3api get-bucket-lifecycle-configuration --bucket %s\n", b.bucket)
	s.WriteString("# If it has none, set Options.TombstoneRule: CreateStorage then tries the rule while it is disabled.\n")
	s.WriteString("# Else add it by hand. The next command replaces all rules, so add the others to its list.\n")
	s.WriteString("# On a server that drops ObjectSizeLessThan, the rule would remove every record: put it with the\n")
	s.WriteString("# status Disabled first, and let Check or the command above show that it is kept as it is.\n")
	fmt.Fprintf(&s, "# aws s3api put-bucket-lifecycle-configuration --bucket %s --lifecycle-configuration '%s'\n", b.bucket, rules)
	versions, _ := json.Marshal(map[string]any{ //nolint:errchkjson // only strings and numbers
		"ID": "sojourn-versions", "Status": "Enabled", "Filter": map[string]any{"Prefix": b.full("")},
		"NoncurrentVersionExpiration": map[string]any{"NoncurrentDays": 1}, "Expiration": map[string]any{"ExpiredObjectDeleteMarker": true},
	})
	s.WriteString("# If the bucket keeps versions, or has kept some, add also this rule to its list. It removes versions\n")
	fmt.Fprintf(&s, "# that are not current, and the markers that deletes leave: %s\n", versions)
	return s.String()
}
