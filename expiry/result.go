package expiry

import (
	"errors"
	"fmt"
)

// Result is an item or an error.
type Result[T any] struct {
	Item Item[T]
	Err  error
}

// OpKind is the kind of an operation of a Bulk.
type OpKind uint8

// The kinds of bulk operations.
const (
	_ OpKind = iota
	OpCreate
	OpUpdate
	OpUpsert
	OpDelete
)

// Op is one operation of a Bulk. Opts.IfMatch applies to OpUpdate and OpDelete.
// An OpCreate or OpUpsert without an ID gets one from StoreOptions.NewID.
type Op[T any] struct {
	Kind  OpKind
	ID    string
	Value T
	Opts  *WriteOptions
}

// BulkResult is the result of a Bulk: counts by kind, the items in force, and
// the errors of the operations that failed.
type BulkResult[T any] struct {
	Created, Updated, Upserted, Deleted int

	// Results has one entry per operation, in order. The Item of a delete has
	// its ID alone.
	Results []Result[T]
}

// count adds one success of the kind.
func (r *BulkResult[T]) count(kind OpKind) {
	switch kind {
	case OpCreate:
		r.Created++
	case OpUpdate:
		r.Updated++
	case OpUpsert:
		r.Upserted++
	case OpDelete:
		r.Deleted++
	}
}

// Err joins the errors of the failed operations, each with its index. It
// returns nil if none failed.
func (r *BulkResult[T]) Err() error {
	var all []error
	for i, res := range r.Results {
		if res.Err != nil {
			all = append(all, fmt.Errorf("operation %d: %w", i, res.Err))
		}
	}
	return errors.Join(all...)
}
