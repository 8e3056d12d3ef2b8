package expiry

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Counter is an optional interface of a backend that counts without listing.
type Counter interface {
	// Count returns the number of live records, of those that bear the label
	// where label is not empty.
	Count(ctx context.Context, now time.Time, label, value string) (int, error)
}

// StorageManager is an optional interface of a backend whose storage must be
// made. Where nothing is needed the front does nothing.
type StorageManager interface {
	// CreateStorage makes what the store needs. It is idempotent.
	CreateStorage(ctx context.Context) error
	// DeleteStorage removes the store with all its records, and nothing
	// else's. It is idempotent.
	DeleteStorage(ctx context.Context) error
}

// Pinger is an optional interface of a backend that can ask its server for a
// sign of life.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Unwrapper is implemented by wrappers around a backend, for [Store.As]. A
// wrapper implements the optional interfaces too, by calling Count,
// GetMany, WriteMany, CreateStorage, DeleteStorage and Ping of this package on what it wraps.
type Unwrapper interface {
	Unwrap() ModelExpirySupport
}

// countPage is the page size of the fall-back of Count.
const countPage = 1000

// Count counts live records by the backend's Counter, or by listing ids.
func Count(ctx context.Context, b ModelExpirySupport, now time.Time, label, value string) (int, error) {
	if c, ok := b.(Counter); ok {
		return c.Count(ctx, now, label, value)
	}
	n := 0
	q := Query{Label: label, Value: value, Limit: countPage, KeysOnly: true}
	for {
		p, err := b.Page(ctx, now, q)
		if err != nil {
			return 0, err
		}
		n += len(p.Records)
		if p.Next == "" {
			return n, nil
		}
		q.After = p.Next
	}
}

// CreateStorage calls the backend's StorageManager, where it has one.
func CreateStorage(ctx context.Context, b ModelExpirySupport) error {
	if m, ok := b.(StorageManager); ok {
		return m.CreateStorage(ctx)
	}
	return nil
}

// DeleteStorage calls the backend's StorageManager, where it has one.
func DeleteStorage(ctx context.Context, b ModelExpirySupport) error {
	if m, ok := b.(StorageManager); ok {
		return m.DeleteStorage(ctx)
	}
	return nil
}

// Ping calls the backend's Pinger, or asks for an id that cannot be there.
func Ping(ctx context.Context, b ModelExpirySupport, now time.Time) error {
	if p, ok := b.(Pinger); ok {
		return p.Ping(ctx)
	}
	if _, err := b.Get(ctx, now, "\x01ping"); err != nil && !errors.Is(err, model.ErrNotFound) {
		return err
	}
	return nil
}
