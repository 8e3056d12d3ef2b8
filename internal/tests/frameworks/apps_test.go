package frameworks

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	echo4 "github.com/labstack/echo/v4"
	echo4middleware "github.com/labstack/echo/v4/middleware"
	echo5 "github.com/labstack/echo/v5"
	echo5middleware "github.com/labstack/echo/v5/middleware"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var count = session.NewKey[int]("count")

// next adds one to the count and returns it as text.
func next(ctx context.Context) (string, error) {
	n := 0
	err := count.Update(ctx, func(v *int) error { *v++; n = *v; return nil })
	return fmt.Sprint(n), err
}

// fall sets the count and panics.
func fall(ctx context.Context) {
	if err := count.Set(ctx, 100); err != nil {
		return // without the panic the test fails
	}
	panic("on purpose")
}

// app is a program in a framework, with the framework's own recovery.
type app struct {
	name string
	new  func(m *sessionhttp.Middleware) http.Handler
}

func apps() []app {
	outer := func(h func(use func(http.Handler) http.Handler) http.Handler) func(*sessionhttp.Middleware) http.Handler {
		return func(m *sessionhttp.Middleware) http.Handler { return m.Wrap(h(nil)) }
	}
	inner := func(h func(use func(http.Handler) http.Handler) http.Handler) func(*sessionhttp.Middleware) http.Handler {
		return func(m *sessionhttp.Middleware) http.Handler { return h(m.Wrap) }
	}
	return []app{
		{"chi around Wrap", inner(chiApp)}, {"Wrap around chi", outer(chiApp)},
		{"Echo v4 around Wrap", inner(echo4App)}, {"Wrap around Echo v4", outer(echo4App)},
		{"Echo v5 around Wrap", inner(echo5App)}, {"Wrap around Echo v5", outer(echo5App)},
		{"Wrap around gin", outer(ginApp)},
	}
}

func chiApp(use func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(chimiddleware.Recoverer)
	if use != nil {
		r.Use(use)
	}
	r.Get("/next", func(w http.ResponseWriter, r *http.Request) {
		text, err := next(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, text)
	})
	r.Get("/fall", func(_ http.ResponseWriter, r *http.Request) { fall(r.Context()) })
	r.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
		text, _ := next(r.Context())
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, " and the rest")
	})
	r.Get("/refuse", func(w http.ResponseWriter, r *http.Request) {
		_, _ = next(r.Context())
		http.Error(w, "no", http.StatusTeapot)
	})
	return r
}

func echo4App(use func(http.Handler) http.Handler) http.Handler {
	e := echo4.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(echo4middleware.Recover())
	if use != nil {
		e.Use(echo4.WrapMiddleware(use))
	}
	e.GET("/next", func(c echo4.Context) error {
		text, err := next(c.Request().Context())
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, text)
	})
	e.GET("/fall", func(c echo4.Context) error { fall(c.Request().Context()); return nil })
	e.GET("/stream", func(c echo4.Context) error {
		text, _ := next(c.Request().Context())
		_, _ = io.WriteString(c.Response(), text)
		c.Response().Flush()
		_, err := io.WriteString(c.Response(), " and the rest")
		return err
	})
	e.GET("/refuse", func(c echo4.Context) error {
		_, _ = next(c.Request().Context())
		return echo4.NewHTTPError(http.StatusTeapot, "no")
	})
	return e
}

func echo5App(use func(http.Handler) http.Handler) http.Handler {
	e := echo5.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.Use(echo5middleware.Recover())
	if use != nil {
		e.Use(echo5.WrapMiddleware(use))
	}
	e.GET("/next", func(c *echo5.Context) error {
		text, err := next(c.Request().Context())
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, text)
	})
	e.GET("/fall", func(c *echo5.Context) error { fall(c.Request().Context()); return nil })
	e.GET("/stream", func(c *echo5.Context) error {
		text, _ := next(c.Request().Context())
		_, _ = io.WriteString(c.Response(), text)
		if err := http.NewResponseController(c.Response()).Flush(); err != nil {
			return err
		}
		_, err := io.WriteString(c.Response(), " and the rest")
		return err
	})
	e.GET("/refuse", func(c *echo5.Context) error {
		_, _ = next(c.Request().Context())
		return echo5.NewHTTPError(http.StatusTeapot, "no")
	})
	return e
}

func ginApp(func(http.Handler) http.Handler) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.RecoveryWithWriter(io.Discard))
	r.GET("/next", func(c *gin.Context) {
		text, err := next(c.Request.Context())
		if err != nil {
			_ = c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		c.String(http.StatusOK, text)
	})
	r.GET("/fall", func(c *gin.Context) { fall(c.Request.Context()) })
	r.GET("/stream", func(c *gin.Context) {
		text, _ := next(c.Request.Context())
		parts := []string{text, " and the rest"}
		c.Stream(func(w io.Writer) bool { // asks for a CloseNotifier
			_, _ = io.WriteString(w, parts[0])
			parts = parts[1:]
			return len(parts) > 0
		})
	})
	r.GET("/refuse", func(c *gin.Context) {
		_, _ = next(c.Request.Context())
		c.String(http.StatusTeapot, "no")
	})
	return r
}
