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

// The folders of a store. All names are lower case, so that a file system that
// ignores case keeps them apart.
const (
	recordsDir = "records" // records/<shard>/<name>
	labelsDir  = "labels"  // labels/l-<label>/<2 digits>/<62 digits of the value's hash>/<shard>.<name>
	expiryDir  = "expiry"  // expiry/<day>/<minute of the day>/<shard>.<name>
	tmpDir     = "tmp"     // tmp/<stripe>-<random>
	locksDir   = "locks"   // locks/<stripe>

	shards  = 256
	stripes = 64

	maxEscaped = 128 // bytes of a short id's escaped form; keeps names within 143, the least limit in use
)

const (
	lowerHex       = "0123456789abcdef"
	plainPrefix    = "i-" // no device of Windows starts with these
	hashedPrefix   = "h-"
	labelPrefix    = "l-"
	randomTmpBytes = 16
)

// place is where the record of an id is kept.
type place struct {
	id     string // empty where only the file's name is known and is a hash
	shard  uint8
	name   string // of the file
	hashed bool
}

// placeOf gives every id a file of its own.
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

// placeOfFile is the inverse: false for a name that placeOf does not give in
// that shard, so for anything foreign.
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

// placeOfEntry reads an index entry's name.
func placeOfEntry(entry string) (place, bool) {
	if len(entry) < 4 || entry[2] != '.' || !isHex(entry[:2]) {
		return place{}, false
	}
	return placeOfFile(uint8(parseHex(entry[:2])), entry[3:])
}

func (p *place) dir() string  { return recordsDir + "/" + hexByte(p.shard) }
func (p *place) path() string { return p.dir() + "/" + p.name }
func (p *place) stripe() int  { return int(p.shard) % stripes }

// entry is the record's name in every index. Its order is that of listings.
func (p *place) entry() string { return hexByte(p.shard) + "." + p.name }

// known is the id, or the file's name where the id is not known from it.
func (p *place) known() string {
	if p.id != "" {
		return p.id
	}
	return p.name
}

func hexByte(b uint8) string { return string([]byte{lowerHex[b>>4], lowerHex[b&15]}) }

// parseHex reads what isHex accepts.
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

// kept says which bytes stand for themselves in a file's name.
func kept(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escaped is the name of a short id: bytes other than a-z 0-9 - _ become = and
// two digits. It is false for a long one.
func escaped(id string) (string, bool) {
	if len(id) > maxEscaped {
		return "", false
	}
	name := driverkit.EscapeID(plainPrefix, id, kept)
	return name, len(name) <= maxEscaped+len(plainPrefix)
}

func unescaped(name string) (string, bool) { return driverkit.UnescapeID(plainPrefix, name, kept) }

// entry is an empty file of an index: it says that a record may be found there.
type entry struct {
	base string // a folder that is there as long as the store
	sub  string // folders below it, which come and go
	name string
}

// entriesOf lists the index entries that a record must have; a nil one none.
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
// called again, and records stay.
func (b *Backend) CreateStorage(ctx context.Context) error {
	return b.retry(ctx, true, func(t *tree) error {
		if err := t.whole(); err != nil {
			return err
		}
		names := []string{tmpDir, locksDir, expiryDir}
		for _, label := range b.opts.Labels {
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
// store did not make. It may be called again.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	err := b.retry(ctx, false, func(t *tree) error {
		return t.lockedFrom(ctx, 0, func() error { return t.destroy(ctx) })
	})
	if errors.Is(err, errNoStore) {
		return nil
	}
	return err
}

// destroy runs under every lock. Records go first, durably: what is left of an
// index after a crash are strays. The lock files go last, each once, since
// another process may make them anew from then on.
func (t *tree) destroy(ctx context.Context) error {
	defer t.b.drop(t)
	for shard := range shards {
		if err := ctx.Err(); err != nil {
			return model.NewError(model.ErrUnknown, "a part of the records is removed", err)
		}
		if err := t.root.RemoveAll(recordsDir + "/" + hexByte(uint8(shard))); err != nil {
			return unknown(err)
		}
	}
	if err := t.root.RemoveAll(recordsDir); err != nil {
		return unknown(err)
	}
	if !t.b.opts.NoSync {
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
	// What keeps the folders from being empty is foreign, or a store made anew.
	if t.root.Remove(locksDir) != nil {
		return nil
	}
	base, err := t.b.system.Open(t.b.dir)
	if err != nil {
		return unknown(err)
	}
	defer func() { _ = base.Close() }()
	_ = base.Remove(t.b.name)
	if t.b.opts.NoSync {
		return nil
	}
	return unknown(base.Sync())
}

func lockName(stripe int) string { return locksDir + "/" + hexByte(uint8(stripe)) }

const (
	// maxValue bounds the memory that one call needs.
	maxValue = 64 << 20
	// maxFile bounds what is read of a file with a record's name.
	maxFile = maxValue + 1<<20
)
