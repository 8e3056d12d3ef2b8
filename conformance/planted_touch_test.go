package conformance_test

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// touchBug changes a touch before it is carried out, or its answer.
func touchBug(change func(t *expiry.Touch), answer func(t *expiry.Touch, before, after model.Record) model.Record) plant {
	return simply(func(b expiry.ModelExpirySupport, _ string) *broken {
		return &broken{ModelExpirySupport: b, touch: func(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
			before, _ := b.Get(ctx, now, t.ID)
			if change != nil {
				change(&t)
			}
			r, err := b.Touch(ctx, now, t)
			if err == nil && answer != nil {
				r = answer(&t, before, r)
			}
			return r, err
		}}
	})
}

// deleteBug changes a delete before it is carried out.
func deleteBug(change func(c *model.Cond, prev *model.Record)) plant {
	return simply(func(b expiry.ModelExpirySupport, _ string) *broken {
		return &broken{ModelExpirySupport: b, delete: func(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
			change(&c, &prev)
			return b.Delete(ctx, now, id, c, prev)
		}}
	})
}

func touchBugs() map[string]plant {
	return map[string]plant{
		"set never shortens": touchBug(func(t *expiry.Touch) {
			if t.Mode == expiry.Set {
				t.Mode = expiry.Extend
			}
		}, nil),
		"extend shortens": touchBug(func(t *expiry.Touch) {
			if t.Mode == expiry.Extend {
				t.Mode = expiry.Set
			}
		}, nil),
		"extend gives an end to what had none": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, touch: func(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
				if cur, err := b.Get(ctx, now, t.ID); err == nil && cur.ExpiresAt.IsZero() && t.Mode == expiry.Extend {
					t.Mode = expiry.Set
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"clear is a long time": touchBug(func(t *expiry.Touch) {
			if t.Mode == expiry.Clear {
				t.Mode, t.ExpiresAt = expiry.Set, time.Now().Add(400*24*time.Hour)
			}
		}, nil),
		"a touch revives what has expired": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, touch: func(ctx context.Context, _ time.Time, t expiry.Touch) (model.Record, error) {
				return b.Touch(ctx, time.Time{}, t)
			}}
		}),
		"a touch answers with the expiry of before": touchBug(nil, func(_ *expiry.Touch, before, after model.Record) model.Record {
			after.ExpiresAt = before.ExpiresAt
			return after
		}),
		"a touch without a mode clears": touchBug(func(t *expiry.Touch) {
			if t.Mode == 0 {
				t.Mode = expiry.Clear
			}
		}, nil),
		"a delete of any revision compares": deleteBug(func(c *model.Cond, prev *model.Record) {
			if *c == model.Live && !prev.Rev.IsZero() {
				*c = model.Match
			}
		}),
		"a delete ignores the revision": deleteBug(func(c *model.Cond, prev *model.Record) {
			if *c == model.Match && !prev.Rev.IsZero() {
				*c = model.Live
			}
		}),
		"a delete takes any condition": deleteBug(func(c *model.Cond, _ *model.Record) {
			if *c == model.Always {
				*c = model.Live
			}
		}),
	}
}
