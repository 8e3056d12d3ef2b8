package dynamodb

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}

// TestUpsertOverALabelOfAnotherType has an item that the server's conditions take
// for a record and that cannot be read. The upsert also removes the label items
// that it can know.
func TestUpsertOverALabelOfAnotherType(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "state"}})
	r := drivertest.Record("id", "ann", time.Hour)
	for _, next := range []string{"bob", "ann", ""} {
		drivertest.Seed(t, b, r)
		it := b.encode(&r)
		it[attrLabels].(*types.AttributeValueMemberM).Value["state"] = number(1)
		putItem(t, sdkOf(b), b.table, it)
		fresh := drivertest.Record("id", next, time.Hour)
		drivertest.Seed(t, b, fresh)
		drivertest.Holds(t, b, "id", fresh.Revision, fresh.ExpiresAt)
		remove(t, b, "id")
		noItems(t, b)
	}
}
