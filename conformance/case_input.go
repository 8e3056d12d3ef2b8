package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// strangeIDs are all legal, all distinct.
func strangeIDs() []string {
	ids := []string{
		".", "..", "...", "a/b", "a//b", "/a", "a/", "../a", "a/../b", "./a", `a\b`, `\`, "/",
		"a", "A", "aA", "Aa", " ", "  ", " a", "a ", "a b", "\t", "\n", "a\r\nb", "\x01", "\x7f",
		"%", "%2f", "%2F", "a%2fb", "%%", "{}", "{a}", "a{b}c", "}{", "{", ":", "a:b", "::", "*", "?", "[a]", "a*",
		"_", "_a", "__", "-", "-a", "--", "~", "~a", "+", "a+b", "&", "a&b=c", "#", "a#b", "=", "'", `"`, "`", "$", "$a", "a.b", ".a", "a.", "@", "!", ",", ";", "|", "<a>", "^",
		"con", "CON", "nul", "aux.txt", "com1", "null", "true", "0", "-1", "1e3",
		"é", "e\u0301", "É", "ß", "ẞ", "ı", "I", "ﬁ", "日本語", "😀", "👩‍👩‍👧", "\u202e", "\u00a0", "\ufeff", "\u2028", "\U0010ffff",
		"i", "x", "r", "l", "m", "meta", "index", "principal", "r:a", "i:a", "l:principal", "h0", "ia", "a.tmp", "lock",
		"\uffff", "a\uffff",
	}
	long := strings.Repeat("x", model.MaxID)
	return append(ids, long, long[1:], "y"+long[1:], strings.Repeat("é", model.MaxID/2), strings.Repeat("/", model.MaxID),
		strings.Repeat("X", model.MaxID), strings.Repeat(".", 300), strings.Repeat("a/", 200), strings.Repeat("😀", 128))
}

func idCases() []Case {
	return group("ID",
		that("EveryLegalStringIsAnIDOfItsOwn", "R7 R13", func(c *C) {
			ids := strangeIDs()
			recs := make([]model.Record, len(ids))
			for i, id := range ids {
				recs[i] = c.put(c.rec(id, fmt.Sprint("value ", i), time.Hour))
			}
			for _, r := range recs {
				c.holds(r)
			}
		}),
		thatPages("EveryLegalIDIsListedAsItIs", "R7 R42", func(c *C) {
			ids := strangeIDs()
			for _, id := range ids {
				c.put(c.rec(id, "v", time.Hour))
			}
			c.ids(c.list(driver.Query{Limit: 10}), ids...)
		}),
		thatLabels("EveryLegalIDIsFoundByItsLabel", "R7 R46", func(c *C) {
			ids := strangeIDs()
			for _, id := range ids {
				c.put(c.labelled(id, "v", "ann", time.Hour))
			}
			c.ids(c.list(driver.Query{Label: "principal", Value: "ann", Limit: 10}), ids...)
		}),
		thatSweeps("EveryLegalIDIsSwept", "R7 R50", func(c *C) {
			ids := strangeIDs()
			for _, id := range ids {
				c.put(c.labelled(id, "v", "ann", time.Minute))
			}
			c.advance(time.Minute)
			if n := c.sweep(25); n != len(ids) {
				c.fail("%d removed, want %d", n, len(ids))
			}
		}),
		that("EveryLegalIDIsTouchedAndDeleted", "R7 R38 R30", func(c *C) {
			ids := strangeIDs()
			for _, id := range ids {
				c.put(c.rec(id, "v", time.Hour))
			}
			for _, id := range ids {
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour)})
				c.ok(err, "touch %q", id)
				c.del(id)
				c.gone(id)
			}
		}),
	)
}

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
		that("BadIDsAreInvalid", "R61", func(c *C) {
			s := storeOf[doc](c, nil)
			for _, id := range []string{"", strings.Repeat("x", model.MaxID+1), "a\x00b", "\x00", "\xff", "a\xc3\x28"} {
				for op, err := range calls(c, s, id) {
					c.is(err, model.ErrInvalid, "%s of %q", op, id)
				}
			}
		}),
		that("BadIDsInManyAreErrorsOfTheirOwn", "R61 R80", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			got, err := s.GetMany(c.ctx(), []string{"", "a", "\xff"})
			c.ok(err, "GetMany")
			c.is(got[0].Err, model.ErrInvalid, "the empty id")
			c.ok(got[1].Err, "the good id")
			c.is(got[2].Err, model.ErrInvalid, "the id that is no UTF-8")
		}),
		thatLabels("BadLabelsAreInvalid", "R61", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "live", doc{}, nil)
			c.ok(err, "create")
			for what, labels := range map[string]map[string]string{
				"undeclared":  {"colour": "red"},
				"empty value": {"principal": ""},
				"long value":  {"principal": strings.Repeat("x", model.MaxLabel+1)},
				"no UTF-8":    {"principal": "\xff"},
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
				c.fail("a refused write changed the value to %v", it.Value)
			}
			_, err = s.Count(c.ctx(), &expiry.ListOptions{Label: "colour", Value: "red"})
			c.is(err, model.ErrInvalid, "count by an undeclared label")
			_, err = s.DeleteByLabel(c.ctx(), "principal", "")
			c.is(err, model.ErrInvalid, "delete by an empty label")
			_, err = s.DeleteByLabel(c.ctx(), "", "x")
			c.is(err, model.ErrInvalid, "delete by no label")
		}),
		that("BadExpiriesAreInvalid", "R61", func(c *C) {
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
				c.fail("a refused call left %v until %v", it.Value, it.ExpiresAt)
			}
		}),
		that("BadVersionsAreInvalid", "R61 R29", func(c *C) {
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
			c.is(err, model.ErrInvalid, "update at the version of a zero item")
			good := expiry.AtRevision(model.NewRevision())
			_, err = s.Create(c.ctx(), "b", doc{}, &expiry.WriteOptions{IfMatch: good})
			c.is(err, model.ErrInvalid, "create at a version")
			_, err = s.Upsert(c.ctx(), "a", doc{}, &expiry.WriteOptions{IfMatch: good})
			c.is(err, model.ErrInvalid, "upsert at a version")
			it, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if it.Value.N != 1 {
				c.fail("a refused call left %v", it.Value)
			}
		}),
		that("BadPagesAreInvalid", "R61 R45", func(c *C) {
			s := storeOf[doc](c, nil)
			for what, o := range map[string]expiry.ListOptions{
				"negative size": {PageSize: -1}, "huge size": {PageSize: 1001}, "foreign token": {After: "nonsense"}, "value without label": {Value: "x"},
			} {
				_, err := s.Page(c.ctx(), &o)
				c.is(err, model.ErrInvalid, "page: %s", what)
			}
		}),
		that("ValuesThatCannotBeEncodedAreInvalid", "R64 R61", func(c *C) {
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
		that("ValuesAtTheLimit", "R8", func(c *C) {
			limit := c.b.Describe().MaxValue
			if limit == 0 || limit > 64<<20 {
				// No limit of the backend's own that a test could reach: then a
				// value over any server's usual limit is stored.
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

func errorCases() []Case {
	return group("Error",
		that("NamesOperationBackendAndID", "R62", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Get(c.ctx(), "nobody")
			c.is(err, model.ErrNotFound, "get")
			var e *model.Error
			if !errors.As(err, &e) {
				c.fail("%T is no *model.Error", err)
			}
			if e.Op != "Get" || e.ID != "nobody" || e.Backend != c.b.Describe().Backend {
				c.fail("the error says %q %q %q", e.Op, e.Backend, e.ID)
			}
			var inner *model.Error
			if errors.As(e.Err, &inner) {
				c.fail("wrapped twice: %v", err)
			}
		}),
		that("KindsAreDistinct", "R62", func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			_, err = s.Create(c.ctx(), "a", doc{}, nil)
			c.is(err, model.ErrExists, "create twice")
			_, err = s.Update(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "update")
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{IfMatch: it.Known()})
			c.is(err, model.ErrConflict, "update at an old version")
			_, err = s.Update(c.ctx(), "b", doc{}, nil)
			c.is(err, model.ErrNotFound, "update of an unknown id")
			_, err = s.Update(c.ctx(), "", doc{}, nil)
			c.is(err, model.ErrInvalid, "update of the empty id")
		}),
		that("TextHasNoValue", "R62", func(c *C) {
			const secret = "hunter2-secret"
			s := storeOf[map[string]any](c, nil)
			ints := storeOf[int](c, nil)
			_, err := s.Create(c.ctx(), "a", map[string]any{"password": secret, "n": 918273645}, nil)
			c.ok(err, "create")
			_, exists := s.Create(c.ctx(), "a", map[string]any{"password": secret}, nil)
			_, corrupt := ints.Get(c.ctx(), "a")
			c.is(corrupt, model.ErrCorrupt, "get as another type")
			_, invalid := s.Create(c.ctx(), "b", map[string]any{"password": secret, "f": func() {}}, nil)
			_, missing := s.Update(c.ctx(), "c", map[string]any{"password": secret}, nil)
			for _, err := range []error{exists, corrupt, invalid, missing} {
				if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "918273645") {
					c.fail("the error is: %v", err)
				}
			}
		}),
	)
}

func nan() float64 { var zero float64; return zero / zero }
