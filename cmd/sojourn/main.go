// Command sojourn looks into stores of package sojourn and looks after them, on
// every backend. Run sojourn --help for the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/sojourn-go/sojourn/cmd/sojourn/internal/cli"
)

func main() { os.Exit(run()) }

func run() int {
	redis.SetLogger(&logging.VoidLogger{}) // what matters is in the errors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, &cli.System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}, os.Args[1:])
}
