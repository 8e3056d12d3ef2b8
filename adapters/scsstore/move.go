package scsstore

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// overlap is how long an old session can still be opened after its move, for requests
// that were under way or come from other tabs with the old cookie.
const overlap = 30 * time.Second

// deadlineKey is where a session of scs that was moved keeps its own deadline.
const deadlineKey = "sojourn.deadline"

// Move returns a middleware that moves sessions from scs to package session, for the
// time of a migration. It goes inside of sessionhttp's Wrap, in the place of the
// manager's LoadAndSave:
//
//	handler := m.Wrap(scsstore.Move(manager, open)(mux))
//
// At the first request with a cookie of scs it reads the session by the manager's own
// store, codec and cookie, whatever they are. Open then makes the session of package
// session from it: it sets keys, and signs in at the end. Its context has both
// sessions, so manager.GetString(ctx, "user") and manager.Deadline(ctx) work. The
// answer has the new cookie and clears the old one. So everybody stays signed in.
//
// The new session is stored before the old one gets 30 seconds to live. In that time
// other requests with the old cookie, such as those of other tabs, open sessions of
// their own. The browser keeps the last of them, and the others end when they are
// idle. After that a copy of the old cookie opens nothing. A client that is signed in
// to the new session already ends the old one at once.
//
// A request of another site, which may be without the new cookie, moves nothing. If
// one of the two stores fails, or open returns an error, the answer has the status of
// sessionhttp.Status, and the next request tries again.
func Move(manager *scs.SessionManager, open func(ctx context.Context) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie(manager.Cookie.Name)
			if err != nil || c.Value == "" || sessionhttp.RefusesNew(r) {
				next.ServeHTTP(w, r)
				return
			}
			if err := move(r.Context(), manager, c.Value, open); err != nil {
				slog.ErrorContext(r.Context(), "a session of scs was not moved", "error", err)
				http.Error(w, "Please try again.", sessionhttp.Status(err))
				return
			}
			k := manager.Cookie
			http.SetCookie(w, &http.Cookie{ //nolint:gosec // with the attributes of the cookie that it clears
				Name: k.Name, Path: k.Path, Domain: k.Domain, Secure: k.Secure, HttpOnly: k.HttpOnly, SameSite: k.SameSite,
				Partitioned: k.Partitioned, MaxAge: -1,
			})
			next.ServeHTTP(w, r)
		})
	}
}

func move(ctx context.Context, manager *scs.SessionManager, token string, open func(context.Context) error) error {
	s, err := session.Require(ctx)
	if err != nil {
		return err
	}
	ctx, err = manager.Load(ctx, token)
	if err != nil || manager.Token(ctx) == "" {
		return err // without a token scs has no such session
	}
	_, signedIn, err := session.User(ctx)
	if err != nil {
		return err
	}
	if signedIn {
		return manager.Destroy(ctx)
	}
	before := manager.PopString(ctx, deadlineKey)
	if before != "" {
		deadline, err := time.Parse(time.RFC3339Nano, before)
		if err != nil {
			return err
		}
		manager.SetDeadline(ctx, deadline)
	}
	deadline := manager.Deadline(ctx)
	if err := open(ctx); err != nil {
		return err
	}
	if _, err := s.Persist(ctx); err != nil || before != "" {
		return err
	}
	manager.Put(ctx, deadlineKey, deadline.Format(time.RFC3339Nano))
	manager.SetDeadline(ctx, time.Now().Add(overlap))
	_, _, err = manager.Commit(ctx)
	return err
}
