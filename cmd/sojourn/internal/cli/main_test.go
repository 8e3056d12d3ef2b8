package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

// asProgram makes the test's binary the program itself, for tests that end it
// with signals.
const asProgram = "SOJOURN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := Main(ctx, &System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
		stop()
		if status, err := os.ReadFile("/proc/self/status"); err == nil { // the most memory that it took
			_, _ = os.Stderr.Write(status)
		}
		os.Exit(code)
	}
	redis.SetLogger(&logging.VoidLogger{})
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the server of the tests keeps nothing on a disk
	os.Exit(containers.Main(m))
}
