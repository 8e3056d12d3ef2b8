package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	_ "github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

func main() {
	svc, err := session.OpenURL(context.Background(), "redis://127.0.0.1:6379/0?name=sessions", nil)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// Check the password first.
		if err := session.SignIn(r.Context(), r.FormValue("user"), nil); err != nil {
			http.Error(w, "Please try again.", sessionhttp.Status(err))
		}
	})
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		user, _, err := session.User(r.Context())
		fmt.Fprintln(w, "hello", user, err)
	})
	http.Handle("POST /logout", sessionhttp.SignOut(nil))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", sessionhttp.Handler(svc, http.DefaultServeMux)))
}
