package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// maxPage bounds the records of a page, and with them what a page reads.
const maxPage = 10_000

// Page lists live records, bucket by bucket and by id within a bucket. One
// pipeline reads the indexes, and one reads the records. A third one reads values
// that are larger than their share of driver.PageBytes.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	token, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return driver.Page{}, err
	}
	from, err := b.parsePosition(token)
	if err != nil {
		return driver.Page{}, err
	}
	q.Limit = min(q.Limit, maxPage)
	reqs, next, err := b.readIndex(ctx, &q, from)
	if err != nil {
		return driver.Page{}, err
	}
	found, err := b.fetch(ctx, reqs, q.KeysOnly, func(found []result) []result { return upToPageBytes(found, now, &q) })
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Next: next}
	if n := len(found); n < len(reqs) {
		page.Next = b.gate.Token(&q, position{b.bucketOf(reqs[n-1].id), from.each, reqs[n-1].id}.String())
	}
	var stale []result
	for _, f := range found {
		switch {
		case f.corrupt:
			page.Corrupt = append(page.Corrupt, f.id)
		case f.missing, f.empty, !q.Bears(&f.rec):
			stale = append(stale, f)
		case !f.rec.Expired(now):
			page.Records = append(page.Records, f.rec)
		}
	}
	if q.Label != "" && len(stale) > 0 {
		unreadable, err := b.prune(ctx, &q, stale)
		if err != nil && slices.ContainsFunc(stale, func(f result) bool { return f.empty }) {
			return driver.Page{}, err
		}
		page.Corrupt = append(page.Corrupt, unreadable...)
	}
	return page, nil
}

// upToPageBytes returns the results up to the one with which the values of a page
// reach driver.PageBytes. It takes back what need not be read on: values of
// records that the page does not have, and empty strings under a label, which the
// pruning looks at.
func upToPageBytes(found []result, now time.Time, q *driver.Query) []result {
	size := 0
	for i := range found {
		f := &found[i]
		switch {
		case f.corrupt, f.missing:
		case f.empty:
			f.more = f.more && q.Label == ""
		case f.head && (f.rec.Expired(now) || !q.Bears(&f.rec)):
			f.more = false
		case f.more:
			size += f.want // of a value, or of a long head
		default:
			size += len(f.rec.Value)
		}
		if size >= driver.PageBytes {
			return found[:i+1]
		}
	}
	return found
}

// position is a point in a listing: after an id of a bucket, or before all of
// its ids if the id is empty. Each is how many entries a bucket has as far as the
// listing has seen, in sixteenths, or 0 if that is not known.
type position struct {
	bucket, each int
	id           string
}

func (p position) String() string {
	return string(append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(p.bucket)), uint64(p.each)), p.id...))
}

// parsePosition returns the position that String encoded, and the start for an
// empty string.
func (b *Backend) parsePosition(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	data := []byte(s)
	bucket, n := binary.Uvarint(data)
	each, m := binary.Uvarint(data[max(n, 0):])
	if n <= 0 || m <= 0 || bucket >= uint64(len(b.buckets)) || each > maxEach {
		return position{}, driverkit.BadToken()
	}
	p := position{bucket: int(bucket), each: int(each), id: s[n+m:]}
	if p.id != "" && b.bucketOf(p.id) != p.bucket {
		return position{}, driverkit.BadToken()
	}
	return p, nil
}

// request asks for a record.
type request struct {
	k  *bucket
	id string
}

// result is what a request found so far.
type result struct {
	request
	rec              model.Record
	missing, corrupt bool
	head             bool // rec has all but the value
	empty            bool // nothing is stored, or an empty string
	more             bool // it must be read on
	want             int  // how many bytes of the record to read
}

// readIndex reads the ids of a page and returns them with the next page token.
// One pipeline reads as many ids of each bucket as pageShares says. The page ends at
// the first bucket that has more, or was not read.
func (b *Backend) readIndex(ctx context.Context, q *driver.Query, from position) ([]request, string, error) {
	start, end := indexRange(q)
	pipe := b.client.Pipeline()
	shares := pageShares(q.Limit, len(b.buckets)-from.bucket, from.each)
	cmds := make([]*goredis.StringSliceCmd, 0, len(shares))
	marks := make([]*goredis.FloatCmd, 0, len(shares))
	keys := make([]string, 0, len(shares))
	for i, share := range shares {
		n, first := from.bucket+i, "["+start
		if i == 0 && from.id != "" {
			first = afterID(q, start, from.id)
		}
		key := b.buckets[n].ids
		if q.Label != "" {
			key = b.buckets[n].labels + q.Label
		}
		if first == "[" {
			first = "-"
		}
		cmds = append(cmds, pipe.ZRangeByLex(ctx, key, &goredis.ZRangeBy{Min: first, Max: end, Count: int64(share)}))
		marks, keys = append(marks, pipe.ZScore(ctx, key, indexMark)), append(keys, key)
	}
	if err := b.execIndexes(ctx, pipe); err != nil {
		return nil, "", b.readError(ctx, err)
	}
	var reqs []request
	seen := density{each: from.each}
	for i, cmd := range cmds {
		n := from.bucket + i
		if err := cmd.Err(); err != nil {
			return nil, "", b.readError(ctx, err)
		}
		if err := b.whole(ctx, marks[i], keys[i]); err != nil {
			return nil, "", err
		}
		last := ""
		for _, member := range cmd.Val() {
			if len(reqs) == q.Limit {
				return reqs, b.gate.Token(q, position{n, seen.full(len(cmd.Val())), last}.String()), nil
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
			return reqs, b.gate.Token(q, position{n, seen.full(shares[i]), last}.String()), nil
		}
		if i > 0 || from.id == "" { // else a part of it was in the page before
			seen.whole(len(cmd.Val()))
		}
	}
	if n := from.bucket + len(cmds); n < len(b.buckets) {
		return reqs, b.gate.Token(q, position{n, seen.mean(), ""}.String()), nil
	}
	return reqs, "", nil
}

// endOfIDs is the end of the range of ids in the index by id.
const endOfIDs = "(\xff"

// indexRange returns what the members of the listing begin with, and the end
// of the range. Ids are UTF-8, so none begins with the byte 255.
func indexRange(q *driver.Query) (start, end string) {
	if q.Label == "" {
		return "", endOfIDs
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

// maxReads bounds the pipelines of one fetch while records keep growing.
const maxReads = 6

// fetch reads records, in order, or only their heads. The first pipeline reads
// the start of each record: the head, or an equal share of driver.PageBytes. Plan
// drops results, and says of those left which to read on, which takes a further
// pipeline.
func (b *Backend) fetch(ctx context.Context, reqs []request, heads bool, plan func([]result) []result) ([]result, error) {
	found := make([]result, len(reqs))
	for i := range reqs {
		found[i] = result{request: reqs[i], more: true, want: headBytes}
		if !heads {
			found[i].want = max(driver.PageBytes/len(reqs), headBytes)
		}
	}
	for range maxReads {
		more, err := b.readOn(ctx, found, heads)
		if err != nil {
			return nil, err
		}
		if !more {
			return found, nil
		}
		if plan != nil {
			found = plan(found)
		}
	}
	return nil, model.NewError(model.ErrUnavailable, "other writers keep changing the records", nil)
}

// readOn reads what is to be read of the results, in one pipeline, and reports
// whether some must be read on. An empty reply is a missing record or an empty
// string, so it asks which.
func (b *Backend) readOn(ctx context.Context, found []result, heads bool) (more bool, err error) {
	pipe := b.client.Pipeline()
	var todo []*result
	var cmds []*goredis.StringCmd
	var exist []*goredis.IntCmd
	for i := range found {
		f := &found[i]
		if !f.more {
			continue
		}
		key := f.k.records + f.id
		todo, cmds = append(todo, f), append(cmds, pipe.GetRange(ctx, key, 0, int64(f.want)-1))
		var ex *goredis.IntCmd
		if f.empty {
			ex = pipe.Exists(ctx, key)
		}
		exist = append(exist, ex)
	}
	if len(todo) == 0 {
		return false, nil
	}
	if err := b.execGets(ctx, pipe, cmds); err != nil {
		return false, b.readError(ctx, err)
	}
	for i, f := range todo {
		f.more = false
		err := b.readStart(ctx, f, cmds[i], heads)
		if ex := exist[i]; err == nil && ex != nil && f.empty {
			f.more, err = false, ex.Err()
			f.missing, f.corrupt = ex.Val() == 0, ex.Val() > 0
			if err != nil {
				err = b.readError(ctx, err)
			}
		}
		if err != nil {
			return false, err
		}
		more = more || f.more
	}
	return more, nil
}

// readStart takes in the start of a record. It says how much to read if that is
// not enough.
func (b *Backend) readStart(ctx context.Context, f *result, cmd *goredis.StringCmd, heads bool) error {
	if err := cmd.Err(); err != nil {
		if err = b.readError(ctx, err); !errors.Is(err, model.ErrCorrupt) {
			return err
		}
		f.corrupt = true
		return nil
	}
	raw, _ := cmd.Bytes()
	data := cmd.Val()
	if f.empty = data == ""; f.empty {
		f.more = true
		return nil
	}
	head, size := lengths(data)
	rec, at, valueSize, err := decodeHead(f.id, data)
	switch full := len(data) == f.want; {
	case err != nil && full && head > len(data): // labels of an unusual length
		if f.more, f.want = true, head; !heads {
			f.want = size
		}
	case err != nil, !full && len(data) != at+valueSize:
		f.corrupt = true
	case heads:
		f.rec, f.head = rec, true
	case len(data) == at+valueSize:
		f.rec, f.head = rec, true
		f.rec.Value = raw[at:len(raw):len(raw)]
	case len(data) > at+valueSize:
		f.corrupt = true
	default: // the value is cut
		f.rec, f.head, f.more, f.want = rec, true, true, at+valueSize+1
	}
	return nil
}

// prune removes index entries whose records were missing or did not bear the
// label. The script checks the records again. If it fails, the next listing
// prunes. It returns the ids of records that are there and cannot be read.
func (b *Backend) prune(ctx context.Context, q *driver.Query, stale []result) (unreadable []string, err error) {
	return b.pruneBy(ctx, q.Label, appendLabelValue(nil, q.Value), stale)
}

// pruneBy is prune for the entries that begin with value.
func (b *Backend) pruneBy(ctx context.Context, label string, value []byte, stale []result) (unreadable []string, err error) {
	var runs []*run
	var asked [][]result // by each run
	for len(stale) > 0 {
		k := stale[0].k
		m := &mark{data: value}
		keys, ids := []any{k.labels + label}, []any{label, m}
		n := 0
		for n < len(stale) && stale[n].k == k && len(keys) <= sweepStep {
			keys, ids = append(keys, k.records+stale[n].id), append(ids, stale[n].id)
			n++
		}
		args := append([]any{"evalsha", pruneScript.digest, len(keys)}, keys...)
		runs, asked = append(runs, newRun(ctx, pruneScript, append(args, ids...), m)), append(asked, stale[:n])
		stale = stale[n:]
	}
	for i, runErr := range b.runAll(ctx, runs, b.scriptReadError) {
		if runErr != nil {
			err = runErr
			continue
		}
		for word := range strings.FieldsSeq(runs[i].Val()) {
			if n, bad := strconv.Atoi(word); bad == nil && n >= 0 && n < len(asked[i]) {
				unreadable = append(unreadable, asked[i][n].id)
			}
		}
	}
	return unreadable, err
}
