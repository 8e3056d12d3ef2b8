package redis

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Page lists live records, bucket by bucket and by id inside a bucket: one
// pipeline that reads the indexes, and one that reads the records.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if q.Label != "" && !slices.Contains(b.labels, q.Label) {
		return driver.Page{}, model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	if q.Limit < 1 {
		return driver.Page{}, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	from, err := b.parseToken(&q)
	if err != nil {
		return driver.Page{}, err
	}
	if err := b.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	reqs, next, err := b.readIndex(ctx, &q, from)
	if err != nil {
		return driver.Page{}, err
	}
	found, err := b.fetch(ctx, reqs, q.KeysOnly)
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Next: next}
	var strays []request
	for _, f := range found {
		switch {
		case f.corrupt:
			page.Corrupt = append(page.Corrupt, f.id)
		case f.missing, !q.Bears(&f.rec):
			strays = append(strays, f.request)
		case !f.rec.Expired(now):
			page.Records = append(page.Records, f.rec)
		}
	}
	if q.Label != "" && len(strays) > 0 {
		b.prune(ctx, &q, strays)
	}
	return page, nil
}

// place is where a listing stands: behind an id of a bucket, or before all of
// them where the id is empty.
type place struct {
	bucket int
	id     string
}

// request asks for a record.
type request struct {
	k  *bucket
	id string
}

// result is what a request found.
type result struct {
	request
	rec              model.Record
	missing, corrupt bool
}

// readIndex reads the ids of a page, in one pipeline over the buckets that are
// left: up to the page's limit from the first one, a small share of it from
// the others. So a small store is read at once, and of a large one little is
// read in vain. The page ends at the first bucket that has more.
func (b *Backend) readIndex(ctx context.Context, q *driver.Query, from place) ([]request, string, error) {
	start, end := indexRange(q)
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.StringSliceCmd, 0, bucketCount)
	shares := make([]int, 0, bucketCount)
	for n := from.bucket; n < bucketCount; n++ {
		share, first := min(max(q.Limit/8, minShare), q.Limit), "["+start
		if n == from.bucket {
			share = q.Limit
			if from.id != "" {
				first = afterID(q, start, from.id)
			}
		}
		key := b.buckets[n].ids
		if q.Label != "" {
			key = b.buckets[n].labels + q.Label
		}
		if first == "[" {
			first = "-"
		}
		cmds = append(cmds, pipe.ZRangeByLex(ctx, key, &goredis.ZRangeBy{Min: first, Max: end, Count: int64(share)}))
		shares = append(shares, share)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, "", b.readFault(ctx, err)
	}
	var reqs []request
	for i, cmd := range cmds {
		n := from.bucket + i
		last := ""
		for _, member := range cmd.Val() {
			if len(reqs) == q.Limit {
				return reqs, b.token(q, place{n, last}), nil
			}
			id := member[len(start):]
			if q.Label == "" {
				id = untilNUL(member)
			}
			if id != last {
				reqs = append(reqs, request{&b.buckets[n], id})
			}
			last = id
		}
		if len(cmd.Val()) == shares[i] {
			return reqs, b.token(q, place{n, last}), nil
		}
	}
	return reqs, "", nil
}

// minShare is what a page reads at least from each bucket.
const minShare = 8

// indexRange is what the members begin with, and the end of a whole index. Ids
// are UTF-8, so that none begins with the byte 255.
func indexRange(q *driver.Query) (start, end string) {
	if q.Label == "" {
		return "", "+"
	}
	start = string(appendLabelValue(nil, q.Value))
	return start, "(" + start + "\xff"
}

// afterID begins a range behind an id. In the index by id a NUL follows it.
func afterID(q *driver.Query, start, id string) string {
	if q.Label == "" {
		return "[" + id + "\x01"
	}
	return "(" + start + id
}

func untilNUL(s string) string {
	for i := range len(s) {
		if s[i] == 0 {
			return s[:i]
		}
	}
	return s
}

// headGuess is how much of a record is read for its head alone.
const headGuess = 512

// fetch reads records in one pipeline, in order; the heads alone where no
// values are wanted. Those that this does not settle are read whole in another
// one: an empty answer is nothing or an empty string, a long head is cut.
func (b *Backend) fetch(ctx context.Context, reqs []request, heads bool) ([]result, error) {
	out := make([]result, len(reqs))
	todo := make([]int, len(reqs))
	for i := range reqs {
		out[i].request, todo[i] = reqs[i], i
	}
	for whole := false; len(todo) > 0; {
		pipe := b.client.Pipeline()
		cmds := make([]*goredis.StringCmd, len(todo))
		for i, at := range todo {
			key := out[at].k.records + out[at].id
			if heads && !whole {
				cmds[i] = pipe.GetRange(ctx, key, 0, headGuess-1)
			} else {
				cmds[i] = pipe.Get(ctx, key)
			}
		}
		_, failed := pipe.Exec(ctx)
		if failed != nil && !slices.ContainsFunc(cmds, func(c *goredis.StringCmd) bool { return c.Err() != nil }) {
			return nil, b.readFault(ctx, failed) // a hook kept the pipeline from being sent
		}
		var again []int
		for i, at := range todo {
			settled, err := out[at].read(ctx, b, cmds[i], heads && !whole)
			if err != nil {
				return nil, err
			}
			if heads {
				out[at].rec.Value = nil
			}
			if !settled {
				again = append(again, at)
			}
		}
		todo, whole = again, true
	}
	return out, nil
}

// read takes the answer to a request. It reports whether that settles it.
func (r *result) read(ctx context.Context, b *Backend, cmd *goredis.StringCmd, head bool) (settled bool, err error) {
	if head && cmd.Err() == nil {
		data := cmd.Val()
		rec, at, size, err := decodeHead(r.id, data)
		if err != nil || len(data) < headGuess && len(data) != at+size {
			return false, nil //nolint:nilerr // not settled: the whole record is asked for, and judged
		}
		r.rec = rec
		return true, nil
	}
	rec, err := b.recordOf(ctx, r.id, cmd)
	switch {
	case errors.Is(err, model.ErrNotFound):
		r.missing = true
	case errors.Is(err, model.ErrCorrupt):
		r.corrupt = true
	case err != nil:
		return false, err
	default:
		r.rec = rec
	}
	return true, nil
}

// prune removes the index entries of records that were gone or did not bear
// the label; the script looks again. Should it fail, the next listing prunes.
func (b *Backend) prune(ctx context.Context, q *driver.Query, strays []request) {
	value := appendLabelValue(nil, q.Value)
	var runs []*run
	for len(strays) > 0 {
		k := strays[0].k
		m := &mark{data: value}
		keys, ids := []any{k.labels + q.Label}, []any{q.Label, m}
		for len(strays) > 0 && strays[0].k == k {
			keys, ids = append(keys, k.records+strays[0].id), append(ids, strays[0].id)
			strays = strays[1:]
		}
		args := append([]any{"evalsha", pruneScript.digest, len(keys)}, keys...)
		runs = append(runs, newRun(ctx, pruneScript, append(args, ids...), m))
	}
	_ = b.runAll(ctx, runs, b.writeFault)
}

// Count counts by the indexes alone, in one pipeline over all buckets.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if q.Label != "" && !slices.Contains(b.labels, q.Label) {
		return 0, model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	if q.Label != "" {
		return b.countLabel(ctx, now, q.Label, q.Value)
	}
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.IntCmd, bucketCount)
	for i := range cmds {
		cmds[i] = pipe.ZCount(ctx, b.buckets[i].due, "("+string(millis(now)), "+inf")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, b.readFault(ctx, err)
	}
	sum := 0
	for _, cmd := range cmds {
		sum += int(cmd.Val())
	}
	return sum, nil
}

func (b *Backend) countLabel(ctx context.Context, now time.Time, label, value string) (int, error) {
	start := appendLabelValue(nil, value)
	runs := make([]*run, bucketCount)
	for i := range runs {
		k := &b.buckets[i]
		m := &mark{data: millis(now)}
		runs[i] = newRun(ctx, countScript, []any{"evalsha", countScript.digest, 2, k.labels + label, k.due, start, m}, m)
	}
	sum := 0
	lost := func(ctx context.Context, err error, _ bool) error { return b.readFault(ctx, err) }
	for i, err := range b.runAll(ctx, runs, lost) {
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(runs[i].Val())
		if err != nil {
			return 0, strange()
		}
		sum += n
	}
	return sum, nil
}

// Tokens hold a version, the bucket, the last id, and a checksum over that and
// what the listing is of.
const tokenVersion = 1

func (b *Backend) token(q *driver.Query, p place) string {
	raw := append([]byte{tokenVersion, byte(p.bucket)}, p.id...)
	raw = binary.BigEndian.AppendUint32(raw, b.tokenSum(q, raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (b *Backend) tokenSum(q *driver.Query, raw []byte) uint32 {
	sum := crc32.NewIEEE()
	for _, part := range []string{b.name, q.Label, q.Value} {
		_, _ = sum.Write(append([]byte(part), 0))
	}
	_, _ = sum.Write(raw)
	return sum.Sum32()
}

func (b *Backend) parseToken(q *driver.Query) (place, error) {
	if q.After == "" {
		return place{}, nil
	}
	bad := model.NewError(model.ErrInvalid, "no page token of this listing", nil)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < 6 || raw[0] != tokenVersion {
		return place{}, bad
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	p := place{bucket: int(body[1]), id: string(body[2:])}
	if binary.BigEndian.Uint32(sum) != b.tokenSum(q, body) || p.bucket >= bucketCount ||
		p.id != "" && bucketOf(p.id) != p.bucket {
		return place{}, bad
	}
	return p, nil
}
