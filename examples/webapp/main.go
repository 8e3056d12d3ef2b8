// Webapp is a small shop with server-rendered pages: a cart, sign-in, a list of
// your own devices, a page for the administrator and a live panel, all on
// sessions that survive a restart. Package shop has the pages.
//
//	go run ./examples/webapp
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/dynamodb"
	_ "github.com/sojourn-go/sojourn/backends/elasticsearch"
	_ "github.com/sojourn-go/sojourn/backends/file"
	_ "github.com/sojourn-go/sojourn/backends/memory"
	_ "github.com/sojourn-go/sojourn/backends/mongo"
	_ "github.com/sojourn-go/sojourn/backends/redis"
	_ "github.com/sojourn-go/sojourn/backends/s3"
	"github.com/sojourn-go/sojourn/config"
	"github.com/sojourn-go/sojourn/examples/webapp/shop"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
}

// startTimeout limits the first contact with the store. stopTimeout limits the
// wait for running requests at shutdown.
const (
	startTimeout = 5 * time.Second
	stopTimeout  = 10 * time.Second
)

// run serves until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("webapp", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "address to serve on")
	storeURL := flags.String("store", "", "where sessions are kept; without it the environment says it, else file:./data: memory:, file:DIR, redis://HOST:PORT, mongodb://HOST/DB, dynamodb://TABLE?region=REGION, elasticsearch://HOST/INDEX or s3://BUCKET/PREFIX?region=REGION")
	secure := flags.Bool("secure", false, "the site is served over https: the cookie is __Host-id and Secure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))

	backend, err := openStore(ctx, *storeURL, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	app, err := shop.New(backend, &shop.Options{Secure: *secure, Logger: log})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program; choose another address with -addr", *addr)
	}
	if err != nil {
		return fmt.Errorf("cannot serve on %q (flag -addr): %w", *addr, err)
	}
	_, _ = fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr())
	log.Info("sessions", "store", backend.Describe().Backend, "policy", app.Policy().String())
	return serve(ctx, listener, app)
}

// openStore opens the store, creates its storage and checks that it answers. The
// environment has its URL in SOJOURN_URL and its password in SOJOURN_PASSWORD, or in
// files: see package config.
func openStore(ctx context.Context, rawURL string, getenv func(string) string) (expiry.ModelExpirySupport, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	from := "flag -store"
	if rawURL != "" {
		getenv = func(string) string { return "" } // the flag alone decides
	} else {
		rawURL, from = "file:./data", "environment"
	}
	place, err := config.Read(&config.Options{DefaultURL: rawURL, Getenv: getenv})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	b, err := place.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	var name string // without the password
	_, _ = place.Edit(func(u *url.URL) { name = backends.Redact(u.String()) })
	if err = driver.CreateStorage(ctx, b); err == nil {
		err = driver.Ping(ctx, b, time.Now().UTC().Truncate(time.Millisecond))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: the store %s cannot be used: %w", from, name, err), b.Close())
	}
	return b, nil
}

// serve answers requests and sweeps until ctx ends. Then it waits for running
// requests.
func serve(ctx context.Context, listener net.Listener, app *shop.Shop) error {
	server := &http.Server{
		Handler:           app,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	server.RegisterOnShutdown(func() { _ = app.Close() }) // ends the live panels, which the shutdown waits for
	sweeping, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = app.Run(sweeping) })
	defer func() { stop(); background.Wait() }()

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return server.Shutdown(waiting)
}
