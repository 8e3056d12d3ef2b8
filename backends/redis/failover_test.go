package redis

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestFailover kills one master of three while writers write. Its replica takes
// over. Writes are still stored if they were replicated, or acknowledged by the
// other masters.
func TestFailover(t *testing.T) {
	nodes := containers.RedisCluster(t)
	o := clusterOptions(t)
	o.DialTimeout, o.ReadTimeout, o.DialerRetries = time.Second, 2*time.Second, 1
	c := clusterOf(t, o)
	b := createOn(t, c, drivertest.Name(), nil)
	master := func(k *bucket) string {
		c, err := c.MasterForKey(t.Context(), k.due)
		if err != nil {
			return ""
		}
		return c.Options().Addr
	}
	spared := map[*bucket]bool{} // the buckets of the other masters
	took := drivertest.RunOutage(t, drivertest.Outage{
		Backend: b,
		Part:    func(id string) string { return master(b.bucket(id)) },
		Parts:   3,
		Happen: func(ctx context.Context, t testing.TB) {
			t.Helper()
			dead := master(&b.buckets[0])
			for i := range b.buckets {
				k := &b.buckets[i]
				spared[k] = master(k) != dead
			}
			// More than a pause of the whole machine, after which nodes would take others for dead.
			if err := nodes.SetTimeout(ctx, "3000"); err != nil {
				t.Fatal(err)
			}
			nodes.Kill(t, dead)
			for poll := time.NewTicker(20 * time.Millisecond); ; {
				if now := master(&b.buckets[0]); now != "" && now != dead {
					poll.Stop()
					return
				}
				select {
				case <-poll.C:
				case <-ctx.Done():
					t.Fatal("no replica took over")
				}
			}
		},
		Spared:     func(id string) bool { return spared[b.bucket(id)] },
		Replicated: func(ctx context.Context, id string) bool { return replicated(ctx, c, b, id) },
	})
	if took > 30*time.Second { // by itself the client asks for the new master once a minute
		t.Errorf("writes to the new master came after %v", took)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

// replicated reports whether a replica has the last write of a record. Replication
// keeps the order, so a marker that has arrived has the write before it.
func replicated(ctx context.Context, c goredis.UniversalClient, b *Backend, id string) bool {
	pipe := c.Pipeline()
	pipe.Set(ctx, b.bucket(id).staged+"marker", id, stageTTL)
	acks := goredis.NewIntCmd(ctx, "wait", 1, 200)
	_ = pipe.Process(ctx, acks) // queued only
	_, err := pipe.Exec(ctx)
	return err == nil && acks.Val() > 0
}
