//go:build topology

package mongo

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestReplicaSetStepDown has the primary of three members step down while
// writers write. A write is acknowledged by the majority, so none is lost.
func TestReplicaSetStepDown(t *testing.T) {
	set := containers.MongoDBReplicaSet(t)
	for name, retries := range map[string]bool{"with retries": true, "without retries": false} {
		t.Run(name, func(t *testing.T) {
			o := options.Client().ApplyURI(set.SetURL).SetRetryWrites(retries).SetRetryReads(retries).
				SetServerSelectionTimeout(20 * time.Second)
			b := newBackend(t, connect(t, o).Database(databaseName), drivertest.Name(), nil)
			if err := b.CreateStorage(t.Context()); err != nil {
				t.Fatal(err)
			}
			drivertest.RunOutage(t, drivertest.Outage{Backend: b, Happen: set.StepDown})
			if err := b.DeleteStorage(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
