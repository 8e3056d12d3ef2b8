package shop

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

func (a *Shop) devices(w http.ResponseWriter, r *http.Request) error {
	p, err := principal(r)
	if err != nil {
		return err
	}
	var list []session.Info
	for info, err := range a.svc.Sessions(r.Context(), p.ID) {
		if err != nil {
			return err
		}
		list = append(list, info)
	}
	return a.render(w, r, http.StatusOK, "devices", "Devices", map[string]any{
		"Devices": devicesOf(list, p.SessionID), "Others": len(list) - 1,
	})
}

func (a *Shop) deleteDevice(w http.ResponseWriter, r *http.Request) error {
	p, err := principal(r)
	if err != nil {
		return err
	}
	handle := r.PathValue("handle")
	if handle == p.SessionID {
		s, err := session.Require(r.Context())
		if err != nil {
			return err
		}
		if err := s.SignOut(r.Context()); err != nil {
			return err
		}
		http.Redirect(w, r, "/goodbye", http.StatusSeeOther)
		return nil
	}
	if err := a.svc.Destroy(r.Context(), p.ID, handle); err != nil {
		return notYours(err)
	}
	return done(w, r, "/devices", "The device was signed out.")
}

func (a *Shop) nameDevice(w http.ResponseWriter, r *http.Request) error {
	p, err := principal(r)
	if err != nil {
		return err
	}
	err = a.svc.Rename(r.Context(), p.ID, r.PathValue("handle"), strings.TrimSpace(r.PostForm.Get("name")))
	switch {
	case errors.Is(err, model.ErrInvalid):
		return badRequest("A name has 64 characters at most.")
	case err != nil:
		return notYours(err)
	}
	return done(w, r, "/devices", "The name was saved.")
}

func (a *Shop) deleteOthers(w http.ResponseWriter, r *http.Request) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	n, err := s.DestroyOthers(r.Context())
	if err != nil {
		return err
	}
	return done(w, r, "/devices", fmt.Sprintf("%s signed out.", plural(n, "other device", "other devices")))
}

// principal returns who is signed in. The routes of its callers let nobody else
// pass.
func principal(r *http.Request) (session.Principal, error) {
	s, err := session.Require(r.Context())
	if err != nil {
		return session.Principal{}, err
	}
	return s.Principal(r.Context())
}

// notYours says so if a session is absent.
func notYours(err error) error {
	if errors.Is(err, model.ErrNotFound) {
		return &problem{http.StatusNotFound, "There is no such session, or it has ended already."}
	}
	return err
}

// device is a session in a list.
type device struct {
	session.Info
	This bool
}

// Title is the name that its user gave the device, or what it is.
func (d device) Title() string { return cmp.Or(d.Name, d.Client.Device().String()) }

// devicesOf sorts this device first, then by the time last seen.
func devicesOf(list []session.Info, this string) []device {
	out := make([]device, 0, len(list))
	for _, i := range list {
		out = append(out, device{i, i.Handle == this})
	}
	slices.SortFunc(out, func(a, b device) int {
		if a.This != b.This {
			if a.This {
				return -1
			}
			return 1
		}
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Handle, b.Handle))
	})
	return out
}
