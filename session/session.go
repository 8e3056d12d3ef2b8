package session

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

// Session is one unit of work on one client's session, over HTTP one request:
// it is loaded when first used, once, and committed at the end. It is safe for
// concurrent use by the goroutines of that unit of work and not for use after
// it.
//
// Once something has ended the session (SignOut, ErrGone), it is a new
// anonymous one, and what is written then goes to a fresh row.
type Session struct {
	svc *Service

	// turn is held by whoever loads, changes or persists; only its holder
	// writes the fields below, under mu. Mu is never held over I/O or a
	// caller's function, so reading goes on meanwhile.
	turn chan struct{}
	mu   sync.Mutex

	token     *token // what the client has or is to be given; nil: nothing
	presented bool   // the client has shown this very token
	malformed bool   // the client has brought something, and it is no token
	trusted   bool   // no token but a handle that is known to be right: Detached
	via       match  // how the token matched when the row was loaded
	client    Client

	used       bool
	loaded     bool
	loadErr    error
	readOnly   error // the store's, where StoreDown goes on without it
	refused    error // a change that readOnly has refused
	committed  bool
	challenged bool // by the binder

	stored bool // item is the session's row
	item   expiry.Item[row]
	data   values                  // the row's data with ops applied
	ops    []op                    // what was changed since the row was read
	edits  []func(*row, time.Time) // the same of its lifetimes
	ended  []ended                 // signed out, but the rows are still there
	// orphan is a row that the token opens and this version cannot read: it
	// can still be signed out.
	orphan *ended

	cred Credential
}

// ended is a row that is to be deleted, and why.
type ended struct {
	handle    string
	principal string
	actor     string
	reason    Reason
	version   *expiry.Known // may be nil
}

func endedOf(it *expiry.Item[row], why Reason) ended {
	e := ended{handle: it.ID, principal: it.Value.Principal, reason: why, version: it.Known()}
	if it.Value.Actor != nil {
		e.actor = it.Value.Actor.ID
	}
	return e
}

// Principal is who a session belongs to.
type Principal struct {
	ID        string
	SessionID string    // the handle of the session; novel for each sign-in
	IssuedAt  time.Time // when the sign-in or the last reauthentication was
	ExpiresAt time.Time // when the session ends unless it is used before
	Level     int       // as given at sign-in, or of an elevation in force
	// ProvedAt is when they last proved who they are: at sign-in, with
	// Reauthenticate or with Elevate.
	ProvedAt time.Time
	// Actor is who acts as the principal, by Impersonate. Empty: nobody else.
	Actor string
}

// SetClient says what is known of the program at the other end, to be stored
// when the session is created or signed in. Transports call it before anything
// else uses the session.
func (s *Session) SetClient(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c.trimmed()
}

// Principal returns who the session belongs to: ErrUnauthenticated where that
// is nobody, and the store's error where it cannot be known.
func (s *Session) Principal(ctx context.Context) (Principal, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return Principal{}, err
	}
	if info.Principal == "" {
		return Principal{}, ErrUnauthenticated
	}
	return Principal{
		ID: info.Principal, SessionID: info.Handle, Level: info.Level,
		IssuedAt: info.AuthenticatedAt, ExpiresAt: info.ExpiresAt(),
		ProvedAt: info.ProvedAt, Actor: info.Actor,
	}, nil
}

// Info returns what the store knows of the session; the zero Info, without a
// handle, for one that is not stored.
func (s *Session) Info(ctx context.Context) (Info, error) {
	if err := s.ensure(ctx); err != nil {
		return Info{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored {
		return Info{}, nil
	}
	return infoOf(&s.item, s.svc.now()), nil
}

// Err returns why the session could not be loaded, or nil: it was, or nothing
// has asked for it. For a session that is read-only (StoreDown) it is nil until
// a change has been refused.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loadErr == nil {
		return s.refused
	}
	return s.loadErr
}

// Used reports whether anything has looked at the session or changed it, so
// that the answer depends on it.
func (s *Session) Used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Changed reports whether a change of the caller's is not in the store yet. A
// deadline to be moved or a secret to be rotated is none.
func (s *Session) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended) > 0 || s.dirty()
}

// dirty reports whether the data differs from that of the row.
func (s *Session) dirty() bool {
	if !s.stored {
		return len(s.data) > 0
	}
	return len(s.edits) > 0 || !s.data.equal(s.item.Value.Data)
}

// Format prints the handle, whatever the verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.text()) }

// LogValue is the text of Format.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.text()) }

func (s *Session) text() string {
	if s == nil {
		return "session(nil)"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored {
		return "session(new)"
	}
	return "session(" + s.item.ID + ")"
}

// enter waits for the session's turn.
func (s *Session) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) leave() { <-s.turn }

// change takes the session's turn and loads it. The context that it returns is
// for the store; the caller calls the function when done. Both the wait and
// the work go on without the caller's context, each within the time limit: so
// a change made from inside a change fails rather than hangs.
func (s *Session) change(ctx context.Context) (context.Context, func(), error) {
	work, done, err := s.begun(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err = ErrCommitted; !s.committed {
		err = s.load(work, work)
	}
	if err == nil && s.readOnly != nil {
		err = fmt.Errorf("%w: %w", ErrReadOnly, s.readOnly)
		s.mark(func() { s.refused = err })
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return work, done, nil
}

// begun is change without the loading.
func (s *Session) begun(ctx context.Context) (context.Context, func(), error) {
	if err := s.enterDetached(ctx); err != nil {
		return nil, nil, err
	}
	work, cancel := s.svc.detached(ctx)
	return work, func() { cancel(); s.leave() }, nil
}

// enterDetached waits for the session's turn without the caller's context.
func (s *Session) enterDetached(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	wait, stop := s.svc.detached(ctx)
	defer stop()
	if err := s.enter(wait); err != nil {
		return fmt.Errorf("session: busy with another change: %w", err)
	}
	return nil
}

// ensure loads the session unless it is.
func (s *Session) ensure(ctx context.Context) error {
	s.mu.Lock()
	loaded, err := s.loaded, s.loadErr
	s.mu.Unlock()
	if loaded || err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	work, cancel := context.WithTimeout(ctx, s.svc.loadTimeout)
	defer cancel()
	return s.load(ctx, work)
}

// mark changes fields under the lock.
func (s *Session) mark(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// begin makes it a new, anonymous, empty session.
func (s *Session) begin() {
	s.loaded, s.loadErr = true, nil
	s.stored, s.item, s.via, s.presented = false, expiry.Item[row]{}, matchNone, false
	s.data, s.ops, s.edits = nil, nil, nil
	s.orphan, s.challenged = nil, false
}

// adopt makes the item its row.
func (s *Session) adopt(it expiry.Item[row], via match, presented bool) {
	s.loaded, s.loadErr = true, nil
	s.stored, s.item, s.via, s.presented = true, it, via, presented
	s.data, s.ops, s.edits = it.Value.Data, nil, nil
}
