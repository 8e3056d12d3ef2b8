package session

import (
	"bytes"
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
// never fresh. Its context ends after hold, in which the store's answer to this
// request's claim counts, and not with the caller's: a client that hangs up must
// not lose the new tokens. What it returns later than that is stored only if no
// other request has fetched meanwhile. If fetch returns an error, Refresh
// returns it unchanged, and so does the Refresh of the requests that waited in
// the same process. Nothing is stored then. A request of another process tries
// by itself. If the process of fetch dies, another request takes over after hold,
// by the service's clock. So a fetch that ignores the end of its context can run
// beside another one. Only one result is stored, and the provider is asked twice.
// Zero means 30 seconds. Hold is ErrInvalid if it is negative. Fetch must not
// refresh the same key.
//
// The wait of a request ends with its context. Refresh returns ErrGone if the
// session was ended meanwhile, and ErrNoSession as Get does. If the value cannot
// be stored, Refresh keeps it for the session's next Persist and returns it. The
// error comes from there. After the commit, Refresh returns the value with the
// error. A session that is not stored has no other request: it calls fetch and
// keeps the value for Persist. One of OpenFor is stored first, with its changes,
// since other requests may have the same identity.
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
	if s.identity != nil {
		if err := s.storeFor(ctx); err != nil {
			return zero, err
		}
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
	r := refresh[T]{key: k, svc: s.svc, handle: known.ID, identity: s.identity, hold: hold, fresh: fresh, fetch: fetch}
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
		if s.succeed(ctx, k.name, &got) == nil {
			got.err = nil
		}
		return v, got.err
	}
	return zero, got.err
}

// succeed keeps the fetched value for the next Persist. If the row has another
// value by then than fetch got, that one is later and stays.
func (s *Session) succeed(ctx context.Context, name string, got *landed) error {
	if err := s.write(ctx); err != nil {
		return err
	}
	defer s.release()
	next := func(raw json.RawMessage) (json.RawMessage, error) {
		if !bytes.Equal(raw, got.from) {
			return raw, nil
		}
		return got.raw, nil
	}
	s.locked(func() { s.ops = replaced(s.ops, op{key: name}) })
	s.record(op{key: name, update: next}, got.raw)
	return nil
}

// landed is the outcome of a refresh.
type landed struct {
	raw     json.RawMessage // the value
	from    json.RawMessage // the one that fetch got
	it      item            // the row with it
	fetched bool            // fetch was called
	err     error
}

// refresh is a Refresh of a stored session.
type refresh[T any] struct {
	key    Key[T]
	svc    *Service
	handle string
	// identity is that of a session of OpenFor: its authentication can be later than
	// the stored one.
	identity *Identity
	hold     time.Duration
	fresh    func(T) bool
	fetch    func(context.Context, T) (T, error)

	mine lease   // of this call, as it was stored last
	late *landed // what fetch has returned when the lease was another's already
}

// lease is the right to fetch, as the session keeps it.
type lease struct {
	By    string      `json:"by"`
	Until row.Instant `json:"until"`
}

// errLease: the lease is another's by now. errHold: it was over before fetch could
// begin.
var (
	errLease = errors.New("session: another request has taken over the refresh")
	errHold  = fmt.Errorf("session: Refresh: the store took longer than hold, which is too short: %w", context.DeadlineExceeded)
)

// holdAttempts is how often a lease may be over before fetch could begin.
const holdAttempts = 3

// open returns another session of the same row.
func (r *refresh[T]) open() *Session {
	s := r.svc.openHandle(r.handle)
	s.identity = r.identity
	return s
}

// land waits until the stored value is fresh, or this call has the lease and
// fetches it.
func (r *refresh[T]) land(ctx context.Context) landed {
	leases := Key[lease]{name: leasePrefix + r.key.name, own: true}.FailingOnConflict().
		Repairing(func(error) (lease, bool, error) { return lease{}, false, nil })
	r.mine.By = rand.Text()
	lost, over := false, 0
	for attempt := 0; ; attempt++ {
		// A session of its own: it neither stores nor sees what the request has
		// not persisted yet.
		s := r.open()
		at := NewContext(ctx, s)
		old, ok, err := r.key.Get(at)
		if err != nil {
			return landed{err: err}
		}
		it := s.snapshot()
		if it.ID == "" {
			return landed{err: ErrGone}
		}
		held, _, err := leases.Get(at)
		if err != nil {
			return landed{err: err}
		}
		own := held.By == r.mine.By // the answer to its write was lost, or it was over before fetch began
		if ok && r.fresh(old) && !own {
			return landed{raw: it.Value.Data.Get(r.key.name), it: it}
		}
		if own {
			r.mine.Until = held.Until // that of a later write may not be stored
		}
		now := r.svc.now()
		free := !now.Before(held.Until.Time())
		if free {
			r.mine.Until = row.InstantOf(now.Add(r.hold))
			if err = leases.Set(at, r.mine); err == nil {
				err = s.persistSettled(at)
			}
			if errors.Is(err, model.ErrUnknown) && !lost {
				lost = true
				continue // the row says whose it is
			}
			if err != nil && !errors.Is(err, model.ErrConflict) {
				return landed{err: err}
			}
			own = err == nil
		}
		if own {
			out := r.fetched(ctx, s, leases.name)
			if errors.Is(out.err, errHold) {
				over++
			}
			if !errors.Is(out.err, errLease) && (!errors.Is(out.err, errHold) || over == holdAttempts) {
				return out
			}
		}
		if err := waitTurn(ctx, attempt); err != nil {
			return landed{err: err}
		}
	}
}

// fetched calls fetch, stores its result and gives the lease back, also if fetch
// fails or panics. It stores the result only under the lease: if fetch has taken
// longer, that can be another's. Then it keeps the result for the case that the
// other one changes nothing.
func (r *refresh[T]) fetched(ctx context.Context, s *Session, name string) (out landed) {
	at := NewContext(ctx, s)
	// The row with the lease can be later than the one that was read before it.
	old, ok, err := r.key.Get(at)
	if err == nil && ok && r.fresh(old) {
		if err = s.giveBack(ctx, name, &r.mine, false); err == nil {
			err = s.persistSettled(at)
		}
		it := s.snapshot()
		return landed{raw: it.Value.Data.Get(r.key.name), it: it, err: err}
	}
	returned := false
	defer func() {
		if returned && (out.err == nil || out.raw != nil) {
			return // what was fetched is still to be stored, so nobody may fetch again
		}
		// Nobody waits for hold because of this request. An error is of no
		// interest: the lease ends by itself.
		s := r.open()
		if s.giveBack(ctx, name, &r.mine, false) == nil {
			_, _ = s.Persist(ctx)
		}
	}()
	if err != nil {
		returned, out.err = true, err
		return out
	}
	from := s.snapshot()
	out.from = from.Value.Data.Get(r.key.name)
	v, err := r.value(ctx, old, &out)
	returned = true
	if err != nil {
		out.err = err
		return out
	}
	if out.raw, err = r.key.encode(v); err == nil {
		err = r.key.Set(at, v)
	}
	if err == nil {
		err = s.giveBack(ctx, name, &r.mine, true)
	}
	if err == nil {
		err = s.persistSettled(at)
	}
	out.err = err
	switch {
	case err == nil:
		out.it = s.snapshot()
		out.raw = out.it.Value.Data.Get(r.key.name) // as merged, if the key is Merging
	case errors.Is(err, errLease):
		late := out
		r.late = &late
	}
	return out
}

// value returns what fetch returns, or has returned for the same value too late.
// The time of fetch ends with the lease, so that the time in which that was
// stored counts.
func (r *refresh[T]) value(ctx context.Context, old T, out *landed) (T, error) {
	if r.late != nil && bytes.Equal(r.late.from, out.from) {
		v, _, err := r.key.decode(r.late.raw)
		out.fetched = true
		return v, err
	}
	left := r.mine.Until.Time().Sub(r.svc.now())
	if left <= 0 {
		return old, errHold
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	v, err := r.fetch(work, old)
	out.fetched = true
	return v, err
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
// Else that Persist returns errLease and stores nothing, with must.
func (s *Session) giveBack(ctx context.Context, name string, mine *lease, must bool) error {
	if err := s.hold(ctx); err != nil {
		return err
	}
	defer s.release()
	without := func(raw json.RawMessage) (json.RawMessage, error) {
		var l lease
		own := raw != nil && row.DecodeValue(raw, &l) == nil && l.By == mine.By
		switch {
		case must && !own:
			return nil, errLease
		case raw != nil && l.By != "" && !own:
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
	if err != nil || len(s.doubts) > 0 || s.item.Revision != known.Revision || matched < row.MatchPrevious {
		if !s.committed { // the next Persist meets the conflict
			s.record(value, got.raw)
		}
		return nil
	}
	s.locked(func() { s.item, s.matched, s.data, s.ops = got.it, matched, data, ops })
	return nil
}
