package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

func main() {
	backend, err := backends.Open(context.Background(), "redis://127.0.0.1:6379/0?name=sessions")
	check(err)
	svc, err := session.New(backend, nil)
	check(err)
	check(svc.CreateStorage(context.Background()))
	go svc.Run(context.Background()) // removes expired sessions

	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context()) // check the password first
		if err := s.SignIn(r.Context(), r.FormValue("user"), nil); err != nil {
			http.Error(w, "Please try again.", sessionhttp.Status(err))
		}
	})
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		user, _, err := session.User(r.Context())
		fmt.Fprintln(w, "hello", user, err)
	})
	http.Handle("POST /logout", sessionhttp.SignOut(nil))
	check(http.ListenAndServe("127.0.0.1:8080", sessionhttp.Handler(svc, http.DefaultServeMux)))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
