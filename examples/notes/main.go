// Notes is the program of docs/tutorial.md: notes in a session, with a sign-in.
package main

import (
	"context"
	"html/template"
	"log"
	"net/http"
	"time"

	_ "github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// Notes are the notes of a session.
var Notes = session.NewKey[[]string]("notes")

var page = template.Must(template.New("").Parse(`<!doctype html><title>Notes</title>
<p>Hello {{with .User}}{{.}}{{else}}stranger{{end}}.</p>
<ul>{{range .Notes}}<li>{{.}}</li>{{end}}</ul>
<form method="post" action="/notes"><input name="note"><button>write</button></form>
{{if .User}}<form method="post" action="/logout"><button>sign out</button></form>
{{else}}<form method="post" action="/login"><input name="user"><input name="password" type="password"><button>sign in</button></form>{{end}}`))

func main() {
	svc, err := session.OpenURL(context.Background(), "file:./data?name=sessions", nil)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on http://127.0.0.1:8080")
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: routes(svc), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func routes(svc *session.Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /notes", write)
	mux.HandleFunc("POST /login", login)
	mux.Handle("POST /logout", sessionhttp.SignOut(&sessionhttp.SignOutOptions{Redirect: "/"}))
	return sessionhttp.Handler(svc, mux)
}

func home(w http.ResponseWriter, r *http.Request) {
	user, _, err := session.User(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	notes, _, err := Notes.Get(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	_ = page.Execute(w, map[string]any{"User": user, "Notes": notes})
}

func write(w http.ResponseWriter, r *http.Request) {
	note := r.FormValue("note")
	// The change runs again if another request changes the notes meanwhile.
	err := Notes.Update(r.Context(), func(notes *[]string) error {
		*notes = append(*notes, note)
		return nil
	})
	if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user != "alice" || r.FormValue("password") != "tea" { // a real program compares slow, salted hashes
		http.Error(w, "wrong name or password", http.StatusForbidden)
		return
	}
	if err := session.SignIn(r.Context(), user, nil); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "Please try again.", sessionhttp.Status(err))
}
