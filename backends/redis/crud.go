package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record, with one GET.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return model.Record{}, err
	}
	cmd := goredis.NewStringCmd(ctx, "get", b.recordKey(g.ID))
	var turn driverkit.Waited
	if left, err := b.get(ctx, &turn, g.ID, cmd); left {
		return model.Record{}, b.readError(ctx, err)
	}
	rec, err := b.recordOf(ctx, g.ID, cmd)
	if err == nil && rec.Expired(turn.Now(now)) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

// Stat returns the live record without its value, and the value's size, with one
// script that does not send the value.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return driver.Stat{}, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return driver.Stat{}, err
	}
	m := &mark{data: millis(now)}
	runs := []*run{newRun(ctx, statScript, []any{"evalsha", statScript.digest, 1, b.recordKey(g.ID), m}, m)}
	if err := b.runAll(ctx, runs, b.scriptReadError)[0]; err != nil {
		return driver.Stat{}, err
	}
	switch code, rest := split(runs[0].Val()); code {
	case 'o':
		rec, _, size, err := decodeHead(g.ID, rest)
		if err != nil {
			return driver.Stat{}, err
		}
		return driver.Stat{Record: rec, Size: size}, nil
	case 'n':
		return driver.Stat{}, model.ErrNotFound
	case 'x':
		return driver.Stat{}, corruptCode(rest)
	}
	return driver.Stat{}, badReadReply()
}

func (b *Backend) bucket(id string) *bucket { return &b.buckets[b.bucketOf(id)] }

func (b *Backend) recordKey(id string) string { return b.bucket(id).records + id }

// recordOf returns the record that a GET read, live or expired.
func (b *Backend) recordOf(ctx context.Context, id string, cmd *goredis.StringCmd) (model.Record, error) {
	raw, err := cmd.Bytes()
	if errors.Is(err, goredis.Nil) {
		return model.Record{}, model.ErrNotFound
	}
	if err != nil {
		return model.Record{}, b.readError(ctx, err)
	}
	return decodeRecord(id, cmd.Val(), raw)
}

// Write stores the record under its condition, with one script.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	if err := b.agree(ctx, &now); err != nil {
		return model.Record{}, err
	}
	reply, err := b.withLabels(func(extra []string, room int) (string, error) {
		return b.write(ctx, b.writeRun(ctx, now, &w, extra, room))
	})
	if err != nil {
		return model.Record{}, err
	}
	return b.writeReply(&w, reply)
}

// stageSize is the smallest value that goes to the server by a SET of its own,
// in the same pipeline. The script renames its key. Lua would copy it, which
// costs a nanosecond a byte.
const stageSize = 4 << 10

// stageTTL is how long the server keeps a staged record that no script took.
const stageTTL = time.Minute

// guess returns the record that the caller expects in the end. What the write
// keeps is taken from Known, which saves the server a copy of the value. It
// reports whether the record is known to that extent.
func guess(w *driver.Write) (model.Record, bool) {
	return w.Result(&w.Known), !w.Keep.Expiry && !w.Keep.Labels || !w.Known.Revision.IsZero()
}

// writeRun returns a run of write.lua. A long value is staged. Without a guess
// a short value is an argument of its own, and the script builds the record. Room
// is the length of the labels that a long value keeps, as far as known.
func (b *Backend) writeRun(ctx context.Context, now time.Time, w *driver.Write, extra []string, room int) *run {
	control := [4 + len(w.Known.Revision)]byte{condCode(w.Cond), '-', '-', '-'}
	if w.Cond == driver.IfMatch {
		copy(control[4:], w.Known.Revision[:])
	}
	if w.Keep.Expiry {
		control[1] = 'e'
	}
	if w.Keep.Labels {
		control[2] = 'b'
	}
	reads := make([]byte, 0, 32)
	if w.Cond != driver.IfAny && w.Cond != driver.IfAbsent {
		for _, name := range w.Encodings {
			reads = append(append(reads, byte(len(name))), name...)
		}
	}
	rec, guessed := guess(w)
	long := len(rec.Value) >= stageSize
	split := !guessed && !long
	data := appendLabels(make([]byte, labelsAt, recordSize(&rec, split)), rec.Labels)
	if long && !guessed && w.Keep.Labels {
		// Room for labels of the usual length. The script moves the value only
		// if they have another length.
		data = append(data, make([]byte, room)...)
	}
	putHead(data, &rec)
	k := b.bucket(w.Record.ID)
	args := k.command(writeScript, w.Record.ID, extra, 6)
	if long {
		stage := k.staged + model.NewRevision().String()
		args[2] = args[2].(int) + 1
		args = append(args, stage)
		control[3] = 's'
		data = appendTail(data, &rec)
		m := &mark{data: data[:len(data)-len(rec.Value)]}
		args = append(args, string(control[:])+string(reads), now.UnixMilli(), b.keepFor(now, w.Record.ExpiresAt), m, len(data))
		r := newRun(ctx, writeScript, args, m)
		r.stage = goredis.NewStatusCmd(ctx, "set", stage, payload(data), "px", stageTTL.Milliseconds())
		return r
	}
	args = append(args, string(control[:])+string(reads), now.UnixMilli(), b.keepFor(now, w.Record.ExpiresAt))
	nowAt, l := len(args)-2, b.lane(w.Record.ID)
	if split {
		m := &mark{data: appendTail(make([]byte, 0, 1+len(rec.Encoding)+len(rec.Value)), &rec)}
		return newRun(ctx, writeScript, append(args, payload(data), m), m).share(l, now, nowAt)
	}
	m := &mark{data: appendTail(data, &rec)}
	return newRun(ctx, writeScript, append(args, m), m).share(l, now, nowAt)
}

func condCode(c driver.Condition) byte {
	switch c {
	case driver.IfAny:
		return 'a'
	case driver.IfAbsent:
		return 'c'
	case driver.IfPresent:
		return 'l'
	}
	return 'm'
}

// keepFor returns how long the server keeps a record, in milliseconds, or an
// empty string for no limit. It is measured by the caller's clock, so that the
// server's clock may differ.
func (b *Backend) keepFor(now, expiresAt time.Time) any {
	if expiresAt.IsZero() || b.grace < 0 {
		return ""
	}
	return max(expiresAt.UnixMilli()-now.UnixMilli(), 0) + b.grace
}

// writeReply decodes the reply of write.lua.
func (b *Backend) writeReply(w *driver.Write, reply string) (model.Record, error) {
	code, rest := split(reply)
	switch code {
	case 'o':
		rec, _ := guess(w)
		rec.Value = nil
		if rest == "" {
			rec.Labels = maps.Clone(rec.Labels)
			return rec, nil
		}
		expiresAt, ok1 := parseExpiry(rest[:min(len(rest), expiryDigits)])
		labels, ok2 := parseLabels(rest[min(len(rest), expiryDigits):])
		if !ok1 || !ok2 {
			return model.Record{}, driverkit.BadReply()
		}
		rec.ExpiresAt, rec.Labels = expiresAt, labels
		if w.Keep.Labels {
			b.keptLabels.add(len(rest) - expiryDigits)
		}
		return rec, nil
	case 'e':
		return model.Record{}, model.ErrExists
	case 'c', 'h':
		rec, at, size, err := decodeHead(w.Record.ID, rest)
		if err != nil {
			return model.Record{}, model.ErrConflict
		}
		if len(rest) == at+size && code == 'c' {
			rec.Value = []byte(rest[at:])
		}
		return rec, model.ErrConflict
	}
	return model.Record{}, replyError(code, rest)
}

// split returns the code of a script's reply and the rest.
func split(reply string) (code byte, rest string) {
	if reply == "" {
		return 0, ""
	}
	return reply[0], reply[1:]
}

// replyError returns the error for a code that several scripts use.
func replyError(code byte, rest string) error {
	switch code {
	case 'n':
		return model.ErrNotFound
	case 'c':
		return model.ErrConflict
	case 's':
		return model.NewError(model.ErrUnavailable, "the server has not kept the value for the script", nil)
	case 'x':
		return corruptCode(rest)
	}
	return driverkit.BadReply()
}

// withLabels runs a script on one record. The script does nothing if the stored
// record bears labels that this backend does not declare, or labels for which a
// long value has not the right room. It then runs again with the keys of their
// indexes, or with that room.
func (b *Backend) withLabels(do func(extra []string, room int) (string, error)) (string, error) {
	var extra []string
	room := b.keptLabels.get()
	for range maxLabelRuns {
		reply, err := do(extra, room)
		if err != nil {
			return "", err
		}
		switch code, section := split(reply); code {
		case 'k':
			extra = b.undeclared(section)
		case 'r':
			room = len(section)
		default:
			return reply, nil
		}
	}
	return "", driverkit.Contended()
}

// maxLabelRuns limits the runs of one script while the stored labels keep
// changing.
const maxLabelRuns = 5

// undeclared returns the names in a labels section that Options.Labels lacks.
func (b *Backend) undeclared(section string) []string {
	labels, _ := parseLabels(section)
	declared := b.gate.Labels()
	maps.DeleteFunc(labels, func(name, _ string) bool { return slices.Contains(declared, name) })
	return slices.Sorted(maps.Keys(labels))
}

// Delete removes a live record and its index entries, with one script.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	if err := b.agree(ctx, &now); err != nil {
		return err
	}
	reply, err := b.withLabels(func(extra []string, _ int) (string, error) {
		return b.write(ctx, b.deleteRun(ctx, now, &d, extra))
	})
	if err != nil {
		return err
	}
	return deleteReply(reply)
}

func (b *Backend) deleteRun(ctx context.Context, now time.Time, d *driver.Delete, extra []string) *run {
	m := &mark{data: millis(now)}
	args := append(b.bucket(d.ID).command(deleteScript, d.ID, extra, 2), matched(d.Cond, &d.Known), m)
	return newRun(ctx, deleteScript, args, m).share(b.lane(d.ID), now, len(args)-1)
}

// matched returns the revision that a script must find, or an empty string for
// any.
func matched(c driver.Condition, known *model.Record) string {
	if c != driver.IfMatch {
		return ""
	}
	return string(known.Revision[:])
}

// deleteReply decodes the reply of delete.lua.
func deleteReply(reply string) error {
	if code, rest := split(reply); code != 'o' {
		return replyError(code, rest)
	}
	return nil
}

// millis returns a time in the form that the scripts take.
func millis(t time.Time) []byte { return strconv.AppendInt(nil, t.UnixMilli(), 10) }
