package adaptertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session"
)

// plain is the suite's reference: net/http without a framework.
func plain(_ testing.TB, app App) http.Handler {
	mux := http.NewServeMux()
	for _, route := range app.Routes {
		mux.HandleFunc(route.Path, func(w http.ResponseWriter, r *http.Request) {
			if route.Timeout > 0 {
				ctx, cancel := context.WithTimeout(r.Context(), route.Timeout)
				defer cancel()
				r = r.WithContext(ctx)
			}
			answerError(w, route.Handle(HTTP(w, r)))
		})
	}
	var h http.Handler = mux
	for i := len(app.Wraps) - 1; i >= 0; i-- {
		h = app.Wraps[i](h)
	}
	return recovering(h)
}

func answerError(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
		http.Error(w, e.Text, e.Status)
	case err != nil:
		http.Error(w, "an error", http.StatusInternalServerError)
	}
}

func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); {
			case p == http.ErrAbortHandler: //nolint:errorlint // it is never wrapped
				panic(p)
			case p != nil:
				http.Error(w, "a panic", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func TestNetHTTP(t *testing.T) { Run(t, Harness{Handler: plain}) }

// wrapping returns a harness whose adapter is change around each middleware.
func wrapping(change func(func(http.Handler) http.Handler) func(http.Handler) http.Handler) Harness {
	return Harness{Handler: func(t testing.TB, app App) http.Handler {
		var wraps []func(http.Handler) http.Handler
		for _, w := range app.Wraps {
			wraps = append(wraps, change(w))
		}
		app.Wraps = wraps
		return plain(t, app)
	}}
}

type wrap = func(http.Handler) http.Handler

// bugs are adapters with one bug each, and the cases that must find it.
var bugs = map[string]struct {
	h     Harness
	cases []string
}{
	"passes only the request on": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })).ServeHTTP(w, r)
			})
		}
	}), []string{"Set", "Redirect", "Error", "Headers", "Timeout", "Stream", "SSE", "Flush", "Hijack", "StoreDown", "OnError", "SignInAndOut", "TwoServices"}},
	"calls the handler after the middleware": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m(http.HandlerFunc(func(_ http.ResponseWriter, inner *http.Request) { r = inner })).ServeHTTP(w, r)
				next.ServeHTTP(w, r)
			})
		}
	}), []string{"Set", "CrossSite", "Guard", "CSRFHeader"}},
	"passes only the writer on": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { next.ServeHTTP(w, r) })).ServeHTTP(w, r)
			})
		}
	}), []string{"Set", "Client"}},
	"answers errors past the middleware": {Harness{Handler: func(t testing.TB, app App) http.Handler {
		for i, route := range app.Routes {
			app.Routes[i].Handle = func(e Exchange) error {
				err := route.Handle(e)
				if err != nil {
					panic(err) // the recovery answers with 500
				}
				return nil
			}
		}
		return plain(t, app)
	}}, []string{"Error", "StoreDown"}},
	"recovers what should abort": {Harness{Handler: func(t testing.TB, app App) http.Handler {
		inner := plain(t, app)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}()
			inner.ServeHTTP(w, r)
		})
	}}, []string{"Abort"}},
	"drops what a panic leaves": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if p := recover(); p != nil {
						w.Header().Del("Set-Cookie")
						s, _ := session.From(r.Context())
						_ = s.SignOut(r.Context())
						panic(p)
					}
				}()
				next.ServeHTTP(w, r)
			}))
		}
	}), []string{"Panic"}},
	"keeps the answer until the handler has returned": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
			}))
		}
	}), []string{"Stream", "SSE", "Flush", "Hijack"}},
	"one line for each cookie": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m(next).ServeHTTP(oneLine{w}, r)
			})
		}
	}), []string{"SignInAndOut", "TwoServices"}},
	"bounds bodies": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = io.NopCloser(io.LimitReader(r.Body, 4<<20))
				m(next).ServeHTTP(w, r)
			})
		}
	}), []string{"LargeUpload"}},
	"keeps bodies from the middleware": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = http.NoBody
				m(next).ServeHTTP(w, r)
			})
		}
	}), []string{"CSRFForm"}},
	"one session for all": {func() Harness {
		var first *http.Request
		return wrapping(func(m wrap) wrap {
			return func(next http.Handler) http.Handler {
				return m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if first == nil {
						first = r
					}
					next.ServeHTTP(w, r.WithContext(context.WithoutCancel(first.Context())))
				}))
			}
		})
	}(), []string{"EndedMeanwhile"}},
	"uses the session of every request": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _, _ = session.User(r.Context())
				next.ServeHTTP(w, r)
			}))
		}
	}), []string{"Unused"}},
	"two requests lose an update": {wrapping(func(m wrap) wrap {
		return func(next http.Handler) http.Handler {
			return m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/next" {
					next.ServeHTTP(w, r)
					return
				}
				n, _, _ := count.Get(r.Context())
				_ = count.Set(r.Context(), n+1)
				_, _ = io.WriteString(w, "1")
			}))
		}
	}), []string{"Set"}},
}

// oneLine keeps one Set-Cookie.
type oneLine struct{ http.ResponseWriter }

func (o oneLine) WriteHeader(code int) {
	if lines := o.Header().Values("Set-Cookie"); len(lines) > 1 {
		o.Header().Set("Set-Cookie", lines[0])
	}
	o.ResponseWriter.WriteHeader(code)
}

func TestPlantedBugsAreFound(t *testing.T) {
	byName := map[string]testCase{}
	found := map[string]bool{}
	for _, c := range all() {
		byName[c.name] = c
	}
	for name, bug := range bugs {
		t.Run(name, func(t *testing.T) {
			for _, c := range bug.cases {
				if err := byName[c].run(newWorld(t, bug.h)); err == nil {
					t.Errorf("the case %s does not find it", c)
				} else if strings.Contains(err.Error(), "deadline exceeded") {
					t.Errorf("the case %s finds it by waiting: %v", c, err)
				}
				found[c] = true
			}
		})
	}
	for name := range byName {
		if !found[name] && name != "Parallel" { // it needs a pool of requests, as fasthttp has
			t.Errorf("no bug is planted for the case %s", name)
		}
	}
}
