package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the digest by which Redis names scripts
	_ "embed"
	"encoding/hex"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/model"
)

// The layout, which every node of a store shares and which CreateStorage
// writes down: a change of it is a new layoutVersion.
const (
	layoutVersion = "1"
	bucketCount   = 16
	metaTag       = "0"
)

// bucketTags are the hash tags of the buckets. All keys of a bucket are in the
// slot of its tag; the tags are the smallest numbers of which bucket n lies in
// the n-th sixteenth of the slots, so that a cluster shares the buckets evenly.
var bucketTags = [bucketCount]string{
	"10", "3", "61", "43", "11", "2", "60", "42", "12", "1", "63", "41", "13", "0", "62", "40",
}

// bucket has the keys of one bucket, made once.
type bucket struct {
	records string // what the keys of records begin with
	labels  string // what the keys of label indexes begin with
	due     string // the index by expiry
	ids     string // the index by id
	staged  string // what the keys of staged records begin with
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

// command begins the command that runs a script on the bucket: the keys are
// that of the record, where id is not empty, those of the indexes, and those
// of further labels. It has room for so many more arguments.
func (k *bucket) command(s *script, id string, further []string, room int) []any {
	n := len(k.index) + len(further)
	if id != "" {
		n++
	}
	args := make([]any, 0, 3+n+room)
	args = append(args, "evalsha", s.digest, n)
	if id != "" {
		args = append(args, k.records+id)
	}
	args = append(args, k.index...)
	for _, label := range further {
		args = append(args, k.labels+label)
	}
	return args
}

// bucketOf is the number of the id's bucket: FNV-1a, folded to four bits.
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

// CreateStorage writes down the layout, or returns ErrCorrupt where the store
// was made with another one. The store works without it as well.
//
// It warns by Options.Logger where the server may evict keys when its memory
// is full: an evicted index hides records from listings, counts and sweeps. A
// server that does not tell its configuration is not asked again.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	want := map[string]string{"layout": layoutVersion, "buckets": strconv.Itoa(bucketCount)}
	pipe := b.client.Pipeline()
	for field, value := range want {
		pipe.HSetNX(ctx, b.metaKey(), field, value)
	}
	meta := pipe.HGetAll(ctx, b.metaKey())
	if _, err := pipe.Exec(ctx); err != nil {
		return b.readFault(ctx, err)
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

// warnOfEviction asks each master for its policy. That is advice only, so a
// server that refuses or fails to answer is no error.
func (b *Backend) warnOfEviction(ctx context.Context) {
	if c, ok := b.client.(*goredis.ClusterClient); ok {
		_ = c.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
			b.warnOfEvictionOn(ctx, c)
			return nil
		})
		return
	}
	b.warnOfEvictionOn(ctx, b.client)
}

func (b *Backend) warnOfEvictionOn(ctx context.Context, c goredis.Cmdable) {
	conf, err := c.ConfigGet(ctx, "maxmemory*").Result()
	policy := conf["maxmemory-policy"]
	if err != nil || conf["maxmemory"] == "0" {
		return
	}
	switch {
	case strings.HasPrefix(policy, "allkeys-"):
		b.logger.WarnContext(ctx, "Redis may evict index keys, which hides records from listings, counts and sweeps; "+
			"set maxmemory-policy to noeviction", "store", b.name, "maxmemory-policy", policy)
	case strings.HasPrefix(policy, "volatile-"):
		b.logger.WarnContext(ctx, "Redis may evict records before they expire; set maxmemory-policy to noeviction",
			"store", b.name, "maxmemory-policy", policy)
	}
}

// purgeBatch is how many records one step of DeleteStorage removes, while the
// server does nothing else.
const purgeBatch = 256

// DeleteStorage removes the store's own keys, which it finds by its indexes,
// in batches; nothing may be written to the store meanwhile.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	further := map[string]bool{}
	for n := range b.buckets {
		if err := b.purge(ctx, &b.buckets[n], further); err != nil {
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
		for label := range further {
			pipe.Unlink(ctx, k.labels+label)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return b.readFault(ctx, err)
	}
	return nil
}

// purge empties one bucket. It collects the labels beyond the declared ones
// that its records bear.
func (b *Backend) purge(ctx context.Context, k *bucket, further map[string]bool) error {
	from := "-"
	for {
		members, err := b.client.ZRangeByLex(ctx, k.ids, &goredis.ZRangeBy{Min: from, Max: "+", Count: purgeBatch}).Result()
		ids := members
		if err == nil && len(members) == 0 {
			ids, err = b.client.ZRange(ctx, k.due, 0, purgeBatch-1).Result()
		}
		if err != nil {
			return b.readFault(ctx, err)
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
				further[label] = true
			}
		}
		todo := make([]dueRecord, len(ids))
		for i, id := range ids {
			todo[i].id = id
		}
		if _, err := b.sweepBatch(ctx, k, nil, todo, sortedKeys(further)); err != nil {
			return err
		}
	}
}
