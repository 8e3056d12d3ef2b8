package sessionhttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}

func BenchmarkRequest(b *testing.B) {
	raw, err := memory.New(memory.NewSpace(), "s", nil)
	ok(b, err)
	svc, err := session.New(raw, &session.Options{SweptElsewhere: true})
	ok(b, err)
	m, err := sessionhttp.New(svc, nil)
	ok(b, err)
	w := httptest.NewRecorder()
	m.Wrap(enter(b)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, page, nil))
	cookie := m.CookieName() + "=" + w.Result().Cookies()[0].Value
	for name, h := range map[string]http.HandlerFunc{
		"unused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"read": func(w http.ResponseWriter, r *http.Request) {
			if p, err := from(r).Principal(r.Context()); err != nil || p.ID != "alice" {
				b.Error(p, err)
			}
			w.WriteHeader(http.StatusNoContent)
		},
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, page, nil)
			r.Header.Set("Cookie", cookie)
			h := m.Wrap(h)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nowhere{http.Header{}}, r)
			}
		})
	}
}
