package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// lentTexts makes texts whose memory changes when their owner uses it again.
type lentTexts [][]byte

// lend returns a copy of the text in memory of its own.
func (l *lentTexts) lend(s string) string {
	b := []byte(s)
	*l = append(*l, b)
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // the memory that reuse changes
}

func (l *lentTexts) reuse() {
	for _, b := range *l {
		for i := range b {
			b[i] = 'x'
		}
	}
}

func getTextsCases() []Case {
	return group("Get",
		that("TextsOfAnUpdateAreTheBackendsOwn", "R3", needLabels, func(c *C) {
			for i, cond := range []driver.Condition{driver.IfPresent, driver.IfMatch, driver.IfAny} {
				for _, principal := range []string{"ann", "bob"} { // the label that it had, and another
					r := c.labelled(fmt.Sprint("id", i, principal), "0", "ann", time.Hour)
					r.Encoding = "text"
					cur := c.put(r)
					r = c.labelled(r.ID, "1", principal, 2*time.Hour)
					r.Encoding = "text"
					var texts lentTexts
					lent := r.Clone()
					lent.ID, lent.Encoding = texts.lend(r.ID), texts.lend(r.Encoding)
					lent.Labels = map[string]string{texts.lend("principal"): texts.lend(principal)}
					_, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: lent, Cond: cond, Known: model.Record{Revision: cur.Revision}})
					c.ok(err, "write under %v", cond)
					clear(lent.Labels) // the map is the caller's too
					texts.reuse()
					c.holds(r)
				}
			}
			c.bear("ann", "id0ann", "id1ann", "id2ann")
			c.bear("bob", "id0bob", "id1bob", "id2bob")
		}),
		that("KeepsWhatATextColumnLoses", "R13", needNothing, func(c *C) {
			for i, value := range []string{
				"\ufeffx", "a\r\nb", "x\n", "\n", " x ", "\t", "\x00", "x\x00", "\x00x", "null", "NULL", "1e3", "01", `"1"`, `\x41`, `\\`, "''", "e\u0301", "é", "\xc3", "\xed\xa0\x80", "\x1a",
			} {
				c.holds(c.put(c.rec(fmt.Sprint("id", i), value, time.Hour)))
			}
			for i, encoding := range []string{"JSON", "json", "Json", " json", "json ", "01", "application/json; charset=utf-8", strings.Repeat("e", 254) + "x", strings.Repeat("e", 254) + "y"} {
				r := c.rec(fmt.Sprint("encoding", i), "v", time.Hour)
				r.Encoding = encoding
				c.holds(c.put(r))
			}
		}),
		that("ListedRecordsShareNoMemory", "R3", needLabels, func(c *C) {
			// A program that appends to one value, or sets a label of one record, changes no other.
			recs := map[string]model.Record{}
			for i, id := range []string{"a", "b", "c", "d"} {
				r := c.labelled(id, strings.Repeat(id, 8+i), "ann", time.Hour)
				if id > "b" {
					r = c.rec(id, strings.Repeat(id, 8+i), time.Hour)
				}
				recs[id] = c.put(r)
			}
			read := map[string]func() []model.Record{
				"listing": func() []model.Record { return slices.Collect(maps.Values(c.list(driver.Query{}))) },
				"get of many": func() (out []model.Record) {
					for _, r := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a", "b", "c", "d")) {
						c.ok(r.Err, "get among many")
						out = append(out, r.Record)
					}
					return out
				},
				"get of each": func() (out []model.Record) {
					for id := range recs {
						out = append(out, c.get(id))
					}
					return out
				},
			}
			for what, do := range read {
				got := do()
				for i := range got {
					_ = append(got[i].Value, "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"...)
					if got[i].Labels != nil {
						got[i].Labels["state"] = got[i].ID
					}
				}
				for _, r := range append(got, do()...) {
					want := recs[r.ID]
					for name, value := range r.Labels {
						if value != want.Labels[name] && (name != "state" || value != r.ID) {
							c.fail("%s: %q has the label %s=%s, which was set on another record, want memory of its own", what, r.ID, name, value)
						}
					}
					if !bytes.Equal(r.Value, want.Value) {
						c.fail("%s: %q has the value %q after others were appended to, want %q", what, r.ID, clip(r.Value), want.Value)
					}
				}
				for _, r := range do() {
					c.sameHead(r, recs[r.ID])
				}
			}
		}),
	)
}
