package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sojourn is a Store with values as they are, on any backend. The end of the store
// calls after, which ends the client.
func sojourn(ctx context.Context, backend driver.ModelExpirySupport, after func() error) (*store, error) {
	st, err := expiry.NewStore[[]byte](backend, &expiry.StoreOptions{TTL: life, Codec: expiry.Bytes()})
	if err != nil {
		return nil, err
	}
	if err := st.CreateStorage(ctx); err != nil {
		return nil, err
	}
	// The sweeper's clock is fast. So records expire for it alone, whenever it sweeps.
	sweeper, err := expiry.NewStore[[]byte](backend, &expiry.StoreOptions{
		Codec: expiry.Bytes(), Grace: -1, Clock: expiry.ClockFunc(func() time.Time { return time.Now().Add(life / 2) }),
	})
	if err != nil {
		return nil, err
	}
	var known sync.Map // *expiry.Known by id
	return &store{
		name: "Sojourn",
		create: func(id string, value []byte) error {
			_, err := st.Create(ctx, id, value, nil)
			return err
		},
		get: func(id string) (int, error) {
			item, err := st.Get(ctx, id)
			if errors.Is(err, model.ErrNotFound) {
				return 0, nil
			}
			return len(item.Value), err
		},
		update: func(id string, value []byte) error {
			_, err := st.Update(ctx, id, value, nil)
			return err
		},
		compare: func(id string, value []byte) error {
			last, ok := known.Load(id)
			if !ok {
				item, err := st.Get(ctx, id)
				if err != nil {
					return err
				}
				last = item.Known()
			}
			item, err := st.Update(ctx, id, value, &expiry.WriteOptions{IfMatch: last.(*expiry.Known)})
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			known.Store(id, item.Known())
			return nil
		},
		touch: func(id string, _ []byte) error {
			_, err := st.Touch(ctx, id, expiry.After(life), nil)
			return err
		},
		remove: func(id string) error { return st.Delete(ctx, id, nil) },
		count:  func() (int, error) { return st.Count(ctx, nil) },
		list: func() (int, error) {
			n := 0
			for _, err := range st.All(ctx, &expiry.ListOptions{PageSize: 1000}) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
		expired: func(id string, value []byte) error {
			_, err := st.Create(ctx, id, value, &expiry.WriteOptions{Expiry: expiry.After(life / 3)})
			return err
		},
		sweep: func() (int, error) {
			for n := 0; ; {
				swept, err := sweeper.DeleteExpired(ctx, nil)
				n += swept.Removed
				if err != nil || !swept.More {
					return n, err
				}
			}
		},
		close: func() error { return errors.Join(st.DeleteStorage(ctx), st.Close(), after()) },
	}, nil
}
