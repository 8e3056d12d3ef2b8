package expiry

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// sortedToken starts the page tokens of SortedPage.
const sortedToken = "after:"

// SortedPage is Page for a backend that can walk all its records: it keeps the
// rules R42 to R48 by ordering on the id. Its cost is in proportion to the
// store, which suits small stores and tests. The records are copied.
func SortedPage(d Description, now time.Time, q Query, all iter.Seq[model.Record]) (Page, error) {
	after, ok := strings.CutPrefix(q.After, sortedToken)
	if q.After != "" && (!ok || model.CheckID(after) != nil) {
		return Page{}, model.Fault(model.ErrInvalid, "no page returned this token", nil)
	}
	if q.Label != "" && !d.HasLabel(q.Label) {
		return Page{}, model.Fault(model.ErrInvalid, "the label is not declared", nil)
	}
	var p Page
	for r := range all {
		if r.ID > after && !r.Expired(now) && q.Bears(&r) {
			p.Records = append(p.Records, r)
		}
	}
	slices.SortFunc(p.Records, func(a, b model.Record) int { return strings.Compare(a.ID, b.ID) })
	if len(p.Records) > q.Limit {
		p.Records = p.Records[:q.Limit]
		p.Next = sortedToken + p.Records[q.Limit-1].ID
	}
	for i := range p.Records {
		if q.KeysOnly {
			p.Records[i].Value = nil
		}
		p.Records[i] = p.Records[i].Clone()
	}
	return p, nil
}
