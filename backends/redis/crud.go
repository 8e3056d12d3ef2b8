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

// Get returns the live record: one GET.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	cmd := b.client.Get(ctx, b.bucket(g.ID).records+g.ID)
	rec, err := b.recordOf(ctx, g.ID, cmd)
	if err == nil && rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

func (b *Backend) bucket(id string) *bucket { return &b.buckets[bucketOf(id)] }

// recordOf is the record, live or not, that a GET returned.
func (b *Backend) recordOf(ctx context.Context, id string, cmd *goredis.StringCmd) (model.Record, error) {
	raw, err := cmd.Bytes()
	if errors.Is(err, goredis.Nil) {
		return model.Record{}, model.ErrNotFound
	}
	if err != nil {
		return model.Record{}, b.readFault(ctx, err)
	}
	return decodeRecord(id, cmd.Val(), raw)
}

// Write stores the record under its condition: one script.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.checkWrite(&w); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	reply, err := b.declaring(func(further []string) (string, error) {
		return b.write(ctx, b.writeRun(ctx, now, &w, further))
	})
	if err != nil {
		return model.Record{}, err
	}
	return b.writeReply(&w, reply)
}

// checkWrite refuses what could not be stored or found again.
func (b *Backend) checkWrite(w *driver.Write) error {
	if err := w.Check(); err != nil {
		return err
	}
	return driverkit.CheckRecord(&w.Record, b.labels, b.maxValue)
}

// stageSize is the length of a value from which on it goes to the server by a
// command of its own, in the same pipeline, and the script moves it into its
// place: Lua makes strings of a script's arguments, at a nanosecond a byte.
const stageSize = 4 << 10

// stageTTL is after how long the server drops what no script has taken.
const stageTTL = time.Minute

// guess is the record as the caller believes it will be: where expiry or
// labels are kept, those of Prev spare the server a copy of the value. It
// reports whether there was anything to guess from.
func guess(w *driver.Write) (model.Record, bool) {
	rec := w.Record
	if w.Keep.Expiry {
		rec.ExpiresAt = w.Known.ExpiresAt
	}
	if w.Keep.Labels {
		rec.Labels = w.Known.Labels
	}
	return rec, !w.Keep.Expiry && !w.Keep.Labels || !w.Known.Revision.IsZero()
}

// writeRun is the run of write.lua. Without a guess a short value goes by
// itself, and the script puts the record together; a long one is staged.
func (b *Backend) writeRun(ctx context.Context, now time.Time, w *driver.Write, further []string) *run {
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
	rec, guessed := guess(w)
	long := len(rec.Value) >= stageSize
	split := !guessed && !long
	data := appendLabels(make([]byte, labelsAt, recordSize(&rec, split)), rec.Labels)
	if long && !guessed && w.Keep.Labels {
		// The script puts the labels into their place, if they are as long as
		// usual: else it has to move the value.
		data = append(data, make([]byte, b.kept.length())...)
	}
	putHead(data, &rec)
	k := b.bucket(w.Record.ID)
	args := k.command(writeScript, w.Record.ID, further, 6)
	if long {
		stage := k.staged + model.NewRevision().String()
		args[2] = args[2].(int) + 1
		args = append(args, stage)
		control[3] = 's'
		data = appendTail(data, &rec)
		m := &mark{data: data[:len(data)-len(rec.Value)]}
		args = append(args, string(control[:]), now.UnixMilli(), b.keepFor(now, w.Record.ExpiresAt), m, len(data))
		r := newRun(ctx, writeScript, args, m)
		r.stage = goredis.NewStatusCmd(ctx, "set", stage, data, "px", stageTTL.Milliseconds())
		return r
	}
	args = append(args, string(control[:]), now.UnixMilli(), b.keepFor(now, w.Record.ExpiresAt))
	if split {
		m := &mark{data: appendTail(make([]byte, 0, 1+len(rec.Encoding)+len(rec.Value)), &rec)}
		return newRun(ctx, writeScript, append(args, data, m), m)
	}
	m := &mark{data: appendTail(data, &rec)}
	return newRun(ctx, writeScript, append(args, m), m)
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

// keepFor is how long the server shall keep a record, in milliseconds; empty:
// for ever. It is a length of time by the caller's clock, so that the server's
// own clock may be another.
func (b *Backend) keepFor(now, expiresAt time.Time) any {
	if expiresAt.IsZero() || b.grace < 0 {
		return ""
	}
	return max(expiresAt.UnixMilli()-now.UnixMilli(), 0) + b.grace
}

// writeReply reads the answer of write.lua.
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
			return model.Record{}, strange()
		}
		rec.ExpiresAt, rec.Labels = expiresAt, labels
		if w.Keep.Labels {
			b.kept.saw(len(rest) - expiryDigits)
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
	return model.Record{}, replyFault(code, rest)
}

// split takes the code from a script's reply.
func split(reply string) (code byte, rest string) {
	if reply == "" {
		return 0, ""
	}
	return reply[0], reply[1:]
}

// replyFault is what the codes mean that all scripts share.
func replyFault(code byte, rest string) error {
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
	return strange()
}

// strange is the error for a reply that no script gives.
func strange() error {
	return model.NewError(model.ErrUnknown, "the server's reply is none of the script's", nil)
}

// declaring runs a script on one record. Where the stored record bears labels
// that this backend does not declare, as those of another node's Options, the
// script has done nothing and runs again with the keys of their indexes.
func (b *Backend) declaring(do func(further []string) (string, error)) (string, error) {
	var further []string
	for range declareAttempts {
		reply, err := do(further)
		if err != nil {
			return "", err
		}
		code, section := split(reply)
		if code != 'k' {
			return reply, nil
		}
		further = b.undeclared(section)
	}
	return "", model.NewError(model.ErrUnavailable, "others keep writing the record with undeclared labels", nil)
}

// declareAttempts bounds the runs of one script with ever other labels.
const declareAttempts = 4

// undeclared returns the names in a labels section that Options.Labels lacks.
func (b *Backend) undeclared(section string) []string {
	labels, _ := parseLabels(section)
	maps.DeleteFunc(labels, func(name, _ string) bool { return slices.Contains(b.labels, name) })
	return slices.Sorted(maps.Keys(labels))
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// Delete removes a live record with its index entries: one script.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	reply, err := b.declaring(func(further []string) (string, error) {
		return b.write(ctx, b.deleteRun(ctx, now, &driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known}, further))
	})
	if err != nil {
		return err
	}
	return deleteReply(reply)
}

func (b *Backend) deleteRun(ctx context.Context, now time.Time, d *driver.Delete, further []string) *run {
	rev := ""
	if d.Cond == driver.IfMatch {
		rev = string(d.Known.Revision[:])
	}
	m := &mark{data: millis(now)}
	return newRun(ctx, deleteScript, append(b.bucket(d.ID).command(deleteScript, d.ID, further, 2), rev, m), m)
}

// deleteReply reads the answer of delete.lua.
func deleteReply(reply string) error {
	if code, rest := split(reply); code != 'o' {
		return replyFault(code, rest)
	}
	return nil
}

// millis is a time as the scripts take it.
func millis(t time.Time) []byte { return strconv.AppendInt(nil, t.UnixMilli(), 10) }
