package shop

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/session"
)

const (
	adminUser = "admin"
	perPage   = 20
)

// onlyAdmin refuses everybody else. An administrator who acts as somebody is that
// person until they stop.
func onlyAdmin(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := principal(r)
		if err != nil {
			return err
		}
		if p.ID != adminUser || p.Actor != "" {
			return &problem{http.StatusForbidden, "This page is for the administrator. Sign in as admin to see it."}
		}
		return h(w, r)
	}
}

// admin lists all sessions, by page.
func (a *Shop) admin(w http.ResponseWriter, r *http.Request) error {
	p, err := principal(r)
	if err != nil {
		return err
	}
	total, err := a.svc.Count(r.Context())
	if err != nil {
		return err
	}
	list, err := a.svc.Page(r.Context(), r.Form.Get("after"), perPage)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "admin", "Administration", map[string]any{
		"Total": total, "People": byPerson(list.Sessions, p.SessionID), "Next": list.Next, "Broken": len(list.Failed),
		"Policy": a.svc.Policy().String(), "Me": p.ID,
	})
}

// person has their sessions of a page. An empty name is that of nobody.
type person struct {
	Name     string
	Sessions []device
}

// byPerson groups sessions. Anonymous ones come last.
func byPerson(list []session.Info, this string) []person {
	by := map[string][]session.Info{}
	for _, info := range list {
		by[info.Principal] = append(by[info.Principal], info)
	}
	var out []person
	for name, list := range by {
		out = append(out, person{name, devicesOf(list, this)})
	}
	slices.SortFunc(out, func(x, y person) int {
		if x.Name == "" || y.Name == "" {
			return cmp.Compare(len(y.Name), len(x.Name))
		}
		return cmp.Compare(x.Name, y.Name)
	})
	return out
}

func (a *Shop) deleteSession(w http.ResponseWriter, r *http.Request) error {
	if err := a.svc.DestroyHandle(r.Context(), r.PathValue("handle")); err != nil {
		return notYours(err)
	}
	return done(w, r, "/admin", "The session was ended.")
}

func (a *Shop) deleteUser(w http.ResponseWriter, r *http.Request) error {
	p, err := principal(r)
	if err != nil {
		return err
	}
	user := r.PathValue("user")
	var n int
	if user == p.ID {
		n, err = a.svc.DestroyOthers(r.Context(), user, p.SessionID)
	} else {
		n, err = a.svc.DestroyPrincipal(r.Context(), user)
	}
	if err != nil {
		return err
	}
	return done(w, r, "/admin", fmt.Sprintf("%s of %s ended.", plural(n, "session", "sessions"), user))
}

// impersonate shows the site as another user sees it.
func (a *Shop) impersonate(w http.ResponseWriter, r *http.Request) error {
	user, reason := r.PathValue("user"), strings.TrimSpace(r.PostForm.Get("reason"))
	if _, known := accounts[user]; !known || user == adminUser || reason == "" || len(reason) > maxItem {
		return badRequest("Choose another user, and give a reason of 1 to %d characters.", maxItem)
	}
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	if err := s.Impersonate(r.Context(), user, reason); err != nil {
		return err
	}
	return done(w, r, "/", "You act as "+user+" now. They can see that.")
}

func (a *Shop) endImpersonation(w http.ResponseWriter, r *http.Request) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	if err := s.EndImpersonation(r.Context()); err != nil {
		return err
	}
	return done(w, r, "/admin", "You are yourself again.")
}
