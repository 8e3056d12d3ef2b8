package sessionfiber_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gofiber/fiber/v3"
	recoverer "github.com/gofiber/fiber/v3/middleware/recover"

	sessionfiber "github.com/sojourn-go/sojourn/adapters/fiber"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var visits = session.NewKey[int]("visits")

func Example() {
	backend, _ := memory.New(nil, "fiber", nil)
	svc, _ := session.New(backend, nil)
	m, err := sessionhttp.New(svc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New()
	app.Use(recoverer.New(), sessionfiber.New(m.Wrap)) // in this order
	app.Get("/", func(c fiber.Ctx) error {
		ctx := c.Context()
		if err := visits.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			return err
		}
		n, _, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		return c.SendString(fmt.Sprint("visit ", n))
	})
	app.Get("/account", sessionfiber.New(sessionhttp.RequireSignIn(nil)), func(c fiber.Ctx) error { return c.SendString("yours") })

	for _, path := range []string{"/", "/account"} {
		res, err := app.Test(httptest.NewRequest(http.MethodGet, path, nil))
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		fmt.Println(res.StatusCode, string(text), len(res.Cookies()))
	}
	// Output:
	// 200 visit 1 1
	// 401 Please sign in.
	//  0
}
