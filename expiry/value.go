package expiry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// pack sets the value of a write to the encoded bytes, sealed if the store
// seals. The bytes belong to the write afterwards.
func (s *Store[T]) pack(w *driver.Write, plain []byte) (err error) {
	codec := s.codec.Name()
	w.Record.Value, w.Record.Encoding, w.ValueOwned = plain, codec, s.stays
	if s.opts.Seal == nil {
		w.Encodings = s.reads
		return nil
	}
	w.ValueOwned = true
	if w.Record.Value, w.Record.Encoding, err = s.opts.Seal.sealValue(s.opts.Purpose, w.Record.ID, codec, plain); err != nil {
		return err
	}
	if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
		return nil // they replace what is not readable, or nothing
	}
	if w.Encodings, err = s.opts.Seal.opens(s.opts.Purpose, s.reads); err == nil && s.opts.OpenUnsealed {
		w.Encodings = append(w.Encodings, s.reads...)
	}
	return err
}

// unpack returns the encoded bytes of a record. In a store that seals, a record
// that is not sealed is ErrCorrupt, unless OpenUnsealed is set: else anybody who
// can write to the server could forge values without the key.
func (s *Store[T]) unpack(rec *model.Record) ([]byte, error) {
	if s.opts.Seal != nil && isSealed(rec.Encoding) {
		return s.opts.Seal.openValue(s.opts.Purpose, rec.ID, s.reads, rec.Value)
	}
	switch {
	case !slices.Contains(s.reads, rec.Encoding):
		return nil, model.NewError(model.ErrCorrupt, fmt.Sprintf("stored as %.32q, read as %q", rec.Encoding, s.codec.Name()), nil)
	case s.opts.Seal != nil && !s.opts.OpenUnsealed:
		return nil, model.NewError(model.ErrCorrupt, "the value is not sealed", nil)
	}
	return rec.Value, nil
}

// open decodes a record into an item.
func (s *Store[T]) open(rec model.Record) (it Item[T], err error) {
	it.fill(rec)
	if it.plain, err = s.unpack(&it.rec); err != nil {
		return it, err
	}
	data := it.plain
	if !s.stays {
		data = bytes.Clone(data)
	}
	return it, decode(s.codec, data, &it.Value)
}

// winner returns the item of a record that came with ErrConflict, or an item
// without an ID if the backend did not return all of it.
func (s *Store[T]) winner(c *call, id string, rec model.Record, err error) Item[T] {
	if !errors.Is(err, model.ErrConflict) || !c.whole(rec) {
		return Item[T]{}
	}
	it, err := s.open(rec)
	if err != nil {
		return Item[T]{}
	}
	it.ID = id
	return it
}
