package conformance_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// shelf is a backend whose records are bytes and whose index entries are apart
// from them, so that both can go wrong.
type shelf struct {
	gate *driverkit.Gate
	at   *board
	f    shelfFaults
}

// board is the data of one store.
type board struct {
	mu      sync.Mutex
	made    bool
	records map[string][]byte
	entries map[string]string // entry to id
	stale   *overtaken
}

// overtaken lets an update come between the steps of the first delete of a
// record. Other deletes of it wait until that one has ended.
type overtaken struct {
	first                bool // no delete has read the record
	once                 sync.Once
	read, written, ended chan struct{}
}

func newOvertaken() *overtaken {
	return &overtaken{first: true, read: make(chan struct{}), written: make(chan struct{}), ended: make(chan struct{})}
}

// shelfFaults are the mistakes of a shelf. The zero shelfFaults has none.
type shelfFaults struct {
	// keeps reports whether an entry of the record stays when the verb replaces
	// or removes the record.
	keeps func(verb, entry string) bool
	// early makes a create write its entries before it judges.
	early bool
	// outdated makes the first delete of the record with this id remove the
	// entries that it read before an update.
	outdated string
	// stays makes DeleteStorage leave the entries.
	stays bool
	// blind makes reads skip what it does to the bytes.
	blind func(verb, id string, data []byte) []byte
	// renames makes reads accept a record of another id.
	renames bool
	// patches makes a touch change the bytes of the expiry in place.
	patches bool
	// shy makes an upsert fail on what it cannot read.
	shy bool
	// loose is what the harness says of the bytes.
	loose []string
	sized bool
}

func entriesOf(r *model.Record) []string {
	var out []string
	if !r.ExpiresAt.IsZero() {
		out = append(out, "expiry "+strconv.FormatInt(r.ExpiresAt.UnixMilli(), 10)+" "+r.ID)
	}
	for name, value := range r.Labels {
		out = append(out, "label "+name+"="+value+" "+r.ID)
	}
	return out
}

// read returns the record under the id, which the lock protects.
func (b *shelf) read(verb, id string) (*model.Record, error) {
	data, ok := b.at.records[id]
	if !ok {
		return nil, model.ErrNotFound
	}
	if b.f.blind != nil {
		data = b.f.blind(verb, id, bytes.Clone(data))
	}
	if data == nil {
		return nil, model.ErrNotFound
	}
	rec, err := driverkit.DecodeRecord(data)
	if err == nil && rec.ID != id && !b.f.renames {
		err = driverkit.Corrupt(driverkit.WhyOtherID)
	}
	if err != nil {
		return nil, err
	}
	rec = rec.Clone()
	rec.ID = id
	return &rec, nil
}

// live returns the live record with the id.
func (b *shelf) live(verb, id string, now time.Time) (model.Record, error) {
	rec, err := b.read(verb, id)
	if err == nil && rec.Expired(now) {
		err = model.ErrNotFound
	}
	if err != nil {
		return model.Record{}, err
	}
	return *rec, nil
}

// put replaces what is under the id by next, or by nothing.
func (b *shelf) put(verb, id string, next *model.Record) {
	for e, of := range b.at.entries {
		switch {
		case of != id:
		case b.f.keeps != nil && b.f.keeps(verb, e):
			b.at.entries[e] = "" // nobody's
		default:
			delete(b.at.entries, e)
		}
	}
	delete(b.at.records, id)
	if next == nil {
		return
	}
	b.at.records[strings.Clone(id)] = driverkit.AppendRecord(nil, next)
	b.index(next)
}

func (b *shelf) index(r *model.Record) {
	for _, e := range entriesOf(r) {
		b.at.entries[e] = strings.Clone(r.ID)
	}
}

func (b *shelf) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	return b.get(ctx, "get", now, g.ID)
}

func (b *shelf) get(ctx context.Context, verb string, now time.Time, id string) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	b.at.mu.Lock()
	defer b.at.mu.Unlock()
	return b.live(verb, id, now)
}

func (b *shelf) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	for i, g := range gets {
		out[i].Record, out[i].Err = b.get(ctx, "many", now, g.ID)
	}
	return out
}

func (b *shelf) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	update := b.f.outdated == w.Record.ID && w.Cond == driver.IfPresent
	if update {
		wait(b.at.stale.read)
	}
	head, err := b.write(ctx, "", now, w)
	if update && err == nil {
		b.at.stale.once.Do(func() { close(b.at.stale.written) })
	}
	return head, err
}

func (b *shelf) write(ctx context.Context, how string, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	b.at.mu.Lock()
	defer b.at.mu.Unlock()
	verb := how + w.Cond.String()
	if b.f.early && w.Cond == driver.IfAbsent {
		b.index(&w.Record)
	}
	cur, err := b.read(verb, w.Record.ID)
	if b.f.shy && errors.Is(err, model.ErrCorrupt) {
		return model.Record{}, err
	}
	if winner, err := driverkit.JudgeWrite(now, cur, err, &w); err != nil {
		return winner, err
	}
	if cur == nil && !errors.Is(err, model.ErrNotFound) {
		verb = "over damaged " + verb
	}
	if cur != nil && cur.Expired(now) {
		verb = "over expired " + verb
	}
	next := w.Result(cur).Clone()
	b.put(verb, next.ID, &next)
	return next.Head(), nil
}

func (b *shelf) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	for _, i := range valid {
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.write(ctx, "many ", now, *w)
		} else {
			out[i].Err = b.remove(ctx, "many ", now, *ops[i].Delete)
		}
	}
	return out
}

func (b *shelf) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	b.at.mu.Lock()
	defer b.at.mu.Unlock()
	cur, err := b.read("touch", t.ID)
	if err != nil {
		if b.f.patches && len(b.at.records[t.ID]) > expiryAt+8 {
			b.patch(t.ID, t.ExpiresAt)
			return model.Record{}, nil
		}
		return model.Record{}, err
	}
	if err := t.Judge(now, cur); err != nil {
		return model.Record{}, err
	}
	cur.ExpiresAt = t.Result(cur.ExpiresAt)
	b.put("touch", t.ID, cur)
	return cur.Head(), nil
}

// The places in driverkit's format.
const (
	sumAt    = 8
	lengthAt = 12
	expiryAt = 32
)

// patch writes an expiry and a new checksum into bytes that it has not read.
func (b *shelf) patch(id string, at time.Time) {
	data := bytes.Clone(b.at.records[id])
	binary.LittleEndian.PutUint64(data[expiryAt:], uint64(at.UnixMilli()))
	b.at.records[id] = summed(data)
}

// summed returns the bytes with the checksum that belongs to them.
func summed(data []byte) []byte {
	if len(data) < sumAt+4 {
		return data
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Update(0, table, data[:sumAt]), table, data[sumAt+4:])
	binary.LittleEndian.PutUint32(data[sumAt:], sum)
	return data
}

// sizedAs returns the bytes with their own length in them.
func sizedAs(data []byte) []byte {
	if len(data) >= lengthAt+4 {
		binary.LittleEndian.PutUint32(data[lengthAt:], uint32(len(data)))
	}
	return summed(data)
}

func (b *shelf) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return b.remove(ctx, "", now, d)
}

func (b *shelf) remove(ctx context.Context, how string, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	b.at.mu.Lock()
	defer b.at.mu.Unlock()
	verb := how + "delete " + d.Cond.String()
	var early []string
	outdated := b.f.outdated == d.ID && b.at.stale.first
	switch cur, _ := b.read(verb, d.ID); {
	case b.f.outdated != d.ID || cur == nil:
	case outdated:
		early = entriesOf(cur)
		b.at.stale.first = false
		defer close(b.at.stale.ended)
		close(b.at.stale.read)
		b.meanwhile(b.at.stale.written)
	default:
		b.meanwhile(b.at.stale.ended)
	}
	cur, err := b.read(verb, d.ID)
	if _, err := driverkit.Judge(now, cur, err, d.Cond, d.Known.Revision); err != nil {
		return err
	}
	b.put(verb, d.ID, nil)
	if outdated {
		for _, e := range entriesOf(cur) {
			if !slices.Contains(early, e) {
				b.at.entries[e+" of before"] = "" // nobody's, whatever is written later
			}
		}
	}
	return nil
}

// meanwhile releases the lock until the channel is closed.
func (b *shelf) meanwhile(ch <-chan struct{}) {
	b.at.mu.Unlock()
	defer b.at.mu.Lock()
	wait(ch)
}

// all walks the records that can be read, and names the others in corrupt.
func (b *shelf) all(verb string, corrupt *[]string) iter.Seq[model.Record] {
	return func(yield func(model.Record) bool) {
		for _, id := range slices.Sorted(maps.Keys(b.at.records)) {
			rec, err := b.read(verb, id)
			if err != nil {
				*corrupt = append(*corrupt, id)
			} else if !yield(*rec) {
				return
			}
		}
	}
}

func (b *shelf) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	b.at.mu.Lock()
	defer b.at.mu.Unlock()
	var corrupt []string
	p := b.gate.SortedPage(now, &q, position, b.all("page", &corrupt))
	for _, id := range corrupt {
		last := p.Next == "" || len(p.Records) > 0 && id < p.Records[len(p.Records)-1].ID
		if id > position && last {
			p.Corrupt = append(p.Corrupt, id)
		}
	}
	return p, nil
}

func (b *shelf) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	b.at.mu.Lock()
	var due []model.Record
	var corrupt []string
	for r := range b.all("sweep", &corrupt) {
		if r.Expired(s.Before) {
			due = append(due, r)
		}
	}
	b.at.mu.Unlock()
	verb := "sweep"
	if tally.Announces() {
		verb = "announced sweep"
	}
	return tally.Each(ctx, s.Before, slices.Values(due), func(r *model.Record) (bool, error) {
		b.at.mu.Lock()
		defer b.at.mu.Unlock()
		cur, err := b.read(verb, r.ID)
		if err != nil || cur.Revision != r.Revision || !cur.Expired(s.Before) {
			return false, nil
		}
		b.put(verb, r.ID, nil)
		return true, nil
	})
}

func (b *shelf) CreateStorage(ctx context.Context) error {
	err := b.gate.Enter(ctx)
	if err == nil {
		b.at.mu.Lock()
		defer b.at.mu.Unlock()
		b.at.made = true
	}
	return err
}

func (b *shelf) DeleteStorage(ctx context.Context) error {
	err := b.gate.Enter(ctx)
	if err == nil {
		b.at.mu.Lock()
		defer b.at.mu.Unlock()
		b.at.made = false
		clear(b.at.records)
		if !b.f.stays {
			clear(b.at.entries)
		}
	}
	return err
}

func (b *shelf) Describe() driver.Description { return b.gate.Describe() }
func (b *shelf) Close() error                 { return b.gate.Close() }
