package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// scaleOps are the operations on many records, in the order of the table.
var scaleOps = []string{"count", "list", "sweep"}

// scale measures counts, listings and sweeps of one hundredth, at each number of
// records. One contestant at a time has records in the server: some visit
// everybody's keys.
func scale(ctx context.Context, addr, name string, numbers []int, open func(ctx context.Context, addr, name string) ([]*store, error)) (out []result, err error) {
	p, err := newProxy(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, n := range numbers {
		all, err := open(ctx, addr, fmt.Sprintf("%s-%d", name, n))
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		// The twins share the records of those that they count for.
		twins, err := open(ctx, p.addr(), fmt.Sprintf("%s-%d", name, n))
		if err == nil {
			for _, i := range shuffled(len(all)) {
				var got []result
				got, err = scaled(n, all[i], twins[i], p.trips.Load)
				out = append(out, got...)
				if err != nil {
					err = fmt.Errorf("%d records of %s: %w", n, all[i].name, err)
					break
				}
			}
		}
		if err = errors.Join(err, closeAll(twins), closeAll(all)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scaled measures one contestant and removes its records.
func scaled(n int, s, twin *store, trips func() int64) ([]result, error) {
	if s.count == nil && s.list == nil {
		return nil, nil
	}
	value := bytes.Repeat([]byte("v"), 200)
	own := turn.Add(1)
	id := func(i int) string { return fmt.Sprintf("%08d%024d", own, i) }
	if _, err := run(preparers, 0, n, func(_, i int) error { return s.create(id(i), value) }); err != nil {
		return nil, err
	}
	rounds := 3
	if n >= 100_000 {
		rounds = 1
	}
	var out []result
	for _, op := range scaleOps {
		do := func(s *store) func() (int, error) {
			return map[string]func() (int, error){"count": s.count, "list": s.list, "sweep": s.sweep}[op]
		}
		if do(s) == nil {
			continue
		}
		want := n
		if op == "sweep" {
			want = n / 100
		}
		r := result{cell: cell{topic: "many", op: op, clients: 1, value: 200, calls: 1, records: n}, name: s.name, marks: s.mark(op), allocs: -1, memory: -1}
		for round := range rounds + 1 { // the last one counts
			if op == "sweep" {
				if _, err := run(preparers, 0, want, func(_, i int) error { return s.expired(id(n+round*want+i), value) }); err != nil {
					return nil, err
				}
			}
			call := do(s)
			if round == rounds {
				call = do(twin)
			}
			before, began := trips(), time.Now()
			got, err := call()
			if took := time.Since(began); round < rounds {
				r.times = append(r.times, float64(took))
				r.ratios = append(r.ratios, 1)
			} else {
				r.trips = float64(trips() - before)
			}
			if err == nil && got != want {
				err = fmt.Errorf("%s finds %d records, want %d", op, got, want)
			}
			if err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	_, err := run(preparers, 0, n, func(_, i int) error { return s.remove(id(i)) })
	return out, err
}
