package conformance

import (
	"fmt"
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
	)
}
