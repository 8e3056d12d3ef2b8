package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Count counts live records by the indexes alone, in one pipeline over all
// buckets, or in several if many records of a label have expired and are not swept.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return 0, err
	}
	if q.Label != "" {
		return b.countLabel(ctx, now, q.Label, q.Value)
	}
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.IntCmd, len(b.buckets))
	marks := make([]*goredis.FloatCmd, len(b.buckets))
	for i := range cmds {
		key := b.buckets[i].due
		cmds[i], marks[i] = pipe.ZCount(ctx, key, "("+string(millis(now)), "+inf"), pipe.ZScore(ctx, key, indexMark)
	}
	if err := b.execIndexes(ctx, pipe); err != nil {
		return 0, b.readError(ctx, err)
	}
	sum := 0
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return 0, b.readError(ctx, err)
		}
		if err := b.whole(ctx, marks[i], b.buckets[i].due); err != nil {
			return 0, err
		}
		sum += int(cmd.Val())
	}
	return sum, nil
}

// lostReply is the reply of count.lua if an index has no mark.
const lostReply = "g"

// countStep is how many index entries one script of a count visits. The server
// runs those of all buckets one after another.
const countStep = 100

// bucketCounting is the progress of a count in one bucket.
type bucketCounting struct {
	k       *bucket
	mode    string // empty at the start, e or l as in count.lua
	live    int    // records counted so far under l
	expired int    // under e: the entries at the start, those visited, and those that bear the label
	visited int
	bearing int
	last    string // the last id visited under l
}

// countLabel counts in all buckets at once. A script visits a part of the
// entries, so that the server is never busy for long. Later scripts have waited for
// the earlier ones (rule R100).
func (b *Backend) countLabel(ctx context.Context, now time.Time, label, value string) (int, error) {
	start := appendLabelValue(nil, value)
	open := make([]*bucketCounting, len(b.buckets))
	for i := range open {
		open[i] = &bucketCounting{k: &b.buckets[i]}
	}
	watch := driverkit.Waited{Watch: b.watch}
	sum, began, at := 0, watch.Read(), now
	for ; len(open) > 0; at = watch.Since(began).Now(now) {
		runs := make([]*run, len(open))
		for i, c := range open {
			m := &mark{data: millis(at)}
			args := []any{"evalsha", countScript.digest, 2, c.k.labels + label, c.k.due, start, m, countStep, c.mode}
			switch c.mode {
			case "e":
				args = append(args, c.visited, c.expired)
			case "l":
				args = append(args, c.last)
			}
			runs[i] = newRun(ctx, countScript, args, m)
		}
		var more []*bucketCounting
		for i, err := range b.runAll(ctx, runs, b.scriptReadError) {
			if err != nil {
				return 0, err
			}
			if runs[i].Val() == lostReply {
				return 0, b.lostIndex(open[i].k.labels+label, open[i].k.due)
			}
			n, done, ok := open[i].reply(runs[i].Val())
			switch {
			case !ok:
				return 0, badReadReply()
			case done:
				sum += n
			default:
				more = append(more, open[i])
			}
		}
		open = more
	}
	return sum, nil
}

// reply takes in the reply of count.lua and returns the number of live records
// if that is the last one.
func (c *bucketCounting) reply(reply string) (live int, done, ok bool) {
	code, rest := split(reply)
	word, rest, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(word)
	switch {
	case code == 'c':
		// Expired entries went away meanwhile, perhaps some of those counted. The
		// entries of the label, one by one, have no such fault.
		*c = bucketCounting{k: c.k, mode: "l"}
		return 0, false, true
	case err != nil:
		return 0, false, false
	case code == 'd':
		return n, true, true
	case code == 'l':
		c.mode, c.live, c.last = "l", c.live+n, rest
		return c.live, rest == "", true
	case code != 'e':
		return 0, false, false
	}
	word, rest, _ = strings.Cut(rest, " ")
	bearing, err1 := strconv.Atoi(word)
	all, err2 := strconv.Atoi(rest)
	if err1 != nil || err2 != nil {
		return 0, false, false
	}
	c.mode, c.expired = "e", n
	c.visited, c.bearing = c.visited+countStep, c.bearing+bearing
	return all - c.bearing, c.visited >= c.expired, true
}
