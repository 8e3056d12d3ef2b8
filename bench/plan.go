package bench

import (
	"context"
	"errors"
)

// loads are the numbers of clients, with the calls of a round.
type load struct{ clients, calls int }

// recordCells are the cells of records in a topic: all operations with short
// values, and reads and updates of long ones.
func recordCells(topic string, loads []load, long bool) []cell {
	var out []cell
	for _, l := range loads {
		for _, op := range recordOps {
			out = append(out, cell{topic: topic, op: op, clients: l.clients, value: 200, calls: l.calls})
		}
	}
	if long {
		for _, l := range loads {
			for _, op := range []string{"get", "update"} {
				out = append(out,
					cell{topic: topic, op: op, clients: l.clients, value: 4 << 10, calls: l.calls / 2},
					cell{topic: topic, op: op, clients: l.clients, value: 100 << 10, calls: max(l.calls/10, l.clients)},
				)
			}
		}
	}
	return out
}

func sessionCells(topic string, loads []load, ops []string) []cell {
	var out []cell
	for _, l := range loads {
		for _, op := range ops {
			out = append(out, cell{topic: topic, op: op, clients: l.clients, calls: l.calls})
		}
	}
	return out
}

// contestant measures one cell. It returns false for one that it has no way to
// measure.
type contestant interface {
	single(c cell) (side, bool)
	end() error
}

// contest measures the cells. Open opens all contestants on a server: it is called
// for the server, and for a proxy before it.
func contest[T contestant](ctx context.Context, addr, name string, cells []cell, rounds int, open func(ctx context.Context, addr, name string) ([]T, error)) (out []result, err error) {
	p, err := newProxy(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	direct, err := open(ctx, addr, name)
	defer func() { err = errors.Join(err, closeAll(direct)) }()
	if err != nil {
		return nil, err
	}
	counted, err := open(ctx, p.addr(), name+"-counted")
	defer func() { err = errors.Join(err, closeAll(counted)) }()
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		var sides []side
		for i := range direct {
			s, ok := direct[i].single(c)
			if !ok {
				continue
			}
			twin, _ := counted[i].single(c)
			twin.trips = p.trips.Load
			s.twin = &twin
			sides = append(sides, s)
		}
		got, err := measure(c, rounds, sides)
		if err != nil {
			return out, err
		}
		out = append(out, got...)
	}
	return out, nil
}

func closeAll[T contestant](all []T) error {
	var err error
	for _, c := range all {
		err = errors.Join(err, c.end())
	}
	return err
}
