package session

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// principalLabel is the label by which the sessions of a principal are found.
const principalLabel = "principal"

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
	// unsweptWarning is the number of created sessions at which a service
	// that nobody sweeps says so.
	unsweptWarning = 100
)

// Service keeps sessions in a backend. It is safe for concurrent use, holds no
// state of its own, and any number of services in any number of processes may
// share one store.
type Service struct {
	store   *expiry.Store[row]
	policy  Policy
	clock   expiry.Clock
	log     *slog.Logger
	timeout time.Duration
	sweep   expiry.SweeperOptions
	swept   atomic.Bool
	created atomic.Int64
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
		return nil, &model.Error{Op: op, Err: model.Fault(model.ErrInvalid, "no backend", nil)}
	}
	desc := backend.Describe()
	if err := checkOptions(&o, desc); err != nil {
		return nil, &model.Error{Op: op, Backend: desc.Backend, Err: err}
	}
	store, err := expiry.NewStore[row](backend, &expiry.StoreOptions{Clock: o.Clock, Observe: o.Observe, Grace: o.Grace})
	if err != nil {
		return nil, err
	}
	s := &Service{store: store, policy: o.Policy, clock: o.Clock, log: o.Logger, timeout: o.Timeout, sweep: o.Sweep}
	s.swept.Store(o.SweptElsewhere)
	return s, nil
}

// checkOptions fills in the defaults and finds contradictions.
func checkOptions(o *Options, desc expiry.Description) error {
	o.Policy = o.Policy.resolve()
	if err := o.Policy.check(); err != nil {
		return err
	}
	if reason, absent := desc.Lacks(expiry.FeatureLabels); absent {
		return model.Fault(model.ErrInvalid, "sessions are found by label: "+reason, nil)
	}
	if !desc.HasLabel(principalLabel) {
		return model.Fault(model.ErrInvalid, `sessions need the label "principal" in the backend's Options.Labels`, nil)
	}
	if o.Timeout < 0 || o.Sweep.Interval < 0 || o.Sweep.Limit < 0 {
		return model.Fault(model.ErrInvalid, "Options: Timeout and Sweep are not negative", nil)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
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
	return out
}

// Run removes expired sessions from the store until ctx ends, and returns its
// error. Any number of processes may run it: they share the work.
func (s *Service) Run(ctx context.Context) error {
	s.swept.Store(true)
	o := s.sweep
	told := o.OnSwept
	o.OnSwept = func(n expiry.Swept, err error) {
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "session sweep failed", slog.String("error", err.Error()))
		}
		if told != nil {
			told(n, err)
		}
	}
	sweeper, err := expiry.NewSweeper(s.store, &o)
	if err != nil {
		return err
	}
	return sweeper.Run(ctx)
}

// now is the clock's time as the store sees it: whole milliseconds.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

// detached is the context of a change: it outlives a client that hangs up, and
// has a limit of its own.
func (s *Service) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
}

// anomaly logs what an honest client does not do.
func (s *Service) anomaly(ctx context.Context, handle, reason string) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "session anomaly", slog.String("handle", handle), slog.String("reason", reason))
}

// countCreated warns once of a store that only grows.
func (s *Service) countCreated(ctx context.Context) {
	if s.created.Add(1) == unsweptWarning && !s.swept.Load() {
		s.log.LogAttrs(ctx, slog.LevelWarn, "expired sessions are not being removed: call Service.Run, or set Options.SweptElsewhere")
	}
}

// remove deletes a row whatever its revision, so that it wins over writers,
// and reports whether this call did it. After a lost answer it looks once.
func (s *Service) remove(ctx context.Context, id string, prev *expiry.Version) (bool, error) {
	opts := &expiry.DeleteOptions{Prev: prev}
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
