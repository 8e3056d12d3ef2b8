package containers_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

// TestRedisCluster writes through the announced addresses, to all masters.
func TestRedisCluster(t *testing.T) {
	cluster := containers.RedisCluster(t)
	checkIdentity(t, cluster.Server, "Redis Cluster", "Valkey Cluster")
	if !strings.Contains(cluster.Version, " masters") {
		t.Errorf("the version is %q, want the number of masters in it", cluster.Version)
	}
	if again := containers.RedisCluster(t); again != cluster {
		t.Errorf("got a second cluster %v, want the same", again.Server)
	}
	options, err := redis.ParseClusterURL(cluster.URL)
	if err != nil {
		t.Fatalf("URL %q: %v", cluster.URL, err)
	}
	client := redis.NewClusterClient(options)
	t.Cleanup(func() { _ = client.Close() })
	ctx := context.Background()
	for i := range 64 {
		key := fmt.Sprint("greeting", i)
		if err := client.Set(ctx, key, "hello", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(ctx, key).Result(); err != nil || got != "hello" {
			t.Fatalf("Get returns %q, %v, want hello", got, err)
		}
	}
	var written atomic.Int32
	if err := client.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		n, err := master.DBSize(ctx).Result()
		if n > 0 {
			written.Add(1)
		}
		return err
	}); err != nil || written.Load() < 3 {
		t.Errorf("%d masters have keys, %v, want 3", written.Load(), err)
	}
}
