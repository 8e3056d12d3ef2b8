package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Page lists live records, bucket by bucket and by id within a bucket. One
// pipeline reads the indexes, and one reads the records.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	token, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	from, err := parsePosition(token)
	if err != nil {
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
	var stale []request
	for _, f := range found {
		switch {
		case f.corrupt:
			page.Corrupt = append(page.Corrupt, f.id)
		case f.missing, !q.Bears(&f.rec):
			stale = append(stale, f.request)
		case !f.rec.Expired(now):
			page.Records = append(page.Records, f.rec)
		}
	}
	if q.Label != "" && len(stale) > 0 {
		b.prune(ctx, &q, stale)
	}
	return page, nil
}

// position is a point in a listing: after an id of a bucket, or before all of
// its ids if the id is empty.
type position struct {
	bucket int
	id     string
}

func (p position) String() string { return string(append([]byte{byte(p.bucket)}, p.id...)) }

// parsePosition returns the position that String encoded, and the start for an
// empty string.
func parsePosition(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	p := position{bucket: int(s[0]), id: s[1:]}
	if p.bucket >= bucketCount || p.id != "" && bucketOf(p.id) != p.bucket {
		return position{}, driverkit.BadToken()
	}
	return p, nil
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

// readIndex reads the ids of a page and returns them with the next page token.
// One pipeline reads the remaining buckets: up to the page's limit from the
// first one, and a small part of the limit from the others. That reads a small
// store at once, and little of a large store that the page does not use. The
// page ends at the first bucket that has more.
func (b *Backend) readIndex(ctx context.Context, q *driver.Query, from position) ([]request, string, error) {
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
	if _, err := exec(ctx, pipe); err != nil {
		return nil, "", b.readError(ctx, err)
	}
	var reqs []request
	for i, cmd := range cmds {
		n := from.bucket + i
		last := ""
		for _, member := range cmd.Val() {
			if len(reqs) == q.Limit {
				return reqs, b.gate.Token(q, position{n, last}.String()), nil
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
			return reqs, b.gate.Token(q, position{n, last}.String()), nil
		}
	}
	return reqs, "", nil
}

// minShare is the smallest number of ids that a page reads from each bucket.
const minShare = 8

// indexRange returns what the members of the listing begin with, and the end
// of the range. Ids are UTF-8, so none begins with the byte 255.
func indexRange(q *driver.Query) (start, end string) {
	if q.Label == "" {
		return "", "+"
	}
	start = string(appendLabelValue(nil, q.Value))
	return start, "(" + start + "\xff"
}

// afterID returns the start of the range after an id. In the index by id, a NUL
// follows the id.
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

// headBytes is how many bytes of a record are read to get only its head.
const headBytes = 512

// fetch reads records in one pipeline, in order, or only their heads. A second
// pipeline reads whole records if the head was not enough: an empty reply is a
// missing record or an empty string, and a long head is cut.
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
				cmds[i] = pipe.GetRange(ctx, key, 0, headBytes-1)
			} else {
				cmds[i] = pipe.Get(ctx, key)
			}
		}
		if err := execGets(ctx, pipe, cmds); err != nil {
			return nil, b.readError(ctx, err)
		}
		var again []int
		for i, at := range todo {
			done, err := out[at].read(ctx, b, cmds[i], heads && !whole)
			if err != nil {
				return nil, err
			}
			if heads {
				out[at].rec.Value = nil
			}
			if !done {
				again = append(again, at)
			}
		}
		todo, whole = again, true
	}
	return out, nil
}

// read decodes the reply to a request. It returns false if the whole record
// must be read.
func (r *result) read(ctx context.Context, b *Backend, cmd *goredis.StringCmd, head bool) (done bool, err error) {
	if head && cmd.Err() == nil {
		data := cmd.Val()
		rec, at, size, err := decodeHead(r.id, data)
		if err != nil || len(data) < headBytes && len(data) != at+size {
			return false, nil //nolint:nilerr // the whole record is read and decoded next
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

// prune removes index entries whose records were missing or did not bear the
// label. The script checks the records again. If it fails, the next listing
// prunes.
func (b *Backend) prune(ctx context.Context, q *driver.Query, stale []request) {
	value := appendLabelValue(nil, q.Value)
	var runs []*run
	for len(stale) > 0 {
		k := stale[0].k
		m := &mark{data: value}
		keys, ids := []any{k.labels + q.Label}, []any{q.Label, m}
		for len(stale) > 0 && stale[0].k == k && len(keys) <= sweepStep {
			keys, ids = append(keys, k.records+stale[0].id), append(ids, stale[0].id)
			stale = stale[1:]
		}
		args := append([]any{"evalsha", pruneScript.digest, len(keys)}, keys...)
		runs = append(runs, newRun(ctx, pruneScript, append(args, ids...), m))
	}
	_ = b.runAll(ctx, runs, b.writeError)
}
