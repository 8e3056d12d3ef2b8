package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	if s.nothingToRead() {
		return s.load(ctx, ctx, false)
	}
	work, cancel := within(ctx, s.svc.loadTimeout)
	defer cancel()
	return s.load(ctx, work, false)
}

// nothingToRead reports whether a load makes no calls, of the store or of a hook.
// It needs no context of its own then, whose timer costs more than the load.
func (s *Session) nothingToRead() bool {
	return s.state.loaded() || len(s.brought) == 0 && !s.sent
}

// change acquires the session's lock and loads it. It returns a context for the
// store and a function that releases both. Neither the wait nor the work ends
// with the caller's context. Each has the service's Timeout, so a change inside
// a change fails and does not hang.
func (s *Session) change(ctx context.Context) (context.Context, func(), error) {
	return s.changing(ctx, false)
}

// changing is change. Leaving says that the session is about to end, which needs
// only the right to it: neither NotBefore nor the Binder is asked, and a load
// that they have failed is tried again.
func (s *Session) changing(ctx context.Context, leaving bool) (context.Context, func(), error) {
	if err := s.acquireUncancelled(ctx); err != nil {
		return nil, nil, err
	}
	work, cancel := s.svc.uncancelled(ctx)
	done := func() { cancel(); s.release() }
	kept := false
	defer func() {
		if !kept { // also if a hook panics, since the transport still commits
			done()
		}
	}()
	// The end of work is the store's fault and not the caller's.
	if err := s.changeable(context.WithoutCancel(ctx), work, leaving); err != nil {
		return nil, nil, err
	}
	kept = true
	return work, done, nil
}

// hold is change for what makes no calls of the store by itself. The caller
// releases the lock, unless there is an error.
func (s *Session) hold(ctx context.Context) error {
	if err := s.acquireUncancelled(ctx); err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			s.release()
		}
	}()
	var err error
	if s.nothingToRead() {
		err = s.changeable(ctx, ctx, false)
	} else {
		work, cancel := s.svc.uncancelled(ctx)
		defer cancel()
		err = s.changeable(context.WithoutCancel(ctx), work, false)
	}
	kept = err == nil
	return err
}

// changeable loads the session for a change, and returns why it cannot be changed.
func (s *Session) changeable(caller, work context.Context, leaving bool) error {
	err := ErrCommitted
	if !s.committed {
		err = s.load(caller, work, leaving)
	}
	if err == nil && s.state == stateReadOnly {
		err = fmt.Errorf("%w: %w", ErrReadOnly, s.storeErr)
		s.locked(func() { s.refused = err })
	}
	return err
}

// write is hold for what is written to the row. It refuses what would create a
// row that must not be.
func (s *Session) write(ctx context.Context) error {
	err := s.hold(ctx)
	if err == nil {
		if err = s.mayCreate(); err != nil {
			s.locked(func() { s.refused = err })
			s.release()
		}
	}
	return err
}

// mayCreate returns why there must be no new row for the session. It returns nil
// if the session has one.
func (s *Session) mayCreate() error {
	switch {
	case s.state.stored():
		return nil
	case s.closed != nil:
		return s.closed
	case s.detached && s.identity == nil:
		return ErrGone
	}
	return s.refuseNew
}

// load reads the rows of the client's tokens, one time. The caller holds the
// lock. It keeps an error of the store for the rest of the session's life. It
// does not keep the error of a caller that gave up.
func (s *Session) load(caller, work context.Context, leaving bool) error {
	switch {
	case leaving && s.state == stateFailed && !isDown(s.storeErr): // a hook has failed
	case s.state == stateFailed:
		return s.storeErr
	case s.state.loaded():
		return nil
	}
	s.locked(func() { s.used = true })
	if len(s.brought) == 0 && s.sent {
		s.svc.emit(work, Event{Kind: EventRejected, Reason: ReasonMalformed})
	}
	var room [1]sight
	seen := room[:0]
	for i := range s.brought {
		v := sight{token: &s.brought[i]}
		if err := s.look(work, &v, leaving); err != nil {
			return s.loadFailed(caller, work, err)
		}
		if s.identity != nil && !v.opens && v.why != WhyNone && v.closed == nil {
			v.closed = ErrGone // its client comes back with the same one
		}
		seen = append(seen, v)
	}
	for i := range seen {
		if err := s.reused(work, seen, &seen[i]); err != nil {
			return s.loadFailed(caller, work, err)
		}
	}
	s.locked(func() { s.becomeSeen(seen); s.offer() })
	if !s.state.stored() && len(s.owned) > 1 {
		s.svc.suspicious(work, Event{Kind: EventAnomaly, Reason: ReasonSeveral, Handle: s.owned[0].handle})
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

// sight is what the row of a token looks like.
type sight struct {
	token    *row.Token
	item     item
	matched  row.Match
	opens    bool // the row is served to the client
	owned    bool // the token opens the row, which is not served
	decision Decision

	why    Why
	closed error // refuses a new session
	stale  bool  // the client may forget the token
	reused bool  // its secret was replaced some time ago
}

// look reads the row of a token and decides whether it is served to this client.
// Its error is the store's, or that of a hook.
func (s *Session) look(ctx context.Context, v *sight, leaving bool) error {
	it, err := s.svc.get(ctx, v.token.Handle)
	v.item = it
	if err != nil {
		return s.lookedInVain(ctx, v, err)
	}
	now := s.svc.now()
	if v.matched = s.matches(v); !v.matched.Opens() {
		s.lookedWrong(ctx, v)
		return nil
	}
	if s.identity != nil && it.Value.Principal != s.identity.Principal {
		v.why = WhyEnded
		e := eventOf(EventAnomaly, it.ID, &it.Value)
		e.Reason = ReasonOtherPrincipal
		s.svc.suspicious(ctx, e)
		return nil
	}
	v.owned, v.stale = true, true
	if s.identity != nil {
		it.Value.AuthenticatedAt = max(it.Value.AuthenticatedAt, s.authenticated())
		v.item = it
	}
	if it.Value.Expired(now) {
		v.why, v.owned = WhyAbsolute, false
		return nil
	}
	if leaving {
		v.opens = true
		return nil
	}
	if reason, err := s.svc.standing(ctx, &it.Value); reason != "" || err != nil {
		if err != nil {
			return err
		}
		// As with a marker: the client may have a newer session by now.
		v.why, v.closed = WhyNotBefore, ErrGone
		if reason == ReasonActorGone {
			v.why = WhyEnded
		}
		e := eventOf(EventRejected, it.ID, &it.Value)
		e.Reason = reason
		s.svc.emit(ctx, e)
		return nil
	}
	if v.decision = s.decide(ctx, &it); v.decision == DecisionDestroy {
		v.why, v.closed, v.owned = WhyEnded, ErrGone, false
		e := endedOf(&it, ReasonBinder)
		_, err := s.svc.remove(ctx, &e)
		return err
	}
	v.opens = true
	return nil
}

// lookedInVain handles a row that was not read, or whose session has ended.
func (s *Session) lookedInVain(ctx context.Context, v *sight, err error) error {
	var gone *endedError
	switch {
	case errors.As(err, &gone):
		v.why, v.closed, v.stale = gone.reason.why(), ErrGone, !gone.reason.brief()
		s.svc.emit(ctx, Event{Kind: EventRejected, Reason: ReasonEnded, Handle: v.token.Handle})
		return nil
	case errors.Is(err, model.ErrNotFound) && s.identity != nil:
		return s.lookedForIdentity(ctx, v)
	case errors.Is(err, model.ErrNotFound):
		v.why, v.stale = s.svc.whyAbsent(), true
		s.svc.emit(ctx, Event{Kind: EventRejected, Reason: ReasonNoSuchSession, Handle: v.token.Handle})
		return nil
	case errors.Is(err, model.ErrCorrupt):
		s.lookedUnreadable(ctx, v, err)
		return nil
	}
	return err
}

// lookedForIdentity handles an identity without a row.
func (s *Session) lookedForIdentity(ctx context.Context, v *sight) error {
	reason, err := s.svc.tooOld(ctx, &row.Row{Principal: s.identity.Principal, AuthenticatedAt: s.authenticated()})
	if err == nil && reason != "" {
		v.why = WhyNotBefore
		s.svc.emit(ctx, Event{Kind: EventRejected, Reason: reason, Handle: v.token.Handle, Principal: s.identity.Principal})
	}
	return err
}

// authenticated returns when the identity's principal proved who they are.
func (s *Session) authenticated() row.Instant {
	return min(row.InstantOf(s.identity.AuthenticatedAt.Truncate(time.Millisecond)), row.InstantOf(s.svc.now()))
}

// matches says how the token of a sight matches its row.
func (s *Session) matches(v *sight) row.Match {
	if s.detached {
		return row.MatchPrevious
	}
	return s.svc.match(&v.item.Value, v.token, s.svc.now())
}

// lookedWrong handles a token that does not open its row.
func (s *Session) lookedWrong(ctx context.Context, v *sight) {
	r := &v.item.Value
	e := eventOf(EventAnomaly, v.item.ID, r)
	v.stale = true
	switch v.matched {
	case row.MatchReplaced:
		v.why, v.closed, v.stale = WhyReplaced, ErrGone, false
		e.Kind, e.Reason = EventRejected, ReasonReplacedSecret
		s.svc.emit(ctx, e)
		return
	case row.MatchRetired, row.MatchLapsed:
		v.why, v.reused = WhyReplaced, true
		return
	case row.MatchUnknownKey:
		v.why, v.stale = WhyUnreadable, false
		e.Kind, e.Reason = EventRejected, ReasonUnknownSealKey
	default:
		e.Reason = ReasonWrongSecret
	}
	s.svc.suspicious(ctx, e)
}

// reused handles a secret that was replaced some time ago. A client that also
// brings the session's own secret has not cleared a cookie, and nothing else.
func (s *Session) reused(ctx context.Context, seen []sight, v *sight) error {
	if !v.reused || slices.ContainsFunc(seen, func(o sight) bool { return o.opens && o.item.ID == v.item.ID }) {
		return nil
	}
	e := eventOf(EventAnomaly, v.item.ID, &v.item.Value)
	e.Reason = ReasonRetiredSecret
	s.svc.suspicious(ctx, e)
	return s.svc.reused(ctx, &v.item)
}

// lookedUnreadable handles a row that cannot be used: the session is anonymous,
// and there is an event. If the token is the row's own, SignOut and SignIn still
// end it, because a node of a newer version may be able to read it. Then nothing
// else may replace the client's token.
func (s *Session) lookedUnreadable(ctx context.Context, v *sight, err error) {
	e := Event{Kind: EventRejected, Reason: ReasonUnreadable, Handle: v.token.Handle}
	if u := (*unreadableError)(nil); errors.As(err, &u) {
		e.Reason = u.reason
	}
	s.svc.suspicious(ctx, e)
	v.why = WhyUnreadable
	v.owned = v.item.ID != "" && s.matches(v).Opens()
	v.stale = e.Reason != ReasonUnknownSealKey
	if v.owned && e.Reason == ReasonNewerVersion {
		v.closed, v.stale = ErrNewer, false
	}
	if v.item.ID != "" && e.Reason == ReasonNewerVersion && s.matches(v) == row.MatchReplaced {
		v.why, v.closed, v.stale = WhyReplaced, ErrGone, false
	}
}

// decide asks the Binder about a session that was loaded. Without a Binder,
// another browser or system is an event and nothing else.
func (s *Session) decide(ctx context.Context, it *item) Decision {
	s.mu.Lock()
	now, claimed := s.client, s.claimed
	s.mu.Unlock()
	if s.detached && s.identity == nil || !claimed {
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
