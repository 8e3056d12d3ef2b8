package mongo

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// clientOptions are those of the server, for a client of one's own.
func clientOptions(t testing.TB) *options.ClientOptions {
	t.Helper()
	return options.Client().ApplyURI(containers.MongoDB(t).URL)
}

// clientOf is a client that the test disconnects at its end.
func clientOf(t testing.TB, o *options.ClientOptions) *mongodriver.Client {
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

var storeNumber atomic.Int64

// storeName is a name that no other store of the server has.
func storeName() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), storeNumber.Add(1))
}

// databaseName is the database of the tests.
const databaseName = "sojourn-test"

// openOn is a backend whose storage the test makes, and deletes at its end.
func openOn(t testing.TB, c *mongodriver.Client, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c.Database(databaseName), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(clientOf(t, clientOptions(t)).Database(databaseName), name, opts)
	if err == nil {
		err = again.CreateStorage(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.DeleteStorage(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open is a backend on a store of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, clientOf(t, clientOptions(t)), storeName(), opts)
}

// testNow is the clock of the tests, far from that of the server, which may
// reap what has expired by its own.
var testNow = time.Date(2080, 1, 2, 3, 4, 5, 6e6, time.UTC)

// record is one with all its parts.
func record(id, principal string, ttl time.Duration) model.Record {
	r := model.Record{ID: id, Revision: model.NewRevision(), Value: []byte(`{"of":"` + id + `"}`), Encoding: "json"}
	if principal != "" {
		r.Labels = map[string]string{"principal": principal}
	}
	if ttl != 0 {
		r.ExpiresAt = testNow.Add(ttl)
	}
	return r
}
