package redis

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestMain leaves out what CreateStorage warns of: the server of the tests keeps
// nothing on a disk.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(containers.Main(m))
}

// What the tests run on. The second opinion replaces it.
var (
	server         = containers.Redis
	heedsDeadlines bool // the client's ContextTimeoutEnabled
)

// options returns the server's options, for a client of the test's own.
func options(t testing.TB) *goredis.Options {
	t.Helper()
	o, err := goredis.ParseURL(server(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	o.ContextTimeoutEnabled = heedsDeadlines
	return o
}

// clientOf returns a client that is closed at the end of the test.
func clientOf(t testing.TB, o *goredis.Options) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clusterOptions returns the cluster's options, for a client of the test's own.
func clusterOptions(t testing.TB) *goredis.ClusterOptions {
	t.Helper()
	o, err := goredis.ParseClusterURL(containers.RedisCluster(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// clusterOf returns a cluster's client that is closed at the end of the test.
func clusterOf(t testing.TB, o *goredis.ClusterOptions) *goredis.ClusterClient {
	t.Helper()
	own := *o
	own.Addrs = slices.Clone(o.Addrs) // the client appends to it
	c := goredis.NewClusterClient(&own)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// bucketCount is the number of buckets of a backend that is given none.
const bucketCount = defaultBuckets

// bucketAt returns a bucket of a store with that number of them.
func bucketAt(name string, n, count int, labels []string) bucket {
	return newBucket(name, bucketTags(count)[n], labels)
}

func scripts() []*script {
	return []*script{writeScript, touchScript, deleteScript, sweepScript, countScript, pruneScript, statScript, markScript, reindexScript, tidyScript}
}

// loadScripts loads all scripts on every master. A lost answer is then that of a
// call, never that of a script that the server does not know.
func loadScripts(t testing.TB, c goredis.UniversalClient) {
	t.Helper()
	for _, s := range scripts() {
		if err := c.ScriptLoad(t.Context(), s.source.(string)).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// newOn returns a backend on the client's server.
func newOn(t testing.TB, c goredis.UniversalClient, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// createOn returns a backend on the client's server, with its storage. The server
// knows all scripts, whatever other tests ran before.
func createOn(t testing.TB, c goredis.UniversalClient, name string, opts *Options) *Backend {
	t.Helper()
	loadScripts(t, c)
	b := newOn(t, c, name, opts)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// openOn returns a backend whose storage is deleted at the end of the test.
func openOn(t testing.TB, c goredis.UniversalClient, name string, opts *Options) *Backend {
	t.Helper()
	b := createOn(t, c, name, opts)
	t.Cleanup(func() {
		again := newOn(t, clientOf(t, options(t)), name, opts)
		if err := again.DeleteStorage(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open returns a backend on a store of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, clientOf(t, options(t)), drivertest.Name(), opts)
}
