package session

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// unsweptWarning is the number of created sessions after which a service warns
// that nothing removes expired ones.
const unsweptWarning = 100

// Service keeps sessions in a backend. It is safe for concurrent use and caches
// nothing. Any number of services in any number of processes can share one
// store.
type Service struct {
	store       *expiry.Store[row.Row]
	eraser      *expiry.Store[row.Row] // the same without the grace
	writes      int                    // the version of the rows that are written
	policy      Policy
	limit       Limit
	clock       expiry.Clock
	log         *slog.Logger
	timeout     time.Duration
	loadTimeout time.Duration
	storeDown   StoreDown
	notBefore   func(ctx context.Context, principal string) (time.Time, error)

	notBeforeSID  func(ctx context.Context, sid string) (time.Time, error)
	unsignedUntil time.Time
	onReuse       OnReuse
	identityKey   []byte
	renewals      renewals
	binder        Binder
	onEvent       func(ctx context.Context, e Event)
	keyring       *expiry.Keyring
	purpose       string
	pepper        bool
	sweep         expiry.SweeperOptions
	swept         atomic.Bool
	created       atomic.Int64
	watch         watcher
	flights       flights // of Key.Refresh

	backend expiry.ModelExpirySupport // of OpenURL, or nil
	runs    sync.WaitGroup            // of OpenURL

	mu       sync.Mutex
	closed   bool
	sweepers map[*expiry.Sweeper]struct{}
}

// New returns a Service on the backend. It does no I/O. It returns
// model.ErrInvalid for a nil backend, a backend that does not declare the label
// "principal", and options that contradict each other.
func New(backend expiry.ModelExpirySupport, opts *Options) (*Service, error) {
	const op = "session.New"
	var o Options
	if opts != nil {
		o = *opts
	}
	if backend == nil {
		return nil, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the backend is nil", nil)}
	}
	desc := backend.Describe()
	if err := o.check(desc); err != nil {
		return nil, &model.Error{Op: op, Backend: desc.Backend, Err: err}
	}
	codec := row.Codec{JSON: o.RowsAsJSON}
	store, err := expiry.NewStore[row.Row](backend, &expiry.StoreOptions{Codec: codec, Clock: o.Clock, Observe: o.Observe, Grace: o.Grace})
	if err != nil {
		return nil, err
	}
	eraser, err := expiry.NewStore[row.Row](backend, &expiry.StoreOptions{Codec: codec, Clock: o.Clock, Observe: o.Observe, Grace: -1})
	if err != nil {
		return nil, err
	}
	s := &Service{
		store: store, eraser: eraser, writes: codec.Version(), policy: o.Policy, limit: o.Limit, clock: o.Clock, log: o.Logger,
		timeout: o.Timeout, loadTimeout: o.LoadTimeout, storeDown: o.StoreDown,
		notBefore: o.NotBefore, binder: o.Binder, onEvent: o.OnEvent, keyring: o.Keyring, purpose: o.Purpose, pepper: o.Pepper,
		notBeforeSID: o.NotBeforeSID, unsignedUntil: o.AcceptUnsignedUntil, onReuse: o.OnReuse, identityKey: slices.Clone(o.IdentityKey), renewals: renewals{seed: maphash.MakeSeed()},
		sweep: o.Sweep, sweepers: map[*expiry.Sweeper]struct{}{},
	}
	s.watch.every = o.WatchEvery
	s.swept.Store(o.SweptElsewhere)
	return s, nil
}

// Policy returns the policy in force. A rule that is off is negative.
func (s *Service) Policy() Policy {
	p := s.policy
	for _, d := range []*time.Duration{&p.Idle, &p.Absolute, &p.TouchEvery, &p.RotateEvery, &p.Overlap, &p.AnonymousIdle, &p.AnonymousAbsolute, &p.SeenEvery} {
		if *d == 0 {
			*d = -1
		}
	}
	if p.AnonymousData == 0 {
		p.AnonymousData = -1
	}
	return p
}

// Limit returns the limit in force.
func (s *Service) Limit() Limit { return s.limit }

// Run removes expired sessions from the store until ctx ends or the service is
// closed. It returns the context's error, or nil after Close. Several processes
// can run it: they share the work.
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

// Sweep removes the sessions that have expired, one time. Run does so
// repeatedly.
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
	onSwept := o.OnSwept
	o.OnSwept = func(n driver.Swept, err error) {
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "session sweep failed", slog.String("error", err.Error()))
		}
		if onSwept != nil {
			onSwept(n, err)
		}
	}
	o.OnExpire = s.onExpire(ctx)
	return expiry.NewSweeper(s.store, &o)
}

// onExpire returns the callback of a sweep, or nil if nobody wants to know.
func (s *Service) onExpire(ctx context.Context) func(model.Record) error {
	own := s.sweep.OnExpire
	if s.onEvent == nil && own == nil {
		return nil
	}
	return func(rec model.Record) error {
		if row.IsMarkerLabel(rec.Labels[labelPrincipal]) {
			return nil // its session has ended before
		}
		if own != nil {
			if err := own(rec); err != nil {
				return err
			}
		}
		s.emit(ctx, Event{Kind: EventExpired, Handle: rec.ID, Principal: rec.Labels[labelPrincipal]})
		return nil
	}
}

// Close ends every Run and every detached session, and waits for their
// goroutines. It closes the backend if OpenURL opened it, and returns its error. It
// can be called at any time, repeatedly and concurrently.
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
	s.runs.Wait()
	if s.backend == nil {
		return nil
	}
	return s.backend.Close()
}

// now returns the clock's time in whole milliseconds, as the store sees it.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

// uncancelled returns the context of a change. It does not end if the client
// hangs up, and has its own time limit.
func (s *Service) uncancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	return within(context.WithoutCancel(ctx), s.timeout)
}

// emit calls Options.OnEvent.
func (s *Service) emit(ctx context.Context, e Event) {
	if s.onEvent == nil {
		return
	}
	e.Time = s.now()
	s.onEvent(ctx, e)
}

// suspicious emits and logs an event about a token or a row that is not as this
// service left it.
func (s *Service) suspicious(ctx context.Context, e Event) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "session "+e.Kind.String(), slog.String("handle", e.Handle), slog.String("reason", string(e.Reason)))
	s.emit(ctx, e)
}

// conflict emits an event about two requests that changed one session.
func (s *Service) conflict(ctx context.Context, it *item, how Reason) {
	e := eventOf(EventConflict, it.ID, &it.Value)
	e.Reason = how
	s.emit(ctx, e)
}

// countCreated warns once if nothing removes expired sessions.
func (s *Service) countCreated(ctx context.Context) {
	if s.created.Add(1) == unsweptWarning && !s.swept.Load() {
		s.log.LogAttrs(ctx, slog.LevelWarn, "expired sessions are not being removed: call Service.Run, or set Options.SweptElsewhere")
	}
}
