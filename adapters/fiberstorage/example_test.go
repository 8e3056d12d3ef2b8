package fiberstorage_test

import (
	"fmt"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	fibersession "github.com/gofiber/fiber/v3/middleware/session"

	"github.com/sojourn-go/sojourn/adapters/fiberstorage"
	"github.com/sojourn-go/sojourn/backends/memory"
)

func Example() {
	backend, _ := memory.New(nil, "fiber", nil) // or redis.New(client, "fiber", nil), …
	storage, err := fiberstorage.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New()
	app.Use(limiter.New(limiter.Config{Max: 100, Expiration: time.Minute, Storage: storage}))
	app.Use(fibersession.New(fibersession.Config{Storage: storage}))
}
