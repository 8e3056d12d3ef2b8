package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage puts a mark into each index. A key that the server evicts, or
// loses in another way, loses its mark too, and no write puts it back: an index
// without its mark may lack entries. A rebuild begins with a draft of the mark.
// Both are outside of the ranges of ids and label values.
const (
	indexMark  = "\xff!"
	indexDraft = "\xff?"
)

// markScore is the score of the mark in an index: before all expiries in the
// one by expiry, the same as all others in an index of texts.
func (k *bucket) markScore(key string) string {
	if key == k.due {
		return "-inf"
	}
	return "0"
}

// isMark reports whether a member of an index is a mark or a draft.
func isMark(member string) bool { return member == indexMark || strings.HasPrefix(member, indexDraft) }

// lostIndex returns the error of a call that met an index without its mark.
func (b *Backend) lostIndex(keys ...string) error {
	return model.NewError(model.ErrUnavailable, "an index is not complete: "+oneLine(keys)+"; the server has evicted or lost it, or CreateStorage was never called; "+
		"set maxmemory-policy to noeviction, and call CreateStorage, which rebuilds indexes from the records", nil)
}

// labelField is the prefix of the fields, in the hash with the layout's version,
// that name the labels whose indexes have marks.
const labelField = "label:"

// layoutField and bucketsField are the other fields of that hash.
const (
	layoutField  = "layout"
	bucketsField = "buckets"
)

// ownFields are all fields that this backend stores there.
func (b *Backend) ownFields() map[string]string {
	fields := map[string]string{layoutField: layoutVersion, bucketsField: strconv.Itoa(len(b.buckets))}
	for _, label := range b.gate.Labels() {
		fields[labelField+label] = "1"
	}
	return fields
}

// checkLayout returns what is foreign in the hash that should have the layout's
// version, or how that layout is another one, and what to do.
func (b *Backend) checkLayout(meta map[string]string) (foreign, other string) {
	for field := range meta {
		if field != layoutField && field != bucketsField && !strings.HasPrefix(field, labelField) {
			return "the hash " + b.metaKey() + " with other fields", ""
		}
	}
	if got, ok := meta[layoutField]; ok && got != layoutVersion {
		return "", "the store has the layout " + strconv.Quote(got) + ", and this version has " + strconv.Quote(layoutVersion) +
			": use the version that made the store, or move the records to a new store"
	}
	if got, ok := meta[bucketsField]; ok && got != strconv.Itoa(len(b.buckets)) {
		return "", "the store has " + strconv.Quote(got) + " buckets, and Options.Buckets is " + strconv.Itoa(len(b.buckets)) +
			": set it (buckets in a URL) to the store's number, or move the records to a new store"
	}
	return "", ""
}

// agree returns nil if the store has this backend's layout and number of buckets, or
// none yet. It asks once, before the first call, and moves now by the time that this
// takes (rule R100).
func (b *Backend) agree(ctx context.Context, now *time.Time) error {
	if b.agreed.Load() {
		return nil
	}
	turn := driverkit.Waited{Watch: b.watch}
	cmd := goredis.NewMapStringStringCmd(ctx, "hgetall", b.metaKey())
	err := turn.During(func() error {
		_, err := b.process(ctx, cmd)
		return err
	})
	if now != nil {
		*now = turn.Now(*now)
	}
	switch {
	case replyCode(err) == wrongType: // CreateStorage names what is there
	case err != nil:
		return b.readError(ctx, err)
	default:
		// Not ErrCorrupt: the records of calls by id are as they were.
		if _, other := b.checkLayout(cmd.Val()); other != "" {
			return model.NewError(model.ErrUnavailable, other, nil)
		}
	}
	b.agreed.Store(true)
	return nil
}

// probeKey returns a key for a trial, in the slot of the layout's version.
func (b *Backend) probeKey() string {
	return b.name + ":{" + metaTag + "}:w:" + model.NewRevision().String()
}

// inspection is what a store's place holds.
type inspection struct {
	meta    map[string]string // the hash with the layout's version
	foreign []string          // keys that another program made
	used    bool              // more of the store is there than marks
	lost    [][]string        // the indexes without a mark, by bucket
	bare    map[string]bool   // the indexes with nothing but their mark
	probe   *trial            // what probe.lua found; nil if it was not sent
}

// unmarked returns the indexes without a mark.
func (f *inspection) unmarked() []string { return slices.Concat(f.lost...) }

// complete reports whether nothing is to be stored.
func (f *inspection) complete(want map[string]string) bool {
	for field := range want {
		if _, ok := f.meta[field]; !ok {
			return false
		}
	}
	return len(f.unmarked()) == 0
}

// indexEnds asks for the members at both ends of an index and for its mark.
type indexEnds struct {
	bucket int
	key    string
	ends   [2]*goredis.StringSliceCmd
	mark   *goredis.FloatCmd
}

// inspect reads the layout's version and the ends of all indexes, and tries the
// server's commands if probe is set. It returns ErrCorrupt for another layout.
func (b *Backend) inspect(ctx context.Context, probe bool) (found inspection, err error) {
	found.lost, found.bare = make([][]string, len(b.buckets)), map[string]bool{}
	pipe := b.client.Pipeline()
	meta := pipe.HGetAll(ctx, b.metaKey())
	var indexes []indexEnds
	for n := range b.buckets {
		for _, key := range b.buckets[n].index {
			key := key.(string)
			// Of two members at an end at most one is the mark.
			indexes = append(indexes, indexEnds{n, key, [2]*goredis.StringSliceCmd{pipe.ZRange(ctx, key, 0, 1), pipe.ZRange(ctx, key, -2, -1)}, pipe.ZScore(ctx, key, indexMark)})
		}
	}
	if probe {
		found.probe = newTrial(ctx, "eval", probeLua, 3, b.probeKey(), b.probeKey(), b.probeKey())
		_ = pipe.Process(ctx, found.probe) // queued only
	}
	left, err := b.exec(ctx, pipe)
	if left || err != nil && replyCode(err) == "" && !errors.Is(err, goredis.Nil) {
		return found, b.readError(ctx, err)
	}
	switch foreign, other := b.checkLayout(meta.Val()); {
	case meta.Err() != nil && replyCode(meta.Err()) == wrongType:
		found.note("the key " + b.metaKey() + " with another type than a hash")
	case meta.Err() != nil:
		return found, b.readError(ctx, meta.Err())
	case other != "":
		found.meta = meta.Val()
		return found, driverkit.Corrupt(other)
	case foreign != "":
		found.note(foreign)
	}
	found.meta = meta.Val()
	found.used = len(found.meta) > 0
	for _, e := range indexes {
		if err := b.note(ctx, &found, &e); err != nil {
			return found, err
		}
	}
	return found, nil
}

// note notes a key that another program made.
func (f *inspection) note(what string) {
	if !slices.Contains(f.foreign, what) {
		f.foreign = append(f.foreign, what)
	}
}

// note notes what was found of an index.
func (b *Backend) note(ctx context.Context, found *inspection, e *indexEnds) error {
	switch err := e.mark.Err(); {
	case err == nil:
	case errors.Is(err, goredis.Nil) || replyCode(err) == wrongType:
		found.lost[e.bucket] = append(found.lost[e.bucket], e.key)
	default:
		return b.readError(ctx, err)
	}
	found.bare[e.key] = slices.Equal(e.ends[0].Val(), []string{indexMark})
	for _, cmd := range e.ends {
		if err := cmd.Err(); err != nil {
			if replyCode(err) != wrongType {
				return b.readError(ctx, err)
			}
			found.note("the key " + e.key + " with another type than a sorted set")
			return nil
		}
		for _, m := range cmd.Val() {
			switch {
			case isMark(m):
			case b.idOf(e.bucket, e.key, m) == "":
				found.note("the sorted set " + e.key + " with other members")
			default:
				found.used = true
			}
		}
	}
	return nil
}

// idOf returns the id in a member of an index of the bucket, or an empty string
// if this backend did not write the member.
func (b *Backend) idOf(bucket int, key, member string) string {
	k, id := &b.buckets[bucket], member
	switch {
	case key == k.due:
	case key == k.ids:
		var section string
		var ok bool
		if id, section, ok = strings.Cut(member, "\x00"); !ok {
			return ""
		}
		if _, ok := parseLabels(section); !ok {
			return ""
		}
	case len(member) < 2 || len(member) < 2+number(member[:2]):
		return ""
	default:
		id = member[2+number(member[:2]):]
	}
	if model.CheckID(id) != nil || b.bucketOf(id) != bucket {
		return ""
	}
	return id
}

// oneLine joins the first few texts.
func oneLine(texts []string) string {
	const most = 3
	if len(texts) > most {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("%d more", len(texts)-most))
	}
	return strings.Join(texts, ", ")
}
