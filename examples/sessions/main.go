package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var visits = session.NewKey[int]("visits")

func main() {
	backend, _ := memory.New(nil, "sessions", nil)
	svc, _ := session.New(backend, nil)
	go svc.Run(context.Background()) // removes expired sessions
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		err := visits.Update(r.Context(), func(n *int) error { *n++; return nil })
		n, _, _ := visits.Get(r.Context())
		fmt.Fprintln(w, "visit", n, err)
	})
	panic(http.ListenAndServe("127.0.0.1:8080", sessionhttp.Handler(svc, http.DefaultServeMux)))
}
