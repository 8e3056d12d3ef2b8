package gorillastore

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/sojourn-go/sojourn/expiry"
)

// values is what gorilla keeps in a session.
type values = map[any]any

// Store is a store of gorilla on a backend. It is safe for concurrent use, but for
// its fields.
type Store struct {
	// Options are those of new sessions. A session ends MaxAge seconds after its last
	// Save. Save of a session whose MaxAge is zero or negative removes it, as in
	// gorilla's FilesystemStore.
	Options *sessions.Options
	// OldCookies decode cookies that another store of gorilla made, such as
	// redistore with the same key pairs: see securecookie.CodecsFromPairs. A session
	// that sojourn migrate copied from there stays open by them. The next Save sends
	// a cookie of this store.
	OldCookies []securecookie.Codec
	records    *expiry.Store[values]
}

// New returns a Store whose cookies have the path /, live for 30 days, and are Secure,
// HttpOnly and SameSite=Lax. The options are those of expiry.NewStore, such as Seal.
// Codec, SecretIDs and TTL are the Store's own. Nil means the defaults. It
// returns the errors of expiry.NewStore.
func New(backend expiry.ModelExpirySupport, opts *expiry.StoreOptions) (*Store, error) {
	var o expiry.StoreOptions
	if opts != nil {
		o = *opts
	}
	o.Codec, o.SecretIDs, o.TTL = expiry.Gob(), true, 0
	records, err := expiry.NewStore[values](backend, &o)
	if err != nil {
		return nil, err
	}
	cookie := &sessions.Options{Path: "/", MaxAge: 86400 * 30, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	return &Store{Options: cookie, records: records}, nil
}

// Records returns the store below, for CreateStorage and an expiry.Sweeper.
func (s *Store) Records() *expiry.Store[values] { return s.records }

// Get returns the request's session of that name, loaded once for each request.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New loads a session. It returns a new one if the cookie opens none, and together with
// an error of the store.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	o := *s.Options
	session.Options, session.IsNew = &o, true
	c := r.CookiesNamed(name)
	if len(c) == 0 || c[0].Value == "" {
		return session, nil
	}
	id := c[0].Value
	var old string
	if len(s.OldCookies) > 0 && securecookie.DecodeMulti(name, id, &old, s.OldCookies...) == nil {
		id = old
	}
	id = expiry.SafeID(strings.Clone(id))
	item, err := s.records.Get(r.Context(), id)
	switch {
	case errors.Is(err, expiry.ErrNotFound):
		return session, nil
	case err != nil:
		return session, err
	}
	session.ID, session.Values, session.IsNew = id, item.Value, false
	return session, nil
}

// Save stores or removes the session, and sets its cookie. After an error it sets
// none.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options.MaxAge <= 0 {
		if session.ID != "" {
			if err := s.records.Delete(r.Context(), session.ID, nil); err != nil && !errors.Is(err, expiry.ErrNotFound) {
				return err
			}
		}
		session.ID = "" // if it is saved again, it is another one
		http.SetCookie(w, sessions.NewCookie(session.Name(), "", session.Options))
		return nil
	}
	opts := &expiry.WriteOptions{Expiry: expiry.After(time.Duration(session.Options.MaxAge) * time.Second)}
	if session.ID == "" {
		item, err := s.records.Issue(r.Context(), session.Values, opts)
		if err != nil {
			return err
		}
		session.ID = item.ID
	} else if _, err := s.records.Update(r.Context(), session.ID, session.Values, opts); err != nil {
		return err
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}
