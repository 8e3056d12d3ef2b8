package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// ensure loads the session, if it is not loaded yet.
func (s *Session) ensure(ctx context.Context) error {
	s.mu.Lock()
	state, err := s.state, s.storeErr
	s.mu.Unlock()
	switch {
	case state == stateFailed:
		return err
	case state.loaded():
		return nil
	}
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	work, cancel := context.WithTimeout(ctx, s.svc.loadTimeout)
	defer cancel()
	return s.load(ctx, work)
}

// change acquires the session's lock and loads it. It returns a context for the
// store and a function that releases both. Neither the wait nor the work ends
// with the caller's context. Each has the service's Timeout, so a change inside
// a change fails and does not hang.
func (s *Session) change(ctx context.Context) (context.Context, func(), error) {
	if err := s.acquireUncancelled(ctx); err != nil {
		return nil, nil, err
	}
	work, cancel := s.svc.uncancelled(ctx)
	done := func() { cancel(); s.release() }
	err := ErrCommitted
	if !s.committed {
		err = s.load(work, work)
	}
	if err == nil && s.state == stateReadOnly {
		err = fmt.Errorf("%w: %w", ErrReadOnly, s.storeErr)
		s.locked(func() { s.refused = err })
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return work, done, nil
}

// load reads the row, one time. The caller holds the lock. It keeps an error of
// the store for the rest of the session's life. It does not keep the error of a
// caller that gave up.
func (s *Session) load(caller, work context.Context) error {
	switch {
	case s.state == stateFailed:
		return s.storeErr
	case s.state.loaded():
		return nil
	}
	s.locked(func() { s.used = true })
	if s.token == nil {
		s.locked(s.becomeAnonymous)
		if s.origin == originMalformed {
			s.svc.emit(work, Event{Kind: EventRejected, Reason: ReasonMalformed})
		}
		return nil
	}
	it, err := s.svc.get(work, s.token.Handle)
	switch {
	case errors.Is(err, model.ErrNotFound):
		s.locked(s.becomeAnonymous)
		s.svc.emit(work, Event{Kind: EventRejected, Reason: ReasonNoSuchSession, Handle: s.token.Handle})
		return nil
	case errors.Is(err, model.ErrCorrupt):
		s.loadedUnreadable(work, &it, err)
		return nil
	case err != nil:
		return s.loadFailed(caller, work, err)
	}
	admitted, err := s.admit(work, &it)
	switch {
	case err != nil:
		return s.loadFailed(caller, work, err)
	case !admitted:
		s.locked(s.becomeAnonymous)
	}
	return nil
}

// loadFailed handles a load without an answer.
func (s *Session) loadFailed(caller, work context.Context, err error) error {
	if caller.Err() != nil {
		return err
	}
	if isDown(err) {
		decided := s.svc.storeDown(work, err)
		if decided == nil {
			s.locked(func() { s.becomeReadOnly(err) })
			return nil
		}
		err = decided
	}
	s.locked(func() { s.becomeFailed(err) })
	return err
}

// loadedUnreadable handles a row that cannot be used: the session is anonymous,
// and there is an event. If the token is the row's own, SignOut still deletes
// the row, because a node of a newer version may be able to read it.
func (s *Session) loadedUnreadable(ctx context.Context, it *item, err error) {
	e := Event{Kind: EventRejected, Reason: ReasonUnreadable, Handle: s.token.Handle}
	if u := (*unreadableError)(nil); errors.As(err, &u) {
		e.Reason = u.reason
	}
	s.svc.suspicious(ctx, e)
	var own *ended
	if it.ID != "" && s.match(&it.Value, s.svc.now()) >= row.MatchPrevious {
		gone := endedOf(it, ReasonSignOut)
		own = &gone
	}
	s.locked(func() { s.becomeUnreadable(own) })
}

// admit decides whether a row that was read is served to this client. If so, it
// makes the row the session's own.
func (s *Session) admit(ctx context.Context, it *item) (bool, error) {
	now := s.svc.now()
	e := eventOf(EventAnomaly, it.ID, &it.Value)
	matched := s.match(&it.Value, now)
	switch matched {
	case row.MatchNone:
		e.Reason = ReasonWrongSecret
	case row.MatchRetired:
		e.Reason = ReasonRetiredSecret
	case row.MatchUnknownKey:
		e.Kind, e.Reason = EventRejected, ReasonUnknownSealKey
	}
	if e.Reason != "" {
		s.svc.suspicious(ctx, e)
		return false, nil
	}
	if it.Value.Expired(now) {
		return false, nil
	}
	if reason, err := s.svc.standing(ctx, &it.Value); reason != "" || err != nil {
		e.Kind, e.Reason = EventRejected, reason
		if err == nil {
			s.svc.emit(ctx, e)
		}
		return false, err
	}
	decision := s.decide(ctx, it)
	if decision == DecisionDestroy {
		gone := endedOf(it, ReasonBinder)
		_, err := s.svc.remove(ctx, &gone)
		return false, err
	}
	s.locked(func() {
		s.becomeStored(*it, matched)
		if decision == DecisionChallenge {
			s.becomeChallenged()
		}
	})
	return true, nil
}

// decide asks the Binder about a session that was loaded. Without a Binder,
// another browser or system is an event and nothing else.
func (s *Session) decide(ctx context.Context, it *item) Decision {
	s.mu.Lock()
	now := s.client
	s.mu.Unlock()
	if s.detached || now == (Client{}) {
		return DecisionAllow
	}
	e := eventOf(EventAnomaly, it.ID, &it.Value)
	e.Reason = ReasonClientChanged
	if s.svc.binder == nil {
		stored := Client(it.Value.Client)
		if stored.UserAgent != now.UserAgent && stored.Device() != now.Device() {
			s.svc.emit(ctx, e)
		}
		return DecisionAllow
	}
	d := s.svc.binder(ctx, infoOf(it, s.svc.now()), now)
	if d != DecisionAllow {
		s.svc.emit(ctx, e)
	}
	return d
}
