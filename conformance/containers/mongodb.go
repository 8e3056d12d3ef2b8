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

// Transactions and change streams need a replica set: one of a single node.
const (
	mongoReplicaSet = "rs0"
	mongoPort       = "27017"
)

var mongodbSpec = spec{
	server:  "mongodb",
	title:   "MongoDB",
	port:    mongoPort + "/tcp",
	cmd:     []string{"--replSet", mongoReplicaSet},
	packed:  []string{}, // a stand-in, which has options of its own
	url:     mongoURL,
	addr:    mongoAddr,
	prepare: initiateMongoDB,
	probe:   probeMongoDB,
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

// MongoDB returns this test process's MongoDB server, the only node of a replica set, or a server that
// speaks its protocol. Where the official image cannot be had that is a stand-in, and its Name says so:
// what it does proves nothing about mongod's write concerns, retryable writes or sharding.
func MongoDB(t testing.TB) Server {
	t.Helper()
	return mongodbSpec.serve(t)
}

// MongoDBSecond returns a server that speaks MongoDB's protocol and shares no code with the one that
// MongoDB returns where mongod is not to be had: mongo-java-server, alone and in memory.
func MongoDBSecond(t testing.TB) Server {
	t.Helper()
	return mongodbSecondSpec.serve(t)
}

// mongoURL names the one node: a replica set gives its clients the address that it has inside its
// container, which is of no use outside.
func mongoURL(addr string) string { return "mongodb://" + addr + "/?directConnection=true" }

// mongoAddr is the first of the hosts that a URL names.
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

// mongoAdmin is one conversation with a server's database for administration.
type mongoAdmin struct {
	ctx    context.Context
	client *mongo.Client
}

// converse connects, calls, and disconnects again: tests look for leaks.
func converse(ctx context.Context, url string, call func(mongoAdmin) error) error {
	addr, err := mongoAddr(url)
	if err != nil {
		return &finalError{err}
	}
	// The client waits for a server that does not listen until its time is up; poll tries again sooner.
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
}

// hello goes by its old name, in which clients greet a server that they do not know yet: so all have it.
func (a mongoAdmin) hello() (node mongoNode, err error) {
	err = a.command(bson.D{{Key: "isMaster", Value: 1}}, &node)
	return node, err
}

// initiateMongoDB makes a node that waits for it a replica set.
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

// mongoBuild is the part of an answer to buildInfo that says what a server is. Those that are not
// mongod state in it the version that they are compatible with, and their own beside it.
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
			return errors.New("no primary yet")
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
