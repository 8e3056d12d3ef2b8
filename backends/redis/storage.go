package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage stores the layout's version. It returns ErrCorrupt, and changes
// nothing, if the store has another layout, or if another program keeps
// something under the keys of the store's indexes. The store also works without
// CreateStorage. Keys that the store does not use are not looked for, because
// Redis finds them only by visiting all keys.
//
// It logs a warning if the server may evict keys when its memory is full. An
// evicted index hides records from listings, counts and sweeps. There is no
// warning if the server does not reveal its configuration.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	found, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	if len(found.foreign) > 0 {
		return driverkit.Corrupt("the store's place holds what another program made: " + oneLine(found.foreign))
	}
	if !found.complete {
		if err := b.storeLayout(ctx); err != nil {
			return err
		}
	}
	b.warnOfEviction(ctx)
	return nil
}

// layoutFields are the fields of the hash with the layout's version.
var layoutFields = map[string]string{"layout": layoutVersion, "buckets": strconv.Itoa(bucketCount)}

// storeLayout stores the layout's version unless another node has just stored
// one.
func (b *Backend) storeLayout(ctx context.Context) error {
	pipe := b.client.Pipeline()
	for field, value := range layoutFields {
		pipe.HSetNX(ctx, b.metaKey(), field, value)
	}
	meta := pipe.HGetAll(ctx, b.metaKey())
	if _, err := exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	foreign, err := b.checkLayout(meta.Val())
	if err == nil && foreign != "" {
		err = driverkit.Corrupt(foreign)
	}
	return err
}

// checkLayout returns ErrCorrupt for another layout, and what is foreign in the
// hash that should have the layout's version.
func (b *Backend) checkLayout(meta map[string]string) (foreign string, err error) {
	if len(meta) == 0 {
		return "", nil
	}
	for field := range meta {
		if _, ok := layoutFields[field]; !ok {
			return "the hash " + b.metaKey() + " with other fields", nil
		}
	}
	for field, want := range layoutFields {
		if got, ok := meta[field]; ok && got != want {
			return "", driverkit.Corrupt("the store has " + field + " " + strconv.Quote(got) + ", this version needs " + strconv.Quote(want))
		}
	}
	return "", nil
}

// inspection is what a store's place holds.
type inspection struct {
	complete bool     // the layout's version is stored
	foreign  []string // keys that another program made
}

// inspect reads the layout's version and the ends of all indexes. It returns
// ErrCorrupt for another layout.
func (b *Backend) inspect(ctx context.Context) (found inspection, err error) {
	pipe := b.client.Pipeline()
	meta := pipe.HGetAll(ctx, b.metaKey())
	type end struct {
		bucket int
		key    string
		cmd    *goredis.StringSliceCmd
	}
	var ends []end
	for n := range b.buckets {
		for _, key := range b.buckets[n].index {
			key := key.(string)
			ends = append(ends, end{n, key, pipe.ZRange(ctx, key, 0, 0)}, end{n, key, pipe.ZRange(ctx, key, -1, -1)})
		}
	}
	left, err := exec(ctx, pipe)
	if left || err != nil && replyCode(err) != wrongType {
		return found, b.readError(ctx, err)
	}
	note := func(what string) {
		if !slices.Contains(found.foreign, what) {
			found.foreign = append(found.foreign, what)
		}
	}
	switch foreign, bad := b.checkLayout(meta.Val()); {
	case meta.Err() != nil && replyCode(meta.Err()) == wrongType:
		note("the key " + b.metaKey() + " with another type than a hash")
	case meta.Err() != nil:
		return found, b.readError(ctx, meta.Err())
	case bad != nil:
		return found, bad
	case foreign != "":
		note(foreign)
	}
	found.complete = len(meta.Val()) == len(layoutFields)
	for _, e := range ends {
		switch err := e.cmd.Err(); {
		case err != nil && replyCode(err) == wrongType:
			note("the key " + e.key + " with another type than a sorted set")
		case err != nil:
			return found, b.readError(ctx, err)
		case slices.ContainsFunc(e.cmd.Val(), func(m string) bool { return b.idOf(e.bucket, e.key, m) == "" }):
			note("the sorted set " + e.key + " with other members")
		}
	}
	return found, nil
}

// idOf returns the id in a member of an index of the bucket, or an empty string
// if this backend did not write the member.
func (b *Backend) idOf(bucket int, key, member string) string {
	k, id := &b.buckets[bucket], member
	switch {
	case key == k.due:
	case key == k.ids:
		var section string
		var ok bool
		if id, section, ok = strings.Cut(member, "\x00"); !ok {
			return ""
		}
		if _, ok := parseLabels(section); !ok {
			return ""
		}
	case len(member) < 2 || len(member) < 2+number(member[:2]):
		return ""
	default:
		id = member[2+number(member[:2]):]
	}
	if model.CheckID(id) != nil || bucketOf(id) != bucket {
		return ""
	}
	return id
}

// oneLine joins the first few texts.
func oneLine(texts []string) string {
	const most = 3
	if len(texts) > most {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("%d more", len(texts)-most))
	}
	return strings.Join(texts, ", ")
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

// purgeBatch is the largest number of entries that DeleteStorage reads at once.
const purgeBatch = sweepStep

// DeleteStorage removes the store's records and indexes in batches. It finds
// them by the indexes, so nothing may be written to the store meanwhile. It
// returns ErrCorrupt, and says what stays, if another program keeps something
// under the store's keys.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	p := purge{Backend: b, extra: map[string]bool{}}
	for n := range b.buckets {
		if err := p.bucket(ctx, n); err != nil {
			return err
		}
	}
	if err := p.meta(ctx); err != nil {
		return err
	}
	if p.records > 0 {
		p.kept = append(p.kept, fmt.Sprintf("%d keys of records that hold no record", p.records))
	}
	if len(p.kept) > 0 {
		return driverkit.Corrupt("another program made what is left: " + oneLine(p.kept))
	}
	return nil
}

// purge is the progress of a DeleteStorage.
type purge struct {
	*Backend
	extra   map[string]bool // undeclared labels that records bear
	kept    []string        // foreign keys and members
	records int             // foreign keys in the place of records
}

// bucket empties one bucket: the records in the index by id, those in the index
// by expiry alone, and what is left in the indexes of the labels.
func (p *purge) bucket(ctx context.Context, n int) error {
	k := &p.buckets[n]
	for _, key := range []string{k.ids, k.due} {
		err := p.index(ctx, n, key, func(ids, members []string) error {
			for _, m := range members {
				_, section, _ := strings.Cut(m, "\x00")
				for _, label := range p.undeclared(section) {
					p.extra[label] = true
				}
			}
			todo := make([]dueRecord, len(ids))
			for i, id := range ids {
				todo[i].id = id
			}
			foreign, err := p.sweepBatch(ctx, k, todo, sortedKeys(p.extra))
			p.records += foreign
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, label := range slices.Concat(p.gate.Labels(), sortedKeys(p.extra)) {
		err := p.index(ctx, n, k.labels+label, func(_, members []string) error {
			args := []any{"zrem", k.labels + label}
			for _, m := range members {
				args = append(args, m)
			}
			_, err := p.process(ctx, goredis.NewIntCmd(ctx, args...))
			if err != nil {
				return p.readError(ctx, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// index reads an index in batches and has remove remove the entries. It notes
// what this backend did not write.
func (p *purge) index(ctx context.Context, n int, key string, remove func(ids, members []string) error) error {
	foreign := 0 // entries that stay, before the ones to read
	var before []string
	for {
		cmd := goredis.NewStringSliceCmd(ctx, "zrange", key, foreign, foreign+purgeBatch-1)
		_, err := p.process(ctx, cmd)
		switch {
		case err != nil && replyCode(err) == wrongType:
			p.kept = append(p.kept, "the key "+key+" with another type than a sorted set")
			return nil
		case err != nil:
			return p.readError(ctx, err)
		}
		all := cmd.Val()
		if len(all) > 0 && slices.Equal(all, before) {
			return driverkit.Corrupt("the entries of " + key + " cannot be removed")
		}
		before = all
		if len(all) == 0 {
			if foreign > 0 {
				p.kept = append(p.kept, fmt.Sprintf("%d members of the sorted set %s", foreign, key))
			}
			return nil
		}
		var ids, members []string
		for _, m := range all {
			if id := p.idOf(n, key, m); id != "" {
				ids, members = append(ids, id), append(members, m)
			}
		}
		foreign += len(all) - len(ids)
		if len(ids) > 0 {
			if err := remove(ids, members); err != nil {
				return err
			}
		}
	}
}

// meta removes the layout's version, also of another layout.
func (p *purge) meta(ctx context.Context) error {
	cmd := goredis.NewMapStringStringCmd(ctx, "hgetall", p.metaKey())
	_, err := p.process(ctx, cmd)
	switch {
	case err != nil && replyCode(err) == wrongType:
		p.kept = append(p.kept, "the key "+p.metaKey()+" with another type than a hash")
		return nil
	case err != nil:
		return p.readError(ctx, err)
	}
	if foreign, err := p.checkLayout(cmd.Val()); foreign != "" && err == nil {
		p.kept = append(p.kept, foreign)
		return nil
	}
	if _, err := p.process(ctx, goredis.NewIntCmd(ctx, "unlink", p.metaKey())); err != nil {
		return p.readError(ctx, err)
	}
	return nil
}
