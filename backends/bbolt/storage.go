package bbolt

import (
	"context"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// CreateStorage makes the store's bucket and those in it, in one transaction,
// and then Check's checks. It may be repeated, and records stay. It returns
// ErrCorrupt, and changes nothing, if the bucket has what another program made.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	whole, err := view(ctx, b, func(s *store) (bool, error) { return s.top != nil, s.refuse() })
	if err == nil && !whole {
		_, err = update(ctx, b, func(s *store) (struct{}, error) { return struct{}{}, s.create() })
	}
	if err != nil {
		return err
	}
	checks, err := b.Check(ctx)
	if err != nil {
		return err
	}
	return checks.Err()
}

// refuse returns ErrCorrupt if the store's bucket has what another program made.
func (s *store) refuse() error {
	top := s.tx.Bucket([]byte(s.b.name))
	if top == nil {
		return nil
	}
	if found := foreign(top); len(found) > 0 {
		return driverkit.Corrupt("the bucket " + quoted(s.b.name) + " has what the store did not make: " + strings.Join(found, ", ") + ": choose another bucket, or move it away")
	}
	return nil
}

// create makes the storage if it is missing.
func (s *store) create() error {
	if s.top != nil {
		return nil
	}
	if err := s.refuse(); err != nil {
		return err
	}
	s.changes++
	top, err := s.tx.CreateBucketIfNotExists([]byte(s.b.name))
	for _, part := range parts {
		if err == nil {
			_, err = top.CreateBucket([]byte(part))
		}
	}
	if err == nil {
		err = top.Put([]byte(formatKey), []byte(format))
	}
	if err != nil {
		return err
	}
	return s.enter(top)
}

// DeleteStorage removes the store with all its records, in one transaction, and
// nothing else. It may be repeated. It returns ErrCorrupt if it had to leave what
// another program made.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	left, err := update(ctx, b, func(s *store) (error, error) {
		left := s.refuse() // a result: the transaction is committed
		return left, s.destroy(left == nil)
	})
	if err != nil {
		return err
	}
	return left
}

// destroy removes what the store made, and with whole its bucket too.
func (s *store) destroy(whole bool) error {
	if s.top == nil {
		return nil
	}
	s.changes++
	if whole {
		return s.tx.DeleteBucket([]byte(s.b.name))
	}
	for _, part := range parts {
		if err := s.top.DeleteBucket([]byte(part)); err != nil {
			return err
		}
	}
	return s.top.Delete([]byte(formatKey))
}
