package conformance

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/model"
)

// partial stores the JSON before, updates the fields, and stops the case
// unless the stored JSON is want.
func partial(c *C, before string, fields map[string]any, want string) {
	c.Helper()
	id := fmt.Sprint("id", c.now.UnixNano())
	c.advance(time.Millisecond)
	c.put(c.rec(id, before, 0))
	s := storeOf[map[string]json.RawMessage](c, nil)
	_, err := s.UpdatePartial(c.ctx(), id, fields, nil)
	c.ok(err, "partial update of %s", before)
	if got := string(c.get(id).Value); got != want {
		c.fail("%s became %s, want %s", before, got, want)
	}
}

func partialCases() []Case {
	return group("Partial",
		that("LeavesTheOtherFields", "R74", needNothing, func(c *C) {
			partial(c, `{"a":1,"b":2,"c":3}`, map[string]any{"b": 20}, `{"a":1,"b":20,"c":3}`)
		}),
		that("LeavesTheBytesOfOtherFields", "R74", needNothing, func(c *C) {
			partial(c, `{"n":1.10,"big":9007199254740993,"t":"<\u00e9>","o":{ "y":1 , "x":[ ]},"b":2}`, map[string]any{"b": 3},
				`{"n":1.10,"big":9007199254740993,"t":"<\u00e9>","o":{ "y":1 , "x":[ ]},"b":3}`)
		}),
		that("ReplacesANestedObjectWhole", "R75", needNothing, func(c *C) {
			partial(c, `{"o":{"a":1,"b":2}}`, map[string]any{"o": map[string]int{"c": 3}}, `{"o":{"c":3}}`)
		}),
		that("ReplacesAnArrayWhole", "R75", needNothing, func(c *C) {
			partial(c, `{"l":[1,2,3]}`, map[string]any{"l": []int{9}}, `{"l":[9]}`)
		}),
		that("AddsAFieldThatWasAbsent", "R75", needNothing, func(c *C) {
			partial(c, `{"a":1}`, map[string]any{"o": map[string]int{"x": 1}, "b": "text"}, `{"a":1,"b":"text","o":{"x":1}}`)
			partial(c, `{}`, map[string]any{"a": 1}, `{"a":1}`)
		}),
		that("RemovesFieldsThatAreNil", "R75 R74", needNothing, func(c *C) {
			partial(c, `{"a":1,"b":2,"c":3}`, map[string]any{"b": nil}, `{"a":1,"c":3}`)
			partial(c, `{"a":1}`, map[string]any{"a": nil, "never": nil}, `{}`)
		}),
		that("KeepsNewlinesAndOtherText", "R75", needNothing, func(c *C) {
			partial(c, `{"a":"x"}`, map[string]any{"b": "line\nbreak\ttab"}, `{"a":"x","b":"line\nbreak\ttab"}`)
		}),
		that("OfNamesWithDotsAndDollars", "R75", needNothing, func(c *C) {
			partial(c, `{"a":{"b":1},"a.b":2,"$set":3}`, map[string]any{"a.b": 20, "$set": 30}, `{"a":{"b":1},"a.b":20,"$set":30}`)
		}),
		that("OfAnUnknownIDIsNotFound", "R14 R4", needNothing, func(c *C) {
			_, err := storeOf[doc](c, nil).UpdatePartial(c.ctx(), "a", map[string]any{"n": 1}, nil)
			c.is(err, model.ErrNotFound, "partial update")
			c.gone("a")
		}),
		that("OfAValueThatIsNotAnObjectIsInvalid", "R61", needNothing, func(c *C) {
			for i, v := range []string{`[1]`, `"text"`, `1`, `null`} {
				id := fmt.Sprint(i)
				r := c.put(c.rec(id, v, time.Hour))
				_, err := storeOf[any](c, nil).UpdatePartial(c.ctx(), id, map[string]any{"n": 1}, nil)
				c.is(err, model.ErrInvalid, "partial update of %s", v)
				c.holds(r)
			}
		}),
		that("ThatDoesNotFitTheTypeIsInvalid", "R61", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			_, err = s.UpdatePartial(c.ctx(), "a", map[string]any{"n": "text"}, nil)
			c.is(err, model.ErrInvalid, "partial update to another type")
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 1 {
				c.fail("an invalid update left the value %v, want 1", got.Value)
			}
		}),
		that("ByManyAtOnceLosesNothing", "R72 R74", needNothing, func(c *C) {
			s := storeOf[map[string]int](c, nil)
			_, err := s.Create(c.ctx(), "a", map[string]int{}, nil)
			c.ok(err, "create")
			for i, err := range c.concurrently(16, func(i int) error {
				_, err := s.UpdatePartial(c.ctx(), "a", map[string]any{fmt.Sprint("k", i): i}, nil)
				return err
			}) {
				c.ok(err, "partial update %d", i)
			}
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if len(got.Value) != 16 {
				c.fail("the record has %d of 16 fields", len(got.Value))
			}
		}),
		that("OfANameThatTheTypeSpellsOtherwiseIsInvalid", "R61 R28", needNothing, func(c *C) {
			// encoding/json ignores case: the update would be acknowledged, and the
			// stored field would win.
			s := storeOf[doc](c, nil)
			r := c.put(c.rec("a", `{"name":"x","n":1}`, 0))
			for _, name := range []string{"Name", "NAME", "nope", "n\xff"} {
				_, err := s.UpdatePartial(c.ctx(), "a", map[string]any{name: 2}, nil)
				c.is(err, model.ErrInvalid, "partial update of %q", name)
				if utf8.ValidString(name) && name != "nope" {
					_, err = s.UpdatePartial(c.ctx(), "a", map[string]any{name: nil}, nil)
					c.is(err, model.ErrInvalid, "removal of %q", name)
				}
			}
			c.holds(r)
		}),
		that("OfANameThatIsStoredOtherwiseIsInvalid", "R61 R28", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			r := c.put(c.rec("a", `{"NAME":"x","n":1}`, 0))
			for _, v := range []any{"y", nil} {
				_, err := s.UpdatePartial(c.ctx(), "a", map[string]any{"name": v}, nil)
				c.is(err, model.ErrInvalid, "partial update of a field that is stored as NAME")
			}
			c.holds(r)
			// A map keeps both names apart.
			m := storeOf[map[string]json.RawMessage](c, nil)
			_, err := m.UpdatePartial(c.ctx(), "a", map[string]any{"name": "y"}, nil)
			c.ok(err, "partial update of a map")
			if got := string(c.get("a").Value); got != `{"NAME":"x","n":1,"name":"y"}` {
				c.fail("the map became %s", got)
			}
		}),
	)
}
