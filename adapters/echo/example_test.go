package sessionecho_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	sessionecho "github.com/sojourn-go/sojourn/adapters/echo"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var visits = session.NewKey[int]("visits")

func Example() {
	backend, _ := memory.New(nil, "echo", nil)
	svc, _ := session.New(backend, nil)
	m, err := sessionhttp.New(svc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := echo.New()
	e.Use(middleware.Recover(), sessionecho.New(m.Wrap)) // in this order
	e.GET("/", func(c *echo.Context) error {
		ctx := c.Request().Context()
		if err := visits.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			return err
		}
		n, _, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, fmt.Sprint("visit ", n))
	})
	e.GET("/account", func(c *echo.Context) error { return c.String(http.StatusOK, "yours") },
		sessionecho.New(sessionhttp.RequireSignIn(nil)))

	for _, path := range []string{"/", "/account"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://shop.example"+path, nil))
		fmt.Println(w.Code, w.Body, len(w.Result().Cookies()))
	}
	// Output:
	// 200 visit 1 1
	// 401 Please sign in.
	//  0
}
