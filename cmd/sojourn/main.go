// Command sojourn looks into stores of package sojourn and looks after them, on
// every backend. Run sojourn --help for the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	_ "golang.org/x/crypto/x509roots/fallback" // an image of this program alone has no other roots

	"github.com/sojourn-go/sojourn/cmd/sojourn/internal/cli"
)

// version is what a release is built with. Without it the module's version counts.
var version string

func main() { os.Exit(run()) }

func run() int {
	redis.SetLogger(&logging.VoidLogger{}) // what matters is in the errors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, &cli.System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: ownVersion()}, os.Args[1:])
}

// ownVersion also knows the version that go install was called with.
func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
