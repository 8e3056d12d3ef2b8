package redis

import (
	"crypto/sha1" //nolint:gosec // the digest by which Redis names scripts
	_ "embed"
	"encoding/hex"
	"strings"
)

// The layout, which all nodes of a store share. CreateStorage stores its version,
// which every change of the layout raises.
const (
	layoutVersion = "2"
	bucketCount   = 16
	metaTag       = "0"
)

// bucketTags are the hash tags of the buckets. All keys of a bucket are in the
// slot of its tag. Tag n is the smallest number whose slot is in the n-th
// sixteenth of the slots, so that a cluster shares the buckets evenly.
var bucketTags = [bucketCount]string{
	"10", "3", "61", "43", "11", "2", "60", "42", "12", "1", "63", "41", "13", "0", "62", "40",
}

// bucket has the keys of one bucket.
type bucket struct {
	records string // the prefix of the records' keys
	labels  string // the prefix of the label indexes' keys
	due     string // the index by expiry
	ids     string // the index by id
	staged  string // the prefix of the staged records' keys
	index   []any  // due, ids and the indexes of the declared labels
}

func newBucket(name string, n int, labels []string) bucket {
	prefix := name + ":{" + bucketTags[n] + "}:"
	k := bucket{records: prefix + "r:", labels: prefix + "l:", due: prefix + "x", ids: prefix + "i", staged: prefix + "w:"}
	k.index = append(k.index, k.due, k.ids)
	for _, label := range labels {
		k.index = append(k.index, k.labels+label)
	}
	return k
}

// command begins the command that runs a script on the bucket. Its keys are the
// record's, unless the id is empty, those of the indexes, and those of the extra
// labels' indexes. The slice has room for that number of further arguments.
func (k *bucket) command(s *script, id string, extra []string, room int) []any {
	n := len(k.index) + len(extra)
	if id != "" {
		n++
	}
	args := make([]any, 0, 3+n+room)
	args = append(args, "evalsha", s.digest, n)
	if id != "" {
		args = append(args, k.records+id)
	}
	args = append(args, k.index...)
	for _, label := range extra {
		args = append(args, k.labels+label)
	}
	return args
}

// bucketOf returns the number of the id's bucket: FNV-1a, folded to four bits.
func bucketOf(id string) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	h ^= h >> 16
	h ^= h >> 8
	h ^= h >> 4
	return int(h & (bucketCount - 1))
}

func (b *Backend) metaKey() string { return b.name + ":{" + metaTag + "}:meta" }

//go:embed scripts/names.lua
var namesLua string

//go:embed scripts/usual.lua
var usualLua string

//go:embed scripts/head.lua
var headLua string

//go:embed scripts/create.lua
var createLua string

//go:embed scripts/replace.lua
var replaceLua string

//go:embed scripts/remove.lua
var removeLua string

//go:embed scripts/write.lua
var writeLua string

//go:embed scripts/touch.lua
var touchLua string

//go:embed scripts/delete.lua
var deleteLua string

//go:embed scripts/sweep.lua
var sweepLua string

//go:embed scripts/count.lua
var countLua string

//go:embed scripts/prune.lua
var pruneLua string

//go:embed scripts/stat.lua
var statLua string

//go:embed scripts/mark.lua
var markLua string

//go:embed scripts/reindex.lua
var reindexLua string

//go:embed scripts/tidy.lua
var tidyLua string

//go:embed scripts/probe.lua
var probeLua string

//go:embed scripts/counter.lua
var counterLua string

var (
	writeScript  = newScript(createLua, usualLua, replaceLua, headLua, writeLua)
	touchScript  = newScript(usualLua, headLua, touchLua)
	deleteScript = newScript(usualLua, removeLua, headLua, deleteLua)
	sweepScript  = newScript(headLua, sweepLua)
	countScript  = newScript(headLua, countLua)
	pruneScript  = newScript(headLua, pruneLua)
	statScript   = newScript(headLua, statLua)

	markScript    = newScript(headLua, markLua)
	reindexScript = newScript(headLua, reindexLua)
	tidyScript    = newScript(headLua, tidyLua)
)

func newScript(parts ...string) *script {
	source := namesLua + strings.Join(parts, "")
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
	return &script{source: source, digest: hex.EncodeToString(sum[:])}
}
