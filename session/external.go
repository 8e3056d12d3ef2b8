package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Identity is who an authenticator of the program's own says a client is: the
// claims of a JWT, the headers of a proxy for single sign-on, a certificate.
type Identity struct {
	Issuer    string // of the sessions, unique: the URL of an identity provider
	SessionID string // of the issuer, unique there, such as the claim "sid" or "jti"
	Principal string // 1 to 256 bytes of UTF-8
	// AuthenticatedAt is when the principal proved who they are to the issuer,
	// such as the claim "auth_time". Zero means unknown: RequireRecent with a
	// time then asks for more, and Options.NotBefore refuses once it is set. A
	// time in the future counts as now.
	AuthenticatedAt time.Time
}

// minIdentityKey is the least length of Options.IdentityKey in bytes.
const minIdentityKey = 32

// OpenFor returns the session of a client that an authenticator of the program's
// own has identified. Call it for each request. Its handle is a keyed hash of issuer
// and session id, so all requests of that session share one row. The row is
// stored when the first value is written. Principal returns the identity before
// that too.
//
// The client gets no token. Methods that would replace one return ErrDetached:
// SignIn, Rotate, Reauthenticate, Elevate and Impersonate. After SignOut or a
// Destroy method the session stays ended until its row would have expired, since
// the authenticator may go on to identify the client. Options.Limit does not
// apply. Policy.Absolute counts from the first value and not from
// AuthenticatedAt: the authenticator decides for how long a sign-in is good.
//
// It returns model.ErrInvalid for an identity with an empty or an invalid field,
// and without Options.IdentityKey.
func (s *Service) OpenFor(id Identity) (*Session, error) {
	const op = "session.OpenFor"
	err := checkPrincipal(id.Principal)
	switch {
	case err != nil:
	case len(s.identityKey) == 0:
		err = model.NewError(model.ErrInvalid, "Options.IdentityKey is missing", nil)
	case id.Issuer == "" || id.SessionID == "":
		err = model.NewError(model.ErrInvalid, "the identity has no issuer or no session id", nil)
	}
	if err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	out := s.openHandle(s.handleFor(&id))
	out.identity = &id
	return out, nil
}

// handleFor returns the handle of an identity's row.
func (s *Service) handleFor(id *Identity) string {
	m := hmac.New(sha256.New, s.identityKey)
	m.Write(binary.AppendUvarint([]byte("sojourn identity"), uint64(len(id.Issuer))))
	m.Write([]byte(id.Issuer))
	m.Write([]byte(id.SessionID))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:row.HandleBytes])
}

// storeFor stores the session of an identity if it has no row, with its changes
// or without any.
func (s *Session) storeFor(ctx context.Context) error {
	work, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if s.state.stored() {
		return nil
	}
	if err := s.mayCreate(); err != nil {
		return err
	}
	return s.createFor(work)
}

// createFor stores the first row of an identity. If another request was first,
// it merges the changes into that row.
func (s *Session) createFor(ctx context.Context) error {
	err := s.createOrMerge(ctx)
	if errors.Is(err, ErrGone) {
		s.locked(func() { s.becomeGone(whyGone(err)) })
	}
	return err
}

func (s *Session) createOrMerge(ctx context.Context) error {
	if len(s.doubts) >= maxDoubts {
		return errDoubts()
	}
	it, _, err := s.create(ctx, row.Row{Principal: s.identity.Principal, Data: s.data})
	if errors.Is(err, model.ErrUnknown) {
		s.locked(func() {
			s.inDoubt(model.Revision{}, it.Revision, draft{matched: row.MatchPrevious, kind: EventCreated})
		})
	}
	if err == nil {
		s.locked(func() { s.becomeStored(it, row.MatchPrevious) })
		s.svc.emit(ctx, eventOf(EventCreated, it.ID, &it.Value))
		return nil
	}
	if !errors.Is(err, model.ErrExists) {
		return err
	}
	ops, edits := s.ops, s.edits
	v := sight{token: &s.brought[0]}
	if err := s.look(ctx, &v, false); err != nil {
		return err
	}
	if !v.opens {
		return &goneError{v.why}
	}
	if len(s.doubts) > 0 { // this session has stored it, and the answer was lost; or another one has
		if err := s.doubtedBy(ctx, &v.item); err != nil {
			return err
		}
		return s.save(ctx, nil)
	}
	data, err := replay(v.item.Value.Data, ops)
	if err != nil {
		return err
	}
	s.locked(func() {
		s.becomeStored(v.item, row.MatchPrevious)
		s.data, s.ops, s.edits = data, ops, edits
	})
	return s.save(ctx, nil)
}

// endIdentity leaves a marker for an identity that has no row.
func (s *Service) endIdentity(ctx context.Context, handle string) error {
	_, err := s.createRow(ctx, handle, row.Row{Gone: string(ReasonDestroyed)}, s.unused())
	if errors.Is(err, model.ErrExists) || errors.Is(err, model.ErrCorrupt) { // another request has stored the session
		_, err = s.remove(ctx, &ended{handle: handle, reason: ReasonDestroyed})
	}
	return err
}

// principalFor returns the principal of an identity that has no row yet.
func (s *Session) principalFor() (Principal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identity == nil || s.closed != nil {
		return Principal{}, ErrUnauthenticated
	}
	at := s.authenticated().Time()
	return Principal{ID: s.identity.Principal, SessionID: s.brought[0].Handle, IssuedAt: at, ProvedAt: at}, nil
}
