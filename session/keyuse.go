package session

import (
	"context"
	"slices"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// KeyUse counts the live sessions that need each seal key of Options.Keyring: for
// their data, or for the hash of a secret. The map has the number of sessions by
// the id of the key. A session that needs two keys counts for both. A key that is
// absent from the map can be removed from the keyring, after all nodes use
// another one. Sessions that need no key have the id "". What is left of a session
// that has ended counts under its key too, since without it a late request would
// be taken for a new visitor's. It lives for Policy.Overlap, and after a Destroy
// method as long as the session would have.
//
// It reads every session, page by page, with the data. So it costs as much as
// All: use it seldom. Progress is called after each page with the number of rows
// so far. It may be nil. Rows that cannot be read are not counted. With an error,
// the map has what was counted before it.
func (s *Service) KeyUse(ctx context.Context, progress func(rows int)) (map[string]int, error) {
	use := map[string]int{}
	rows := 0
	o := expiry.ListOptions{PageSize: maxListing}
	for {
		l, err := s.store.Page(ctx, &o)
		if err != nil {
			return use, err
		}
		for i := range l.Items {
			r := &l.Items[i].Value
			if r.Gone != "" && r.MACKey == "" {
				continue // it needs no key, and is not a session
			}
			for _, id := range keysOf(r) {
				use[id]++
			}
		}
		if rows += len(l.Items) + len(l.Failed); progress != nil {
			progress(rows)
		}
		if l.Next == "" {
			return use, nil
		}
		o.After = l.Next
	}
}

// CountKey returns the number of live sessions that need the seal key with the
// id, with what is left of those that have ended. Its cost and its errors are those of KeyUse, which counts all keys at once.
func (s *Service) CountKey(ctx context.Context, keyID string) (int, error) {
	use, err := s.KeyUse(ctx, nil)
	return use[keyID], err
}

// keysOf returns the ids of the seal keys without which the row is of no use,
// each one time, or "" if it needs none.
func keysOf(r *row.Row) []string {
	ids := []string{r.SealKey, r.HashKey, r.PreviousKey, r.MACKey}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) > 1 && ids[0] == "" {
		ids = ids[1:]
	}
	return ids
}
