package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Touch moves the expiry of a live record: one script, which overwrites 15
// bytes and never the value.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := t.Check(); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
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
	reply, err := b.write(ctx, newRun(ctx, touchScript, []any{
		"evalsha", touchScript.digest, 2, k.records + t.ID, k.due,
		mode, appendExpiry(nil, at), b.keepFor(now, at), m,
	}, m))
	if err != nil {
		return model.Record{}, err
	}
	code, rest := split(reply)
	if code != 'o' || len(rest) < expiryDigits {
		return model.Record{}, replyFault(code, rest)
	}
	rec, _, _, err := decodeHead(t.ID, rest[expiryDigits:])
	if err != nil {
		return model.Record{}, err
	}
	rec.ExpiresAt, _ = parseExpiry(rest[:expiryDigits])
	return rec, nil
}

// sweepStep is how many records one script removes at most, while the server
// does nothing else.
const sweepStep = 256

// dueRecord is a record that the index by expiry says is due.
type dueRecord struct {
	id   string
	at   time.Time
	rev  string // that it must still have; empty: any; "-": it is reaped
	skip bool   // it stays: it cannot be read, or its removal was refused
}

// bucketSweep is where a sweep stands in one bucket.
type bucketSweep struct {
	k      *bucket
	from   time.Time       // the expiry up to which it has come; zero: none yet
	stayed map[string]bool // the records with that expiry that have stayed
	due    []dueRecord
	more   bool // the index has more
}

// next is the range of the index where n records stand that it has not come to,
// if there are so many.
func (s *bucketSweep) next(before time.Time, n int) *goredis.ZRangeBy {
	r := &goredis.ZRangeBy{Min: "-inf", Max: string(millis(before)), Count: int64(n + len(s.stayed))}
	if !s.from.IsZero() {
		r.Min = string(millis(s.from))
	}
	return r
}

// take makes the next entries of the index the due ones, at most n.
func (s *bucketSweep) take(entries []goredis.Z, n int) {
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

// stays notes that a record is still there, so as not to come to it again.
func (s *bucketSweep) stays(d *dueRecord) {
	if d.at.Equal(s.from) {
		s.stayed[d.id] = true
	}
}

// DeleteExpired removes due records: for every round one pipeline that reads
// the indexes by expiry, and one of scripts that remove, one for each bucket
// with due records; with each, one more for the heads of the records. A record
// that the server has reaped is announced and counted too; it has no revision
// then.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	var swept driver.Swept
	if sw.Limit < 1 {
		return swept, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	if err := b.enter(ctx); err != nil {
		return swept, err
	}
	open := b.sweepOrder()
	for len(open) > 0 {
		left := sw.Limit - swept.Removed - swept.Unknown
		if left <= 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return swept, err
		}
		if err := b.readDue(ctx, sw.Before, left, open); err != nil {
			return swept, err
		}
		if sw.OnExpire != nil {
			if err := b.announce(ctx, sw.Before, open, sw.OnExpire); err != nil {
				return swept, err
			}
		}
		if err := b.sweepRound(ctx, sw.Before, open, &swept); err != nil {
			return swept, err
		}
		still := open[:0]
		for _, s := range open {
			if s.more {
				still = append(still, s)
			}
		}
		open = still
	}
	swept.More = swept.Removed+swept.Unknown >= sw.Limit
	return swept, nil
}

// sweepOrder is all buckets, each sweep beginning with another, so that small
// limits are fair.
func (b *Backend) sweepOrder() []*bucketSweep {
	first := int(b.turn.Add(1) % bucketCount)
	open := make([]*bucketSweep, bucketCount)
	for i := range open {
		open[i] = &bucketSweep{k: &b.buckets[(first+i)%bucketCount]}
	}
	return open
}

// readDue reads what is due, at most left in all, shared evenly.
func (b *Backend) readDue(ctx context.Context, before time.Time, left int, open []*bucketSweep) error {
	share := min((left+len(open)-1)/len(open), sweepStep)
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.ZSliceCmd, len(open))
	for i, s := range open {
		cmds[i] = pipe.ZRangeByScoreWithScores(ctx, s.k.due, s.next(before, share))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return b.readFault(ctx, err)
	}
	for i, s := range open {
		entries := cmds[i].Val()
		s.more = len(entries) == share+len(s.stayed)
		s.take(entries, left)
		left -= len(s.due)
	}
	return nil
}

// announce shows each what is about to be removed. What it refuses stays, and
// so does what cannot be read or is no longer due.
func (b *Backend) announce(ctx context.Context, before time.Time, open []*bucketSweep, each func(model.Record) error) error {
	var reqs []request
	for _, s := range open {
		for i := range s.due {
			reqs = append(reqs, request{k: s.k, id: s.due[i].id})
		}
	}
	found, err := b.fetch(ctx, reqs, true)
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
				d.rev = "-"
			case f.corrupt:
				d.skip = true
				s.stays(d)
				continue
			case !rec.Expired(before):
				d.skip = true // extended meanwhile
				continue
			default:
				d.rev = string(rec.Revision[:])
			}
			if each(rec) != nil {
				d.skip = true
				s.stays(d)
			}
		}
	}
	return nil
}

// reapedLabels reads the labels of the records that the server has reaped from
// the index by id.
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
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, b.readFault(ctx, err)
	}
	out := make(map[string]map[string]string, len(cmds))
	for id, cmd := range cmds {
		for _, m := range cmd.Val() {
			out[id], _ = parseLabels(m[len(id)+1:])
		}
	}
	return out, nil
}

// sweepRound removes what the buckets have collected, in one pipeline.
func (b *Backend) sweepRound(ctx context.Context, before time.Time, open []*bucketSweep, swept *driver.Swept) error {
	var runs []*run
	var of []*bucketSweep
	var sizes []int
	for _, s := range open {
		todo := s.due[:0]
		for _, d := range s.due {
			if !d.skip {
				todo = append(todo, d)
			}
		}
		if s.due = todo; len(todo) > 0 {
			runs, of, sizes = append(runs, b.sweepRun(ctx, s.k, millis(before), todo, nil)), append(of, s), append(sizes, len(todo))
		}
	}
	if len(runs) == 0 {
		return nil
	}
	var failed error
	for i, err := range b.runAll(ctx, runs, b.writeFault) {
		s := of[i]
		var done sweepReply
		if err == nil {
			done, err = b.sweepFurther(ctx, s.k, millis(before), s.due, runs[i].Val())
		}
		swept.Removed += done.removed
		if done.removed < len(s.due) { // which of them, it does not say
			for i := range s.due {
				s.stays(&s.due[i])
			}
		}
		if err != nil {
			if model.Kind(err) == model.ErrUnknown {
				swept.Unknown += sizes[i] - done.removed
			}
			if failed == nil {
				failed = err
			}
		}
	}
	return failed
}

// sweepRun makes a run of sweep.lua; a nil before removes all.
func (b *Backend) sweepRun(ctx context.Context, k *bucket, before []byte, todo []dueRecord, further []string) *run {
	m := &mark{data: before}
	args := k.command(sweepScript, "", further, 2+3*len(todo))
	indexes := args[2].(int)
	args[2] = indexes + len(todo)
	for i := range todo {
		args = append(args, k.records+todo[i].id)
	}
	args = append(args, m, indexes-2)
	for i := range todo {
		args = append(args, todo[i].id, todo[i].rev)
	}
	return newRun(ctx, sweepScript, args, m)
}

type sweepReply struct {
	removed int
	lacking string // a labels section with undeclared labels
}

func parseSweep(reply string) (sweepReply, error) {
	count, lacking, _ := strings.Cut(reply, " ")
	removed, err := strconv.Atoi(count)
	if err != nil {
		return sweepReply{}, strange()
	}
	return sweepReply{removed, lacking}, nil
}

// sweepFurther reads the reply of a run, and runs the script again with more
// keys where records bear labels that this backend does not declare.
func (b *Backend) sweepFurther(ctx context.Context, k *bucket, before []byte, todo []dueRecord, reply string) (sweepReply, error) {
	sum, err := parseSweep(reply)
	further := map[string]bool{}
	for err == nil && sum.lacking != "" {
		known := len(further)
		for _, label := range b.undeclared(sum.lacking) {
			further[label] = true
		}
		if len(further) == known {
			return sum, corrupt(whyForeign)
		}
		r := b.sweepRun(ctx, k, before, todo, sortedKeys(further))
		if err = b.runAll(ctx, []*run{r}, b.writeFault)[0]; err != nil {
			break
		}
		var next sweepReply
		next, err = parseSweep(r.Val())
		next.removed += sum.removed
		sum = next
	}
	return sum, err
}

// sweepBatch removes records of one bucket; a nil before removes all.
func (b *Backend) sweepBatch(ctx context.Context, k *bucket, before []byte, todo []dueRecord, further []string) (sweepReply, error) {
	runs := []*run{b.sweepRun(ctx, k, before, todo, further)}
	if err := b.runAll(ctx, runs, b.writeFault)[0]; err != nil {
		return sweepReply{}, err
	}
	return b.sweepFurther(ctx, k, before, todo, runs[0].Val())
}
