package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
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
	id     string // empty if only the file's name is known, and is a hash
	shard  uint8
	name   string // of the file
	hashed bool
}

// placeOf returns the place of an id. Every id has a file of its own.
func placeOf(id string) place {
	sum := sha256.Sum256([]byte(id))
	p := place{id: id, shard: sum[0]}
	if name, ok := escaped(id); ok {
		p.name = name
		return p
	}
	p.hashed = true
	p.name = hashedPrefix + hex.EncodeToString(sum[:])
	return p
}

// placeOfFile returns the place of a file in a shard, and whether placeOf
// returns that place for an id. It is false for any foreign file.
func placeOfFile(shard uint8, name string) (place, bool) {
	if digits, ok := strings.CutPrefix(name, hashedPrefix); ok {
		ok = len(digits) == 2*sha256.Size && isHex(digits) && digits[:2] == hexByte(shard)
		return place{shard: shard, name: name, hashed: true}, ok
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

// CreateStorage makes the store's folders, so that no write has to. It may be
// repeated, and records stay.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	return b.withTree(ctx, true, func(t *tree) error {
		if err := t.checkCurrent(); err != nil {
			return err
		}
		names := []string{tmpDir, locksDir, expiryDir}
		for _, label := range b.gate.Labels() {
			names = append(names, labelBase(label))
		}
		for _, name := range names {
			if _, err := t.folder(name, true); err != nil {
				return err
			}
		}
		return t.makeShards()
	})
}

// makeShards makes all shards with one sync.
func (t *tree) makeShards() error {
	records, err := t.folder(recordsDir, true)
	if err != nil {
		return err
	}
	names := make([]string, shards)
	for shard := range names {
		names[shard] = hexByte(uint8(shard))
	}
	return unavailable(t.b.maker.MakeEach(records, t.b.name+"/"+recordsDir, names...))
}

// DeleteStorage removes the store with all its records, and nothing that the
// store did not make. It may be repeated.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	err := b.withTree(ctx, false, func(t *tree) error {
		return t.withLocksFrom(ctx, 0, func() error { return t.destroy(ctx) })
	})
	return ignore(err, errNoStore)
}

// destroy runs under every lock. It removes the records first, durably, so that
// a crash leaves only strays in the indexes. It removes the lock files last,
// each only once: from then on another process may make new ones.
func (t *tree) destroy(ctx context.Context) error {
	defer t.b.forget(t)
	for shard := range shards {
		if err := ctx.Err(); err != nil {
			return model.NewError(model.ErrUnknown, "some of the records are already removed: delete the storage again", err)
		}
		if err := t.root.RemoveAll(recordsDir + "/" + hexByte(uint8(shard))); err != nil {
			return unknown(err)
		}
	}
	if err := t.root.RemoveAll(recordsDir); err != nil {
		return unknown(err)
	}
	if !t.b.noSync {
		if err := t.root.Sync(); err != nil {
			return unknown(err)
		}
	}
	for _, name := range []string{labelsDir, expiryDir, tmpDir} {
		if err := t.root.RemoveAll(name); err != nil {
			return unknown(err)
		}
	}
	for stripe := range stripes {
		if err := t.root.Remove(lockName(stripe)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unknown(err)
		}
	}
	// A folder that is not empty has foreign files or belongs to a new store.
	if t.root.Remove(locksDir) != nil {
		return nil
	}
	base, err := t.b.system.Open(t.b.dir)
	if err != nil {
		return unknown(err)
	}
	defer func() { _ = base.Close() }()
	_ = base.Remove(t.b.name)
	if t.b.noSync {
		return nil
	}
	return unknown(base.Sync())
}

func lockName(stripe int) string { return locksDir + "/" + hexByte(uint8(stripe)) }
