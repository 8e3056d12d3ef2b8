package sessionhttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

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

// A program signs in and gets its token in JSON. Browsers get a cookie.
func ExampleBearer() {
	backend, _ := memory.New(nil, "api", nil)
	svc, _ := session.New(backend, nil)
	m, err := sessionhttp.New(svc, &sessionhttp.Options{
		Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{}),
		AnswerBy: func(r *http.Request) sessionhttp.Transport {
			if r.Header.Get("Accept") == "application/json" {
				return sessionhttp.Bearer{}
			}
			return sessionhttp.Cookie{}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context())
		if err := s.SignIn(r.Context(), "alice", nil); err != nil {
			http.Error(w, "please try again", sessionhttp.Status(err))
			return
		}
		token, there, err := sessionhttp.Token(r)
		if err != nil || !there { // a browser's token stays in its cookie
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
	})
	mux.Handle("GET /me", sessionhttp.RequireSignIn(nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context())
		p, _ := s.Principal(r.Context())
		_, _ = fmt.Fprintln(w, "hello", p.ID)
	})))
	handler := m.Wrap(mux)

	r := httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer struct {
		Token string `json:"token"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	fmt.Println(len(answer.Token) == session.TokenLen, len(w.Header()["Set-Cookie"]))

	for _, token := range []string{answer.Token, "x"} {
		r = httptest.NewRequest(http.MethodGet, "https://example.com/me", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w = httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// true 0
	// 200 hello alice
	// 401 Please sign in.
}

// An identity provider sends people back with a form, to which browsers add no
// cookie.
func ExampleMiddleware_Repost() {
	backend, _ := memory.New(nil, "idp", nil)
	svc, _ := session.New(backend, nil)
	m, _ := sessionhttp.New(svc, nil)
	state := session.NewKey[string]("state")

	mux := http.NewServeMux()
	mux.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) {
		// This session must have asked for the form: Repost makes it look like
		// one of this site.
		want, there, err := state.Take(r.Context())
		if err != nil || !there || r.PostFormValue("state") != want {
			http.Error(w, "Please begin again.", http.StatusForbidden)
		}
	})
	app := m.Wrap(mux)
	outer := http.NewServeMux()
	outer.Handle("POST /callback", m.Repost(nil, app))
	outer.Handle("/", app)

	r := httptest.NewRequest(http.MethodPost, "https://example.com/callback", strings.NewReader("state=s&code=c"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	outer.ServeHTTP(w, r)
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "<input") {
			fmt.Print(line)
		}
	}
	// Output:
	// <input type="hidden" name="state" value="s">
	// <input type="hidden" name="code" value="c">
}
