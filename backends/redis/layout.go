package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the digest by which Redis names scripts
	_ "embed"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/model"
)

// The layout, which all nodes of a store share. CreateStorage stores its version,
// which every change of the layout raises.
const (
	layoutVersion = "1"
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

//go:embed scripts/head.lua
var headLua string

//go:embed scripts/create.lua
var createLua string

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

var (
	writeScript  = newScript(createLua, headLua, writeLua)
	touchScript  = newScript(headLua, touchLua)
	deleteScript = newScript(headLua, deleteLua)
	sweepScript  = newScript(headLua, sweepLua)
	countScript  = newScript(headLua, countLua)
	pruneScript  = newScript(headLua, pruneLua)
)

func newScript(parts ...string) *script {
	source := strings.Join(parts, "")
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
	return &script{source: source, digest: hex.EncodeToString(sum[:])}
}

// CreateStorage stores the layout's version. It returns ErrCorrupt if the store
// has another layout. The store also works without CreateStorage.
//
// It logs a warning if the server may evict keys when its memory is full. An
// evicted index hides records from listings, counts and sweeps. There is no
// warning if the server does not reveal its configuration.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	want := map[string]string{"layout": layoutVersion, "buckets": strconv.Itoa(bucketCount)}
	pipe := b.client.Pipeline()
	for field, value := range want {
		pipe.HSetNX(ctx, b.metaKey(), field, value)
	}
	meta := pipe.HGetAll(ctx, b.metaKey())
	if _, err := exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	for field, value := range want {
		if got := meta.Val()[field]; got != value {
			return model.NewError(model.ErrCorrupt, "the store has "+field+" "+strconv.Quote(got)+
				", this version needs "+strconv.Quote(value), nil)
		}
	}
	b.warnOfEviction(ctx)
	return nil
}

// warnOfEviction asks each master for its policy. It returns no error if a
// server refuses or does not answer, because the warning is only advice.
func (b *Backend) warnOfEviction(ctx context.Context) {
	const memory, policy = "maxmemory", "maxmemory-policy"
	var mu sync.Mutex
	found := map[string]bool{}
	ask := func(ctx context.Context, c goredis.Cmdable) error {
		conf, err := c.ConfigGet(ctx, memory+"*").Result()
		if err == nil && conf[memory] != "0" {
			mu.Lock()
			defer mu.Unlock()
			found[conf[policy]] = true
		}
		return nil
	}
	left, _ := await(ctx, func() error {
		if c, ok := b.client.(*goredis.ClusterClient); ok {
			return c.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return ask(ctx, c) })
		}
		return ask(ctx, b.client)
	})
	if left {
		return
	}
	for _, name := range sortedKeys(found) {
		switch {
		case strings.HasPrefix(name, "allkeys-"):
			b.logger.WarnContext(ctx, "Redis may evict index keys, which hides records from listings, counts and sweeps; "+
				"set maxmemory-policy to noeviction", "store", b.name, policy, name)
		case strings.HasPrefix(name, "volatile-"):
			b.logger.WarnContext(ctx, "Redis may evict records before they expire; set maxmemory-policy to noeviction",
				"store", b.name, policy, name)
		}
	}
}

// purgeBatch is the largest number of records that one script of DeleteStorage
// removes. The server serves no other client meanwhile.
const purgeBatch = 256

// DeleteStorage removes the store's keys in batches. It finds them by the
// indexes, so nothing may be written to the store meanwhile.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	extra := map[string]bool{}
	for n := range b.buckets {
		if err := b.purge(ctx, &b.buckets[n], extra); err != nil {
			return err
		}
	}
	pipe := b.client.Pipeline()
	pipe.Unlink(ctx, b.metaKey())
	for n := range b.buckets {
		k := &b.buckets[n]
		for _, key := range k.index {
			pipe.Unlink(ctx, key.(string))
		}
		for label := range extra {
			pipe.Unlink(ctx, k.labels+label)
		}
	}
	if _, err := exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	return nil
}

// purge empties one bucket. It adds the undeclared labels that its records bear
// to extra.
func (b *Backend) purge(ctx context.Context, k *bucket, extra map[string]bool) error {
	from := "-"
	for {
		members, err := b.strings(ctx, "zrangebylex", k.ids, from, "+", "limit", 0, purgeBatch)
		ids := members
		if err == nil && len(members) == 0 {
			ids, err = b.strings(ctx, "zrange", k.due, 0, purgeBatch-1)
		}
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		if len(members) > 0 {
			from = "(" + members[len(members)-1]
		}
		for i, m := range members {
			id, section, _ := strings.Cut(m, "\x00")
			ids[i] = id
			for _, label := range b.undeclared(section) {
				extra[label] = true
			}
		}
		todo := make([]dueRecord, len(ids))
		for i, id := range ids {
			todo[i].id = id
		}
		if err := b.sweepBatch(ctx, k, todo, sortedKeys(extra)); err != nil {
			return err
		}
	}
}
