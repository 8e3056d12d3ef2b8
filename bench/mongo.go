package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	oldmongo "go.mongodb.org/mongo-driver/mongo"
	oldoptions "go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"gocloud.dev/docstore/mongodocstore"

	"github.com/sojourn-go/sojourn/backends/mongo"
)

const database = "bench"

// mongoStores returns the contestants on a MongoDB server; the floor first, and
// again.
func mongoStores(ctx context.Context, addr, name string) ([]*store, error) {
	url := "mongodb://" + addr + "/?directConnection=true"
	client, err := mongodriver.Connect(options.Client().ApplyURI(url))
	if err != nil {
		return nil, err
	}
	var out []*store
	db := client.Database(database)
	for i, floor := range []string{"bare mongo-driver", "the floor again"} {
		out = append(out, mongoFloor(ctx, db.Collection(fmt.Sprintf("%s-floor%d", name, i)), floor))
	}
	backend, err := mongo.New(db, name, nil)
	if err != nil {
		return out, err
	}
	own, err := sojourn(ctx, backend, func() error { return client.Disconnect(ctx) })
	if err != nil {
		return out, err
	}
	// docstore's module has the driver of before.
	old, err := oldmongo.Connect(ctx, oldoptions.Client().ApplyURI(url))
	if err != nil {
		return append(out, own), err
	}
	collection := old.Database(database).Collection(name + "-docstore")
	c, err := mongodocstore.OpenCollection(collection, "id", nil)
	if err != nil {
		return append(out, own), errors.Join(err, old.Disconnect(ctx))
	}
	peer := documents(ctx, "docstore mongodocstore", "id", c, func() error {
		return errors.Join(collection.Drop(ctx), old.Disconnect(ctx))
	})
	return append(out, peer, own), nil // the client is disconnected last
}

// mongoFloor is the conditional statements by hand: a revision in each document,
// and an expiry that reads observe.
func mongoFloor(ctx context.Context, c *mongodriver.Collection, name string) *store {
	later := func() time.Time { return time.Now().Add(life) }
	one := func(n int64, err error) error {
		if err == nil && n != 1 {
			err = errMissing
		}
		return err
	}
	change := func(filter, set bson.D) error {
		res, err := c.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: set}})
		if err != nil {
			return err
		}
		return one(res.MatchedCount, nil)
	}
	live := func(id string) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "e", Value: bson.D{{Key: "$gt", Value: time.Now()}}}}
	}
	var revisions sync.Map
	return &store{
		name: name,
		create: func(id string, value []byte) error {
			_, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "e", Value: later()}, {Key: "r", Value: int64(0)}, {Key: "v", Value: value}})
			return err
		},
		get: func(id string) (int, error) {
			var got struct {
				Value []byte `bson:"v"`
			}
			err := c.FindOne(ctx, live(id)).Decode(&got)
			if errors.Is(err, mongodriver.ErrNoDocuments) {
				return 0, nil
			}
			return len(got.Value), err
		},
		update: func(id string, value []byte) error { return change(live(id), bson.D{{Key: "v", Value: value}}) },
		compare: func(id string, value []byte) error {
			last, _ := revisions.LoadOrStore(id, int64(0))
			next := last.(int64) + 1
			err := change(append(live(id), bson.E{Key: "r", Value: last}), bson.D{{Key: "v", Value: value}, {Key: "r", Value: next}})
			revisions.Store(id, next)
			return err
		},
		touch: func(id string, _ []byte) error { return change(live(id), bson.D{{Key: "e", Value: later()}}) },
		remove: func(id string) error {
			res, err := c.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
			if err != nil {
				return err
			}
			return one(res.DeletedCount, nil)
		},
		close: func() error { return c.Drop(ctx) },
	}
}
