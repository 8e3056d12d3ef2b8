package mongo

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}

func TestStat(t *testing.T) {
	b := open(t, nil)
	if _, err := b.coll.InsertMany(t.Context(), []any{bson.D{{Key: "_id", Value: "bad"}, {Key: "val", Value: 7}}}); err != nil {
		t.Fatal(err)
	}
	drivertest.Stats(t, b, "bad")
	damaged, _ := b.document(&model.Record{ID: "worse", Revision: model.NewRevision()})
	for i := range damaged {
		if damaged[i].Key == fieldValue {
			damaged[i].Value = int32(7)
		}
	}
	if _, err := b.coll.InsertOne(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	_, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "worse"})
	drivertest.WantKind(t, err, model.ErrCorrupt)
}
