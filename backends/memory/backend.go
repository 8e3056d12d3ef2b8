package memory

import (
	"context"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend is one store of a Space. It is safe for concurrent use.
type Backend struct {
	gate  *driverkit.Gate
	store *store
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
)

const backendName = "memory"

// New returns a backend on the store with that name in the space. Backends
// with the same space and name share its records. A nil space means a new one.
// It returns ErrInvalid for an empty name or an invalid label name.
func New(space *Space, name string, opts *Options) (*Backend, error) {
	if name == "" {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the store has no name", nil))
	}
	labels, err := opts.labels()
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	if space == nil {
		space = NewSpace()
	}
	store := space.open(name)
	gate := driverkit.NewGate(driver.Description{Backend: backendName, Labels: labels}, store.name)
	return &Backend{gate: gate, store: store}, nil
}

// Describe returns the backend's name and labels.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close closes this backend. The records stay in its space.
func (b *Backend) Close() error { return b.gate.Close() }

// Ping returns nil if the backend is open.
func (b *Backend) Ping(ctx context.Context) error { return b.gate.Enter(ctx) }

// CreateStorage does nothing: a store needs no creation.
func (b *Backend) CreateStorage(ctx context.Context) error { return b.gate.Enter(ctx) }

// DeleteStorage removes every record of the store.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	for i := range b.store.shards {
		b.store.shards[i].reset()
	}
	return nil
}
