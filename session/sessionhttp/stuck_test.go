package sessionhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// stuck is a backend whose reads end with their context, while it hangs.
type stuck struct {
	*sessiontest.Backend
	hangs atomic.Bool
	calls atomic.Int64
}

func (s *stuck) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if s.hangs.Load() {
		s.calls.Add(1)
		<-ctx.Done()
		return model.Record{}, ctx.Err()
	}
	return s.Backend.Get(ctx, now, g)
}

// A store that hangs costs a request one wait, and the answer says so.
func TestStoreThatHangsIsAskedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		down session.StoreDown
		h    http.HandlerFunc
	}{
		"a careless writer": {nil, func(w http.ResponseWriter, r *http.Request) {
			_ = note.Set(r.Context(), "a")
			_ = note.Set(r.Context(), "b")
			_ = from(r).SignIn(r.Context(), "bob", nil)
			_, _ = io.WriteString(w, "saved")
		}},
		"a careless reader": {nil, func(w http.ResponseWriter, r *http.Request) {
			_, _, _ = note.Get(r.Context())
			_ = note.Set(r.Context(), "b")
			_, _ = io.WriteString(w, "saved")
		}},
		"anonymous, and a writer": {session.Anonymous, func(w http.ResponseWriter, r *http.Request) {
			_ = note.Set(r.Context(), "a")
			_ = note.Set(r.Context(), "b")
			_, _ = io.WriteString(w, "saved")
		}},
		"an honest one": {nil, func(w http.ResponseWriter, r *http.Request) {
			if err := note.Set(r.Context(), "a"); err != nil {
				w.WriteHeader(sessionhttp.Status(err))
			}
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			down := tc.down
			if down == nil {
				down = session.FailClosed
			}
			k := sessiontest.New(t, nil)
			b := &stuck{Backend: k.Backend}
			svc, err := session.New(b, &session.Options{Clock: k.Clock, SweptElsewhere: true, StoreDown: func(ctx context.Context, err error) error {
				asked++
				return down(ctx, err)
			}})
			ok(t, err)
			m, err := sessionhttp.New(svc, nil)
			ok(t, err)
			token := k.Token(t, sessiontest.As("alice"))
			b.hangs.Store(true)
			r := httptest.NewRequest(http.MethodGet, page, nil)
			r.Header.Set("Cookie", m.CookieName()+"="+token)
			w := httptest.NewRecorder()
			begin := time.Now()
			m.Wrap(tc.h).ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "saved") || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			if took := time.Since(begin); took != 5*time.Second || b.calls.Load() != 1 || asked != 1 {
				t.Errorf("%s: %v, %d calls, StoreDown asked %d times", name, took, b.calls.Load(), asked)
			}
		})
	}
}
