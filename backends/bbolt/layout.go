package bbolt

import (
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The store's bucket has a key that says its format, and three buckets.
const (
	formatKey     = "sojourn"
	format        = "1"
	recordsBucket = "records" // id: the record
	labelsBucket  = "labels"  // label, value and id: the id
	expiryBucket  = "expiry"  // time and id: the id
)

var parts = []string{recordsBucket, labelsBucket, expiryBucket}

// StoragePlan returns what CreateStorage makes, and what stands in it.
func (b *Backend) StoragePlan() string {
	return strings.NewReplacer("NAME", b.name, "FORMAT", format).Replace(`bucket "NAME"
  key "sojourn" = "FORMAT"
  bucket "records": id = record, as driverkit.AppendRecord encodes it
  bucket "labels":  length, name, length, value, id = id; a length is 2 bytes, big endian
  bucket "expiry":  milliseconds since 1970 in 8 bytes, big endian, id = id
`)
}

// store is the store in one transaction.
type store struct {
	b       *Backend
	tx      *bbolt.Tx
	waited  *driverkit.Waited // of the call that uses the store
	changes int

	top                     *bbolt.Bucket // nil if the store has no storage
	records, labels, expiry *bbolt.Bucket
}

// open finds the store's bucket. A bucket without the format is not the store's.
func (b *Backend) open(tx *bbolt.Tx, waited *driverkit.Waited) (*store, error) {
	s := &store{b: b, tx: tx, waited: waited}
	top := tx.Bucket([]byte(b.name))
	if top == nil {
		return s, nil
	}
	switch f := top.Get([]byte(formatKey)); {
	case f == nil:
		return s, nil
	case string(f) != format:
		return nil, driverkit.Corrupt("the bucket " + quoted(b.name) + " has another format than this version: " + quoted(string(f)))
	}
	if err := s.enter(top); err != nil {
		return nil, err
	}
	return s, nil
}

// enter finds the buckets in the store's bucket.
func (s *store) enter(top *bbolt.Bucket) error {
	s.top = top
	s.records, s.labels, s.expiry = top.Bucket([]byte(recordsBucket)), top.Bucket([]byte(labelsBucket)), top.Bucket([]byte(expiryBucket))
	if s.records == nil || s.labels == nil || s.expiry == nil {
		return driverkit.Corrupt("the bucket " + quoted(s.b.name) + " lacks one of its buckets " + strings.Join(parts, ", ") + ": restore the file")
	}
	return nil
}

// index returns the bucket of index entries with the name.
func (s *store) index(name string) *bbolt.Bucket {
	if name == labelsBucket {
		return s.labels
	}
	return s.expiry
}

// read returns the record with the id, live or expired, and nil if nothing is
// stored. Its value is only valid during the transaction.
func (s *store) read(id string) (*model.Record, error) {
	if s.top == nil {
		return nil, nil
	}
	data := s.records.Get([]byte(id))
	if data == nil {
		return nil, nil
	}
	return decode(id, data)
}

func decode(id string, data []byte) (*model.Record, error) {
	rec, err := driverkit.DecodeRecord(data)
	if err == nil && rec.ID != id {
		err = driverkit.Corrupt(driverkit.WhyOtherID)
	}
	if err != nil {
		return nil, err
	}
	return &rec, nil
}

// put replaces cur, which may be nil, by next, and the index entries of the one
// by those of the other.
func (s *store) put(cur, next *model.Record) error {
	before, after := entries(cur), entries(next)
	if err := s.drop(without(before, after)); err != nil {
		return err
	}
	for _, e := range without(after, before) {
		if err := s.index(e.bucket).Put([]byte(e.key), []byte(next.ID)); err != nil {
			return err
		}
	}
	s.changes++
	return s.records.Put([]byte(next.ID), driverkit.AppendRecord(nil, next))
}

// remove removes a record and its index entries.
func (s *store) remove(cur *model.Record) error {
	if err := s.drop(entries(cur)); err != nil {
		return err
	}
	s.changes++
	return s.records.Delete([]byte(cur.ID))
}

func (s *store) drop(list []entry) error {
	for _, e := range list {
		s.changes++
		if err := s.index(e.bucket).Delete([]byte(e.key)); err != nil {
			return err
		}
	}
	return nil
}

// purge removes the index entries of a record that cannot be read, so that
// nobody knows which they are. It reads all index entries.
func (s *store) purge(id string) error {
	var found []entry
	for _, bucket := range []string{labelsBucket, expiryBucket} {
		c := s.index(bucket).Cursor()
		for key, of := c.First(); key != nil; key, of = c.Next() {
			if string(of) == id {
				found = append(found, entry{bucket, string(key)})
			}
		}
	}
	return s.drop(found)
}

// foreign returns what is in the store's bucket and is not the store's, at most
// three names of it.
func foreign(top *bbolt.Bucket) []string {
	var found []string
	own := top.Get([]byte(formatKey)) != nil
	c := top.Cursor()
	for key, value := c.First(); key != nil && len(found) < 3; key, value = c.Next() {
		name := string(key)
		isPart := value == nil && slices.Contains(parts, name)
		if !own || !isPart && (name != formatKey || value == nil) {
			found = append(found, quoted(name))
		}
	}
	return found
}
