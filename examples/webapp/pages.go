package main

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

//go:embed templates static
var files embed.FS

var products = []string{"Field notebook", "Enamel mug", "Wool blanket", "Trail map"}

// pages are the parsed templates and the style sheet.
type pages struct {
	templates map[string]*template.Template
	static    http.Handler
}

func loadPages() (pages, error) {
	p := pages{templates: map[string]*template.Template{}}
	for _, name := range []string{"home", "login", "devices", "admin", "problem"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{
			"ago": ago, "until": until, "instant": instant, "stamp": stamp, "plural": plural, "device": deviceName, "hours": rough, "list": listOf,
		}).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return p, err
		}
		p.templates[name] = t
	}
	root, err := fs.Sub(files, "static")
	if err != nil {
		return p, err
	}
	assets := http.StripPrefix("/static/", http.FileServerFS(root))
	p.static = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		assets.ServeHTTP(w, r)
	})
	return p, nil
}

// view is what every page gets.
type view struct {
	Title, Path string
	User        string
	Admin       bool
	Unknown     bool // whether somebody is signed in
	Now         time.Time
	Data        any
}

// render writes a page at once, so that a failing template leaves no half page.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) error {
	_, p, err := current(r)
	if err != nil {
		return err
	}
	return a.write(w, status, page, view{Title: title, Path: r.URL.Path, User: p.ID, Admin: p.ID == adminUser, Now: a.now(), Data: data})
}

// fail writes the page of a problem. It does not use the session, which may be
// the problem.
func (a *app) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	v := view{Title: http.StatusText(status), Now: a.now(), Unknown: true, Data: map[string]any{"Status": status, "Text": text}}
	if s, ok := session.From(r.Context()); ok && s.Err() == nil && status < http.StatusInternalServerError {
		p, err := s.Principal(r.Context())
		v.User, v.Admin, v.Unknown = p.ID, p.ID == adminUser, err != nil && !errors.Is(err, session.ErrUnauthenticated)
	}
	if err := a.write(w, status, "problem", v); err != nil {
		a.log.Error("page not written", "error", err)
	}
}

func (a *app) write(w http.ResponseWriter, status int, page string, v view) error {
	t, ok := a.pages.templates[page]
	if !ok {
		return errors.New("no template " + page)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" && v.User == "" {
		h.Set("Cache-Control", "private, no-cache") // with a user, the middleware sets no-store
	}
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}

// line is a cart's item with its number.
type line struct {
	Item  string
	Count int
}

func counted(items []string) []line {
	var out []line
	for _, item := range items {
		i := slices.IndexFunc(out, func(l line) bool { return l.Item == item })
		if i < 0 {
			out = append(out, line{item, 1})
			continue
		}
		out[i].Count++
	}
	return out
}

// row is a session in a list.
type row struct {
	session.Info
	This bool
}

// devicesOf sorts this device first, then by the time last seen.
func devicesOf(list []session.Info, this string) []row {
	out := make([]row, 0, len(list))
	for _, i := range list {
		out = append(out, row{i, i.Handle == this})
	}
	slices.SortFunc(out, func(a, b row) int {
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

// listing is what the table of the administrator's page gets.
type listing struct {
	List []row
	Now  time.Time
}

func listOf(list []row, now time.Time) listing { return listing{list, now} }

// maxShown is the number of sessions on the administrator's page.
const maxShown = 200

type userRow struct {
	Name     string
	Sessions []row
}

type userList struct {
	named     []userRow
	anonymous userRow
	shown     int
}

// users groups the first sessions by their owner.
func (a *app) users(r *http.Request) (userList, error) {
	by := map[string][]session.Info{}
	var out userList
	for info, err := range a.svc.All(r.Context()) {
		if err != nil {
			return out, err
		}
		by[info.Principal] = append(by[info.Principal], info)
		if out.shown++; out.shown == maxShown {
			break
		}
	}
	_, p, err := current(r)
	if err != nil {
		return out, err
	}
	for name, list := range by {
		u := userRow{name, devicesOf(list, p.SessionID)}
		if name == "" {
			out.anonymous = u
			continue
		}
		out.named = append(out.named, u)
	}
	slices.SortFunc(out.named, func(x, y userRow) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// ago and until return rough durations for readers.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	if d < 30*time.Second {
		return "just now"
	}
	return rough(d) + " ago"
}

func until(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := t.Sub(now)
	if d < 30*time.Second {
		return "in under a minute"
	}
	return "in " + rough(d)
}

func rough(d time.Duration) string {
	switch {
	case d.Round(time.Minute) < time.Hour:
		return plural(int(d.Round(time.Minute)/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return plural(int(d.Round(time.Hour)/time.Hour), "hour", "hours")
	}
	return plural(int(d/(24*time.Hour)), "day", "days")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func instant(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }
func stamp(t time.Time) string   { return t.UTC().Format(time.RFC3339) }

// mark is a part of a user agent and what it stands for.
type mark struct{ part, name string }

// The order matters: browsers claim to be their ancestors too.
var (
	browsers = []mark{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
		{"curl/", "curl"}, {"Go-http-client", "A Go program"},
	}
	systems = []mark{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"},
		{"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// deviceName returns a name for a user agent. It is good enough for a list of
// the user's own devices.
func deviceName(userAgent string) string {
	if userAgent == "" {
		return "Unknown device"
	}
	browser := first(userAgent, browsers, "Some browser")
	if system := first(userAgent, systems, ""); system != "" {
		return browser + " on " + system
	}
	return browser
}

func first(s string, marks []mark, otherwise string) string {
	for _, m := range marks {
		if strings.Contains(s, m.part) {
			return m.name
		}
	}
	return otherwise
}
