package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// errNotErased keeps a row of somebody else during an Erase.
var errNotErased = errors.New("not to be erased")

// Erase removes what the store has of a principal's sessions, for a request to
// delete personal data. It ends all their sessions as DestroyPrincipal does.
// Then it removes their expired rows, which a sweep has not removed yet, without
// Options.Grace. So the clock of this node must be right. It returns how many
// sessions it ended, also with an error. After an error call it again.
//
// A session that is signed in during the call can survive, unless
// Options.NotBefore refuses it. An anonymous session from before a sign-in names
// nobody and expires by itself. So does the row of another principal's session
// that this one impersonated: it names the actor, and lives for
// Policy.Impersonation at most.
//
// Its second part looks at every expired row of the store, once.
func (s *Service) Erase(ctx context.Context, principal string) (int, error) {
	const op = "session.Erase"
	if err := model.CheckLabelValue(principal); err != nil {
		return 0, &model.Error{Op: op, Err: err}
	}
	n, err := s.destroyLabelled(ctx, op, labelPrincipal, principal, "")
	if err != nil {
		return n, err
	}
	announce := s.onExpire(ctx)
	opts := &expiry.SweepOptions{OnExpire: func(rec model.Record) error {
		if rec.Labels[labelPrincipal] != principal {
			return errNotErased
		}
		if announce == nil {
			return nil
		}
		return announce(rec)
	}}
	for {
		swept, err := s.eraser.DeleteExpired(ctx, opts)
		if err != nil || !swept.More || swept == (driver.Swept{More: true}) {
			return n, err
		}
	}
}
