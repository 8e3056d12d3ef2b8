package sessions_test

import (
	"context"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestSessionsOnMemory(t *testing.T) {
	space := memory.NewSpace()
	sessions.Run(t, conformance.Harness{
		Open:   func(t testing.TB, name string) driver.ModelExpirySupport { return open(t, space, name, "principal") },
		Server: "in process",
	})
}

func TestSessionsOnABackendWithBatches(t *testing.T) {
	space := memory.NewSpace()
	sessions.Run(t, conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			return batching{open(t, space, name, "principal", "sid", "tenant")}
		},
		Server: "in process, with batches",
	})
}

func open(t testing.TB, space *memory.Space, name string, labels ...string) driver.ModelExpirySupport {
	t.Helper()
	b, err := memory.New(space, name, &memory.Options{Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// batching is a backend with a BatchGetter and a BatchWriter.
type batching struct{ driver.ModelExpirySupport }

func (b batching) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	return driver.GetMany(ctx, b.ModelExpirySupport, now, gets)
}

func (b batching) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(ctx, b.ModelExpirySupport, now, ops)
}
