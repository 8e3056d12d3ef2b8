package conformance_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// like reports whether the text matches a pattern of SQL.
func like(text, pattern string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '%':
		return like(text, pattern[1:]) || text != "" && like(text[1:], pattern)
	case text == "":
		return false
	case pattern[0] == '_':
		_, n := utf8.DecodeRuneInString(text)
		return like(text[n:], pattern[1:])
	}
	return text[0] == pattern[0] && like(text[1:], pattern[1:])
}

// sameNumber reports whether two texts are the same, or the same number.
func sameNumber(a, b string) bool {
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return a == b || digits(a) && digits(b) && strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0")
}

// comparing lists by label what is the same in the backend's own way. It has no
// pages.
func comparing(same func(have, want string) bool) mutation {
	return pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
		if q.Label == "" {
			return b.Page(ctx, now, q)
		}
		all, err := whole(ctx, b, now, driver.Query{KeysOnly: q.KeysOnly})
		all = slices.DeleteFunc(all, func(r model.Record) bool { return !same(r.Labels[q.Label], q.Value) })
		return driver.Page{Records: all}, err
	})
}

// wall returns a time as a column without a zone keeps it.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// exactMutants are what outside authors got wrong, who trusted a column, a
// client or a comparison of their store.
func exactMutants() map[string]mutation {
	none := map[string]string{}
	return map[string]mutation{
		"a text column loses the ends of lines": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			w.Record.Value = bytes.ReplaceAll(w.Record.Value, []byte("\r\n"), []byte("\n"))
		}),
		"the name of an encoding has no capitals": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			w.Record.Encoding = strings.ToLower(w.Record.Encoding)
		}),
		"the values of a page share an array": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			var all []byte
			for _, r := range p.Records {
				all = append(all, r.Value...)
			}
			for i, at := 0, 0; i < len(p.Records); i++ {
				n := len(p.Records[i].Value)
				p.Records[i].Value = all[at : at+n]
				at += n
			}
			return p, err
		}),
		"records without labels share a map": getMutant(func(_ string, r model.Record, err error) (model.Record, error) {
			if len(r.Labels) == 0 {
				r.Labels = none
			}
			return r, err
		}),
		"a label's value is a pattern": comparing(like),
		"a label's value is a number":  comparing(sameNumber),
		"get ignores the zone of the clock": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				return b.Get(ctx, wall(now), driver.Get{ID: id})
			}}
		}),
		"a sweep ignores the zone of the clock": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			return b.DeleteExpired(ctx, driver.Sweep{Before: wall(before), Limit: limit, OnExpire: onExpire})
		}),
		"a listing is as of its first page": sharing(func() bug {
			var mu sync.Mutex
			var began time.Time
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					mu.Lock()
					defer mu.Unlock()
					if q.After == "" {
						began = now
					}
					return b.Page(ctx, began, q)
				}}
			}
		}),
		"a write of no value keeps the one of before": writeMutant(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w *driver.Write) {
			if cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil && len(w.Record.Value) == 0 {
				w.Record.Value = cur.Value
			}
		}),
		"an upsert over an expired record keeps its labels": writeMutant(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w *driver.Write) {
			cur, err := b.Get(ctx, time.Unix(1, 0), driver.Get{ID: w.Record.ID})
			if err == nil && cur.Expired(now) && w.Cond == driver.IfAny && len(w.Record.Labels) == 0 {
				w.Record.Labels = maps.Clone(cur.Labels)
			}
		}),
		"a context's cause is returned for its error": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				if ctx.Err() != nil {
					return model.Record{}, context.Cause(ctx)
				}
				return b.Get(ctx, now, driver.Get{ID: id})
			}}
		}),
	}
}
