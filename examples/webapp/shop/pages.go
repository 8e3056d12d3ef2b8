package shop

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates, the style sheet and the script.
type pages struct {
	templates map[string]*template.Template
	static    http.Handler
}

func loadPages() (pages, error) {
	p := pages{templates: map[string]*template.Template{}}
	for _, name := range []string{"home", "login", "goodbye", "devices", "account", "confirm", "admin", "problem"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{"when": when, "plural": plural, "rough": rough}).
			ParseFS(files, "templates/layout.html", "templates/"+name+".html")
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
	Principal   session.Principal
	Admin       bool
	Unknown     bool // whether somebody is signed in
	Notice      string
	Now         time.Time
	Backend     string
	Trips       int
	Data        any
}

// render writes a page, with the message that an action left for it. It persists
// the session before, so that the footer counts all round trips.
func (a *Shop) render(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) error {
	s, err := session.Require(r.Context())
	if err != nil {
		return err
	}
	v := view{Title: title, Data: data}
	if v.Principal, err = s.Principal(r.Context()); err != nil && !errors.Is(err, session.ErrUnauthenticated) {
		return err
	}
	if v.Notice, _, err = notice.Take(r.Context()); err != nil {
		return err
	}
	if _, err := s.Persist(r.Context()); err != nil {
		return err
	}
	return a.write(w, r, status, page, v)
}

// write writes a page at once, so that a failing template leaves no half page.
func (a *Shop) write(w http.ResponseWriter, r *http.Request, status int, page string, v view) error {
	t, ok := a.pages.templates[page]
	if !ok {
		return errors.New("no template " + page)
	}
	v.Path, v.Now, v.Backend, v.Trips = r.URL.Path, a.clock.Now(), a.backend, trips(r)
	v.Admin = v.Principal.ID == adminUser && v.Principal.Actor == ""
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" && v.Principal.ID == "" {
		h.Set("Cache-Control", "private, no-cache") // with a user, the middleware sets no-store
	}
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}
