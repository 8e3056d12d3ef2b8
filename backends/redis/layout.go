package redis

import (
	"crypto/sha1" //nolint:gosec // the digest by which Redis names scripts
	_ "embed"
	"encoding/hex"
	"strconv"
	"strings"
)

// The layout, which all nodes of a store share. CreateStorage stores its version,
// which every change of the layout raises, and the number of buckets.
const (
	layoutVersion  = "3"
	defaultBuckets = 16
	maxBuckets     = 1024
	metaTag        = "0"
)

// slots is the number of slots of a cluster.
const slots = 16384

// slot returns the slot of a hash tag in a cluster: CRC-16/XMODEM.
func slot(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}

// bucketTags returns the hash tags of a number of buckets. All keys of a bucket
// are in the slot of its tag. Each tag is the smallest number whose slot is in the
// bucket's equal part of the slots, so that a cluster shares the buckets evenly.
func bucketTags(count int) []string {
	tags := make([]string, count)
	for n, left := 0, count; left > 0; n++ {
		tag := strconv.Itoa(n)
		if part := slot(tag) * count / slots; tags[part] == "" {
			tags[part] = tag
			left--
		}
	}
	return tags
}

// divide gives the backend a number of buckets.
func (b *Backend) divide(count int) {
	b.buckets = make([]bucket, count)
	for n, tag := range bucketTags(count) {
		b.buckets[n] = newBucket(b.name, tag, b.gate.Labels())
	}
	lanes := 1
	if b.cluster {
		lanes = min(count, maxLanes)
	}
	b.lanes = make([]lane, lanes)
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

func newBucket(name, tag string, labels []string) bucket {
	prefix := name + ":{" + tag + "}:"
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

// bucketOf returns the number of the id's bucket among count: FNV-1a, folded.
func bucketOf(id string, count int) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	h ^= h >> 16
	h ^= h >> 8
	h ^= h >> 4
	return int(h % uint32(count))
}

func (b *Backend) bucketOf(id string) int { return bucketOf(id, len(b.buckets)) }

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
