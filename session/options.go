package session

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// The labels of rows.
const (
	labelPrincipal = "principal" // finds the sessions of a principal
	labelSID       = "sid"       // an identity provider's session; only if the backend declares it
)

// Options configures a Service. The zero value of every field is its default.
type Options struct {
	// Policy says how long sessions live.
	Policy Policy
	// Clock decides what has expired. Nil means the system's clock.
	Clock expiry.Clock
	// Logger gets anomalies and failed housekeeping, with handles and never
	// with tokens. Nil means slog.Default().
	Logger *slog.Logger
	// Observe is called after every call of the store. Nil means no observer.
	Observe expiry.Observer
	// Timeout bounds each load and each change of a session, in real time. A
	// change ignores the end of the caller's context: a client that hangs up
	// does not undo a sign-out. Zero means five seconds.
	Timeout time.Duration
	// LoadTimeout bounds the load of a session that is only read, so that
	// pages do not wait for Timeout if the store is down. Zero means Timeout.
	LoadTimeout time.Duration
	// StoreDown decides about a session that the store did not return within
	// that time. Nil means FailClosed.
	StoreDown StoreDown
	// Limit bounds the number of sessions of one principal. Zero means no
	// limit.
	Limit Limit
	// NotBefore returns the earliest authentication of a principal that is
	// still accepted, for example the last change of the password. It is called
	// once for each load of a signed-in session. The zero time accepts all. An
	// error fails the load. Set it before DestroyPrincipal, and no sign-in that
	// is under way survives. SignIn and Reauthenticate ask it too, and return
	// ErrNotBefore, and Impersonate asks it about the target. What was
	// authenticated in that very millisecond is accepted. Nil accepts all.
	NotBefore func(ctx context.Context, principal string) (time.Time, error)
	// NotBeforeSID is NotBefore for SignInOptions.SID, the session of an
	// identity provider, for its back-channel logout. A sign-in under a Limit
	// asks it about the principal's other sessions too. Nil accepts all.
	NotBeforeSID func(ctx context.Context, sid string) (time.Time, error)
	// Binder decides about a client that differs from the one for which a
	// session was created. Nil means an event if browser or system changes.
	Binder Binder
	// OnEvent is called when something happens to a session. The goroutine
	// that caused the event waits for it, so it must be quick and must not use
	// the session. EventExpired comes from the sweep, at least once, and has
	// only the handle if another node or the server removed the row first. Such
	// an event can also be of a session that was ended before. All other events
	// come once, EventRenewed once on each node. Nil means no events.
	OnEvent func(ctx context.Context, e Event)
	// Keyring encrypts the data of sessions in the store and signs their rows.
	// Times, principal and client stay readable there. A row that was changed,
	// copied to another handle or written without the keyring is not served.
	// Nil means neither.
	Keyring *expiry.Keyring
	// AcceptUnsignedUntil is for a service that begins to use a Keyring: until
	// then rows without a signature are served. Every write signs its row. The
	// zero time accepts none.
	AcceptUnsignedUntil time.Time
	// Purpose is bound into what the Keyring encrypts, such as "admin": two
	// services with one keyring and different purposes cannot read each
	// other's data. It must stay the same. It may be empty.
	Purpose string
	// Pepper makes the hashes of secrets depend on the Keyring too, so that
	// nobody can search a copy of the store for a secret.
	Pepper bool
	// IdentityKey is the secret from which OpenFor makes handles, with at least
	// 32 random bytes. It must stay the same, or all those sessions are new.
	IdentityKey []byte
	// OnReuse says what happens if a client presents a secret that was replaced
	// longer than Policy.Overlap ago: a copy of a cookie, or a client that did
	// not get the new one. The row knows the last three, and the one before the
	// last periodic rotation. After a change of the seal key it knows those under
	// the new key alone. Zero means an event and nothing else.
	OnReuse OnReuse
	// WatchEvery is how often detached sessions are read, in real time. It is
	// the longest time until Detached.Done closes after another process has
	// ended the session. Zero means ten seconds.
	WatchEvery time.Duration
	// Sweep configures Run. Its OnExpire is called for the row of every expired
	// session before its removal, at least once, and gets handle and labels.
	Sweep expiry.SweeperOptions
	// RowsAsJSON writes rows as JSON, as the commits before the compact form did.
	// Nodes of both settings read both forms, and a row changes its form when it is
	// written. A node of such a commit cannot read a compact row: it would take a
	// session for an unreadable one. So a rolling deploy from one sets RowsAsJSON
	// first, and leaves it out in a second deploy. RowJSON shows rows of both forms,
	// and native copies, as those of a Queryable backend, exist of JSON alone.
	RowsAsJSON bool
	// Grace is how long expired rows stay in the store. Zero means one minute.
	// Negative means no time.
	Grace time.Duration
	// SweptElsewhere says that another process runs the sweep. Then this
	// service does not warn if it creates sessions and never runs it.
	SweptElsewhere bool
}

// Decision is the answer of a Binder.
type Decision uint8

// The decisions.
const (
	DecisionAllow     Decision = iota // the session goes on
	DecisionChallenge                 // it goes on, but RequireRecent asks for a reauthentication first
	DecisionDestroy                   // it ends
)

// Binder compares the client for which a session was created with the client
// that presents it now, which may say nothing about itself. It is called once for
// each load by a transport. Neither address nor
// user agent proves anything: both change for honest users, and anybody can copy
// them.
type Binder func(ctx context.Context, info Info, now Client) Decision

// OnReuse says what happens if a replaced secret is presented again.
type OnReuse uint8

// The answers to a secret that is used again.
const (
	OnReuseReport       OnReuse = iota // EventAnomaly, and the client is anonymous
	OnReuseEndSession                  // the session ends too
	OnReuseEndPrincipal                // all sessions of its principal end
)

// reused does what Options.OnReuse says about the row of a replaced secret.
func (s *Service) reused(ctx context.Context, it *item) error {
	switch {
	case s.onReuse == OnReuseEndPrincipal && it.Value.Principal != "":
		_, err := s.DestroyPrincipal(ctx, it.Value.Principal)
		return err
	case s.onReuse != OnReuseReport:
		e := endedOf(it, ReasonReused)
		_, err := s.remove(ctx, &e)
		return err
	}
	return nil
}

const (
	defaultTimeout = 5 * time.Second
	defaultWatch   = 10 * time.Second
)

// check fills in the defaults. It returns model.ErrInvalid if options contradict
// each other or the backend.
func (o *Options) check(desc driver.Description) error {
	o.Policy = o.Policy.under(o.Limit).resolve()
	if err := o.Policy.check(); err != nil {
		return err
	}
	if reason, absent := desc.Lacks(driver.FeatureLabels); absent {
		return model.NewError(model.ErrInvalid, "sessions are found by label: "+reason, nil)
	}
	if !desc.HasLabel(labelPrincipal) {
		return model.NewError(model.ErrInvalid, `sessions need the label "principal" in the backend's Options.Labels`, nil)
	}
	if o.Timeout < 0 || o.LoadTimeout < 0 || o.WatchEvery < 0 || o.Sweep.Interval < 0 || o.Sweep.Limit < 0 {
		return model.NewError(model.ErrInvalid, "Options: Timeout, LoadTimeout, WatchEvery and Sweep must not be negative", nil)
	}
	if o.Limit.Max < 0 || o.Limit.On > OnLimitReject {
		return model.NewError(model.ErrInvalid, "Options: Limit.Max is negative or Limit.On is unknown", nil)
	}
	if o.Keyring != nil && o.Keyring.Active() == "" {
		return model.NewError(model.ErrInvalid, "Options: the Keyring has no active key: make it with expiry.NewKeyring", nil)
	}
	if n := len(o.IdentityKey); n > 0 && n < minIdentityKey {
		return model.NewError(model.ErrInvalid, "Options: IdentityKey has fewer than 32 bytes", nil)
	}
	if o.OnReuse > OnReuseEndPrincipal {
		return model.NewError(model.ErrInvalid, "Options: OnReuse is unknown, use one of the constants", nil)
	}
	if strings.ContainsRune(o.Purpose, 0) {
		return model.NewError(model.ErrInvalid, "Options: Purpose has a NUL", nil)
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
