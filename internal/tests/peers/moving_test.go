package peers

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/securecookie"
	gorilla "github.com/gorilla/sessions"

	"github.com/sojourn-go/sojourn/session"
)

// Note is a value that moves.
var Note = session.NewKey[string]("note")

// Old is a session of the library before.
type Old struct {
	User, Note string
	End        func(w http.ResponseWriter) error
}

// Move signs in a browser that has a session of the library before and none here.
// It ends that session when the browser has both, or sends a form.
func Move(cookie string, open func(r *http.Request) (Old, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie(cookie); err != nil {
			next.ServeHTTP(w, r)
			return
		}
		err := move(w, r, open)
		if err != nil {
			http.Error(w, "Please try again.", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func move(w http.ResponseWriter, r *http.Request, open func(r *http.Request) (Old, error)) error {
	ctx := r.Context()
	_, signedIn, err := session.User(ctx)
	if err != nil {
		return err
	}
	old, err := open(r)
	if err != nil {
		return err
	}
	if signedIn {
		return old.End(w)
	}
	if old.User == "" {
		return nil
	}
	s, err := session.Require(ctx)
	if err != nil {
		return err
	}
	if why, err := s.Why(ctx); err != nil || why != session.WhyNone {
		return err // the session here has ended, and the old one must not open it again
	}
	if err := s.SignIn(ctx, old.User, nil); err != nil {
		return err
	}
	if err := Note.Set(ctx, old.Note); err != nil {
		return err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return old.End(w) // such as a sign-out, which may be the first request here
	}
	return nil
}

func fromSCS(m *scs.SessionManager) func(r *http.Request) (Old, error) {
	return func(r *http.Request) (Old, error) {
		c, err := r.Cookie(m.Cookie.Name)
		if err != nil {
			return Old{}, err
		}
		ctx, err := m.Load(r.Context(), c.Value)
		if err != nil {
			return Old{}, err
		}
		return Old{User: m.GetString(ctx, "user"), Note: m.GetString(ctx, "note"), End: func(w http.ResponseWriter) error {
			http.SetCookie(w, &http.Cookie{Name: m.Cookie.Name, Path: m.Cookie.Path, MaxAge: -1})
			return m.Destroy(ctx)
		}}, nil
	}
}

func fromGorilla(store gorilla.Store, name string) func(r *http.Request) (Old, error) {
	return func(r *http.Request) (Old, error) {
		s, err := store.Get(r, name)
		var cookie securecookie.Error
		if err != nil && !errors.Is(err, fs.ErrNotExist) && (!errors.As(err, &cookie) || !cookie.IsDecode()) {
			return Old{}, err // the store is down; else there is no such session
		}
		user, _ := s.Values["user"].(string)
		note, _ := s.Values["note"].(string)
		return Old{User: user, Note: note, End: func(w http.ResponseWriter) error {
			s.Options.MaxAge = -1
			return s.Save(r, w)
		}}, nil
	}
}
