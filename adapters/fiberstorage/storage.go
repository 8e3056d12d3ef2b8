package fiberstorage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

// Storage is a storage of gofiber on a backend. It is safe for concurrent use.
type Storage struct{ records *expiry.Store[[]byte] }

// New returns a Storage. The options are those of expiry.NewStore, such as Seal. Codec
// and SecretIDs are the Storage's own, and TTL is ignored, since fiber gives a lifetime
// with each write. Nil means the defaults. It returns the errors of expiry.NewStore.
func New(backend expiry.ModelExpirySupport, opts *expiry.StoreOptions) (*Storage, error) {
	var o expiry.StoreOptions
	if opts != nil {
		o = *opts
	}
	o.Codec, o.SecretIDs = expiry.Bytes(), true
	records, err := expiry.NewStore[[]byte](backend, &o)
	if err != nil {
		return nil, err
	}
	return &Storage{records}, nil
}

// Records returns the store below, for CreateStorage and an expiry.Sweeper.
func (s *Storage) Records() *expiry.Store[[]byte] { return s.records }

// GetWithContext returns the value of a live key, and nil for any other key.
func (s *Storage) GetWithContext(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	item, err := s.records.Get(ctx, id(key))
	if errors.Is(err, expiry.ErrNotFound) {
		return nil, nil
	}
	return item.Value, err
}

// SetWithContext stores a value, whether the key was there or not. Zero lives until it
// is deleted, and a negative lifetime removes the key. An empty key or value is
// ignored.
func (s *Storage) SetWithContext(ctx context.Context, key string, value []byte, lifetime time.Duration) error {
	e := expiry.Never()
	switch {
	case key == "" || len(value) == 0:
		return nil
	case lifetime < 0:
		return s.DeleteWithContext(ctx, key)
	case lifetime > 0:
		e = expiry.After(lifetime)
	}
	_, err := s.records.Upsert(ctx, id(key), value, &expiry.WriteOptions{Expiry: e})
	return err
}

// DeleteWithContext removes a key. It returns nil if there is none.
func (s *Storage) DeleteWithContext(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	if err := s.records.Delete(ctx, id(key), nil); !errors.Is(err, expiry.ErrNotFound) {
		return err
	}
	return nil
}

// ResetWithContext removes every key of the store, page by page.
func (s *Storage) ResetWithContext(ctx context.Context) error {
	_, err := s.records.DeleteAll(ctx)
	return err
}

// Get is GetWithContext without a context.
func (s *Storage) Get(key string) ([]byte, error) {
	return s.GetWithContext(context.Background(), key)
}

// Set is SetWithContext without a context.
func (s *Storage) Set(key string, value []byte, lifetime time.Duration) error {
	return s.SetWithContext(context.Background(), key, value, lifetime)
}

// Delete is DeleteWithContext without a context.
func (s *Storage) Delete(key string) error { return s.DeleteWithContext(context.Background(), key) }

// Reset is ResetWithContext without a context.
func (s *Storage) Reset() error { return s.ResetWithContext(context.Background()) }

// Close closes the backend, but no client that the program opened.
func (s *Storage) Close() error { return s.records.Close() }

// id returns a legal id for any key. It does not share the key's memory, which
// fiber uses again.
func id(key string) string { return expiry.SafeID(strings.Clone(key)) }
