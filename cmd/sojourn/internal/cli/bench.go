package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// timing is the result of one measure in JSON. Times are in microseconds.
type timing struct {
	Op        string  `json:"op"`
	Calls     int     `json:"calls"`
	PerSecond float64 `json:"perSecond"`
	Median    int64   `json:"p50us"`
	P99       int64   `json:"p99us"`
	Slowest   int64   `json:"maxus"`
}

func (a *app) bench() *cobra.Command {
	var lasts time.Duration
	var clients, size, records int
	c := &cobra.Command{
		Use: "bench [URL]", Short: "Measure the calls of a store", Args: cobra.MaximumNArgs(1),
		Long: "Bench measures reads, writes and listings on the server that the URL names, in a\n" +
			"store of its own, which it creates and deletes. It never touches the store of the\n" +
			"URL itself. It loads the server: think before you run it on one that others use.",
		Example: "  sojourn bench 'file:data' --for 20ms --records 50 --clients 2\n  sojourn bench memory: --for 20ms --json",
	}
	c.Flags().DurationVar(&lasts, "for", 2*time.Second, "how long each operation is measured")
	c.Flags().IntVar(&clients, "clients", 1, "clients at the same time")
	c.Flags().IntVar(&size, "size", 1000, "bytes of a value")
	c.Flags().IntVar(&records, "records", 1000, "records in the store")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if lasts <= 0 || clients < 1 || size < 0 || records < clients {
			return usage("--for, --clients and --records must be positive, --records at least --clients, and --size must not be negative")
		}
		o, err := a.ownOf(args, "principal")
		if err != nil {
			return err
		}
		b, err := o.open(c.Context(), freshName("sojourn-bench-"))
		if err != nil {
			return err
		}
		m := &meter{b: b, lasts: lasts, clients: clients, value: make([]byte, size), records: records}
		defer func() { err = errors.Join(err, m.remove(c.Context())) }()
		if err := m.fill(c.Context()); err != nil {
			return err
		}
		t := table{app: a, head: []string{"OPERATION", "CALLS", "PER SECOND", "P50", "P99", "SLOWEST"}}
		for _, op := range m.ops() {
			one, err := m.measure(c.Context(), op)
			if err != nil {
				return err
			}
			if a.json {
				if err := a.line(one); err != nil {
					return err
				}
				continue
			}
			micros := func(n int64) string { return (time.Duration(n) * time.Microsecond).String() }
			t.add(one.Op, fmt.Sprint(one.Calls), fmt.Sprintf("%.0f", one.PerSecond), micros(one.Median), micros(one.P99), micros(one.Slowest))
		}
		return t.flush()
	}
	return c
}

// meter measures the calls of a backend.
type meter struct {
	b       driver.ModelExpirySupport
	lasts   time.Duration
	clients int
	records int
	value   []byte
	made    atomic.Int64
}

func (m *meter) record(id string) model.Record {
	return model.Record{
		ID: id, Revision: model.NewRevision(), ExpiresAt: now().Add(time.Hour), Value: m.value, Encoding: "bytes",
		Labels: map[string]string{"principal": "p" + id[max(0, len(id)-2):]},
	}
}

func (m *meter) fill(ctx context.Context) error {
	if err := driver.CreateStorage(ctx, m.b); err != nil {
		return err
	}
	for at := 0; at < m.records; at += 100 {
		ops := make([]driver.BatchOp, min(100, m.records-at))
		for i := range ops {
			ops[i].Write = &driver.Write{Record: m.record(fmt.Sprint("r", at+i)), Cond: driver.IfAny}
		}
		for _, res := range driver.WriteMany(ctx, m.b, now(), ops) {
			if res.Err != nil {
				return res.Err
			}
		}
	}
	return nil
}

// remove removes the store, also after a signal.
func (m *meter) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := driver.DeleteStorage(ctx, m.b)
	return errors.Join(err, m.b.Close())
}

type measured struct {
	name string
	do   func(ctx context.Context, id string) error
}

func (m *meter) ops() []measured {
	write := func(cond driver.Condition) func(ctx context.Context, id string) error {
		return func(ctx context.Context, id string) error {
			if cond == driver.IfAbsent {
				id = fmt.Sprint("new", m.made.Add(1))
			}
			_, err := m.b.Write(ctx, now(), driver.Write{Record: m.record(id), Cond: cond})
			return err
		}
	}
	return []measured{
		{"get", func(ctx context.Context, id string) error {
			_, err := m.b.Get(ctx, now(), driver.Get{ID: id})
			return err
		}},
		{"create", write(driver.IfAbsent)},
		{"upsert", write(driver.IfAny)},
		{"update", write(driver.IfPresent)},
		{"compare-and-set", func(ctx context.Context, id string) error {
			known, err := m.b.Get(ctx, now(), driver.Get{ID: id})
			if err != nil {
				return err
			}
			_, err = m.b.Write(ctx, now(), driver.Write{Record: m.record(id), Cond: driver.IfMatch, Known: known})
			return err
		}},
		{"touch", func(ctx context.Context, id string) error {
			_, err := m.b.Touch(ctx, now(), driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: now().Add(2 * time.Hour)})
			return err
		}},
		{"list by label", func(ctx context.Context, id string) error {
			_, err := m.b.Page(ctx, now(), driver.Query{Label: "principal", Value: "p" + id[max(0, len(id)-2):], Limit: 100})
			return err
		}},
		{"count", func(ctx context.Context, _ string) error {
			_, err := driver.Count(ctx, m.b, now(), driver.Query{})
			return err
		}},
		{"create and delete", func(ctx context.Context, _ string) error {
			r := m.record(fmt.Sprint("gone", m.made.Add(1)))
			known, err := m.b.Write(ctx, now(), driver.Write{Record: r, Cond: driver.IfAbsent})
			if err != nil {
				return err
			}
			return m.b.Delete(ctx, now(), driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: known})
		}},
	}
}

// measure calls an operation until its time is over. Each client has records of
// its own, so that no call meets another one.
func (m *meter) measure(ctx context.Context, op measured) (timing, error) {
	took := make([][]time.Duration, m.clients)
	errs := make([]error, m.clients)
	begin := time.Now()
	var wg sync.WaitGroup
	for client := range m.clients {
		wg.Go(func() {
			for i := client; ; i += m.clients {
				if i >= m.records {
					i = client
				}
				at := time.Now()
				if errs[client] = op.do(ctx, fmt.Sprint("r", i)); errs[client] != nil {
					return
				}
				took[client] = append(took[client], time.Since(at))
				if time.Since(begin) >= m.lasts {
					return
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	if err := errors.Join(errs...); err != nil {
		return timing{}, fmt.Errorf("%s: %w", op.name, err)
	}
	slices.Sort(all)
	at := func(part float64) int64 { return all[int(part*float64(len(all)-1))].Microseconds() }
	return timing{
		Op: op.name, Calls: len(all), PerSecond: float64(len(all)) / time.Since(begin).Seconds(),
		Median: at(0.5), P99: at(0.99), Slowest: at(1),
	}, nil
}
