package mongo

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) { conformance.Benchmarks(b, harness(b, containers.MongoDB(b))) }

// floorOps is the number of calls of each side in a round.
const floorOps = 20

// BenchmarkFloor compares each operation with the same request written by hand:
// one client, a document of 1 KB with an expiry and a label.
func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	var (
		coll  *mongodriver.Collection
		store *Backend
		value = strings.Repeat("v", 1<<10)
		exp   = bson.NewDateTimeFromTime(drivertest.Now.Add(time.Hour))
		now   = bson.NewDateTimeFromTime(drivertest.Now)
	)
	id := func(side string, i int) string { return fmt.Sprintf("%s-%08d", side, i) }
	rev := func() bson.Binary { r := model.NewRevision(); return bson.Binary{Data: r[:]} }
	document := func(id string) bson.D {
		return bson.D{
			{Key: "_id", Value: id}, {Key: "sojourn", Value: int32(1)}, {Key: "rev", Value: rev()}, {Key: "exp", Value: exp},
			{Key: "lab", Value: bson.D{{Key: "principal", Value: "ann"}}}, {Key: "enc", Value: "json"}, {Key: "val", Value: value},
		}
	}
	live := func(id string) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "sojourn", Value: int32(1)}, {Key: "exp", Value: bson.D{{Key: "$gt", Value: now}}}}
	}
	write := func(id string, c driver.Condition, keep bool) error {
		r := drivertest.Record(id, "ann", time.Hour)
		r.Value = []byte(value)
		_, err := store.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: c, Keep: driver.Keep{Expiry: keep, Labels: keep}})
		return err
	}
	heads := options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(bson.D{{Key: "val", Value: 0}, {Key: "copy", Value: 0}})
	modify := func(id string, set bson.D) error {
		return coll.FindOneAndUpdate(ctx, live(id), bson.D{{Key: "$set", Value: set}}, heads).Err()
	}

	for _, op := range []struct {
		name   string
		seeded bool // the records exist already
		hand   func(id string, i int) error
		ours   func(id string, i int) error
	}{
		{
			"get", true,
			func(id string, _ int) error {
				_, err := coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}, options.FindOne().SetProjection(bson.D{{Key: "copy", Value: 0}})).Raw()
				return err
			},
			func(id string, _ int) error { _, err := store.Get(ctx, drivertest.Now, driver.Get{ID: id}); return err },
		},
		{
			"create", false,
			func(id string, _ int) error {
				absent := bson.D{{Key: "_id", Value: id}, {Key: "sojourn", Value: int32(1)}, {Key: "exp", Value: bson.D{{Key: "$lte", Value: now}}}}
				_, err := coll.ReplaceOne(ctx, absent, document(id), options.Replace().SetUpsert(true))
				return err
			},
			func(id string, _ int) error { return write(id, driver.IfAbsent, false) },
		},
		{
			"upsert", true,
			func(id string, _ int) error {
				_, err := coll.ReplaceOne(ctx, bson.D{{Key: "_id", Value: id}}, document(id), options.Replace().SetUpsert(true))
				return err
			},
			func(id string, _ int) error { return write(id, driver.IfAny, false) },
		},
		{
			"update", true,
			func(id string, _ int) error {
				return modify(id, bson.D{{Key: "rev", Value: rev()}, {Key: "enc", Value: "json"}, {Key: "val", Value: value}})
			},
			func(id string, _ int) error { return write(id, driver.IfPresent, true) },
		},
		{
			"touch", true,
			func(id string, i int) error {
				return modify(id, bson.D{{Key: "exp", Value: bson.NewDateTimeFromTime(drivertest.Now.Add(time.Hour + time.Duration(i)*time.Second))}})
			},
			func(id string, i int) error {
				_, err := store.Touch(ctx, drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(time.Hour + time.Duration(i)*time.Second)})
				return err
			},
		},
		{
			"delete", true,
			func(id string, _ int) error { _, err := coll.DeleteOne(ctx, live(id)); return err },
			func(id string, _ int) error {
				return store.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
			},
		},
	} {
		b.Run(op.name, func(b *testing.B) {
			store = open(b, nil)
			coll = store.coll
			if op.seeded {
				var docs []any
				for _, side := range []string{"hand", "again", "ours"} {
					for i := range floorOps * (ratio.Rounds + 1) {
						docs = append(docs, document(id(side, i)))
					}
				}
				if _, err := coll.InsertMany(ctx, docs); err != nil {
					b.Fatal(err)
				}
			}
			ratio.Report(b, floorOps,
				ratio.Side{Name: "by-hand", Do: func(i int) error { return op.hand(id("hand", i), i) }},
				ratio.Side{Name: "again", Do: func(i int) error { return op.hand(id("again", i), i) }},
				ratio.Side{Name: "backend", Do: func(i int) error { return op.ours(id("ours", i), i) }})
		})
	}
}
