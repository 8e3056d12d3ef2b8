package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// SignInOptions are the extras of a sign-in; nil is all defaults.
type SignInOptions struct {
	// Level says how strong the authentication was, in the program's own
	// numbers. It is kept for the program to read.
	Level int
	// Discard leaves the data of the session before behind. Without it the
	// data of an anonymous session is carried over, and of one of the same
	// principal; that of another principal never is.
	Discard bool
}

// SignIn makes the session the principal's: a new row under a new handle and a
// new token, then the old row is deleted. Both have happened in the store when
// it returns; the client is told with the credential of the next Persist. The
// principal's id has 1 to 256 bytes of UTF-8 without NUL, else
// model.ErrInvalid.
//
// ErrGone: the old session was ended meanwhile, by a sign-out say; the new row
// is deleted again, and the session is anonymous and empty. After any other
// error the session is the one before.
//
// It takes three driver calls over an anonymous session, and two more for each
// time that another request changes the old one meanwhile.
func (s *Session) SignIn(ctx context.Context, principal string, opts *SignInOptions) error {
	var o SignInOptions
	if opts != nil {
		o = *opts
	}
	if err := model.CheckLabelValue(principal); err != nil {
		return &model.Error{Op: "session.SignIn", Err: err}
	}
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.finishEnded(work); err != nil {
		return err
	}
	data := s.data
	if o.Discard || !s.carries(principal) {
		data, o.Discard = nil, true
	}
	it, t, err := s.create(work, row{Principal: principal, Level: o.Level, Data: data})
	if err != nil {
		return err
	}
	if s.stored {
		if it, err = s.supersede(work, it, o.Discard); err != nil {
			return s.undo(work, it.ID, err)
		}
	}
	s.mark(func() { s.owns(it, t) })
	return nil
}

// carries reports whether the data may follow to the principal.
func (s *Session) carries(principal string) bool {
	return !s.stored || s.item.Value.Principal == "" || s.item.Value.Principal == principal
}

// supersede deletes the old row at the revision whose data the new one has; on
// a conflict the data is copied afresh. It returns the new row in force.
func (s *Session) supersede(ctx context.Context, it expiry.Item[row], discard bool) (expiry.Item[row], error) {
	old := s.item
	for attempt := 0; ; attempt++ {
		err := s.svc.store.Delete(ctx, old.ID, &expiry.DeleteOptions{If: old.Version()})
		if errors.Is(err, model.ErrNotFound) {
			err = ErrGone
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return it, err
		}
		if old, err = s.fresh(ctx, old.ID, attempt); err != nil {
			return it, err
		}
		var data map[string]json.RawMessage
		if !discard {
			if data, err = replay(old.Value.Data, s.ops); err != nil {
				return it, err
			}
		}
		if sameData(data, it.Value.Data) {
			continue
		}
		r := it.Value
		r.Data = data
		next, err := s.svc.store.Update(ctx, it.ID, r, &expiry.WriteOptions{If: it.Version()})
		if err != nil {
			return it, err
		}
		it = next
	}
}

// undo deletes the new row of a sign-in that failed for the given reason. It
// has a time limit of its own: the sign-in's may be what has run out.
func (s *Session) undo(ctx context.Context, id string, reason error) error {
	if errors.Is(reason, ErrGone) {
		s.mark(func() { s.begin(); s.cred = Credential{} })
	}
	ctx, cancel := s.svc.detached(ctx)
	defer cancel()
	if _, err := s.svc.remove(ctx, id, nil); err != nil {
		return errors.Join(reason, fmt.Errorf("session: a sign-in that failed is still stored: %w", err))
	}
	return reason
}

// SignOut ends the session, signed in or not: its row is deleted from the
// store before it returns, whatever other requests are writing to it, and none
// of them can bring it back. The client is told to forget its token with the
// credential of the next Persist. What is written to the session afterwards
// goes to a new anonymous one.
//
// After an error the row may still be there; Persist tries once more.
func (s *Session) SignOut(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.finishEnded(work); err != nil {
		return err
	}
	s.mark(func() {
		if s.stored {
			s.ended = &ended{handle: s.item.ID, version: s.item.Version()}
		}
		if s.token != nil {
			s.cred = Credential{Action: Clear}
		}
		s.begin()
		s.token = nil
	})
	return s.finishEnded(work)
}

// Rotate gives the session a new secret, without any overlap: from the moment
// it returns the old token is worth nothing. Handle, times and data stay; what
// was changed so far is written with it. The client gets the new token with
// the credential of the next Persist. A session that is not stored has nothing
// to rotate.
//
// ErrGone: the session was ended meanwhile, or another request has replaced
// the secret already.
func (s *Session) Rotate(ctx context.Context) error {
	return s.verb(ctx, verbRotate)
}

// Reauthenticate is for a principal who has just proven once more who they
// are: a Rotate that also makes AuthenticatedAt now and counts the absolute
// deadline from it. ErrUnauthenticated for an anonymous session.
func (s *Session) Reauthenticate(ctx context.Context) error {
	return s.verb(ctx, verbReauthenticate)
}

func (s *Session) verb(ctx context.Context, v verb) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if v == verbReauthenticate && (!s.stored || s.item.Value.Principal == "") {
		return ErrUnauthenticated
	}
	return s.flush(work, v)
}

// DestroyOthers ends all other sessions of this session's principal and
// returns how many, also beside an error: what to offer after a password has
// changed, along with Rotate. ErrUnauthenticated for an anonymous session.
func (s *Session) DestroyOthers(ctx context.Context) (int, error) {
	p, err := s.Principal(ctx)
	if err != nil {
		return 0, err
	}
	return s.svc.DestroyOthers(ctx, p.ID, p.SessionID)
}
