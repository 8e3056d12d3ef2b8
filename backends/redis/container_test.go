package redis

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// options are those of the server, for a client of one's own.
func options(t testing.TB) *goredis.Options {
	t.Helper()
	o, err := goredis.ParseURL(containers.Redis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// clientOf is a client that the test closes at its end.
func clientOf(t testing.TB, o *goredis.Options) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clusterOptions are those of the cluster, for a client of one's own.
func clusterOptions(t testing.TB) *goredis.ClusterOptions {
	t.Helper()
	o, err := goredis.ParseClusterURL(containers.RedisCluster(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// clusterOf is a client of the cluster that the test closes at its end.
func clusterOf(t testing.TB, o *goredis.ClusterOptions) *goredis.ClusterClient {
	t.Helper()
	own := *o
	own.Addrs = slices.Clone(o.Addrs) // the client appends to it
	c := goredis.NewClusterClient(&own)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// loadScripts makes all scripts known to every master: a lost answer is then
// that of a call, never that of a script that the server does not know.
func loadScripts(t testing.TB, c goredis.UniversalClient) {
	t.Helper()
	for _, s := range []*script{writeScript, touchScript, deleteScript, sweepScript, countScript, pruneScript} {
		if err := c.ScriptLoad(t.Context(), s.source.(string)).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

var storeNumber atomic.Int64

// storeName is a name that no other store of the server has.
func storeName() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), storeNumber.Add(1))
}

// openOn is a backend whose storage the test deletes at its end.
func openOn(t testing.TB, c goredis.UniversalClient, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		again, err := New(clientOf(t, options(t)), name, opts)
		if err == nil {
			err = again.DeleteStorage(context.WithoutCancel(t.Context()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	return b
}

// open is a backend on a store of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, clientOf(t, options(t)), storeName(), opts)
}

// testNow is the clock of the tests.
var testNow = time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)

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
