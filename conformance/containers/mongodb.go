package containers

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Transactions and change streams need a replica set. This one has a single node.
const (
	mongoReplicaSet = "rs0"
	mongoPort       = "27017"
)

var mongodbSpec = spec{
	server:  "mongodb",
	title:   "MongoDB",
	port:    mongoPort + "/tcp",
	cmd:     []string{"--replSet", mongoReplicaSet},
	packed:  []string{}, // a stand-in with options of its own
	url:     mongoURL,
	addr:    mongoAddr,
	prepare: initiateMongoDB,
	probe:   probeMongoDB,

	topologies: map[string]topology{"standalone": startStandalone, "replicaset": startReplicaSet},
}

var mongodbSecondSpec = spec{
	server: "mongodb-second",
	title:  "the second opinion on MongoDB",
	port:   mongoPort + "/tcp",
	wait:   2 * time.Minute,
	url:    mongoURL,
	addr:   mongoAddr,
	probe:  probeMongoDB,
}

// MongoDB returns the MongoDB server of this test process, the only node of a
// replica set, or another server of its protocol. With
// SOJOURN_MONGODB_TOPOLOGY=standalone it is in no replica set, with replicaset
// it is the primary of three members. The packed image is a
// stand-in, and Name says so: it proves nothing about mongod's write concerns,
// retryable writes or sharding.
func MongoDB(t testing.TB) Server {
	t.Helper()
	return mongodbSpec.serve(t)
}

// MongoDBSecond returns mongo-java-server, in memory and without a replica
// set. It speaks MongoDB's protocol and shares no code with the stand-in of
// MongoDB.
func MongoDBSecond(t testing.TB) Server {
	t.Helper()
	return mongodbSecondSpec.serve(t)
}

// mongoURL returns a URL for a direct connection. Clients of a replica set
// would learn the node's address inside its container, which they cannot
// reach.
func mongoURL(addr string) string { return "mongodb://" + addr + "/?directConnection=true" }

// mongoAddr returns the first host of the URL.
func mongoAddr(url string) (string, error) {
	parsed := options.Client().ApplyURI(url)
	if err := parsed.Validate(); err != nil {
		return "", err
	}
	addr := parsed.Hosts[0]
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), mongoPort)
	}
	return addr, nil
}

// mongoAdmin is a connection to a server's admin database.
type mongoAdmin struct {
	ctx    context.Context
	client *mongo.Client
}

// converse connects, calls call and disconnects, because tests check for leaks.
func converse(ctx context.Context, url string, call func(mongoAdmin) error) error {
	addr, err := mongoAddr(url)
	if err != nil {
		return &finalError{err}
	}
	// The client waits its whole timeout for a server that does not listen. poll
	// tries again sooner.
	if err := reachable(ctx, addr); err != nil {
		return err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(url).SetServerSelectionTimeout(probeLimit))
	if err != nil {
		return &finalError{err}
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	return call(mongoAdmin{ctx: ctx, client: client})
}

func (a mongoAdmin) command(command, answer any) error {
	return a.client.Database("admin").RunCommand(a.ctx, command).Decode(answer)
}

type mongoNode struct {
	Writable    bool `bson:"ismaster"`
	Uninitiated bool `bson:"isreplicaset"`

	Primary string `bson:"primary"` // its address, "" if there is none
}

// hello sends the command under its old name, which every server knows.
func (a mongoAdmin) hello() (node mongoNode, err error) {
	err = a.command(bson.D{{Key: "isMaster", Value: 1}}, &node)
	return node, err
}

// initiateMongoDB makes an uninitiated node a replica set.
func initiateMongoDB(ctx context.Context, url string) error {
	return converse(ctx, url, func(admin mongoAdmin) error {
		node, err := admin.hello()
		if err != nil || !node.Uninitiated {
			return err
		}
		err = admin.command(bson.D{{Key: "replSetInitiate", Value: bson.D{
			{Key: "_id", Value: mongoReplicaSet},
			{Key: "members", Value: bson.A{bson.D{
				{Key: "_id", Value: 0},
				{Key: "host", Value: net.JoinHostPort("127.0.0.1", mongoPort)},
			}}},
		}}}, &bson.Raw{})
		var refused mongo.CommandError
		const alreadyInitialized = 23
		if errors.As(err, &refused) && refused.Code == alreadyInitialized {
			return nil
		}
		return err
	})
}

// mongoBuild is the part of a buildInfo reply that identifies a server.
// Servers other than mongod state the version that they are compatible with,
// and their own version too.
type mongoBuild struct {
	Version  string `bson:"version"`
	Secantus string `bson:"secantusVersion"`
	Java     string `bson:"mongoJavaServerVersion"`
	FerretDB struct {
		Version string `bson:"version"`
	} `bson:"ferretdb"`
}

func (b mongoBuild) identity() (name, version string) {
	switch {
	case b.Secantus != "":
		return "MongoDB stand-in secantusd-rs", b.Secantus
	case b.Java != "":
		return "MongoDB stand-in mongo-java-server", b.Java
	case b.FerretDB.Version != "":
		return "FerretDB", strings.TrimPrefix(b.FerretDB.Version, "v")
	}
	return "MongoDB", b.Version
}

func probeMongoDB(ctx context.Context, url string) (name, version string, err error) {
	err = converse(ctx, url, func(admin mongoAdmin) error {
		node, err := admin.hello()
		if err != nil {
			return err
		}
		if !node.Writable {
			return errors.New("the replica set has no primary yet")
		}
		var build mongoBuild
		if err := admin.command(bson.D{{Key: "buildInfo", Value: 1}}, &build); err != nil {
			return err
		}
		name, version = build.identity()
		return nil
	})
	return name, version, err
}
