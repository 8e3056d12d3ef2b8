// Command scs is the program of docs/tutorial.md on scs, with its sessions in Redis.
package main

import (
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
)

var sessions = scs.New()

var page = template.Must(template.New("").Parse(`<!doctype html><title>Notes</title>
<p>Hello {{with .User}}{{.}}{{else}}stranger{{end}}.</p>
<ul>{{range .Notes}}<li>{{.}}</li>{{end}}</ul>
<form method="post" action="/notes"><input name="note"><button>write</button></form>
{{if .User}}<form method="post" action="/logout"><button>sign out</button></form>
{{else}}<form method="post" action="/login"><input name="user"><input name="password" type="password"><button>sign in</button></form>{{end}}`))

func main() {
	sessions.Store = goredisstore.New(redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"}))
	handler := sessions.LoadAndSave(routes())
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
	user := sessions.GetString(r.Context(), "user")
	notes, _ := sessions.Get(r.Context(), "notes").([]string)
	_ = page.Execute(w, map[string]any{"User": user, "Notes": notes})
}

func write(w http.ResponseWriter, r *http.Request) {
	note := r.FormValue("note")
	notes, _ := sessions.Get(r.Context(), "notes").([]string)
	sessions.Put(r.Context(), "notes", append(notes, note))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user != "alice" || r.FormValue("password") != "tea" {
		http.Error(w, "wrong name or password", http.StatusForbidden)
		return
	}
	if err := sessions.RenewToken(r.Context()); err != nil {
		fail(w, err)
		return
	}
	sessions.Put(r.Context(), "user", user)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	if err := sessions.Destroy(r.Context()); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "Please try again.", http.StatusInternalServerError)
}
