package containers_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMongoDB(t *testing.T) {
	server := containers.MongoDB(t)
	checkIdentity(t, server, "MongoDB", "MongoDB stand-in secantusd-rs")
	checkMongoDB(t, server)
}

// checkMongoDB writes a document and reads it.
func checkMongoDB(t *testing.T, server containers.Server) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	collection := client.Database("containers").Collection("greetings")
	written, err := collection.InsertOne(t.Context(), bson.D{{Key: "text", Value: "hello"}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Text string `bson:"text"`
	}
	filter := bson.D{{Key: "_id", Value: written.InsertedID}}
	if err := collection.FindOne(t.Context(), filter).Decode(&got); err != nil || got.Text != "hello" {
		t.Fatalf("got %+v, %v, want hello", got, err)
	}
}
