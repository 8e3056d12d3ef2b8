package session

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Session is a client's session for the time of one use, over HTTP one request.
// The first method that needs the row loads it. Commit ends the use. A Session is
// safe for concurrent use by the goroutines of that request. Do not use it
// afterwards.
//
// After SignOut the Session is a new anonymous one, and what is written then
// goes to a new row. After ErrGone it is anonymous too, and takes no changes: a
// credential for a new row could replace one that the client has received
// meanwhile. SignIn still works.
type Session struct {
	svc *Service

	// lock is held by the caller that loads, changes or persists. Only its
	// holder writes the fields below, and holds mu for that. No I/O and no
	// caller's function runs under mu, so reads can go on.
	lock chan struct{}
	mu   sync.Mutex

	client   Client
	claimed  bool      // SetClient was called
	detached bool      // has a handle and no token
	identity *Identity // of OpenFor; such a session is detached
	lifecycle
	ended []ended // rows to end that are not ended yet

	passive    bool  // a use that moves no deadline and gives no secret
	noRotation bool  // the periodic rotation is off
	refuseNew  error // of RefuseNew
	used       bool  // the session was read or changed
	committed  bool  // changes are refused
	refused    error // why a change was refused, while there is no row
	cred       Credential
	offered    time.Time // when the row was read from which cred is offered; zero: it is not an offer
}

// Open returns the session of a client's token. It reads nothing before its
// first use. If the token is empty, malformed, unknown or expired, the session
// is a new anonymous one. It is stored, under a new handle, when the first value
// is written: the handle of a token is never adopted.
func (s *Service) Open(text string) *Session { return s.OpenAny(text) }

// OpenAny is Open for a client that sends several tokens, as browsers do with
// cookies of one name. A malformed text does not count, equal texts count once,
// and at most four are tried. If exactly one of them opens a session, that one
// is served. If several do, it is unknown which is the user's own, and the
// session is anonymous. SignOut and SignIn end all of them.
func (s *Service) OpenAny(texts ...string) *Session {
	opened := &Session{svc: s, lock: make(chan struct{}, 1)}
	opened.bring(texts)
	return opened
}

// openHandle returns the session of a handle that is known to be right.
func (s *Service) openHandle(handle string) *Session {
	l := lifecycle{brought: []row.Token{{Handle: handle}}}
	return &Session{svc: s, lock: make(chan struct{}, 1), detached: true, lifecycle: l}
}

// RefuseNew makes everything that would create a new session return err from now
// on: a first value, and a sign-in of a client without a session. Transports use
// it with ErrCrossSite. Nil ends it.
func (s *Session) RefuseNew(err error) { s.locked(func() { s.refuseNew = err }) }

// SetPassive makes this a use that does not count: the idle deadline does not
// move, the secret is not rotated, and Key.Take removes nothing. It is for polls
// and prefetches. Changes are written as always.
func (s *Session) SetPassive() { s.locked(func() { s.passive = true }) }

// SetNoRotation turns the periodic rotation of the secret off for this use. It is
// for programs, where two workers may share a token.
func (s *Session) SetNoRotation() { s.locked(func() { s.noRotation = true }) }

// NewContext returns a context with the session, for From and the typed keys. A
// context can have one session of each service: From returns the one that was
// added last, and Service.From returns that of a service.
func NewContext(ctx context.Context, s *Session) context.Context {
	if s == nil {
		return context.WithValue(ctx, contextKey{}, s)
	}
	return &sessionContext{ctx, s}
}

// From returns the session that was added last to the context. It returns false
// if the context has none.
func From(ctx context.Context) (*Session, bool) {
	s, ok := ctx.Value(contextKey{}).(*Session)
	return s, ok && s != nil
}

// Require returns the context's session. It returns ErrNoSession if the context
// has none. It never panics.
func Require(ctx context.Context) (*Session, error) {
	s, ok := From(ctx)
	if !ok {
		return nil, ErrNoSession
	}
	return s, nil
}

// SetClient sets the program at the other end, which is stored when the session
// is created or signed in. A transport calls it before anything else uses the
// session, also for a client that says nothing about itself. Without it the
// Binder is not asked.
func (s *Session) SetClient(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.claimed = c.trimmed(), true
}

// Err returns why the session could not be loaded. It returns nil if the session
// was loaded or nothing has used it yet. After a change was refused because it
// would need a new session, it returns why: ErrReadOnly (Options.StoreDown),
// ErrGone, ErrNewer or the error of RefuseNew. A sign-in ends that.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateFailed:
		return s.storeErr
	case s.state.stored():
		return nil
	}
	return s.refused
}

// Degraded returns the store's error if Options.StoreDown has made the session
// anonymous and read-only. Else it returns nil.
func (s *Session) Degraded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateReadOnly {
		return s.storeErr
	}
	return nil
}

// Used reports whether anything has read or changed the session, so that the
// answer depends on it.
func (s *Session) Used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Personal reports whether the session was that of somebody who is signed in, at
// any time of this use. So the answer can have what is theirs, even if the session
// has ended meanwhile.
func (s *Session) Personal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

// Changed reports whether a change of the caller is not stored yet. A deadline
// to move or a secret to rotate does not count.
func (s *Session) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended) > 0 || s.dirty()
}

// Challenged reports whether the Binder asks the principal to prove again who
// they are.
func (s *Session) Challenged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateChallenged
}

// record applies a change and keeps it for a replay. The caller holds the lock.
func (s *Session) record(o op, result json.RawMessage) {
	s.locked(func() { s.apply(o, result) })
}

// match says how the session's token matches a row. A detached session has no
// secret. It counts as one that is never given another.
func (s *Session) match(r *row.Row, now time.Time) row.Match {
	if s.detached {
		return row.MatchPrevious
	}
	if s.token == nil {
		return row.MatchNone
	}
	return s.svc.match(r, s.token, now)
}

// Format prints the handle, for every verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.text()) }

// LogValue returns the text of Format.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.text()) }

func (s *Session) text() string {
	if s == nil {
		return "session(nil)"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.stored() {
		return "session(new)"
	}
	return "session(" + s.item.ID + ")"
}

// acquire waits for the session's lock.
func (s *Session) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// acquireUncancelled waits for the session's lock, for the service's Timeout at
// most. It does not end with the caller's context.
func (s *Session) acquireUncancelled(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	default:
	}
	wait, stop := s.svc.uncancelled(ctx)
	defer stop()
	if err := s.acquire(wait); err != nil {
		return fmt.Errorf("session: busy with another change: %w", err)
	}
	return nil
}

func (s *Session) release() { <-s.lock }

// locked runs do under mu.
func (s *Session) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}
