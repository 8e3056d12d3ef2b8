package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
// may move meanwhile. It removes entries that stand for nothing. A CreateStorage
// that was cut off can be repeated.
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
		b.agreed.Store(true)
		return nil
	case !found.used && !server.evicts():
		return b.storeLayout(ctx, &found)
	}
	err = b.rebuild(ctx, &found)
	if errors.Is(err, errNoScan) && !found.used && server.keptAll() {
		return b.storeLayout(ctx, &found)
	}
	if err != nil {
		return err
	}
	return b.storeLayout(ctx, nil)
}

// storeLayout stores the layout's version unless another node has just stored
// one, and before it the marks of the indexes of a new store. If that is cut off,
// there is no version, and no index has an entry: the store is still new.
func (b *Backend) storeLayout(ctx context.Context, fresh *inspection) error {
	pipe := b.client.Pipeline()
	if fresh != nil {
		for n := range fresh.lost {
			for _, key := range fresh.lost[n] {
				pipe.Do(ctx, "zadd", key, b.buckets[n].markScore(key), indexMark)
			}
		}
		if b.cluster { // whose nodes serve one pipeline in no order
			if _, err := b.exec(ctx, pipe); err != nil {
				return b.readError(ctx, err)
			}
			pipe = b.client.Pipeline()
		}
	}
	for field, value := range b.ownFields() {
		pipe.HSetNX(ctx, b.metaKey(), field, value)
	}
	meta := pipe.HGetAll(ctx, b.metaKey())
	if _, err := b.exec(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	if foreign, other := b.checkLayout(meta.Val()); foreign != "" || other != "" {
		return driverkit.Corrupt(foreign + other)
	}
	b.agreed.Store(true)
	return nil
}

// maxStuck is how often DeleteStorage may find the entries of an index that it
// has just removed. Writers may have put them back.
const maxStuck = 100

// purgeBatch is the largest number of entries that DeleteStorage reads at once.
const purgeBatch = sweepStep

// DeleteStorage removes the store's records and indexes in batches. It finds
// them by the indexes, and removes a record with its index entries in one step.
// What is written meanwhile is removed too, or found by the next CreateStorage. It
// returns ErrCorrupt, and says what stays, if another program keeps something
// under the store's keys, or if writers put back the entries of an index 100 times.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	found, err := b.inspect(ctx, false)
	if err != nil && !errors.Is(err, model.ErrCorrupt) { // else of another layout
		return err
	}
	if count, err := strconv.Atoi(found.meta[bucketsField]); err == nil && count != len(b.buckets) && count > 0 && count <= maxBuckets {
		return b.divided(count).DeleteStorage(ctx)
	}
	b.agreed.Store(false) // the next store of this name may be another
	p := purge{Backend: b, bare: found.bare, extra: map[string]bool{}, marks: map[string][]any{}}
	for field := range found.meta {
		if label, ok := strings.CutPrefix(field, labelField); ok && !slices.Contains(b.gate.Labels(), label) {
			p.extra[label] = true
		}
	}
	// A bucket that has lost both indexes that name all its records.
	lost := func(n int) bool {
		return found.used && slices.Contains(found.lost[n], b.buckets[n].ids) && slices.Contains(found.lost[n], b.buckets[n].due)
	}
	if b.anyBucket(lost) {
		err := b.steady(ctx, func(same func() error) error {
			if err := b.scan(ctx, lost, p.remove); err != nil {
				return err
			}
			return same()
		})
		if err != nil {
			return err
		}
	}
	for n := range b.buckets {
		if err := p.bucket(ctx, n); err != nil {
			return err
		}
	}
	// The marks go last. Until then a DeleteStorage that was cut off finds all
	// records by the indexes, and after it nothing is left to find.
	if err := p.meta(ctx); err != nil {
		return err
	}
	if err := p.unmark(ctx); err != nil {
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

// divided returns a backend on the same store with another number of buckets.
func (b *Backend) divided(count int) *Backend {
	other := &Backend{
		gate: b.gate, client: b.client, cluster: b.cluster, deadlines: b.deadlines, name: b.name, allowEviction: b.allowEviction,
		grace: b.grace, logger: b.logger, dialer: b.dialer, watch: b.watch, separate: b.separate,
	}
	other.divide(count)
	return other
}

// purge is the progress of a DeleteStorage.
type purge struct {
	*Backend
	bare    map[string]bool  // indexes with nothing but their mark
	extra   map[string]bool  // undeclared labels that records bear
	kept    []string         // foreign keys and members
	records int              // foreign keys in the place of records
	marks   map[string][]any // the marks and drafts of each index
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
		err := p.index(ctx, n, k.labels+label, func(ids, members []string) error {
			return p.strays(ctx, n, label, ids, members)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// strays removes entries of a label's index that are left when the bucket's
// records are gone, with the records that a writer has made since then.
func (p *purge) strays(ctx context.Context, n int, label string, ids, members []string) error {
	counted := p.records
	err := p.remove(ctx, n, ids)
	if p.records = counted; err != nil {
		return err
	}
	k := &p.buckets[n]
	by := map[string][]result{} // by what precedes the id
	for i, m := range members {
		value := strings.TrimSuffix(m, ids[i])
		by[value] = append(by[value], result{request: request{k: k, id: ids[i]}})
	}
	for value, stale := range by {
		unreadable, err := p.pruneBy(ctx, label, []byte(value), stale)
		if err != nil {
			return err
		}
		args := []any{"zrem", k.labels + label}
		for _, id := range unreadable { // of another program's keys
			args = append(args, value+id)
		}
		if len(unreadable) == 0 {
			continue
		}
		if _, err := p.process(ctx, goredis.NewIntCmd(ctx, args...)); err != nil {
			return p.readError(ctx, err)
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
	if p.bare[key] {
		p.marks[key] = []any{indexMark}
		return nil
	}
	kept := map[string]bool{} // what stays before the entries to read, and the marks, which go last
	foreign, stuck := 0, 0
	var before []string
	for {
		pipe := p.client.Pipeline()
		entries := pipe.ZRange(ctx, key, int64(len(kept)), int64(len(kept)+purgeBatch-1))
		card := pipe.ZCard(ctx, key)
		_, err := p.exec(ctx, pipe)
		switch {
		case err != nil && replyCode(err) == wrongType:
			p.kept = append(p.kept, "the key "+key+" with another type than a sorted set")
			return nil
		case err != nil:
			return p.readError(ctx, err)
		}
		all := entries.Val()
		if len(all) > 0 && slices.Equal(all, before) || len(all) == 0 && int(card.Val()) > len(kept) {
			// A writer came between. What it wrote may stand before what stays.
			if stuck++; stuck == maxStuck {
				return driverkit.Corrupt("the entries of " + key + " cannot be removed")
			}
			clear(kept)
			foreign, before = 0, nil
			continue
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
			if id := p.idOf(n, key, m); id != "" && !isMark(m) {
				ids, members = append(ids, id), append(members, m)
				continue
			}
			if kept[m] = true; isMark(m) {
				p.marks[key] = append(p.marks[key], m)
			} else {
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

// unmark removes the marks from what is left of the indexes.
func (p *purge) unmark(ctx context.Context) error {
	if len(p.marks) == 0 {
		return nil
	}
	pipe := p.client.Pipeline()
	for key, marks := range p.marks {
		pipe.ZRem(ctx, key, marks...)
	}
	if _, err := p.exec(ctx, pipe); err != nil {
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
	if foreign, _ := p.checkLayout(cmd.Val()); foreign != "" {
		p.kept = append(p.kept, foreign)
		return nil
	}
	if _, err := p.process(ctx, goredis.NewIntCmd(ctx, "unlink", p.metaKey())); err != nil {
		return p.readError(ctx, err)
	}
	return nil
}
