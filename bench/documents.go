package bench

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"

	"gocloud.dev/docstore"
	"gocloud.dev/gcerrors"
)

// documents is gocloud.dev's docstore on any of its drivers. Every update is
// conditional: it takes the revision from the document that it is given.
func documents(ctx context.Context, name, key string, c *docstore.Collection, end func() error) *store {
	doc := func(id string, value []byte) map[string]any { return map[string]any{key: id, "value": value} }
	var known sync.Map // the last document by id
	update := func(id string, value []byte) error {
		var next map[string]any
		if last, ok := known.Load(id); ok {
			next = maps.Clone(last.(map[string]any))
		} else {
			next = map[string]any{key: id}
			if err := c.Get(ctx, next); err != nil {
				return err
			}
		}
		next["value"] = value
		if err := c.Replace(ctx, next); err != nil {
			return err
		}
		known.Store(id, next)
		return nil
	}
	each := func(fields ...docstore.FieldPath) (int, error) {
		all := c.Query().Get(ctx, fields...)
		defer all.Stop()
		for n := 0; ; n++ {
			if err := all.Next(ctx, map[string]any{}); errors.Is(err, io.EOF) {
				return n, nil
			} else if err != nil {
				return n, err
			}
		}
	}
	return &store{
		name:   name,
		marks:  map[string]string{"": endless},
		create: func(id string, value []byte) error { return c.Create(ctx, doc(id, value)) },
		get: func(id string) (int, error) {
			got := map[string]any{key: id}
			err := c.Get(ctx, got)
			if gcerrors.Code(err) == gcerrors.NotFound {
				return 0, nil
			}
			value, _ := got["value"].([]byte)
			return len(value), err
		},
		update:  func(id string, value []byte) error { return c.Replace(ctx, doc(id, value)) },
		compare: update,
		touch: func(id string, _ []byte) error {
			return c.Update(ctx, map[string]any{key: id}, docstore.Mods{"touched": "later"})
		},
		remove: func(id string) error { return c.Delete(ctx, map[string]any{key: id}) },
		list:   func() (int, error) { return each() },
		close:  func() error { return errors.Join(c.Close(), end()) },
	}
}
