package redis

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record, with one script. Of a record of 256
// bytes and more it overwrites 15 bytes and does not copy the value.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return model.Record{}, err
	}
	mode, at := "s", t.ExpiresAt
	switch t.Mode {
	case driver.TouchExtend:
		mode = "e"
	case driver.TouchClear:
		mode, at = "c", time.Time{}
	}
	k := b.bucket(t.ID)
	m := &mark{data: millis(now)}
	args := []any{
		"evalsha", touchScript.digest, 2, k.records + t.ID, k.due,
		mode, appendExpiry(nil, at), b.keepFor(now, at), matched(t.Cond, &t.Known), m,
	}
	reply, err := b.write(ctx, newRun(ctx, touchScript, args, m).share(b.lane(t.ID), now, len(args)-1))
	if err != nil {
		return model.Record{}, err
	}
	code, rest := split(reply)
	if code != 'o' || len(rest) < expiryDigits {
		return model.Record{}, replyError(code, rest)
	}
	rec, _, _, err := decodeHead(t.ID, rest[expiryDigits:])
	if err != nil {
		return model.Record{}, err
	}
	rec.ExpiresAt, _ = parseExpiry(rest[:expiryDigits])
	return rec, nil
}

// sweepStep is the largest number of records that one script removes. The
// server serves no other client meanwhile.
const sweepStep = 100

// dueRecord is an entry of the index by expiry that is due.
type dueRecord struct {
	id       string
	at       time.Time
	revision string // the revision to remove; empty: any; "-": the server has removed the record
	skip     bool   // the record stays: it is unreadable, extended, or OnExpire refused it
}

// bucketSweep is the progress of a sweep in one bucket.
type bucketSweep struct {
	k      *bucket
	from   time.Time       // the last expiry that was read; zero at the start
	stayed map[string]bool // the ids with that expiry that stayed
	due    []dueRecord
	more   bool // the index has more entries
}

// nextRange returns the range of the index with the next n entries.
func (s *bucketSweep) nextRange(before time.Time, n int) *goredis.ZRangeBy {
	r := &goredis.ZRangeBy{Min: "(-inf", Max: string(millis(before)), Count: int64(n + len(s.stayed))}
	if !s.from.IsZero() {
		r.Min = string(millis(s.from))
	}
	return r
}

// setDue replaces the due records by at most n of the entries.
func (s *bucketSweep) setDue(entries []goredis.Z, n int) {
	s.due = s.due[:0]
	for _, e := range entries {
		id, _ := e.Member.(string)
		if s.stayed[id] {
			continue
		}
		if len(s.due) == n {
			s.more = true
			return
		}
		at := time.UnixMilli(int64(e.Score)).UTC()
		if !at.Equal(s.from) {
			s.from, s.stayed = at, map[string]bool{}
		}
		s.due = append(s.due, dueRecord{id: id, at: at})
	}
}

// keep notes that a record stays, so that the sweep does not read it again.
func (s *bucketSweep) keep(d *dueRecord) {
	if d.at.Equal(s.from) {
		s.stayed[d.id] = true
	}
}

// DeleteExpired removes due records in rounds. Each round has one pipeline that
// reads the indexes by expiry, and one that runs a removing script for each
// bucket with due records. With OnExpire, one more pipeline reads the heads of
// the records. A record that the server has removed by its own TTL is announced
// without a revision and counted.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &sw)
	if err != nil {
		return driver.Swept{}, err
	}
	if err := b.agree(ctx, nil); err != nil {
		return driver.Swept{}, err
	}
	open := b.sweepOrder()
	var lost error // the first index that lacks its mark: the others are swept
	if _, err = tally.Run(ctx, func(left int) (more bool, err error) {
		if err := b.readDue(ctx, sw.Before, left, open, &lost); err != nil {
			return false, err
		}
		if tally.Announces() {
			if err := b.announce(ctx, sw.Before, open, tally); err != nil {
				return false, err
			}
		}
		b.removeDue(ctx, sw.Before, open, tally)
		open = slices.DeleteFunc(open, func(s *bucketSweep) bool { return !s.more })
		return len(open) > 0, nil
	}); err == nil {
		tally.Failed(0, lost)
	}
	return tally.Result()
}

// sweepOrder returns all buckets. Each sweep begins with another one, so that
// small limits are fair.
func (b *Backend) sweepOrder() []*bucketSweep {
	count := len(b.buckets)
	first := int(b.sweeps.Add(1) % uint32(count)) // an int of 32 bits would be negative
	open := make([]*bucketSweep, count)
	for i := range open {
		open[i] = &bucketSweep{k: &b.buckets[(first+i)%count]}
	}
	return open
}

// readDue reads due entries, an equal share from each bucket and some more, and
// takes at most left of them. It notes in lost that an index may lack entries.
func (b *Backend) readDue(ctx context.Context, before time.Time, left int, open []*bucketSweep, lost *error) error {
	share := min(withChance(float64(left)/float64(len(open))), left, sweepStep)
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.ZSliceCmd, len(open))
	marks := make([]*goredis.FloatCmd, len(open))
	for i, s := range open {
		cmds[i] = pipe.ZRangeByScoreWithScores(ctx, s.k.due, s.nextRange(before, share))
		marks[i] = pipe.ZScore(ctx, s.k.due, indexMark)
	}
	if err := b.execIndexes(ctx, pipe); err != nil {
		return b.readError(ctx, err)
	}
	for i, s := range open {
		if err := cmds[i].Err(); err != nil {
			return b.readError(ctx, err)
		}
		if err := b.whole(ctx, marks[i], s.k.due); err != nil && *lost == nil {
			*lost = err
		}
		entries := cmds[i].Val()
		s.more = len(entries) == share+len(s.stayed)
		s.setDue(entries, left)
		left -= len(s.due)
	}
	return nil
}

// announce shows the due records to OnExpire. It marks those that stay: OnExpire
// refused them, they cannot be read, or they are no longer due.
func (b *Backend) announce(ctx context.Context, before time.Time, open []*bucketSweep, tally *driverkit.Tally) error {
	var reqs []request
	for _, s := range open {
		for i := range s.due {
			reqs = append(reqs, request{k: s.k, id: s.due[i].id})
		}
	}
	found, err := b.fetch(ctx, reqs, true, nil)
	if err != nil {
		return err
	}
	reaped, err := b.reapedLabels(ctx, found)
	if err != nil {
		return err
	}
	n := 0
	for _, s := range open {
		for i := range s.due {
			d, f := &s.due[i], found[n]
			n++
			rec := f.rec
			switch {
			case f.missing:
				rec = model.Record{ID: d.id, ExpiresAt: d.at, Labels: reaped[d.id]}
				d.revision = "-"
			case f.corrupt:
				d.skip = true
				s.keep(d)
				continue
			case !rec.Expired(before):
				d.skip = true // extended meanwhile, unless the index is wrong
				s.keep(d)
				continue
			default:
				d.revision = string(rec.Revision[:])
			}
			if !tally.Accepts(&rec) {
				d.skip = true
				s.keep(d)
			}
		}
	}
	return nil
}

// reapedLabels returns the labels of the records that the server has removed,
// by id. It reads them from the index by id.
func (b *Backend) reapedLabels(ctx context.Context, found []result) (map[string]map[string]string, error) {
	pipe := b.client.Pipeline()
	cmds := map[string]*goredis.StringSliceCmd{}
	for _, f := range found {
		if f.missing {
			cmds[f.id] = pipe.ZRangeByLex(ctx, f.k.ids, &goredis.ZRangeBy{Min: "[" + f.id + "\x00", Max: "(" + f.id + "\x01", Count: 1})
		}
	}
	if len(cmds) == 0 {
		return nil, nil //nolint:nilnil // an empty map
	}
	if _, err := b.exec(ctx, pipe); err != nil {
		return nil, b.readError(ctx, err)
	}
	out := make(map[string]map[string]string, len(cmds))
	for id, cmd := range cmds {
		for _, m := range cmd.Val() {
			out[id], _ = parseLabels(m[len(id)+1:])
		}
	}
	return out, nil
}

// removeDue removes the due records of all buckets in one pipeline.
func (b *Backend) removeDue(ctx context.Context, before time.Time, open []*bucketSweep, tally *driverkit.Tally) {
	var runs []*run
	var swept []*bucketSweep // the bucket of each run
	for _, s := range open {
		s.due = slices.DeleteFunc(s.due, func(d dueRecord) bool { return d.skip })
		if len(s.due) > 0 {
			runs, swept = append(runs, b.sweepRun(ctx, s.k, millis(before), s.due, nil)), append(swept, s)
		}
	}
	if len(runs) == 0 {
		return
	}
	for i, err := range b.runAll(ctx, runs, b.writeError) {
		s, removed := swept[i], 0
		if err == nil {
			removed, _, err = b.finishSweep(ctx, s.k, millis(before), s.due, runs[i].Val())
		}
		tally.Removed(removed)
		tally.Failed(len(s.due)-removed, err)
		if removed < len(s.due) { // the reply does not say which ones stay
			for i := range s.due {
				s.keep(&s.due[i])
			}
		}
	}
}

// sweepRun returns a run of sweep.lua. With a nil before it removes records
// whatever their expiry.
func (b *Backend) sweepRun(ctx context.Context, k *bucket, before []byte, todo []dueRecord, extra []string) *run {
	m := &mark{data: before}
	args := k.command(sweepScript, "", extra, 3+3*len(todo))
	indexes := args[2].(int)
	args[2] = indexes + len(todo)
	for i := range todo {
		args = append(args, k.records+todo[i].id)
	}
	args = append(args, m, indexes-2, sweepCalls)
	for i := range todo {
		args = append(args, todo[i].id, todo[i].revision)
	}
	return newRun(ctx, sweepScript, args, m)
}

// sweepCalls is about how many commands one run of sweep.lua carries out. It
// leaves the other records to the next run.
const sweepCalls = 600

// sweepReply is the reply of sweep.lua.
type sweepReply struct {
	removed int
	done    int    // how many of the records the script has looked at
	foreign int    // keys that hold no record, which were kept
	section string // a labels section with undeclared labels, if any
}

func parseSweep(reply string) (r sweepReply, err error) {
	parts := strings.SplitN(reply, " ", 4)
	if len(parts) == 4 {
		numbers := [3]*int{&r.removed, &r.done, &r.foreign}
		for i, to := range numbers {
			if *to, err = strconv.Atoi(parts[i]); err != nil {
				return r, driverkit.BadReply()
			}
		}
		r.section = parts[3]
		return r, nil
	}
	return r, driverkit.BadReply()
}

// finishSweep decodes the reply of a run and returns the number of records
// removed and of foreign keys kept. It runs the script again for the records
// that the first run left, and with the keys of the label indexes that were
// missing.
func (b *Backend) finishSweep(ctx context.Context, k *bucket, before []byte, todo []dueRecord, reply string) (removed, foreign int, err error) {
	extra := map[string]bool{}
	for {
		r, err := parseSweep(reply)
		removed += r.removed
		if err != nil {
			return removed, foreign, err
		}
		if r.section == "" { // else all of them are looked at again
			foreign += r.foreign
			if todo = todo[min(max(r.done, 1), len(todo)):]; len(todo) == 0 {
				return removed, foreign, nil
			}
		} else {
			known := len(extra)
			for _, label := range b.undeclared(r.section) {
				extra[label] = true
			}
			if len(extra) == known {
				return removed, foreign, driverkit.Corrupt(driverkit.WhyForeign)
			}
		}
		runs := []*run{b.sweepRun(ctx, k, before, todo, sortedKeys(extra))}
		if err := b.runAll(ctx, runs, b.writeError)[0]; err != nil {
			return removed, foreign, err
		}
		reply = runs[0].Val()
	}
}

// sweepBatch removes records of one bucket, whatever their expiry. It returns
// the number of keys that hold no record and were kept.
func (b *Backend) sweepBatch(ctx context.Context, k *bucket, todo []dueRecord, extra []string) (foreign int, err error) {
	runs := []*run{b.sweepRun(ctx, k, nil, todo, extra)}
	if err := b.runAll(ctx, runs, b.writeError)[0]; err != nil {
		return 0, err
	}
	_, foreign, err = b.finishSweep(ctx, k, nil, todo, runs[0].Val())
	return foreign, err
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
