// Command sojourn is the program of the folder scs after the move.
package main

import (
	"context"
	"html/template"
	"log"
	"net/http"
	"time"

	_ "github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var notesKey = session.NewKey[[]string]("notes")

var page = template.Must(template.New("").Parse(`<!doctype html><title>Notes</title>
<p>Hello {{with .User}}{{.}}{{else}}stranger{{end}}.</p>
<ul>{{range .Notes}}<li>{{.}}</li>{{end}}</ul>
<form method="post" action="/notes"><input name="note"><button>write</button></form>
{{if .User}}<form method="post" action="/logout"><button>sign out</button></form>
{{else}}<form method="post" action="/login"><input name="user"><input name="password" type="password"><button>sign in</button></form>{{end}}`))

func main() {
	svc, err := session.OpenURL(context.Background(), "redis://127.0.0.1:6379/0?name=sessions", nil)
	if err != nil {
		log.Fatal(err)
	}
	handler := sessionhttp.Handler(svc, routes())
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /notes", write)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /logout", logout)
	return mux
}

func home(w http.ResponseWriter, r *http.Request) {
	user, _, err := session.User(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	notes, _, err := notesKey.Get(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	_ = page.Execute(w, map[string]any{"User": user, "Notes": notes})
}

func write(w http.ResponseWriter, r *http.Request) {
	note := r.FormValue("note")
	err := notesKey.Update(r.Context(), func(notes *[]string) error { *notes = append(*notes, note); return nil })
	if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user != "alice" || r.FormValue("password") != "tea" {
		http.Error(w, "wrong name or password", http.StatusForbidden)
		return
	}
	if err := session.SignIn(r.Context(), user, nil); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	if err := session.SignOut(r.Context()); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "Please try again.", http.StatusInternalServerError)
}
