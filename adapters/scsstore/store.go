package scsstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

// Store is a store of scs on a backend. It is safe for concurrent use.
type Store struct {
	records *expiry.Store[[]byte]
	clock   expiry.Clock
}

// New returns a Store. The options are those of expiry.NewStore, such as Seal and
// Clock. Codec is ignored, and TTL too, since scs gives an expiry with each write. Nil
// means the defaults. It returns the errors of expiry.NewStore.
func New(backend expiry.ModelExpirySupport, opts *expiry.StoreOptions) (*Store, error) {
	var o expiry.StoreOptions
	if opts != nil {
		o = *opts
	}
	o.Codec = expiry.Bytes()
	if o.Clock == nil {
		o.Clock = expiry.SystemClock()
	}
	records, err := expiry.NewStore[[]byte](backend, &o)
	if err != nil {
		return nil, err
	}
	return &Store{records, o.Clock}, nil
}

// Records returns the store below, for CreateStorage and an expiry.Sweeper.
func (s *Store) Records() *expiry.Store[[]byte] { return s.records }

// FindCtx returns the data of a live session. It returns false for any other token.
func (s *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	item, err := s.records.Get(ctx, id(token))
	if errors.Is(err, expiry.ErrNotFound) {
		return nil, false, nil
	}
	return item.Value, err == nil, nameless(err)
}

// CommitCtx stores a session, whether it was there or not. An expiry that has passed
// removes it.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	if !expires.After(s.clock.Now()) {
		return s.DeleteCtx(ctx, token)
	}
	_, err := s.records.Upsert(ctx, id(token), data, &expiry.WriteOptions{Expiry: expiry.At(expires)})
	return nameless(err)
}

// DeleteCtx removes a session. It returns nil if there is none.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if err := s.records.Delete(ctx, id(token), nil); !errors.Is(err, expiry.ErrNotFound) {
		return nameless(err)
	}
	return nil
}

// AllCtx returns the data of all live sessions by their tokens. It reads the whole
// store.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	for item, err := range s.records.All(ctx, nil) {
		if err != nil {
			return nil, nameless(err)
		}
		all[item.ID] = item.Value
	}
	return all, nil
}

// Find is FindCtx without a context. Scs calls the methods that have one.
func (s *Store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *Store) Commit(token string, data []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expires)
}

// Delete is DeleteCtx without a context.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// All is AllCtx without a context.
func (s *Store) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

// nameless returns the error without the id, which is a token.
func nameless(err error) error {
	var e *expiry.Error
	if errors.As(err, &e) {
		return &expiry.Error{Op: e.Op, Backend: e.Backend, Err: e.Err}
	}
	return err
}

// id returns a legal id for whatever a client sent. It does not share its memory.
func id(token string) string { return expiry.SafeID(strings.Clone(token)) }
