package shop

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// accounts are for the demonstration. A real program stores slow, salted hashes.
var accounts = map[string]string{"demo": "demo", "admin": "admin"}

// How long a browser is remembered if its user asks for that.
const (
	rememberUnused = 14 * 24 * time.Hour
	rememberAtMost = 30 * 24 * time.Hour
)

// loginPage says why the last session ended.
func (a *Shop) loginPage(w http.ResponseWriter, r *http.Request) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	why, err := s.Why(r.Context())
	if err != nil {
		return err
	}
	return a.renderLogin(w, r, http.StatusOK, map[string]any{"Why": reasonText(why)})
}

func (a *Shop) renderLogin(w http.ResponseWriter, r *http.Request, status int, data map[string]any) error {
	data["Next"] = local(r.Form.Get("next"))
	data["Days"] = rememberAtMost
	return a.render(w, r, status, "login", "Sign in", data)
}

func (a *Shop) login(w http.ResponseWriter, r *http.Request) error {
	user := r.PostForm.Get("user")
	if !authenticate(user, r.PostForm.Get("password")) {
		return a.renderLogin(w, r, http.StatusUnauthorized, map[string]any{"Failed": true, "User": user, "Remember": r.PostForm.Has("remember")})
	}
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	opts := session.SignInOptions{Persistence: session.PersistenceBrowser}
	if r.PostForm.Has("remember") {
		opts = session.SignInOptions{Persistence: session.PersistencePersistent, Idle: rememberUnused, Lifetime: rememberAtMost}
	}
	err = s.SignIn(r.Context(), user, &opts)
	if errors.Is(err, session.ErrGone) {
		// The anonymous session was ended at the same moment: sign in without
		// its cart.
		err = s.SignIn(r.Context(), user, &opts)
	}
	if err != nil {
		return err
	}
	return done(w, r, local(r.PostForm.Get("next")), "Welcome, "+user+". You are signed in.")
}

// authenticate takes the same time for a wrong password and a wrong name.
func authenticate(user, password string) bool {
	want, known := accounts[user]
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && known
}

// goodbye is where a sign-out leads. It reads no session, so it leaves none.
func (a *Shop) goodbye(w http.ResponseWriter, r *http.Request) error {
	return a.write(w, r, http.StatusOK, "goodbye", view{Title: "Goodbye", Unknown: true})
}

// toSignIn sends a visitor to the sign-in, and from there back again.
func toSignIn(w http.ResponseWriter, r *http.Request, err error) {
	sessionhttp.RedirectTo("/login?"+url.Values{"next": {back(r)}}.Encode())(w, r, err)
}

// back returns the page that a request is about: the address of a page, or the
// page that has the form.
func back(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return local(r.URL.RequestURI())
	}
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
		return local(from.RequestURI())
	}
	return "/"
}

// local returns the address if it is one of this site, else that of the front
// page. Browsers take a backslash for a slash.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return to
}

// reasonText says why a session ended. It is empty if there is nothing to say.
func reasonText(why session.Why) string {
	switch why {
	case session.WhyIdle:
		return "Your last session ended, because it was not used for a while."
	case session.WhyAbsolute:
		return "Your last session reached its end."
	case session.WhyEnded, session.WhyNotBefore:
		return "You were signed out on another device."
	case session.WhyUnreadable:
		return "Your last session cannot be read at the moment."
	}
	return ""
}
