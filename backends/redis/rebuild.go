package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

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
