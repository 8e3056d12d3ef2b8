//go:build topology

package elasticsearch

import (
	"context"
	"testing"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestNodesOneKilled kills the node with the primary shard of a store while
// writers write. Every copy of a shard acknowledges a write, so none is lost.
func TestNodesOneKilled(t *testing.T) {
	nodes := containers.ElasticsearchNodes(t)
	c := clientOn(t, nodes.URL, pool(t), func(cfg *es.Config) { cfg.Addresses = nodes.URLs })
	b := openOn(t, c, drivertest.Name(), nil)
	index, _, err := b.find(t.Context())
	must(t, err)
	nodes.Settled(t.Context(), t)
	drivertest.RunOutage(t, drivertest.Outage{
		Backend: b,
		Happen: func(ctx context.Context, t testing.TB) {
			t.Helper()
			t.Logf("kills %s", nodes.KillPrimary(ctx, t, index))
		},
	})
}
