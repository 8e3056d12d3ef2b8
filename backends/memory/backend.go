package memory

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Backend is one store of a Space. It is safe for concurrent use.
type Backend struct {
	store  *store
	labels []string
	closed atomic.Bool
}

var (
	_ expiry.ModelExpirySupport = (*Backend)(nil)
	_ expiry.Counter            = (*Backend)(nil)
	_ expiry.StorageManager     = (*Backend)(nil)
	_ expiry.Pinger             = (*Backend)(nil)
)

// New returns a backend on the store of that name in the space; backends of
// one name share its records. A nil space is one of the backend's own. An
// empty name or a bad label name is ErrInvalid.
func New(space *Space, name string, opts *Options) (*Backend, error) {
	if name == "" {
		return nil, model.Fault(model.ErrInvalid, "memory: the store has no name", nil)
	}
	labels, err := opts.labels()
	if err != nil {
		return nil, err
	}
	if space == nil {
		space = NewSpace()
	}
	return &Backend{store: space.open(name), labels: labels}, nil
}

// Describe says what the backend is.
func (b *Backend) Describe() expiry.Description {
	return expiry.Description{Backend: "memory", Labels: slices.Clone(b.labels)}
}

// Close ends this backend; the records stay in its space.
func (b *Backend) Close() error {
	b.closed.Store(true)
	return nil
}

// enter is the first step of every operation.
func (b *Backend) enter(ctx context.Context) error {
	if b.closed.Load() {
		return model.ErrClosed
	}
	return ctx.Err()
}

// Ping reports whether the backend is open.
func (b *Backend) Ping(ctx context.Context) error { return b.enter(ctx) }

// CreateStorage has nothing to make.
func (b *Backend) CreateStorage(ctx context.Context) error { return b.enter(ctx) }

// DeleteStorage removes every record of the store.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	for i := range b.store.shards {
		b.store.shards[i].reset()
	}
	return nil
}
