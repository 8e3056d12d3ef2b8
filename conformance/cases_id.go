package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// unusualIDs returns ids that are all legal and all distinct.
func unusualIDs() []string {
	ids := []string{
		".", "..", "...", "a/b", "a//b", "/a", "a/", "../a", "a/../b", "./a", `a\b`, `\`, "/",
		"a", "A", "aA", "Aa", " ", "  ", " a", "a ", "a b", "\t", "\n", "a\r\nb", "\x01", "\x7f",
		"%", "%2f", "%2F", "a%2fb", "%%", "{}", "{a}", "a{b}c", "}{", "{", ":", "a:b", "::", "*", "?", "[a]", "a*",
		"_", "_a", "__", "-", "-a", "--", "~", "~a", "+", "a+b", "&", "a&b=c", "#", "a#b", "=", "'", `"`, "`", "$", "$a", "a.b", ".a", "a.", "@", "!", ",", ";", "|", "<a>", "^",
		"con", "CON", "nul", "aux.txt", "com1", "null", "true", "0", "00", "1", "01", "1.0", "1000", "-1", "1e3", "Null",
		"é", "e\u0301", "É", "ß", "ẞ", "ı", "I", "ﬁ", "日本語", "😀", "😁", "👩‍👩‍👧", "\u202e", "\u00a0", "\ufeff", "\u2028", "\U0010ffff",
		"i", "x", "r", "l", "m", "meta", "index", "principal", "r:a", "i:a", "l:principal", "h0", "ia", "a.tmp", "lock",
		"\uffff", "a\uffff",
	}
	long := strings.Repeat("x", model.MaxID)
	return append(ids, long, long[1:], "y"+long[1:], strings.Repeat("é", model.MaxID/2), strings.Repeat("/", model.MaxID),
		strings.Repeat("X", model.MaxID), strings.Repeat(".", 300), strings.Repeat("a/", 200), strings.Repeat("😀", 128))
}

func idCases() []Case {
	return group("ID",
		that("EveryLegalStringIsAnIDOfItsOwn", "R7 R13", needNothing, func(c *C) {
			ids := unusualIDs()
			recs := make([]model.Record, len(ids))
			for i, id := range ids {
				recs[i] = c.put(c.rec(id, fmt.Sprint("value ", i), time.Hour))
			}
			for _, r := range recs {
				c.holds(r)
			}
		}),
		that("EveryLegalIDIsListedAsItIs", "R7 R42", needPaging, func(c *C) {
			ids := unusualIDs()
			for _, id := range ids {
				c.put(c.rec(id, "v", time.Hour))
			}
			c.lists(driver.Query{Limit: 10}, ids...)
		}),
		that("EveryLegalIDIsFoundByItsLabel", "R7 R46", needLabels, func(c *C) {
			ids := unusualIDs()
			for _, id := range ids {
				c.put(c.labelled(id, "v", "ann", time.Hour))
			}
			c.lists(driver.Query{Label: "principal", Value: "ann", Limit: 10}, ids...)
		}),
		that("EveryLegalIDIsSwept", "R7 R50", needSweep, func(c *C) {
			ids := unusualIDs()
			for _, id := range ids {
				c.put(c.labelled(id, "v", "ann", time.Minute))
			}
			c.advance(time.Minute)
			if n := c.sweep(25); n != len(ids) {
				c.fail("the sweep removed %d records, want %d", n, len(ids))
			}
		}),
		that("EveryLegalIDIsTouchedAndDeleted", "R7 R38 R30", needNothing, func(c *C) {
			ids := unusualIDs()
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
