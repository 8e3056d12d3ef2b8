package file

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/model"
)

// A lock file notes what changes among the records of its stripe, if somebody
// counts them. So a count that knows the earlier records reads only the changes
// since, also those of other processes. Nothing of this is synced: whatever knows
// the earlier records ends with a power cut.
//
//	  0  1   what Windows locks, which nobody can read meanwhile
//	 64  16  epoch: random; what was counted in another epoch is void
//	 80  8   number of changes in this epoch
//	 88  4   1 while a change is under way, or was when its writer died
//	 92  4   CRC32C of the 28 bytes before it
//	128  24  for each of the last changes: 8 shard, 8 expiry before, 8 afterwards
//
// A header with another checksum means that nobody counts.
const (
	noteAt      = 64
	noteBytes   = 32
	busyAt      = 24
	sumAt       = 28
	changesAt   = 128
	changeBytes = 24

	keptChanges = 1024
	// maxCounted ends an epoch in which nobody may count any longer.
	maxCounted = 64 * keptChanges
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the header of a stripe's notes.
type header struct {
	epoch [16]byte
	n     uint64
	busy  bool
}

// readHeader returns the header, and whether there is a valid one.
func readHeader(l disk.Lock) (h header, ok bool, err error) {
	var data [noteBytes]byte
	n, err := l.ReadAt(data[:], noteAt)
	if err != nil {
		return header{}, false, err
	}
	h, ok = parseHeader(data[:n])
	return h, ok, nil
}

func parseHeader(data []byte) (h header, ok bool) {
	if len(data) < noteBytes {
		return header{}, false
	}
	if crc32.Checksum(data[:sumAt], castagnoli) != binary.LittleEndian.Uint32(data[sumAt:]) {
		return header{}, false
	}
	copy(h.epoch[:], data)
	h.n = binary.LittleEndian.Uint64(data[len(h.epoch):])
	h.busy = data[busyAt] != 0
	return h, true
}

func (h *header) write(l disk.Lock) error {
	var data [noteBytes]byte
	copy(data[:], h.epoch[:])
	binary.LittleEndian.PutUint64(data[len(h.epoch):], h.n)
	if h.busy {
		data[busyAt] = 1
	}
	binary.LittleEndian.PutUint32(data[sumAt:], crc32.Checksum(data[:sumAt], castagnoli))
	return l.WriteAt(data[:], noteAt)
}

// newEpoch makes what was counted so far void, under the lock.
func newEpoch(l disk.Lock) (h header, err error) {
	_, _ = rand.Read(h.epoch[:])
	err = h.write(l)
	return h, err
}

// noExpiry and noRecord are expiries of a change. All others are milliseconds
// since 1970.
const (
	noExpiry int64 = 0
	noRecord int64 = -1
)

// change is what one write does to the records of a stripe.
type change struct {
	shard         uint8
	before, after int64
}

func changeOf(p *place, before, after *model.Record) change {
	return change{shard: p.shard, before: expiryOf(before), after: expiryOf(after)}
}

func expiryOf(r *model.Record) int64 {
	switch {
	case r == nil:
		return noRecord
	case r.ExpiresAt.IsZero():
		return noExpiry
	}
	return r.ExpiresAt.UnixMilli()
}

// note is a change that is under way. It begins before the first file changes,
// and is done when the last has. A note that is not done, because its writer died
// or does not know what it changed, makes what was counted void.
type note struct {
	file disk.Lock // nil if nobody counts
	head header
}

// note begins a change among the records of a stripe, under the lock under which d was
// read.
func (t *tree) note(stripe int, d *durably) (note, error) {
	l, h := t.locks[stripe], d.head
	switch {
	case !d.counted:
		return note{}, nil
	case h.busy || h.n >= maxCounted:
		return note{}, t.uncount(stripe)
	}
	h.busy = true
	if err := h.write(l); err != nil {
		return note{}, unavailable(err)
	}
	h.busy = false
	return note{file: l, head: h}, nil
}

// uncount makes what was counted void and ends the notes, under the lock.
func (t *tree) uncount(stripe int) error {
	l := t.locks[stripe]
	if _, ok, err := readHeader(l); !ok || err != nil {
		return unavailable(err)
	}
	return unavailable(l.WriteAt(make([]byte, noteBytes), noteAt))
}

// done ends the note with what has changed. If it cannot, the note stays as if
// the writer had died.
func (n *note) done(list ...change) {
	if n.file == nil {
		return
	}
	var data [changeBytes]byte
	for _, c := range list {
		binary.LittleEndian.PutUint64(data[:], uint64(c.shard))
		binary.LittleEndian.PutUint64(data[8:], uint64(c.before))
		binary.LittleEndian.PutUint64(data[16:], uint64(c.after))
		if n.file.WriteAt(data[:], slotOf(n.head.n)) != nil {
			return
		}
		n.head.n++
	}
	_ = n.head.write(n.file)
}

// ended ends the note of a change that may have failed. It does not if the outcome is
// unknown.
func (n *note) ended(err error, c change) {
	switch {
	case err == nil:
		n.done(c)
	case !errors.Is(err, model.ErrUnknown):
		n.done()
	}
}

func slotOf(n uint64) int64 { return changesAt + int64(n%keptChanges)*changeBytes }

// readChanges returns the changes from number from up to number to, of an epoch.
// It returns false if they are no longer there.
func readChanges(l disk.Lock, epoch [16]byte, from, to uint64) ([]change, bool) {
	if to < from || to-from > keptChanges {
		return nil, false
	}
	data := make([]byte, (to-from)*changeBytes)
	first := min(to-from, keptChanges-from%keptChanges) // up to the end of the ring
	for _, part := range []struct {
		data []byte
		at   int64
	}{{data[:first*changeBytes], slotOf(from)}, {data[first*changeBytes:], changesAt}} {
		if len(part.data) == 0 {
			continue
		}
		if n, err := l.ReadAt(part.data, part.at); err != nil || n < len(part.data) {
			return nil, false
		}
	}
	// A writer may have replaced the first ones meanwhile, the last time with as
	// many as one lock allows.
	if h, ok, err := readHeader(l); err != nil || !ok || h.epoch != epoch || h.n+batchRecords-from > keptChanges {
		return nil, false
	}
	out := make([]change, 0, to-from)
	for ; len(data) > 0; data = data[changeBytes:] {
		out = append(out, change{
			shard:  uint8(binary.LittleEndian.Uint64(data)),
			before: int64(binary.LittleEndian.Uint64(data[8:])),
			after:  int64(binary.LittleEndian.Uint64(data[16:])),
		})
	}
	return out, true
}
