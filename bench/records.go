package bench

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	life      = time.Hour
	keysOfOne = 8  // records of one client that are read and changed
	preparers = 32 // goroutines that prepare and clean up
)

// store is how one contestant does each operation. Nil means that it has none.
type store struct {
	name   string
	marks  map[string]string // by operation; "" is for all of them
	create func(id string, value []byte) error
	get    func(id string) (n int, err error) // the bytes, 0 if there is no such record
	update func(id string, value []byte) error
	// compare is an update that is refused if the record has changed since the
	// contestant's last call.
	compare func(id string, value []byte) error
	// touch gives a record a new hour. The value is for those who rewrite it.
	touch  func(id string, value []byte) error
	remove func(id string) error

	count func() (int, error)
	list  func() (int, error) // all records with their values
	// expired creates a record that the next sweep removes; sweep returns how many
	// it removed.
	expired func(id string, value []byte) error
	sweep   func() (int, error)
	close   func() error
}

// recordOps are the operations, in the order of the tables.
var recordOps = []string{"get", "miss", "create", "update", "compare-and-set", "touch", "delete"}

// mark returns what a contestant does not guarantee in an operation.
func (s *store) mark(op string) string {
	if m := s.marks[op]; m != "" {
		return m
	}
	return s.marks[""]
}

func (s *store) end() error { return s.close() }

// turn makes ids that no earlier cell of this process has used.
var turn atomic.Int64

func (s *store) single(c cell) (side, bool) {
	value := bytes.Repeat([]byte("v"), c.value)
	own := turn.Add(1)
	id := func(i int) string { return fmt.Sprintf("%08d%024d", own, i) }
	keys := keysOfOne
	if c.value >= 4<<10 {
		keys = 1 // the server holds those of all contestants
	}
	kept := func(client, i int) string { return id(client*keys + i/c.clients%keys) }
	each := func(do func(i int) error) func(lo, hi int) error {
		return func(lo, hi int) error {
			_, err := run(preparers, lo, hi, func(_, i int) error { return do(i) })
			return err
		}
	}
	created, removed := each(func(i int) error { return s.create(id(i), value) }), each(func(i int) error { return s.remove(id(i)) })
	out := side{name: s.name, marks: s.mark(c.op)}
	// keep prepares the records of all clients, in the first round.
	begun := false
	keep := func(int, int) error {
		if begun {
			return nil
		}
		begun = true
		return created(0, c.clients*keys)
	}
	out.finish = func() error {
		if !begun {
			return nil
		}
		return removed(0, c.clients*keys)
	}
	switch c.op {
	case "get":
		out.prepare = keep
		out.do = func(client, i int) error {
			n, err := s.get(kept(client, i))
			if err == nil && n != len(value) {
				err = fmt.Errorf("a record has %d bytes, want %d", n, len(value))
			}
			return err
		}
	case "miss":
		out.do = func(_, i int) error {
			n, err := s.get(id(i))
			if err == nil && n != 0 {
				err = fmt.Errorf("a record that was never written has %d bytes", n)
			}
			return err
		}
	case "create":
		out.do, out.after = func(_, i int) error { return s.create(id(i), value) }, removed
	case "delete":
		out.prepare, out.do = created, func(_, i int) error { return s.remove(id(i)) }
	case "update":
		out.prepare, out.do = keep, func(client, i int) error { return s.update(kept(client, i), value) }
	case "compare-and-set":
		if s.compare == nil {
			return side{}, false
		}
		out.prepare, out.do = keep, func(client, i int) error { return s.compare(kept(client, i), value) }
	case "touch":
		if s.touch == nil {
			return side{}, false
		}
		out.prepare, out.do = keep, func(client, i int) error { return s.touch(kept(client, i), value) }
	default:
		return side{}, false
	}
	return out, true
}
