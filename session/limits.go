package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// seats are the sessions of a principal at a sign-in under Options.Limit.
type seats struct {
	svc       *Service
	principal string
	replaced  []string  // handles of the sessions that the sign-in ends
	since     time.Time // of Options.NotBefore
	// after is the least CreatedAt of the new row. It is later than those of
	// all rows that were seen. So neither a slow clock nor a sign-in in the
	// same millisecond puts the new row before them.
	after   row.Instant
	stepped bool // the new row was made again
}

// errOvertaken: the new row would end although it is the latest. It is made
// again, later than the others.
var errOvertaken = errors.New("session: rows of other sign-ins are later")

// seats returns ErrLimit before a sign-in that OnLimitReject refuses. It makes no
// calls without that rule.
func (s *Service) seats(ctx context.Context, principal string, replaced []string) (*seats, error) {
	l := &seats{svc: s, principal: principal, replaced: replaced}
	if s.limit.Max == 0 {
		return l, nil
	}
	if s.notBefore != nil {
		var err error
		if l.since, err = s.notBefore(ctx, principal); err != nil {
			return nil, err
		}
	}
	if s.limit.On != OnLimitReject {
		return l, nil
	}
	all, err := l.taken(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(all) >= s.limit.Max {
		s.emit(ctx, Event{Kind: EventRejected, Reason: ReasonLimitReached, Principal: principal})
		return nil, ErrLimit
	}
	l.stepBehind(all)
	return l, nil
}

// endedBySignIn returns the handles of the sessions that a sign-in ends, for a
// limit: its own and the others that the client's tokens open.
func (s *Session) endedBySignIn() []string {
	if s.svc.limit.Max == 0 {
		return nil
	}
	out := make([]string, 0, 1+len(s.owned))
	if s.state.stored() {
		out = append(out, s.item.ID)
	}
	for i := range s.owned {
		out = append(out, s.owned[i].handle)
	}
	return out
}

// stepBehind makes the next new row later than all of these.
func (l *seats) stepBehind(all []item) {
	for i := range all {
		l.after = max(l.after, l.rank(&all[i])+1)
	}
}

// taken lists the sessions that count, with the row own. A row that cannot be
// read counts, as the oldest.
func (l *seats) taken(ctx context.Context, own string) ([]item, error) {
	var out []item
	for it, err := range l.svc.store.All(ctx, &expiry.ListOptions{Label: labelPrincipal, Value: l.principal}) {
		if err != nil && it.ID == "" {
			return nil, err
		}
		if slices.Contains(l.replaced, it.ID) {
			continue
		}
		counts := err != nil || it.ID == own
		if !counts {
			if counts, err = l.counts(ctx, &it); err != nil {
				return nil, err
			}
		}
		if counts {
			out = append(out, it)
		}
	}
	return out, nil
}

// counts reports whether the row takes a seat. An impersonation of the principal
// takes none, and neither does a session of OpenFor. Nor does a row that nobody
// can open: one that is past its deadline, older than NotBefore or NotBeforeSID,
// or put aside during an impersonation.
func (l *seats) counts(ctx context.Context, it *item) (bool, error) {
	r := &it.Value
	switch {
	case r.Actor != nil, r.Expired(l.svc.now()), r.Parked != 0, len(r.Hash) == 0, olderThan(r, l.since):
		return false, nil
	}
	old, err := l.svc.tooOldSID(ctx, r)
	return !old, err
}

// rank orders the rows: the least ends first.
func (l *seats) rank(it *item) row.Instant {
	at := it.Value.CreatedAt
	if l.svc.limit.On == OnLimitEvictIdlest {
		at = max(at, row.InstantOf(infoOf(it, l.svc.now()).LastSeen))
	}
	return at
}

// over returns the sessions over the limit after the new row was stored. If the
// new row is one of them, it returns ErrLimit, or errOvertaken if another new row
// would be later: the caller deletes the row.
func (l *seats) over(ctx context.Context, own *item) ([]item, error) {
	limit := l.svc.limit
	if limit.Max == 0 {
		return nil, nil
	}
	all, err := l.taken(ctx, own.ID)
	if err != nil {
		return nil, err
	}
	isOwn := func(it item) bool { return it.ID == own.ID }
	// Another sign-in may have deleted the new row already.
	refused := !slices.ContainsFunc(all, isOwn)
	slices.SortFunc(all, func(a, b item) int {
		return cmp.Or(cmp.Compare(l.rank(&a), l.rank(&b)), cmp.Compare(a.Value.CreatedAt, b.Value.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	n := max(len(all)-limit.Max, 0)
	over := all[:n]
	if limit.On == OnLimitReject {
		over = all[len(all)-n:]
	}
	if !refused && limit.On != OnLimitReject {
		// A row as new as this one was most likely there before: another
		// sign-in of this moment steps behind in its turn, once.
		rank := l.rank(own)
		tied := !l.stepped && slices.ContainsFunc(all, func(it item) bool { return !isOwn(it) && l.rank(&it) >= rank })
		if tied || slices.ContainsFunc(over, isOwn) {
			l.stepped = true
			l.stepBehind(all)
			return nil, errOvertaken
		}
	}
	if refused || slices.ContainsFunc(over, isOwn) {
		l.svc.emit(ctx, Event{Kind: EventRejected, Reason: ReasonLimitReached, Handle: own.ID, Principal: l.principal})
		return nil, ErrLimit
	}
	return over, nil
}

// evict ends the sessions over the limit, after the sign-in has succeeded. A
// failure is logged and nothing else: the sign-in has happened, and the next one
// ends what is left over.
func (l *seats) evict(ctx context.Context, over []item) {
	list := make([]ended, len(over))
	for i := range over {
		list[i] = endedOf(&over[i], ReasonEvicted)
		list[i].principal = l.principal
	}
	if n, err := l.svc.removeMany(ctx, list); err != nil {
		l.svc.log.LogAttrs(ctx, slog.LevelWarn, "sessions over the limit were not ended",
			slog.Int("sessions", len(list)-n), slog.String("error", err.Error()))
	}
}

// keptName returns the name that a sign-in keeps: that of the same principal's
// session on the device.
func (s *Session) keptName(principal string) string {
	if s.state.stored() && s.item.Value.Principal == principal {
		return s.item.Value.Name
	}
	return ""
}
