package shop

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// The account page asks for the password again. The answer counts for a while.
const (
	levelProven = 2
	provenFor   = 5 * time.Minute
)

func (a *Shop) account(w http.ResponseWriter, r *http.Request) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	info, err := s.Info(r.Context())
	if err != nil {
		return err
	}
	n, err := a.svc.CountPrincipal(r.Context(), info.Principal)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "account", "Account", map[string]any{"Session": info, "Devices": n})
}

// erase ends all sessions of the person and leaves nothing of them in the store.
func (a *Shop) erase(w http.ResponseWriter, r *http.Request) error {
	user, _, err := session.User(r.Context())
	if err != nil {
		return err
	}
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	if err := s.SignOut(r.Context()); err != nil {
		return err
	}
	n, err := a.svc.Erase(r.Context(), user)
	if err != nil {
		return err
	}
	return done(w, r, "/", fmt.Sprintf("%s erased. You are signed out.", plural(n+1, "session", "sessions")))
}

// askAgain answers for the account page to everybody who has not given the
// password just now.
func (a *Shop) askAgain(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, session.ErrUnauthenticated):
		toSignIn(w, r, err)
	case errors.Is(err, session.ErrImpersonating):
		a.sessionFailed(w, r, err)
	default:
		sessionhttp.RedirectTo("/confirm?"+url.Values{"next": {back(r)}}.Encode())(w, r, err)
	}
}

func (a *Shop) confirmPage(w http.ResponseWriter, r *http.Request) error {
	return a.renderConfirm(w, r, http.StatusOK, false)
}

func (a *Shop) renderConfirm(w http.ResponseWriter, r *http.Request, status int, failed bool) error {
	return a.render(w, r, status, "confirm", "Your password, please", map[string]any{
		"Failed": failed, "Next": local(r.Form.Get("next")), "For": provenFor,
	})
}

func (a *Shop) confirm(w http.ResponseWriter, r *http.Request) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	user, _, err := session.User(r.Context())
	if err != nil {
		return err
	}
	if !authenticate(user, r.PostForm.Get("password")) {
		return a.renderConfirm(w, r, http.StatusUnauthorized, true)
	}
	if err := s.Elevate(r.Context(), levelProven, provenFor); err != nil {
		return err
	}
	http.Redirect(w, r, local(r.PostForm.Get("next")), http.StatusSeeOther) //nolint:gosec // a page of this site: see local
	return nil
}
