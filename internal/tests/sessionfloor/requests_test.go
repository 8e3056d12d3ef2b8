package sessionfloor

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// BenchmarkRequestsMemory is for profiles of each request.
func BenchmarkRequestsMemory(b *testing.B) {
	m, err := memory.New(nil, "sessions", nil)
	if err != nil {
		b.Fatal(err)
	}
	svc, err := session.New(m, &session.Options{SweptElsewhere: true})
	if err != nil {
		b.Fatal(err)
	}
	keys := map[string]session.Key[string]{}
	for k := range values {
		keys[k] = session.NewKey[string](k)
	}
	h := sessionhttp.Handler(svc, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			for k, v := range values {
				if err := keys[k].Set(r.Context(), v); err != nil {
					b.Error(err)
				}
			}
		case "/out":
			s, _ := session.From(r.Context())
			if err := s.SignOut(r.Context()); err != nil {
				b.Error(err)
			}
		case "/write":
			writer(w, r)
		default:
			reader(w, r)
		}
	}))
	base := httptest.NewRequest(http.MethodGet, "/", nil)
	send := func(path, cookie string) string {
		r := base.Clone(context.Background())
		r.URL.Path = path
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		w := discard{http.Header{}}
		h.ServeHTTP(w, r)
		if set := w.h["Set-Cookie"]; len(set) > 0 {
			cookie, _, _ = strings.Cut(set[0], ";")
		}
		return cookie
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send("/first", "")
		}
	})
	cookie := send("/first", "")
	for _, path := range []string{"/read", "/write"} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				send(path, cookie)
			}
		})
	}
	b.Run("first-out", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send("/out", send("/first", ""))
		}
	})
}
