package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const megabyte = 1 << 20

// byName returns the value with its parts of 100,000 bytes in the order of their
// numbers as texts: the tenth comes before the second.
func byName(value []byte) []byte {
	parts := slices.Collect(slices.Chunk(value, 100_000))
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(fmt.Append(nil, a), fmt.Append(nil, b)) })
	out := make([]byte, 0, len(value))
	for _, i := range order {
		out = append(out, parts[i]...)
	}
	return out
}

// largeMutants make mistakes with values that their store keeps in parts.
func largeMutants() map[string]mutation {
	cut := func(r *model.Record) { r.Value = r.Value[:min(len(r.Value), megabyte)] }
	return map[string]mutation{
		"the parts of a value are in the order of their names": getMutant(func(_ string, r model.Record, err error) (model.Record, error) {
			r.Value = byName(r.Value)
			return r, err
		}),
		"a shorter value keeps the parts beyond its end": writeMutant(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w *driver.Write) {
			cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID})
			if have := len(cur.Value); err == nil && len(w.Record.Value) > megabyte && have > len(w.Record.Value) {
				w.Record.Value = append(slices.Clone(w.Record.Value), cur.Value[len(w.Record.Value):]...)
			}
		}),
		"a touch of a large value cuts it": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				r, err := b.Get(ctx, now, driver.Get{ID: t.ID})
				if cut(&r); err == nil {
					_, _ = b.Write(ctx, now, driver.Write{Record: r, Cond: driver.IfMatch, Known: r})
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"a get of many cuts large values": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), getMany: func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult {
				out := driver.GetMany(ctx, b, now, driver.Gets(ids...))
				for i := range out {
					cut(&out[i].Record)
				}
				return out
			}}
		}),
		"a listing cuts large values": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			for i := range p.Records {
				cut(&p.Records[i])
			}
			return p, err
		}),
	}
}
