//go:build topology

package redis

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestReplicaFailover kills a master while writers write through a client of its
// sentinel. The replica takes over. What it had is still stored.
func TestReplicaFailover(t *testing.T) {
	nodes := containers.RedisReplicated(t)
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: nodes.Master, SentinelAddrs: []string{nodes.Sentinel}, Dialer: nodes.DialContext,
		DialTimeout: time.Second, ReadTimeout: 2 * time.Second, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	b := createOn(t, client, drivertest.Name(), nil)
	drivertest.RunOutage(t, drivertest.Outage{
		Backend:    b,
		Happen:     func(_ context.Context, t testing.TB) { nodes.KillMaster(t) },
		Replicated: func(ctx context.Context, id string) bool { return replicated(ctx, client, b, id) },
	})
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
}
