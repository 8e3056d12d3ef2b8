package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sojourn-go/sojourn/expiry"
)

// Limit bounds the number of sessions of one principal. It is checked after
// the new row is stored, against a listing, and what is too much is taken away
// by an order on which all nodes agree: however many sign-ins run at once, no
// more than Max sessions are left when they have returned. Sessions under which
// somebody impersonates the principal are not counted.
type Limit struct {
	// Max is how many sessions a principal may have. Zero: any number.
	Max int
	// On says what happens at the limit.
	On OnLimit
}

// OnLimit says what happens to a sign-in that finds the limit reached.
type OnLimit uint8

const (
	// EvictOldest ends the session that was signed in first: the order is
	// that of (CreatedAt, handle).
	EvictOldest OnLimit = iota
	// EvictIdlest ends the session that was seen least recently. Sign-ins at
	// the same time as uses may see another order and end one too many.
	EvictIdlest
	// Reject refuses the sign-in with ErrLimit. Of two at once the later by
	// (CreatedAt, handle) is refused; one whose row reached the store before
	// that of an earlier one may have returned already, and is ended.
	Reject
)

// String is the name of the constant.
func (o OnLimit) String() string {
	switch o {
	case EvictOldest:
		return "EvictOldest"
	case EvictIdlest:
		return "EvictIdlest"
	case Reject:
		return "Reject"
	}
	return "unknown"
}

// String is "at most 5 sessions, then EvictOldest", for a security review.
func (l Limit) String() string {
	if l.Max == 0 {
		return "any number of sessions"
	}
	return fmt.Sprintf("at most %d sessions, then %s", l.Max, l.On)
}

// Limit returns the limit in force.
func (s *Service) Limit() Limit { return s.limit }

// counted lists the principal's sessions that count, but for one that is about
// to be replaced. A row that cannot be read counts, as the oldest.
func (s *Service) counted(ctx context.Context, principal, but string) ([]expiry.Item[row], error) {
	var out []expiry.Item[row]
	for it, err := range s.store.All(ctx, &expiry.ListOptions{Label: principalLabel, Value: principal}) {
		if err != nil && it.ID == "" {
			return nil, err
		}
		if it.ID != but && it.Value.Actor == nil {
			out = append(out, it)
		}
	}
	return out, nil
}

// room is asked before a sign-in: ErrLimit where it would be refused, else the
// least CreatedAt of the new row. With Reject that is later than those of all
// rows that are there, so that a clock that runs slow cannot put the new one
// before them.
func (s *Service) room(ctx context.Context, principal, but string) (instant, error) {
	var at instant
	if s.limit.Max == 0 || s.limit.On != Reject {
		return at, nil
	}
	all, err := s.counted(ctx, principal, but)
	if err != nil {
		return at, err
	}
	if len(all) >= s.limit.Max {
		s.emit(ctx, Event{Kind: Rejected, Reason: LimitReached, Principal: principal})
		return at, ErrLimit
	}
	for i := range all {
		at = max(at, all[i].Value.CreatedAt+1)
	}
	return at, nil
}

// enforce takes away what is over the limit once the new row is stored: ErrLimit
// where that is the new row itself, which is the caller's to delete.
func (s *Service) enforce(ctx context.Context, own *expiry.Item[row], but string) error {
	if s.limit.Max == 0 {
		return nil
	}
	all, err := s.counted(ctx, own.Value.Principal, but)
	if err != nil {
		return err
	}
	// Another sign-in may have taken the new row away already.
	refused := !slices.ContainsFunc(all, func(it expiry.Item[row]) bool { return it.ID == own.ID })
	now := s.now()
	slices.SortFunc(all, func(a, b expiry.Item[row]) int {
		n := 0
		if s.limit.On == EvictIdlest {
			n = infoOf(&a, now).LastSeen.Compare(infoOf(&b, now).LastSeen)
		}
		return cmp.Or(n, cmp.Compare(a.Value.CreatedAt, b.Value.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	n := max(len(all)-s.limit.Max, 0)
	over := all[:n]
	if s.limit.On == Reject {
		over = all[len(all)-n:]
	}
	for i := range over {
		if over[i].ID == own.ID {
			refused = true
			continue
		}
		o := endedOf(&over[i], ByLimit)
		o.principal = own.Value.Principal
		if _, err := s.remove(ctx, &o); err != nil {
			return err
		}
	}
	if refused {
		s.emit(ctx, Event{Kind: Rejected, Reason: LimitReached, Handle: own.ID, Principal: own.Value.Principal})
		return ErrLimit
	}
	return nil
}
