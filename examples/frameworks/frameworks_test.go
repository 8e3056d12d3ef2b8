package frameworks_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sojourn-go/sojourn/examples/frameworks"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessionhttp/adaptertest"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func start(t *testing.T, program func(*sessionhttp.Middleware) http.Handler) (*sessiontest.Kit, *httptest.Server, *http.Client) {
	t.Helper()
	kit := sessiontest.New(t, nil)
	m, err := sessionhttp.New(kit.Service, &sessionhttp.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(program(m))
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	c.Jar = jar
	return kit, srv, c
}

func TestChi(t *testing.T) {
	_, srv, c := start(t, frameworks.Chi)
	for _, want := range []string{"visit 1\n", "visit 2\n"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(text) != want {
			t.Fatalf("%q and %v, want %q", text, err, want)
		}
	}
}

// TestSuiteOnChi runs the suite for adapters: chi needs none.
func TestSuiteOnChi(t *testing.T) {
	adaptertest.Run(t, adaptertest.Harness{Handler: func(t testing.TB, app adaptertest.App) http.Handler {
		t.Helper()
		r := chi.NewRouter()
		r.Use(middleware.Recoverer)
		r.Use(app.Wraps...)
		for _, route := range app.Routes {
			var own chi.Router = r
			if route.Timeout > 0 {
				own = r.With(middleware.Timeout(route.Timeout))
			}
			h := func(w http.ResponseWriter, r *http.Request) {
				err := route.Handle(adaptertest.HTTP(w, r))
				var e *adaptertest.Error
				switch {
				case errors.As(err, &e):
					http.Error(w, e.Text, e.Status)
				case errors.Is(err, context.DeadlineExceeded): // the middleware answers
				case err != nil:
					http.Error(w, "an error", http.StatusInternalServerError)
				}
			}
			own.Get(route.Path, h)
			own.Post(route.Path, h)
		}
		return r
	}})
}

func TestConnect(t *testing.T) {
	kit, srv, c := start(t, frameworks.Connect)
	for _, options := range [][]connect.ClientOption{nil, {connect.WithGRPCWeb()}} {
		next := connect.NewClient[emptypb.Empty, wrapperspb.Int64Value](c, srv.URL+frameworks.ProcedureNext, options...)
		watch := connect.NewClient[emptypb.Empty, wrapperspb.Int64Value](c, srv.URL+frameworks.ProcedureWatch, options...)
		first, err := next.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		if err != nil {
			t.Fatal(err)
		}
		second, err := next.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		if err != nil || second.Msg.GetValue() != first.Msg.GetValue()+1 {
			t.Fatal(first, second, err)
		}
		stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for stream.Receive() {
			if got := stream.Msg().GetValue(); got != second.Msg.GetValue()+n {
				t.Fatal(got)
			}
			n++
		}
		if err := errors.Join(stream.Err(), stream.Close()); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		// A store that is down is an error of the protocol, and the session goes on.
		kit.Backend.SetHook(sessiontest.Down)
		if _, err := next.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{})); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Fatal(err)
		}
		kit.Backend.SetHook(nil)
		third, err := next.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		if err != nil || third.Msg.GetValue() != second.Msg.GetValue()+1 {
			t.Fatal(third, err)
		}
	}
}
