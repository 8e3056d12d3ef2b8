package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage stores the layout's version and a mark in each index, by which
// calls know that the server has lost nothing of it. It returns ErrCorrupt, and
// changes nothing, if the store has another layout, or if another program keeps
// something under the keys of the store's indexes. Keys that the store does not
// use are not looked for, because Redis finds them only by visiting all keys.
//
// It returns ErrUnsupported if the server is not as the contract needs it, which
// Check tells in detail: above all if it may evict keys when its memory is full
// and Options.AllowEviction is not set.
//
// If an index has lost its mark, CreateStorage rebuilds it from the records. It
// finds them by the index by id. If that is lost too, it visits all keys of the
// server with SCAN, for which the user needs a permission; no slot of a cluster
// may move meanwhile.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	found, err := b.inspect(ctx, true)
	if err != nil {
		return err
	}
	if len(found.foreign) > 0 {
		return driverkit.Corrupt("the store's place holds what another program made: " + oneLine(found.foreign))
	}
	server, err := b.look(ctx, !found.complete(b.ownFields()))
	if err != nil {
		return err
	}
	checks := append(found.checks(), server.checks(b)...)
	if err := checks.Err(); err != nil {
		return err
	}
	b.warn(ctx, checks)
	switch {
	case found.complete(b.ownFields()):
		return nil
	case !found.trace && !server.evicts():
		return b.storeLayout(ctx, &found)
	}
	if err := b.rebuild(ctx, &found); err != nil {
		return err
	}
	return b.storeLayout(ctx, nil)
}

// storeLayout stores the layout's version unless another node has just stored
// one, and the marks of the indexes of a new store.
func (b *Backend) storeLayout(ctx context.Context, fresh *inspection) error {
	pipe := b.client.Pipeline()
	for field, value := range b.ownFields() {
		pipe.HSetNX(ctx, b.metaKey(), field, value)
	}
	meta := pipe.HGetAll(ctx, b.metaKey())
	if fresh != nil {
		for n := range fresh.lost {
			for _, key := range fresh.lost[n] {
				pipe.Do(ctx, "zadd", key, b.buckets[n].markScore(key), indexMark)
			}
		}
	}
	if _, err := exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	foreign, err := b.checkLayout(meta.Val())
	if err == nil && foreign != "" {
		err = driverkit.Corrupt(foreign)
	}
	return err
}

// lookAgain is how often CreateStorage looks again before it rebuilds, because
// another node may be about to store the marks.
const lookAgain = 3

// rebuild writes the entries of the indexes that have no mark, and their marks
// last. The drafts of the marks tell an index that is lost again meanwhile.
func (b *Backend) rebuild(ctx context.Context, found *inspection) error {
	for try := range lookAgain {
		if len(found.unmarked()) == 0 {
			return nil
		}
		if err := driverkit.Pause(ctx, try); err != nil {
			return err
		}
		again, err := b.inspect(ctx, false)
		if err != nil {
			return err
		}
		*found = again
	}
	token := indexDraft + model.NewRevision().String()
	pipe := b.client.Pipeline()
	for n := range found.lost {
		for _, key := range found.lost[n] {
			pipe.Do(ctx, "zadd", key, b.buckets[n].markScore(key), token)
		}
	}
	if _, err := exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	unnamed := func(n int) bool { return slices.Contains(found.lost[n], b.buckets[n].ids) }
	for n := range found.lost {
		if unnamed(n) {
			continue
		}
		if err := b.reindexBucket(ctx, n, found.lost[n]); err != nil {
			return err
		}
	}
	if anyBucket(unnamed) {
		if err := b.scan(ctx, unnamed, b.reindex); err != nil {
			return err
		}
	}
	return b.finishRebuild(ctx, found, token)
}

// finishRebuild replaces the drafts by marks.
func (b *Backend) finishRebuild(ctx context.Context, found *inspection, token string) error {
	var runs []*run
	for n := range found.lost {
		if len(found.lost[n]) == 0 {
			continue
		}
		m := &mark{data: []byte(token)}
		args := []any{"evalsha", markScript.digest, len(found.lost[n])}
		for _, key := range found.lost[n] {
			args = append(args, key)
		}
		runs = append(runs, newRun(ctx, markScript, append(args, indexMark, m), m))
	}
	for i, err := range b.runAll(ctx, runs, b.scriptReadError) {
		if err != nil {
			return err
		}
		if runs[i].Val() != "0" {
			return model.NewError(model.ErrUnavailable, "the server has lost an index again during its rebuild: give it more memory, set maxmemory-policy to noeviction, and call CreateStorage again", nil)
		}
	}
	return nil
}

// reindexStep is how many entries of an index a rebuild reads at once.
const reindexStep = 1000

// reindexBucket writes the entries of the lost indexes of a bucket whose index
// by id is whole.
func (b *Backend) reindexBucket(ctx context.Context, n int, lost []string) error {
	k := &b.buckets[n]
	concerned := func(section string) bool {
		labels, _ := parseLabels(section)
		return slices.ContainsFunc(lost, func(key string) bool {
			_, bears := labels[strings.TrimPrefix(key, k.labels)]
			return bears || key == k.due
		})
	}
	for from := "-"; len(lost) > 0; {
		cmd := goredis.NewStringSliceCmd(ctx, "zrangebylex", k.ids, from, endOfIDs, "limit", 0, reindexStep)
		if left, err := b.process(ctx, cmd); left || err != nil {
			return b.readError(ctx, err)
		}
		var ids []string
		for _, m := range cmd.Val() {
			id, section, _ := strings.Cut(m, "\x00")
			if concerned(section) {
				ids = append(ids, id)
			}
			from = "(" + m
		}
		if err := b.reindex(ctx, n, ids); err != nil {
			return err
		}
		if len(cmd.Val()) < reindexStep {
			return nil
		}
	}
	return nil
}

// reindex writes the index entries of records of a bucket.
func (b *Backend) reindex(ctx context.Context, n int, ids []string) error {
	k := &b.buckets[n]
	extra := map[string]bool{}
	for len(ids) > 0 {
		some := ids[:min(len(ids), sweepStep)]
		args := k.command(reindexScript, "", sortedKeys(extra), 1+len(some))
		indexes := args[2].(int)
		args[2] = indexes + len(some)
		for _, id := range some {
			args = append(args, k.records+id)
		}
		m := &mark{data: strconv.AppendInt(nil, int64(indexes-2), 10)}
		runs := []*run{newRun(ctx, reindexScript, append(args, m), m)}
		if err := b.runAll(ctx, runs, b.scriptReadError)[0]; err != nil {
			return err
		}
		word, section, _ := strings.Cut(runs[0].Val(), " ")
		done, err := strconv.Atoi(word)
		if err != nil {
			return driverkit.BadReply()
		}
		known := len(extra)
		for _, label := range b.undeclared(section) {
			extra[label] = true
		}
		if len(extra) == known { // else all of them are looked at again
			ids = ids[min(max(done, 1), len(ids)):]
		}
	}
	return nil
}

func anyBucket(is func(n int) bool) bool {
	for n := range bucketCount {
		if is(n) {
			return true
		}
	}
	return false
}

// scanStep is how many keys the server visits in one step of a SCAN.
const scanStep = 1000

// scan visits all keys of all masters, and calls do with the ids of the store's
// records in the buckets that are wanted.
func (b *Backend) scan(ctx context.Context, wanted func(n int) bool, do func(ctx context.Context, n int, ids []string) error) error {
	var mu sync.Mutex
	nodes := []goredis.UniversalClient{}
	left, err := await(ctx, func() error {
		return b.eachNode(ctx, func(_ context.Context, c goredis.UniversalClient) error {
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, c)
			return nil
		})
	})
	if left || err != nil {
		return b.readError(ctx, err)
	}
	for _, node := range nodes {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			cmd := goredis.NewScanCmd(ctx, nil, "scan", cursor, "match", globEscaper.Replace(b.name)+":{*}:r:*", "count", scanStep)
			if left, err := await(ctx, func() error { return node.Process(ctx, cmd) }); left || err != nil {
				return b.scanError(ctx, err)
			}
			var keys []string
			keys, cursor = cmd.Val()
			for n, ids := range b.idsOf(keys) {
				if len(ids) > 0 && wanted(n) {
					if err := do(ctx, n, ids); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// scanError says which permission is missing.
func (b *Backend) scanError(ctx context.Context, err error) error {
	if replyCode(err) == "NOPERM" {
		return model.NewError(model.ErrUnavailable, "indexes are lost, and the user may not visit all keys to rebuild them: give it +scan and call CreateStorage again", err)
	}
	return b.readError(ctx, err)
}

// idsOf returns the ids in keys of records, by bucket.
func (b *Backend) idsOf(keys []string) (ids [bucketCount][]string) {
	for _, key := range keys {
		for n := range b.buckets {
			if id, ok := strings.CutPrefix(key, b.buckets[n].records); ok && model.CheckID(id) == nil && bucketOf(id) == n {
				ids[n] = append(ids[n], id)
			}
		}
	}
	return ids
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
	found, err := b.inspect(ctx, false)
	if err != nil && !errors.Is(err, model.ErrCorrupt) { // else of another layout
		return err
	}
	p := purge{Backend: b, extra: map[string]bool{}}
	for field := range found.meta {
		if label, ok := strings.CutPrefix(field, labelField); ok && !slices.Contains(b.gate.Labels(), label) {
			p.extra[label] = true
		}
	}
	// A bucket that has lost both indexes that name all its records.
	lost := func(n int) bool {
		return found.trace && slices.Contains(found.lost[n], b.buckets[n].ids) && slices.Contains(found.lost[n], b.buckets[n].due)
	}
	if anyBucket(lost) {
		if err := b.scan(ctx, lost, p.remove); err != nil {
			return err
		}
	}
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
			return p.remove(ctx, n, ids)
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

// remove removes records of a bucket.
func (p *purge) remove(ctx context.Context, n int, ids []string) error {
	for some := range slices.Chunk(ids, sweepStep) {
		todo := make([]dueRecord, len(some))
		for i, id := range some {
			todo[i].id = id
		}
		foreign, err := p.sweepBatch(ctx, &p.buckets[n], todo, sortedKeys(p.extra))
		p.records += foreign
		if err != nil {
			return err
		}
	}
	return nil
}

// index reads an index in batches and has remove remove the entries. It notes
// what this backend did not write.
func (p *purge) index(ctx context.Context, n int, key string, remove func(ids, members []string) error) error {
	kept := map[string]bool{} // what stays before the entries to read, and the marks, which go last
	foreign := 0
	var before []string
	for {
		pipe := p.client.Pipeline()
		entries := pipe.ZRange(ctx, key, int64(len(kept)), int64(len(kept)+purgeBatch-1))
		card := pipe.ZCard(ctx, key)
		_, err := exec(ctx, pipe)
		switch {
		case err != nil && replyCode(err) == wrongType:
			p.kept = append(p.kept, "the key "+key+" with another type than a sorted set")
			return nil
		case err != nil:
			return p.readError(ctx, err)
		}
		all := entries.Val()
		if len(all) > 0 && slices.Equal(all, before) || len(all) == 0 && int(card.Val()) > len(kept) {
			return driverkit.Corrupt("the entries of " + key + " cannot be removed")
		}
		before = all
		if len(all) == 0 {
			if foreign > 0 {
				p.kept = append(p.kept, fmt.Sprintf("%d members of the sorted set %s", foreign, key))
			}
			return p.unmark(ctx, key, kept)
		}
		var ids, members []string
		for _, m := range all {
			if id := p.idOf(n, key, m); id != "" && !isMark(m) {
				ids, members = append(ids, id), append(members, m)
				continue
			}
			if kept[m] = true; !isMark(m) {
				foreign++
			}
		}
		if len(ids) > 0 {
			if err := remove(ids, members); err != nil {
				return err
			}
		}
	}
}

// unmark removes the marks among what is left of an index.
func (p *purge) unmark(ctx context.Context, key string, kept map[string]bool) error {
	args := []any{"zrem", key}
	for m := range kept {
		if isMark(m) {
			args = append(args, m)
		}
	}
	if len(args) == 2 {
		return nil
	}
	if _, err := p.process(ctx, goredis.NewIntCmd(ctx, args...)); err != nil {
		return p.readError(ctx, err)
	}
	return nil
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
