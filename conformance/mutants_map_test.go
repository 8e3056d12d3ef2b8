package conformance_test

import (
	"context"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// mapMutants are map backends with a mistake.
func mapMutants() map[string]mutation {
	return map[string]mutation{
		"a sweep announces within its transaction":                    {maps: underLock},
		"a sweep reports more for ever":                               {maps: moreForever},
		"a listing has no end":                                        {maps: pagesForever},
		"an index key lacks the label's name":                         {maps: nameless},
		"the second label is not indexed":                             {maps: oneLabel},
		"an update leaves the second label's old entry":               {maps: oneLabelMoves},
		"an index joins a label's value and the id by a colon":        {maps: separated},
		"the index of expiries counts nanoseconds":                    {maps: nanoseconds},
		"the index of expiries counts seconds in 32 bits":             {maps: seconds},
		"an update that keeps the expiry drops its index entry":       {maps: keepDrops},
		"an update with the same labels leaves the index of expiries": {maps: sameLabelsStay},
		"the index of expiries leaves out small steps":                {maps: smallSteps},
		"get is by the machine's clock if that is ahead":              {maps: machineClock},
		"an update compares any known revision":                       {maps: knownDecides},
		"a compare-and-set of an expired record is a conflict":        {maps: expiredConflicts},
		"get returns the local time":                                  {maps: localTime},
		"a listing names the entry of a removed record corrupt":       {maps: namesEntries},
		"a conflict quotes the value":                                 {maps: quotes},
		"a damaged record right after a full page is named twice": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			// A page that is full looks at the next record for the token.
			p, err := b.Page(ctx, now, q)
			if err != nil || p.Next == "" {
				return p, err
			}
			next := q
			next.After, next.Limit = p.Next, 1
			after, err := b.Page(ctx, now, next)
			for _, id := range after.Corrupt {
				if !slices.Contains(p.Corrupt, id) {
					p.Corrupt = append(p.Corrupt, id)
				}
			}
			return p, err
		}),
	}
}
