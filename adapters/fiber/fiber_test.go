package sessionfiber_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/gofiber/fiber/v3"
	recoverer "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/gofiber/fiber/v3/middleware/timeout"

	sessionfiber "github.com/sojourn-go/sojourn/adapters/fiber"
	"github.com/sojourn-go/sojourn/session/sessionhttp/adaptertest"
)

type exchange struct{ c fiber.Ctx }

func (e exchange) Context() context.Context             { return e.c.Context() }
func (e exchange) SetHeader(name, value string)         { e.c.Set(name, value) }
func (e exchange) Text(status int, text string) error   { return e.c.Status(status).SendString(text) }
func (e exchange) Redirect(status int, to string) error { return e.c.Redirect().Status(status).To(to) }
func (exchange) Fail(status int, text string) error     { return fiber.NewError(status, text) }
func (e exchange) Abort() error                         { return e.c.Drop() }

func (e exchange) Body() io.Reader {
	if r := e.c.Request(); r.IsBodyStream() {
		return r.BodyStream()
	}
	return bytes.NewReader(e.c.Body())
}

func (e exchange) Stream(write func(io.Writer, func() error)) error {
	return e.c.SendStreamWriter(func(w *bufio.Writer) { write(w, w.Flush) })
}

func (e exchange) Hijack(use func(net.Conn)) error {
	e.c.Set("Connection", "Upgrade")
	e.c.Set("Upgrade", "echo")
	e.c.Status(fiber.StatusSwitchingProtocols)
	e.c.RequestCtx().Hijack(use)
	return nil
}

// serve returns a function that serves an App with the configuration.
func serve(config fiber.Config) func(testing.TB, net.Listener, adaptertest.App) {
	return func(t testing.TB, l net.Listener, app adaptertest.App) {
		t.Helper()
		start(t, l, app, fiber.New(config))
	}
}

func start(t testing.TB, l net.Listener, app adaptertest.App, f *fiber.App) {
	t.Helper()
	f.Use(recoverer.New())
	for _, w := range app.Wraps {
		f.Use(sessionfiber.New(w))
	}
	for _, route := range app.Routes {
		h := func(c fiber.Ctx) error { return route.Handle(exchange{c}) }
		if route.Timeout > 0 {
			h = timeout.New(h, timeout.Config{Timeout: route.Timeout})
		}
		f.Get(route.Path, h)
		f.Post(route.Path, h)
	}
	done := make(chan error, 1)
	go func() { done <- f.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		if err := errors.Join(f.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
}

const noFlush = "fasthttp sends the headers with the first bytes of a stream"

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, adaptertest.Harness{
		Serve:       serve(fiber.Config{BodyLimit: 16 << 20}),
		Unsupported: map[string]string{"Flush": noFlush},
	})
}

func TestAdapterWithStreamedBodies(t *testing.T) {
	adaptertest.Run(t, adaptertest.Harness{
		Serve:       serve(fiber.Config{StreamRequestBody: true, BodyLimit: 1 << 20}),
		Unsupported: map[string]string{"Flush": noFlush, "CSRFForm": "the handler alone reads a body that is streamed"},
	})
}
