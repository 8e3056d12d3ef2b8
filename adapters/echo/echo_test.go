package sessionecho_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	sessionecho "github.com/sojourn-go/sojourn/adapters/echo"
	"github.com/sojourn-go/sojourn/session/sessionhttp/adaptertest"
)

type exchange struct {
	adaptertest.Exchange
	c *echo.Context
}

func (e exchange) Text(status int, text string) error   { return e.c.String(status, text) }
func (e exchange) Redirect(status int, to string) error { return e.c.Redirect(status, to) }
func (exchange) Fail(status int, text string) error     { return echo.NewHTTPError(status, text) }

func program(t testing.TB, app adaptertest.App) http.Handler {
	t.Helper()
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.Use(middleware.Recover())
	for _, w := range app.Wraps {
		e.Use(sessionecho.New(w))
	}
	for _, route := range app.Routes {
		var own []echo.MiddlewareFunc
		if route.Timeout > 0 {
			own = append(own, middleware.ContextTimeout(route.Timeout))
		}
		h := func(c *echo.Context) error {
			return route.Handle(exchange{adaptertest.HTTP(c.Response(), c.Request()), c})
		}
		e.GET(route.Path, h, own...)
		e.POST(route.Path, h, own...)
	}
	return e
}

func TestAdapter(t *testing.T) { adaptertest.Run(t, adaptertest.Harness{Handler: program}) }
