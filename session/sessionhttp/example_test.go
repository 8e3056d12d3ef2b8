package sessionhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

func ExampleHandler() {
	backend, _ := memory.New(nil, "web", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	visits := session.NewKey[int]("visits")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if err := visits.Update(r.Context(), func(n *int) error { *n++; return nil }); err != nil {
			http.Error(w, "please try again", http.StatusServiceUnavailable)
			return
		}
		n, _, _ := visits.Get(r.Context())
		_, _ = fmt.Fprintln(w, "visit", n)
	})
	handler := sessionhttp.Handler(svc, mux)

	var cookies []*http.Cookie
	for range 2 {
		r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Body)
		if got := w.Result().Cookies(); len(got) > 0 {
			cookies = got
			fmt.Println(got[0].Name, got[0].Secure, got[0].HttpOnly)
		}
	}
	// Output:
	// visit 1
	// __Host-id true true
	// visit 2
}
