package mongo

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled has the driver's defaults, retries included, and a listing whose
// cursor is open when the server stops.
func TestStalled(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Stalled(t, b, p.Stall)
}

// TestStallWithOpenCursor has a server that stops while a cursor is open: the
// call does not wait for the server to close it.
func TestStallWithOpenCursor(t *testing.T) {
	b, p := proxied(t, nil)
	for i := range 5 {
		drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("id", i), "", time.Hour))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cur, err := b.coll.Find(ctx, bson.D{}, options.Find().SetBatchSize(2))
	if err != nil || cur.ID() == 0 {
		t.Fatalf("the cursor is %+v, %v", cur, err)
	}
	p.Stall()
	cancel()
	ended := make(chan struct{})
	go func() { closeCursor(ctx, cur); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second): // never, unless the call waits for the server
		t.Fatal("the call waits for the server")
	}
}
