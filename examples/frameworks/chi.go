package frameworks

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// Visits is a value of the session, of both programs.
var Visits = session.NewKey[int]("visits")

// Chi returns a program in chi. Wrap is a middleware as any other. It goes inside of
// Recoverer, and outside of guards.
func Chi(m *sessionhttp.Middleware) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, m.Wrap)
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if err := Visits.Update(r.Context(), func(v *int) error { *v++; n = *v; return nil }); err != nil {
			http.Error(w, "please try again", sessionhttp.Status(err))
			return
		}
		_, _ = fmt.Fprintln(w, "visit", n)
	})
	r.With(sessionhttp.RequireSignIn(nil)).Get("/account", func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := session.User(r.Context())
		_, _ = fmt.Fprintln(w, "hello", user)
	})
	return r
}
