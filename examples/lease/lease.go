// Package lease shows locks that end by themselves, on the records of any backend: a
// holder acquires a lease, extends it while it works, and releases it. It has the
// operations of dapr's building block for locks, and Extend besides.
//
// A record is the lease. Create is its acquisition, since only one of many creates of
// an id succeeds, and an expired record is replaced. The record's revision is the proof
// of its holder: a touch and a delete at that revision reach no other lease.
//
// A lease proves nothing to what it protects: a holder that stops for a while can wake
// up after its end. So what it writes elsewhere needs a condition too, such as the
// revision of what it has read.
package lease

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

var (
	// ErrHeld says that somebody else has the lease.
	ErrHeld = errors.New("lease: somebody else has it")
	// ErrLost says that the lease has ended, or that somebody else has it by now.
	ErrLost = errors.New("lease: it is no longer yours")
)

// Locks gives leases on names. It is safe for concurrent use.
type Locks struct{ records *expiry.Store[string] }

// New returns Locks on a backend. Any number of them in any number of processes share
// the leases of one store.
func New(backend expiry.ModelExpirySupport, opts *expiry.StoreOptions) (*Locks, error) {
	records, err := expiry.NewStore[string](backend, opts)
	if err != nil {
		return nil, err
	}
	return &Locks{records}, nil
}

// Lease is one that was acquired. It is for one goroutine at a time.
type Lease struct {
	records *expiry.Store[string]
	name    string
	known   *expiry.Known
	// Until is when the lease ends, by the clock of the store.
	Until time.Time
}

// Acquire takes the lease on a name for a time. It returns ErrHeld if somebody has it.
// With any other error the lease may have been taken: it then ends by itself.
func (l *Locks) Acquire(ctx context.Context, name, owner string, d time.Duration) (*Lease, error) {
	item, err := l.records.Create(ctx, name, owner, &expiry.WriteOptions{Expiry: expiry.After(d)})
	if errors.Is(err, expiry.ErrExists) {
		return nil, ErrHeld
	}
	if err != nil {
		return nil, err
	}
	return &Lease{l.records, name, item.Known(), item.ExpiresAt}, nil
}

// Owner returns who has the lease on a name, or expiry.ErrNotFound.
func (l *Locks) Owner(ctx context.Context, name string) (string, error) {
	item, err := l.records.Get(ctx, name)
	return item.Value, err
}

// Extend lets the lease end after d from now, or returns ErrLost.
func (l *Lease) Extend(ctx context.Context, d time.Duration) error {
	item, err := l.records.Touch(ctx, l.name, expiry.After(d), &expiry.TouchOptions{IfMatch: l.known})
	if err != nil {
		return lost(err)
	}
	l.Until = item.ExpiresAt
	return nil
}

// Release ends the lease, or returns ErrLost.
func (l *Lease) Release(ctx context.Context) error {
	return lost(l.records.Delete(ctx, l.name, &expiry.DeleteOptions{IfMatch: l.known}))
}

func lost(err error) error {
	if errors.Is(err, expiry.ErrNotFound) || errors.Is(err, expiry.ErrConflict) {
		return ErrLost
	}
	return err
}
