package gorillastore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sojourn-go/sojourn/adapters/gorillastore"
	"github.com/sojourn-go/sojourn/backends/memory"
)

func Example() {
	backend, _ := memory.New(nil, "gorilla", nil) // or redis.New(client, "gorilla", nil), …
	store, err := gorillastore.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err != nil { // of the store: the session is a new one then
			http.Error(w, "please try again", http.StatusServiceUnavailable)
			return
		}
		n, _ := session.Values["visits"].(int)
		session.Values["visits"] = n + 1
		if err := session.Save(r, w); err != nil {
			http.Error(w, "please try again", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprint(w, "visit ", n+1)
	}
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest(http.MethodGet, "https://shop.example/", nil))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 200 visit 1
}
