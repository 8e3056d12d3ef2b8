package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// lookAgain is how often CreateStorage looks again before it rebuilds, because
// another node may be about to store the marks.
const lookAgain = 3

// rebuild writes the entries of the indexes that have no mark, and their marks
// last. The drafts of the marks tell an index that is lost again meanwhile, and
// steady tells a failover, which loses entries and may keep the drafts.
func (b *Backend) rebuild(ctx context.Context, found *inspection) error {
	for try := range lookAgain {
		if len(found.unmarked()) == 0 {
			return nil
		}
		if err := driverkit.Pause(ctx, try); err != nil {
			return err
		}
		if err := b.inspectAgain(ctx, found); err != nil {
			return err
		}
	}
	first := true
	return b.steady(ctx, func(same func() error) error {
		if !first {
			if err := b.inspectAgain(ctx, found); err != nil {
				return err
			}
		}
		first = false
		return b.rebuildOnce(ctx, found, same)
	})
}

func (b *Backend) inspectAgain(ctx context.Context, found *inspection) error {
	again, err := b.inspect(ctx, false)
	if err == nil {
		*found = again
	}
	return err
}

// rebuildOnce is one attempt at a rebuild. After an error neither drafts nor marks
// of it are left, unless the server cannot be reached.
func (b *Backend) rebuildOnce(ctx context.Context, found *inspection, same func() error) (err error) {
	token := indexDraft + model.NewRevision().String()
	drop := []string{token}
	defer func() {
		if err != nil {
			b.withdraw(ctx, found, drop)
		}
	}()
	if err := b.draft(ctx, found, token); err != nil {
		return err
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
	if b.anyBucket(unnamed) {
		if err := b.scan(ctx, unnamed, b.reindex); err != nil {
			return err
		}
	}
	if err := b.tidy(ctx, found); err != nil {
		return err
	}
	if err := same(); err != nil {
		return err
	}
	drop = append(drop, indexMark) // an error may hide that some were put
	if err := b.finishRebuild(ctx, found, token); err != nil {
		return err
	}
	return same()
}

// draft puts drafts into the lost indexes. It also puts one into each index by id
// from which entries are read: it must be whole now, and the draft must be there at
// the end.
func (b *Backend) draft(ctx context.Context, found *inspection, token string) error {
	pipe := b.client.Pipeline()
	var whole []*goredis.FloatCmd
	for n := range found.lost {
		if len(found.lost[n]) == 0 {
			continue
		}
		for _, key := range found.lost[n] {
			pipe.Do(ctx, "zadd", key, b.buckets[n].markScore(key), token)
		}
		if ids := b.buckets[n].ids; !slices.Contains(found.lost[n], ids) {
			pipe.Do(ctx, "zadd", ids, "0", token)
			whole = append(whole, pipe.ZScore(ctx, ids, indexMark))
		}
	}
	if err := b.execIndexes(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	for _, mark := range whole {
		switch err := mark.Err(); {
		case errors.Is(err, goredis.Nil):
			return errMoved
		case err != nil:
			return b.readError(ctx, err)
		}
	}
	return nil
}

// withdraw removes drafts and marks of a rebuild that failed, as far as the server
// lets it.
func (b *Backend) withdraw(ctx context.Context, found *inspection, members []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawLimit)
	defer cancel()
	pipe := b.client.Pipeline()
	for n := range found.lost {
		if len(found.lost[n]) == 0 {
			continue
		}
		for _, m := range members {
			for _, key := range found.lost[n] {
				pipe.ZRem(ctx, key, m)
			}
		}
		pipe.ZRem(ctx, b.buckets[n].ids, members[0])
	}
	_, _ = b.exec(ctx, pipe)
}

// withdrawLimit bounds the wait for a server that may be gone.
const withdrawLimit = 3 * time.Second

// finishRebuild replaces the drafts by marks.
func (b *Backend) finishRebuild(ctx context.Context, found *inspection, token string) error {
	var runs []*run
	for n := range found.lost {
		lost := found.lost[n]
		if len(lost) == 0 {
			continue
		}
		m := &mark{data: []byte(token)}
		keys, source := []any{}, 0
		if ids := b.buckets[n].ids; !slices.Contains(lost, ids) {
			keys, source = append(keys, ids), 1
		}
		for _, key := range lost {
			keys = append(keys, key)
		}
		args := append([]any{"evalsha", markScript.digest, len(keys)}, keys...)
		runs = append(runs, newRun(ctx, markScript, append(args, indexMark, m, source), m))
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

// tidyStep is how many entries of an index the removal of ghosts reads at once.
const tidyStep = sweepStep

// tidy removes entries that stand for nothing, in the buckets that have lost an
// index. Without the index by id, no sweep could remove all entries of a record
// that is gone, and counts would include them for ever.
func (b *Backend) tidy(ctx context.Context, found *inspection) error {
	labels := slices.Clone(b.gate.Labels())
	for field := range found.meta {
		if label, ok := strings.CutPrefix(field, labelField); ok && !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	for n := range found.lost {
		if len(found.lost[n]) == 0 {
			continue
		}
		if err := b.tidyExpiries(ctx, n); err != nil {
			return err
		}
		for _, label := range labels {
			if err := b.tidyLabel(ctx, n, label); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidyExpiries looks at the entries of records that never expire.
func (b *Backend) tidyExpiries(ctx context.Context, n int) error {
	key := b.buckets[n].due
	for from := 0; ; {
		cmd := goredis.NewStringSliceCmd(ctx, "zrangebyscore", key, "+inf", "+inf", "limit", from, tidyStep)
		if left, err := b.process(ctx, cmd); left || err != nil {
			return b.readError(ctx, err)
		}
		all := cmd.Val()
		removed, err := b.tidyEntries(ctx, n, key, "", all)
		if err != nil || len(all) < tidyStep {
			return err
		}
		from += len(all) - removed
	}
}

func (b *Backend) tidyLabel(ctx context.Context, n int, label string) error {
	key := b.buckets[n].labels + label
	for from := "-"; ; {
		cmd := goredis.NewStringSliceCmd(ctx, "zrangebylex", key, from, endOfLabels, "limit", 0, tidyStep)
		if left, err := b.process(ctx, cmd); left || err != nil {
			return b.readError(ctx, err)
		}
		all := cmd.Val()
		if _, err := b.tidyEntries(ctx, n, key, label, all); err != nil || len(all) < tidyStep {
			return err
		}
		from = "(" + all[len(all)-1]
	}
}

// endOfLabels is the end of the range of entries in the index of a label. The
// length of a value is below 255 times 256.
const endOfLabels = "(\xff"

// tidyEntries removes those of the entries that stand for nothing.
func (b *Backend) tidyEntries(ctx context.Context, n int, key, label string, members []string) (removed int, err error) {
	k := &b.buckets[n]
	args, ours := []any{"evalsha", tidyScript.digest, 0, key, k.due, k.ids}, []any{}
	for _, m := range members {
		if id := b.idOf(n, key, m); id != "" {
			args, ours = append(args, k.records+id), append(ours, m)
		}
	}
	if len(ours) == 0 {
		return 0, nil
	}
	args[2] = len(args) - 3
	m := &mark{data: []byte(label)}
	runs := []*run{newRun(ctx, tidyScript, append(append(args, m), ours...), m)}
	if err := b.runAll(ctx, runs, b.scriptReadError)[0]; err != nil {
		return 0, err
	}
	if removed, err = strconv.Atoi(runs[0].Val()); err != nil {
		return 0, driverkit.BadReply()
	}
	return removed, nil
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

func (b *Backend) anyBucket(is func(n int) bool) bool {
	for n := range b.buckets {
		if is(n) {
			return true
		}
	}
	return false
}
