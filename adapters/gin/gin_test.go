package sessiongin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	sessiongin "github.com/sojourn-go/sojourn/adapters/gin"
	"github.com/sojourn-go/sojourn/session/sessionhttp/adaptertest"
)

type exchange struct {
	adaptertest.Exchange
	c *gin.Context
}

func (e exchange) Text(status int, text string) error {
	e.c.String(status, "%s", text)
	return nil
}

func (e exchange) Redirect(status int, to string) error {
	e.c.Redirect(status, to)
	return nil
}

// Stream uses gin's own: it flushes after each step, and ends if the client left.
func (e exchange) Stream(write func(io.Writer, func() error)) error {
	e.c.Stream(func(w io.Writer) bool {
		write(w, func() error { e.c.Writer.Flush(); return nil })
		return false
	})
	return nil
}

func program(t testing.TB, app adaptertest.App) http.Handler {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(func(c *gin.Context) { // gin's recovery keeps an abort of net/http to itself
		c.Next()
		if e := c.Errors.Last(); e != nil && errors.Is(e, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
	})
	r.Use(gin.RecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }))
	for _, w := range app.Wraps {
		r.Use(sessiongin.New(w))
	}
	for _, route := range app.Routes {
		h := func(c *gin.Context) {
			err := route.Handle(exchange{adaptertest.HTTP(c.Writer, c.Request), c})
			var own *adaptertest.Error
			switch {
			case errors.As(err, &own):
				_ = c.AbortWithError(own.Status, err)
			case errors.Is(err, context.DeadlineExceeded):
				_ = c.AbortWithError(http.StatusServiceUnavailable, err)
			case err != nil:
				_ = c.AbortWithError(http.StatusInternalServerError, err)
			}
		}
		limit := func(c *gin.Context) {
			if route.Timeout > 0 {
				ctx, cancel := context.WithTimeout(c.Request.Context(), route.Timeout)
				defer cancel()
				c.Request = c.Request.WithContext(ctx)
			}
			c.Next()
		}
		r.GET(route.Path, limit, h)
		r.POST(route.Path, limit, h)
	}
	return r
}

func TestAdapter(t *testing.T) { adaptertest.Run(t, adaptertest.Harness{Handler: program}) }
