package session

import "context"

// Why says why a session is anonymous.
type Why uint8

// The reasons.
const (
	// WhyNone: the session is not anonymous, or the client has brought no
	// token, or a text that was never a token of this service.
	WhyNone Why = iota
	// WhyIdle: the session was not used for its idle limit. The row is gone
	// then, so a session that reached its absolute deadline is WhyIdle too, if
	// its client still has the token and Policy has an idle limit.
	WhyIdle
	// WhyAbsolute: the session reached its absolute deadline.
	WhyAbsolute
	// WhyEnded: somebody ended the session: a sign-out, a Destroy method, a
	// limit, the Binder, or the end of the session that impersonates.
	WhyEnded
	// WhyNotBefore: Options.NotBefore does not accept its authentication any
	// longer.
	WhyNotBefore
	// WhyReplaced: the token was replaced, by a sign-in, by Rotate or the like,
	// and the client has the new one or did not get it.
	WhyReplaced
	// WhyUnreadable: the row cannot be read: a newer version has written it, a
	// seal key is missing, or its bytes were changed.
	WhyUnreadable
)

var whyNames = [...]string{"none", "idle", "absolute", "ended", "not before", "replaced", "unreadable"}

// String returns the reason in a word or two.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return "unknown"
}

// Why says why the session is anonymous although the client brought a token, for
// a page that tells its user. It returns WhyNone for a session that is not
// anonymous, and the store's error if the session could not be loaded.
func (s *Session) Why(ctx context.Context) (Why, error) {
	if err := s.ensure(ctx); err != nil {
		return WhyNone, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.stored() {
		return WhyNone, nil
	}
	return s.why, nil
}

// why returns what a client is told about a session that ended for the reason.
func (r Reason) why() Why {
	if r == ReasonReplaced || r == ReasonImpersonationEnded {
		return WhyReplaced
	}
	return WhyEnded
}

// whyAbsent says why the row of a token is gone without a marker.
func (s *Service) whyAbsent() Why {
	if s.policy.Idle > 0 {
		return WhyIdle
	}
	return WhyAbsolute
}
