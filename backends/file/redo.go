package file

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The folder redo has a log for each Backend that writes, the floors, and two
// locks. docs/adr/0042 has the protocol.
//
//	<random>.log   the log of the Backend that holds its lock
//	floors         for each stripe the number up to which entries are void
//	fold, open     locks
//	failed         the system could not write files: nobody folds before a recovery
//
// A log has frames, and a frame has entries:
//
//	0  4  length of the entries
//	4  4  CRC32C of the entries
//	for each entry: 8 number of the write in its stripe, 1 kind, 4 length, and the
//	record or the id of a record that was removed
const (
	redoDir    = "redo"
	logSuffix  = ".log"
	floorsName = "floors"
	foldLock   = "fold"
	openLock   = "open"
	failedMark = "failed"

	frameHead = 8
	entryHead = 13
	maxFrame  = maxFile + 1<<20

	// foldBytes is the size of a log at which it is folded.
	foldBytes = 4 << 20
)

type kind byte

const (
	putKind    kind = 1
	removeKind kind = 2
)

// redone is one write in a log.
type redone struct {
	number uint64
	kind   kind
	data   []byte
}

// stored returns the entry of what is stored of a record.
func stored(p *place, rec *model.Record) redone {
	if rec == nil {
		return redone{kind: removeKind, data: []byte(p.id)}
	}
	return redone{kind: putKind, data: driverkit.AppendRecord(nil, rec)}
}

// id returns the id of the entry's record.
func (r *redone) id() (string, bool) {
	if r.kind == removeKind {
		return string(r.data), model.CheckID(string(r.data)) == nil
	}
	rec, err := driverkit.DecodeRecord(r.data)
	return rec.ID, err == nil && r.kind == putKind
}

// frame returns the entries as they stand in a log: all of them are valid there, or
// none.
func frame(list []redone) []byte {
	size := frameHead
	for _, r := range list {
		size += entryHead + len(r.data)
	}
	out := append(make([]byte, 0, size), make([]byte, frameHead)...)
	for _, r := range list {
		out = binary.LittleEndian.AppendUint64(out, r.number)
		out = append(out, byte(r.kind))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(r.data)))
		out = append(out, r.data...)
	}
	binary.LittleEndian.PutUint32(out, uint32(len(out)-frameHead))
	binary.LittleEndian.PutUint32(out[4:], crc32.Checksum(out[frameHead:], castagnoli))
	return out
}

// readFrames calls do with the entries of each frame, up to the torn end of the log.
func readFrames(l disk.Lock, from int64, do func(at int64, list []redone) (more bool, err error)) error {
	in := bufio.NewReaderSize(io.NewSectionReader(wholeReads{l}, from, math.MaxInt64-from), 1<<16)
	for at := from; ; {
		var head [frameHead]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return endOfLog(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n < entryHead || n > maxFrame {
			return nil
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(in, body); err != nil {
			return endOfLog(err)
		}
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return nil
		}
		if more, err := do(at, parse(body)); !more || err != nil {
			return err
		}
		at += frameHead + int64(n)
	}
}

func endOfLog(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return unavailable(err)
}

func parse(body []byte) (out []redone) {
	for len(body) >= entryHead {
		n := binary.LittleEndian.Uint32(body[9:])
		if uint64(n) > uint64(len(body)-entryHead) {
			break
		}
		out = append(out, redone{number: binary.LittleEndian.Uint64(body), kind: kind(body[8]), data: body[entryHead : entryHead+int(n)]})
		body = body[entryHead+int(n):]
	}
	return out
}

// wholeReads makes an io.ReaderAt of a file.
type wholeReads struct{ disk.Lock }

func (w wholeReads) ReadAt(data []byte, at int64) (int, error) {
	n, err := w.Lock.ReadAt(data, at)
	if err == nil && n < len(data) {
		err = io.EOF
	}
	return n, err
}

// redo is a Backend's log.
type redo struct {
	name string
	file disk.Lock

	mu           sync.Mutex
	synced       *sync.Cond
	end, durable int64
	syncing      bool
	broken       bool  // it takes no more frames
	failed       error // of a sync: what is not durable stays unknown
}

// usable reports whether the log takes frames.
func (r *redo) usable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.broken
}

func (r *redo) size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// commit adds a frame. With sync it makes the frame durable, together with those of
// other goroutines. The error is errNeedsLog if the log does not have the frame, and
// ErrUnknown if the frame may be durable.
func (r *redo) commit(data []byte, sync bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return errNeedsLog
	}
	if err := r.file.WriteAt(data, r.end); err != nil {
		r.broken = true // a part of the frame may be there, which nothing may follow
		return errNeedsLog
	}
	r.end += int64(len(data))
	for mine := r.end; sync && r.durable < mine; {
		switch {
		case r.failed != nil:
			return unsynced(r.failed)
		case r.syncing:
			r.synced.Wait()
		default:
			r.syncOnce()
		}
	}
	return nil
}

// syncOnce makes what is written so far durable. The system may have dropped what it
// could not write, so that the log is not used again after an error.
func (r *redo) syncOnce() {
	r.syncing = true
	end := r.end
	r.mu.Unlock()
	err := r.file.Sync()
	r.mu.Lock()
	r.syncing = false
	if err != nil {
		r.failed, r.broken = err, true
	} else {
		r.durable = end
	}
	r.synced.Broadcast()
}

// numberAt is the place of a stripe's number in its lock file: 8 number, 4 CRC32C.
const (
	numberAt    = 96
	numberBytes = 12
)

// numbers are one for each stripe.
type numbers [stripes]uint64

func (n *numbers) raise(other *numbers) {
	for i := range n {
		n[i] = max(n[i], other[i])
	}
}

// readNumber returns the number of the last write of a stripe, or zero if the lock
// file has none.
func readNumber(l disk.Lock) (uint64, error) {
	var data [numberBytes]byte
	n, err := l.ReadAt(data[:], numberAt)
	return parseNumber(data[:n]), err
}

func parseNumber(data []byte) uint64 {
	if len(data) < numberBytes || crc32.Checksum(data[:8], castagnoli) != binary.LittleEndian.Uint32(data[8:]) {
		return 0
	}
	return binary.LittleEndian.Uint64(data)
}

func writeNumber(l disk.Lock, n uint64) error {
	var data [numberBytes]byte
	binary.LittleEndian.PutUint64(data[:], n)
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[:8], castagnoli))
	return l.WriteAt(data[:], numberAt)
}

// The file floors has two slots. The one with a valid checksum and the higher
// generation counts: a write that is cut leaves the other one. A slot has 8
// generation, 8 for each stripe, and 4 CRC32C. Nothing is needed of a full disk to
// raise the floors.
const (
	slotBytes = 8 + 8*stripes + 4
	slotApart = 4096
)

type floors struct {
	generation uint64
	numbers
}

func (f *floors) slot() []byte {
	out := binary.LittleEndian.AppendUint64(nil, f.generation)
	for _, n := range f.numbers {
		out = binary.LittleEndian.AppendUint64(out, n)
	}
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// readFloors returns the floors, and whether there are any.
func readFloors(dir disk.Folder) (f floors, ok bool, err error) {
	data, err := dir.Read(floorsName, 4*slotApart)
	if isMissing(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, unavailable(err)
	}
	for at := 0; at+slotBytes <= len(data); at += slotApart {
		s := data[at : at+slotBytes]
		if crc32.Checksum(s[:slotBytes-4], castagnoli) != binary.LittleEndian.Uint32(s[slotBytes-4:]) {
			continue
		}
		if g := binary.LittleEndian.Uint64(s); !ok || g > f.generation {
			f.generation, ok = g, true
			for i := range f.numbers {
				f.numbers[i] = binary.LittleEndian.Uint64(s[8+8*i:])
			}
		}
	}
	return f, ok, nil
}

// mustReadFloors is readFloors where logs exist: without the floors a recovery would
// undo writes.
func mustReadFloors(dir disk.Folder) (floors, error) {
	f, ok, err := readFloors(dir)
	if err == nil && !ok {
		err = errNoFloors
	}
	return f, err
}

var errNoFloors = driverkit.Corrupt("the file redo/floors is missing or damaged: without it the logs beside it may hold older records than the store")

// writeFloors writes slots of the floors and syncs them.
func writeFloors(dir disk.Folder, list ...floors) error {
	l, err := dir.Lock(floorsName)
	if err != nil {
		return err
	}
	for _, f := range list {
		if err == nil {
			err = l.WriteAt(f.slot(), slotApart*int64(f.generation%2))
		}
	}
	if err == nil {
		err = l.Sync()
	}
	return errors.Join(err, l.Close())
}

func isLog(name string) bool {
	digits, ok := strings.CutSuffix(name, logSuffix)
	return ok && len(digits) == 2*randomTmpBytes && isHex(digits)
}

func isRedo(name string) bool {
	switch name {
	case floorsName, foldLock, openLock, failedMark:
		return true
	}
	return isLog(name)
}
