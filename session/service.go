package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// The labels of rows.
const (
	principalLabel = "principal" // by which the sessions of a principal are found
	sidLabel       = "sid"       // of an identity provider; only where the backend declares it
)

// Options configures a Service. The zero value of every field is its default.
type Options struct {
	// Policy says how long sessions live.
	Policy Policy
	// Clock decides what has expired. Nil: the system's clock.
	Clock expiry.Clock
	// Logger is told of anomalies and failed housekeeping, with handles and
	// never with a token. Nil: slog.Default().
	Logger *slog.Logger
	// Observe is told of every call of the store. Nil: nobody is.
	Observe expiry.Observer
	// Timeout limits each load and each change of a session, in real time. A
	// change is not ended by the caller's context: a client that hangs up
	// does not undo a sign-out. Zero: five seconds.
	Timeout time.Duration
	// LoadTimeout limits the loading of a session that is only read, so that a
	// store that is down does not hold every page for Timeout. Zero: Timeout.
	LoadTimeout time.Duration
	// StoreDown decides what becomes of a session that the store could not
	// give within that time. Nil: FailClosed.
	StoreDown StoreDown
	// Limit bounds the number of sessions of one principal. Zero: no limit.
	Limit Limit
	// NotBefore says since when a principal has to have been authenticated: an
	// account that was disabled or whose password changed, for example. It is
	// asked once for each load of a session with a principal; the zero time is
	// no such limit, and an error fails the load. Set it before
	// DestroyPrincipal and no sign-in under way can slip through. Nil: never.
	NotBefore func(ctx context.Context, principal string) (time.Time, error)
	// Binder decides about a client that differs from the one that a session
	// was created for. Nil: an event when browser or system changes.
	Binder Binder
	// OnEvent is told what happens to sessions, on the goroutine that makes it
	// happen, which waits: it must be quick and not use the session. Expired
	// comes from the sweep, at least once, with the handle alone where the
	// server or another node was faster; all others come once. Nil: nobody is.
	OnEvent func(ctx context.Context, e Event)
	// Keyring seals the data of sessions in the store; times, principal and
	// client stay readable there. Nil: the data is not sealed.
	Keyring *expiry.Keyring
	// Pepper makes the hashes of secrets depend on the Keyring too, so that
	// whoever can write to the store alone can make no session. Rows from
	// before stay valid.
	Pepper bool
	// WatchEvery is how often detached sessions are looked at, in real time:
	// the longest time until Detached.Done is closed after another process
	// has ended the session. Zero: ten seconds.
	WatchEvery time.Duration
	// Sweep configures Run. Its Each is called for every expired session's
	// row before its removal, at least once, and sees handle and labels.
	Sweep expiry.SweeperOptions
	// Grace is how long expired rows are left in the store. Zero: one minute.
	// Negative: none.
	Grace time.Duration
	// SweptElsewhere says that another process runs the sweep, so that this
	// one does not warn when it creates sessions and never runs it.
	SweptElsewhere bool
}

const (
	defaultTimeout = 5 * time.Second
	defaultWatch   = 10 * time.Second
	// unsweptWarning is the number of created sessions at which a service
	// that nobody sweeps says so.
	unsweptWarning = 100
)

// Service keeps sessions in a backend. It is safe for concurrent use, keeps
// nothing of a session itself, and any number of services in any number of
// processes may share one store.
type Service struct {
	store       *expiry.Store[row]
	policy      Policy
	limit       Limit
	clock       expiry.Clock
	log         *slog.Logger
	timeout     time.Duration
	loadTimeout time.Duration
	storeDown   StoreDown
	notBefore   func(ctx context.Context, principal string) (time.Time, error)
	binder      Binder
	onEvent     func(ctx context.Context, e Event)
	keyring     *expiry.Keyring
	pepper      bool
	sweep       expiry.SweeperOptions
	swept       atomic.Bool
	created     atomic.Int64
	watch       watcher

	mu       sync.Mutex
	closed   bool
	sweepers map[*expiry.Sweeper]struct{}
}

// New returns a Service on the backend. It does no I/O. ErrInvalid for a nil
// backend, one that does not declare the label "principal", or options that
// contradict themselves.
func New(backend expiry.ModelExpirySupport, opts *Options) (*Service, error) {
	const op = "session.New"
	var o Options
	if opts != nil {
		o = *opts
	}
	if backend == nil {
		return nil, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "no backend", nil)}
	}
	desc := backend.Describe()
	if err := checkOptions(&o, desc); err != nil {
		return nil, &model.Error{Op: op, Backend: desc.Backend, Err: err}
	}
	store, err := expiry.NewStore[row](backend, &expiry.StoreOptions{Codec: rowCodec{}, Clock: o.Clock, Observe: o.Observe, Grace: o.Grace})
	if err != nil {
		return nil, err
	}
	s := &Service{
		store: store, policy: o.Policy, limit: o.Limit, clock: o.Clock, log: o.Logger,
		timeout: o.Timeout, loadTimeout: o.LoadTimeout, storeDown: o.StoreDown,
		notBefore: o.NotBefore, binder: o.Binder, onEvent: o.OnEvent, keyring: o.Keyring, pepper: o.Pepper,
		sweep: o.Sweep, sweepers: map[*expiry.Sweeper]struct{}{},
	}
	s.watch.svc, s.watch.every = s, o.WatchEvery
	s.swept.Store(o.SweptElsewhere)
	return s, nil
}

// checkOptions fills in the defaults and finds contradictions.
func checkOptions(o *Options, desc driver.Description) error {
	o.Policy = o.Policy.resolve()
	if err := o.Policy.check(); err != nil {
		return err
	}
	if reason, absent := desc.Lacks(driver.FeatureLabels); absent {
		return model.NewError(model.ErrInvalid, "sessions are found by label: "+reason, nil)
	}
	if !desc.HasLabel(principalLabel) {
		return model.NewError(model.ErrInvalid, `sessions need the label "principal" in the backend's Options.Labels`, nil)
	}
	if o.Timeout < 0 || o.LoadTimeout < 0 || o.WatchEvery < 0 || o.Sweep.Interval < 0 || o.Sweep.Limit < 0 {
		return model.NewError(model.ErrInvalid, "Options: Timeout, LoadTimeout, WatchEvery and Sweep are not negative", nil)
	}
	if o.Limit.Max < 0 || o.Limit.On > Reject {
		return model.NewError(model.ErrInvalid, "Options: Limit is none", nil)
	}
	if o.Pepper && o.Keyring == nil {
		return model.NewError(model.ErrInvalid, "Options: Pepper needs a Keyring", nil)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.LoadTimeout == 0 {
		o.LoadTimeout = o.Timeout
	}
	if o.WatchEvery == 0 {
		o.WatchEvery = defaultWatch
	}
	if o.StoreDown == nil {
		o.StoreDown = FailClosed
	}
	if o.Clock == nil {
		o.Clock = expiry.SystemClock()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// Policy returns the policy in force; a rule that is off is negative.
func (s *Service) Policy() Policy {
	p := s.policy
	for _, d := range []*time.Duration{&p.Idle, &p.Absolute, &p.TouchEvery, &p.RotateEvery, &p.Overlap} {
		if *d == 0 {
			*d = -1
		}
	}
	return p
}

// Open returns the session that a client's token names. Nothing is read before
// its first use. A token that is empty, malformed, unknown or expired is a new
// anonymous session, stored when something is written to it and under a handle
// of its own: a token's handle is never adopted.
func (s *Service) Open(text string) *Session {
	out := &Session{svc: s, turn: make(chan struct{}, 1)}
	if t, ok := parseToken(text); ok {
		out.token = &t
	}
	out.malformed = text != "" && out.token == nil
	return out
}

// Run removes expired sessions from the store until ctx ends, and returns its
// error, or until Close, and returns nil. Any number of processes may run it:
// they share the work.
func (s *Service) Run(ctx context.Context) error {
	s.swept.Store(true)
	sweeper, err := s.sweeper(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.sweepers[sweeper] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sweepers, sweeper)
	}()
	return sweeper.Run(ctx)
}

// Sweep removes once what is due, as Run does again and again.
func (s *Service) Sweep(ctx context.Context) (driver.Swept, error) {
	s.swept.Store(true)
	sweeper, err := s.sweeper(ctx)
	if err != nil {
		return driver.Swept{}, err
	}
	return sweeper.Sweep(ctx)
}

func (s *Service) sweeper(ctx context.Context) (*expiry.Sweeper, error) {
	o := s.sweep
	told, each := o.OnSwept, o.OnExpire
	o.OnSwept = func(n driver.Swept, err error) {
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "session sweep failed", slog.String("error", err.Error()))
		}
		if told != nil {
			told(n, err)
		}
	}
	if s.onEvent != nil {
		o.OnExpire = func(rec model.Record) error {
			if each != nil {
				if err := each(rec); err != nil {
					return err
				}
			}
			s.emit(ctx, Event{Kind: Expired, Handle: rec.ID, Principal: rec.Labels[principalLabel]})
			return nil
		}
	}
	return expiry.NewSweeper(s.store, &o)
}

// Close ends every Run and every detached session, and waits for what works
// for them. It leaves the backend alone. It may be called at any time, again
// and concurrently, and returns nil.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	var running []*expiry.Sweeper
	for sweeper := range s.sweepers {
		running = append(running, sweeper)
	}
	s.mu.Unlock()
	for _, sweeper := range running {
		_ = sweeper.Close() // always nil
	}
	s.watch.close()
	return nil
}

// now is the clock's time as the store sees it: whole milliseconds.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

// detached is the context of a change: it outlives a client that hangs up, and
// has a limit of its own.
func (s *Service) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
}

// conflict tells of two requests that changed one session.
func (s *Service) conflict(ctx context.Context, it *expiry.Item[row], how Reason) {
	e := eventOf(Conflict, it.ID, &it.Value)
	e.Reason = how
	s.emit(ctx, e)
}

// countCreated warns once of a store that only grows.
func (s *Service) countCreated(ctx context.Context) {
	if s.created.Add(1) == unsweptWarning && !s.swept.Load() {
		s.log.LogAttrs(ctx, slog.LevelWarn, "expired sessions are not being removed: call Service.Run, or set Options.SweptElsewhere")
	}
}

// remove ends a session: it deletes its row and reports whether this call did.
func (s *Service) remove(ctx context.Context, o *ended) (bool, error) {
	did, err := s.delete(ctx, o.handle, o.version)
	if did {
		s.emit(ctx, Event{Kind: Destroyed, Reason: o.reason, Handle: o.handle, Principal: o.principal, Actor: o.actor})
	}
	return did, err
}

// delete deletes a row whatever its revision, so that it wins over writers, and
// reports whether this call did it. After a lost answer it looks once.
func (s *Service) delete(ctx context.Context, id string, prev *expiry.Known) (did bool, err error) {
	if did, err = s.deleteOnce(ctx, id, prev); err == nil {
		s.watch.ended(id)
	}
	return did, err
}

func (s *Service) deleteOnce(ctx context.Context, id string, prev *expiry.Known) (bool, error) {
	opts := &expiry.DeleteOptions{Known: prev}
	err := s.store.Delete(ctx, id, opts)
	if err == nil || !errors.Is(err, model.ErrUnknown) {
		return err == nil, gone(err)
	}
	ctx, cancel := s.detached(ctx)
	defer cancel()
	switch _, look := s.store.Get(ctx, id); {
	case errors.Is(look, model.ErrNotFound):
		return true, nil
	case look == nil, errors.Is(look, model.ErrCorrupt):
		err = s.store.Delete(ctx, id, opts)
		return err == nil, gone(err)
	}
	return false, err
}

// gone is for deletes: what is not there need not be deleted.
func gone(err error) error {
	if errors.Is(err, model.ErrNotFound) {
		return nil
	}
	return err
}
