package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/model"
)

// StoreDown decides about a session that the store did not return. It is called
// once for each session, with the store's error. The session's methods return
// the error that it returns. If it returns nil, the session is anonymous and
// read-only: changes return ErrReadOnly.
type StoreDown func(ctx context.Context, err error) error

// FailClosed is the default StoreDown. It returns err, so a store that is down
// never looks like a visitor who is not signed in.
func FailClosed(_ context.Context, err error) error { return err }

// Anonymous is a StoreDown for sites whose public pages work without a store. It
// returns nil.
func Anonymous(context.Context, error) error { return nil }

// isDown reports whether the store failed to answer. An answer that cannot be
// used is not a store that is down.
func isDown(err error) bool {
	return errors.Is(err, model.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}
