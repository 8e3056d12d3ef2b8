package mongo

import (
	"context"
	"os"
	"testing"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// databaseName is the database of the tests.
const databaseName = "sojourn-test"

// clientOptions returns the options of a client of the server.
func clientOptions(t testing.TB) *options.ClientOptions {
	t.Helper()
	return options.Client().ApplyURI(containers.MongoDB(t).URL)
}

// connect returns a client that is disconnected at the end of the test.
func connect(t testing.TB, o *options.ClientOptions) *mongodriver.Client {
	t.Helper()
	c, err := mongodriver.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		_ = c.Disconnect(ctx)
	})
	return c
}

// newBackend returns a backend on a collection that may not exist.
func newBackend(t testing.TB, db *mongodriver.Database, collection string, opts *Options) *Backend {
	t.Helper()
	b, err := New(db, collection, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// another returns a second backend on the same collection.
func another(t testing.TB, b *Backend, opts *Options) *Backend {
	t.Helper()
	return newBackend(t, b.coll.Database(), b.coll.Name(), opts)
}

// openOn returns a backend on a store of its own, which is deleted at the end
// of the test.
func openOn(t testing.TB, c *mongodriver.Client, opts *Options) *Backend {
	t.Helper()
	b := newBackend(t, c.Database(databaseName), drivertest.Name(), opts)
	direct := newBackend(t, connect(t, clientOptions(t)).Database(databaseName), b.coll.Name(), opts)
	if err := direct.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not DeleteStorage, which keeps the foreign documents of some tests.
		if err := direct.coll.Drop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open returns a backend on a store of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, connect(t, clientOptions(t)), opts)
}
