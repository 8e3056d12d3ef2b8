package conformance

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

type doc struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

func inputCases() []Case {
	calls := func(c *C, s *expiry.Store[doc], id string) map[string]error {
		_, get := s.Get(c.ctx(), id)
		_, create := s.Create(c.ctx(), id, doc{}, nil)
		_, update := s.Update(c.ctx(), id, doc{}, nil)
		_, upsert := s.Upsert(c.ctx(), id, doc{}, nil)
		_, partial := s.UpdatePartial(c.ctx(), id, map[string]any{"n": 1}, nil)
		_, mutate := s.Mutate(c.ctx(), id, func(*doc) error { return nil }, nil)
		_, take := s.Take(c.ctx(), id)
		_, touch := s.Touch(c.ctx(), id, expiry.After(time.Hour), nil)
		return map[string]error{
			"Get": get, "Create": create, "Update": update, "Upsert": upsert, "UpdatePartial": partial,
			"Mutate": mutate, "Take": take, "Touch": touch, "Delete": s.Delete(c.ctx(), id, nil),
		}
	}
	return group("Input",
		that("BadIDsAreInvalid", "R61", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			for _, id := range []string{"", strings.Repeat("x", model.MaxID+1), "a\x00b", "\x00", "\xff", "a\xc3\x28"} {
				for op, err := range calls(c, s, id) {
					c.is(err, model.ErrInvalid, "%s of %q", op, id)
				}
			}
		}),
		that("BadIDsInManyAreErrorsOfTheirOwn", "R61 R80", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			got, err := s.GetMany(c.ctx(), []string{"", "a", "\xff"})
			c.ok(err, "GetMany")
			c.is(got[0].Err, model.ErrInvalid, "the empty id")
			c.ok(got[1].Err, "the good id")
			c.is(got[2].Err, model.ErrInvalid, "the id that is not UTF-8")
		}),
		that("BadLabelsAreInvalid", "R61", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "live", doc{}, nil)
			c.ok(err, "create")
			for what, labels := range map[string]map[string]string{
				"undeclared":  {"colour": "red"},
				"empty value": {"principal": ""},
				"long value":  {"principal": strings.Repeat("x", model.MaxLabel+1)},
				"not UTF-8":   {"principal": "\xff"},
				"NUL":         {"principal": "a\x00"},
				"empty name":  {"": "x"},
			} {
				opts := &expiry.WriteOptions{Labels: labels}
				_, err := s.Create(c.ctx(), "a", doc{}, opts)
				c.is(err, model.ErrInvalid, "create with a label: %s", what)
				_, err = s.Update(c.ctx(), "live", doc{N: 2}, opts)
				c.is(err, model.ErrInvalid, "update with a label: %s", what)
				_, err = s.Upsert(c.ctx(), "live", doc{N: 2}, opts)
				c.is(err, model.ErrInvalid, "upsert with a label: %s", what)
			}
			c.gone("a")
			it, err := s.Get(c.ctx(), "live")
			c.ok(err, "get")
			if it.Value.N != 0 {
				c.fail("an invalid write changed the value to %v", it.Value)
			}
			_, err = s.Count(c.ctx(), &expiry.ListOptions{Label: "colour", Value: "red"})
			c.is(err, model.ErrInvalid, "count by an undeclared label")
			_, err = s.DeleteByLabel(c.ctx(), "principal", "")
			c.is(err, model.ErrInvalid, "delete by an empty label")
			_, err = s.DeleteByLabel(c.ctx(), "", "x")
			c.is(err, model.ErrInvalid, "delete by no label")
		}),
		that("BadExpiriesAreInvalid", "R61", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "live", doc{N: 1}, nil)
			c.ok(err, "create")
			for what, e := range map[string]expiry.Expiry{
				"now":         expiry.At(c.now),
				"past":        expiry.At(c.in(-time.Millisecond)),
				"long past":   expiry.At(time.Unix(1, 0)),
				"before 1970": expiry.At(time.Unix(-1, 0)),
				"zero time":   expiry.At(time.Time{}),
				"year 10000":  expiry.At(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
				"after zero":  expiry.After(0),
				"after -1":    expiry.After(-time.Second),
			} {
				opts := &expiry.WriteOptions{Expiry: e}
				_, err := s.Create(c.ctx(), "a", doc{}, opts)
				c.is(err, model.ErrInvalid, "create with an expiry: %s", what)
				_, err = s.Update(c.ctx(), "live", doc{N: 2}, opts)
				c.is(err, model.ErrInvalid, "update with an expiry: %s", what)
				_, err = s.Touch(c.ctx(), "live", e, nil)
				c.is(err, model.ErrInvalid, "touch with an expiry: %s", what)
			}
			_, err = s.Create(c.ctx(), "a", doc{}, &expiry.WriteOptions{Expiry: expiry.Keep()})
			c.is(err, model.ErrInvalid, "create that keeps an expiry")
			_, err = s.Upsert(c.ctx(), "live", doc{}, &expiry.WriteOptions{Expiry: expiry.Keep()})
			c.is(err, model.ErrInvalid, "upsert that keeps an expiry")
			_, err = s.Touch(c.ctx(), "live", expiry.Keep(), nil)
			c.is(err, model.ErrInvalid, "touch that keeps the expiry")
			_, err = s.Touch(c.ctx(), "live", expiry.Never(), &expiry.TouchOptions{Extend: true})
			c.is(err, model.ErrInvalid, "touch that extends to never")
			c.gone("a")
			it, err := s.Get(c.ctx(), "live")
			c.ok(err, "get")
			if it.Value.N != 1 || !it.ExpiresAt.IsZero() {
				c.fail("invalid calls left the value %v and the expiry %v, want 1 and none", it.Value, it.ExpiresAt)
			}
		}),
		that("BadKnownRevisionsAreInvalid", "R61 R29", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			zero := expiry.AtRevision(model.Revision{})
			opts := &expiry.WriteOptions{IfMatch: zero}
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, opts)
			c.is(err, model.ErrInvalid, "update at no revision")
			_, err = s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, opts)
			c.is(err, model.ErrInvalid, "mutate at no revision")
			c.is(s.Delete(c.ctx(), "a", &expiry.DeleteOptions{IfMatch: zero}), model.ErrInvalid, "delete at no revision")
			var none expiry.Item[doc]
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{IfMatch: none.Known()})
			c.is(err, model.ErrInvalid, "update at the revision of a zero item")
			good := expiry.AtRevision(model.NewRevision())
			_, err = s.Create(c.ctx(), "b", doc{}, &expiry.WriteOptions{IfMatch: good})
			c.is(err, model.ErrInvalid, "create at a revision")
			_, err = s.Upsert(c.ctx(), "a", doc{}, &expiry.WriteOptions{IfMatch: good})
			c.is(err, model.ErrInvalid, "upsert at a revision")
			it, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if it.Value.N != 1 {
				c.fail("invalid calls left the value %v, want 1", it.Value)
			}
		}),
		that("BadPagesAreInvalid", "R61 R45", needPaging, func(c *C) {
			s := storeOf[doc](c, nil)
			for what, o := range map[string]expiry.ListOptions{
				"negative size": {PageSize: -1}, "huge size": {PageSize: 1001}, "invented token": {After: "nonsense"}, "value without label": {Value: "x"},
			} {
				_, err := s.Page(c.ctx(), &o)
				c.is(err, model.ErrInvalid, "page: %s", what)
			}
		}),
		that("ValuesThatCannotBeEncodedAreInvalid", "R64 R61", needNothing, func(c *C) {
			s := storeOf[any](c, nil)
			_, err := s.Create(c.ctx(), "live", 1, nil)
			c.ok(err, "create")
			for what, v := range map[string]any{"channel": make(chan int), "function": func() {}, "NaN": nan(), "complex": complex(1, 1)} {
				_, err := s.Create(c.ctx(), "a", v, nil)
				c.is(err, model.ErrInvalid, "create of a %s", what)
				_, err = s.Update(c.ctx(), "live", v, nil)
				c.is(err, model.ErrInvalid, "update to a %s", what)
				_, err = s.UpdatePartial(c.ctx(), "live", map[string]any{"x": v}, nil)
				c.is(err, model.ErrInvalid, "partial update with a %s", what)
			}
			c.gone("a")
		}),
		that("ValuesAtTheLimit", "R8", needNothing, func(c *C) {
			limit := c.b.Describe().MaxValue
			if limit == 0 || limit > 64<<20 {
				// The backend has no limit that a test can reach. A value over the
				// usual limit of servers must be stored.
				c.holds(c.put(c.rec("a", strings.Repeat("x", 1<<20), time.Hour)))
				return
			}
			c.holds(c.put(c.rec("a", strings.Repeat("x", limit), time.Hour)))
			_, err := c.write(c.rec("b", strings.Repeat("x", limit+1), time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrTooLarge, "create one byte over the limit")
			c.gone("b")
		}),
	)
}

func nan() float64 { var zero float64; return zero / zero }
