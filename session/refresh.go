package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// defaultHold is how long a Refresh may take.
const defaultHold = 30 * time.Second

// Refresh returns the value if fresh accepts it. Else one of all the requests of
// the session calls fetch, on any node, and stores what it returns at once. The
// others wait and return that too. So it renews what may be renewed by one
// request only, such as the OAuth tokens in a session: a refresh token is good
// for one use.
//
// Fetch gets the stored value, or the zero T if there is none: an absent value is
// never fresh. Its context ends after hold, and not with the caller's: a client
// that hangs up must not lose the new tokens. If fetch returns an error, Refresh
// returns it unchanged, and so does the Refresh of the requests that waited in
// the same process. Nothing is stored then. A request of another process tries
// by itself. If the process of fetch dies, another request takes over after hold,
// by the service's clock. Zero means 30 seconds. Hold is ErrInvalid if it is
// negative. Fetch must not refresh the same key.
//
// The wait of a request ends with its context. Refresh returns ErrGone if the
// session was ended meanwhile, and ErrNoSession as Get does. If the value cannot
// be stored, Refresh keeps it for the session's next Persist and returns it. The
// error comes from there. After the commit, Refresh returns the value with the
// error. A session that is not stored has no other request: it calls fetch and
// keeps the value for Persist. Store a session of OpenFor first.
//
// It makes no calls of the store for a fresh value, and three for a fetch: a read
// and two writes. Waiting makes none in the same process. On another node it
// makes a read at a time, at most one in a second in the long run.
func (k Key[T]) Refresh(ctx context.Context, hold time.Duration, fresh func(T) bool, fetch func(ctx context.Context, old T) (T, error)) (T, error) {
	var zero T
	if hold < 0 {
		return zero, &model.Error{Op: "session.Refresh", Err: model.NewError(model.ErrInvalid, "hold is negative; zero means 30 seconds", nil)}
	}
	if hold == 0 {
		hold = defaultHold
	}
	v, ok, err := k.Get(ctx)
	if err != nil || ok && fresh(v) {
		return v, err
	}
	s, err := k.session(ctx)
	if err != nil {
		return zero, err
	}
	if err := s.Degraded(); err != nil {
		return zero, fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	known := s.snapshot()
	if known.ID == "" {
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), hold)
		defer cancel()
		if v, err = fetch(work, v); err != nil {
			return zero, err
		}
		return v, k.Set(ctx, v)
	}
	r := refresh[T]{key: k, svc: s.svc, handle: known.ID, hold: hold, fresh: fresh, fetch: fetch}
	got, err := s.svc.flights.do(ctx, known.ID+"/"+k.name, func() landed { return r.land(ctx) })
	if err != nil {
		return zero, err
	}
	switch v, _, err := k.decode(got.raw); {
	case err != nil:
		return zero, err
	case got.err == nil:
		return v, s.adopt(ctx, &known, &got, k.op(got.raw))
	case got.raw != nil && !errors.Is(got.err, ErrGone): // fetched and not stored
		if k.Set(ctx, v) == nil {
			got.err = nil
		}
		return v, got.err
	}
	return zero, got.err
}

// landed is the outcome of a refresh.
type landed struct {
	raw     json.RawMessage // the value
	it      item            // the row with it
	fetched bool            // fetch was called
	err     error
}

// refresh is a Refresh of a stored session.
type refresh[T any] struct {
	key    Key[T]
	svc    *Service
	handle string
	hold   time.Duration
	fresh  func(T) bool
	fetch  func(context.Context, T) (T, error)
}

// lease is the right to fetch, as the session keeps it.
type lease struct {
	By    string      `json:"by"`
	Until row.Instant `json:"until"`
}

// land waits until the stored value is fresh, or this call has the lease and
// fetches it.
func (r *refresh[T]) land(ctx context.Context) landed {
	leases := Key[lease]{name: leasePrefix + r.key.name, own: true}.FailingOnConflict().
		Repairing(func(error) (lease, bool, error) { return lease{}, false, nil })
	for attempt := 0; ; attempt++ {
		// A session of its own: it neither stores nor sees what the request has
		// not persisted yet.
		s := r.svc.openHandle(r.handle)
		at := NewContext(ctx, s)
		old, ok, err := r.key.Get(at)
		if err != nil {
			return landed{err: err}
		}
		it := s.snapshot()
		if it.ID == "" {
			return landed{err: ErrGone}
		}
		if ok && r.fresh(old) {
			return landed{raw: it.Value.Data.Get(r.key.name), it: it}
		}
		held, _, err := leases.Get(at)
		if err != nil {
			return landed{err: err}
		}
		if now := r.svc.now(); !now.Before(held.Until.Time()) {
			mine := lease{By: rand.Text(), Until: row.InstantOf(now.Add(r.hold))}
			if err = leases.Set(at, mine); err == nil {
				err = s.persistSettled(at)
			}
			if err == nil {
				return r.fetched(ctx, s, leases.name, &mine)
			}
			if !errors.Is(err, model.ErrConflict) {
				return landed{err: err}
			}
		}
		if err := waitTurn(ctx, attempt); err != nil {
			return landed{err: err}
		}
	}
}

// fetched calls fetch, stores its result and gives the lease back, also if fetch
// fails or panics.
func (r *refresh[T]) fetched(ctx context.Context, s *Session, name string, mine *lease) (out landed) {
	at := NewContext(ctx, s)
	// The row with the lease can be later than the one that was read before it.
	old, ok, err := r.key.Get(at)
	if err == nil && ok && r.fresh(old) {
		if err = s.giveBack(ctx, name, mine); err == nil {
			err = s.persistSettled(at)
		}
		it := s.snapshot()
		return landed{raw: it.Value.Data.Get(r.key.name), it: it, err: err}
	}
	returned := false
	defer func() {
		if returned && out.err == nil {
			return
		}
		// Nobody waits for hold because of this request. An error is of no
		// interest: the lease ends by itself.
		s := r.svc.openHandle(r.handle)
		if s.giveBack(ctx, name, mine) == nil {
			_, _ = s.Persist(ctx)
		}
	}()
	if err != nil {
		returned, out.err = true, err
		return out
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.hold)
	defer cancel()
	v, err := r.fetch(work, old)
	returned, out.fetched = true, true
	if err != nil {
		out.err = err
		return out
	}
	if out.raw, err = r.key.encode(v); err == nil {
		err = r.key.Set(at, v)
	}
	if err == nil {
		err = s.giveBack(ctx, name, mine)
	}
	if err == nil {
		err = s.persistSettled(at)
	}
	out.err = err
	if err == nil {
		out.it = s.snapshot()
		out.raw = out.it.Value.Data.Get(r.key.name) // as merged, if the key is Merging
	}
	return out
}

// persistSettled is Persist that asks once more after a lost answer. Nobody else
// would: the session is gone afterwards.
func (s *Session) persistSettled(ctx context.Context) error {
	_, err := s.Persist(ctx)
	if errors.Is(err, model.ErrUnknown) {
		_, err = s.Persist(ctx)
	}
	return err
}

// giveBack removes the lease with the next Persist, if it is still the own one.
func (s *Session) giveBack(ctx context.Context, name string, mine *lease) error {
	_, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	without := func(raw json.RawMessage) (json.RawMessage, error) {
		var l lease
		if raw != nil && row.DecodeValue(raw, &l) == nil && l.By != mine.By {
			return raw, nil
		}
		return nil, nil
	}
	raw, err := without(s.data.Get(name))
	if err == nil {
		s.record(op{key: name, update: without}, raw)
	}
	return err
}

// snapshot returns the session's row, or an item without an ID if it is not
// stored.
func (s *Session) snapshot() item {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.stored() {
		return item{}
	}
	return s.item
}

// adopt makes the row that a refresh has written the session's, so that its next
// Persist meets no conflict. Pending changes of the value give way to it. If the
// session has gone on from the known row meanwhile, it only takes the value.
func (s *Session) adopt(ctx context.Context, known *item, got *landed, value op) error {
	if err := s.acquireUncancelled(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.handle() != known.ID {
		return nil // signed out or signed in: the value belongs to the other session
	}
	matched := s.match(&got.it.Value, s.svc.now())
	ops := replaced(s.ops, op{key: value.key})
	data, err := replay(got.it.Value.Data, ops)
	if err != nil || s.item.Revision != known.Revision || matched < row.MatchPrevious {
		if !s.committed { // the next Persist meets the conflict
			s.record(value, got.raw)
		}
		return nil
	}
	s.locked(func() { s.item, s.matched, s.data, s.ops = got.it, matched, data, ops })
	return nil
}
