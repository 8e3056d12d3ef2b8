package containers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// fakeMongod answers like an uninitiated node of a replica set, and after its
// initiation like a primary. The answers follow mongod's documentation,
// because not every machine has a mongod.
type fakeMongod struct {
	mu        sync.Mutex
	initiated bson.D // the configuration of the initiation
	electing  int    // the number of greetings that it answers as a secondary
	refuse    bool   // another client has initiated it
}

func (f *fakeMongod) answer(command bson.D) bson.D {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok := bson.E{Key: "ok", Value: 1.0}
	switch command[0].Key {
	case "replSetInitiate":
		if f.refuse {
			f.initiated = bson.D{}
			return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: 23}, {Key: "errmsg", Value: "already initialized"}}
		}
		f.initiated, _ = command[0].Value.(bson.D)
		return bson.D{ok}
	case "buildInfo":
		return bson.D{{Key: "version", Value: "8.0.13"}, ok}
	case "isMaster", "ismaster", "hello":
		node := bson.D{
			{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 25},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48 << 20},
			{Key: "maxWriteBatchSize", Value: 100000}, ok,
		}
		if f.initiated == nil {
			return append(node, bson.E{Key: "ismaster", Value: false}, bson.E{Key: "secondary", Value: false},
				bson.E{Key: "isreplicaset", Value: true}, bson.E{Key: "info", Value: "Does not have a valid replica set config"})
		}
		f.electing--
		return append(node, bson.E{Key: "ismaster", Value: f.electing < 0}, bson.E{Key: "secondary", Value: f.electing >= 0},
			bson.E{Key: "setName", Value: mongoReplicaSet}, bson.E{Key: "hosts", Value: bson.A{"127.0.0.1:27017"}},
			bson.E{Key: "me", Value: "127.0.0.1:27017"})
	}
	return bson.D{ok} // endSessions
}

// serve speaks both forms of the protocol that a client uses: OP_QUERY for the greeting, then OP_MSG.
func (f *fakeMongod) serve(connection net.Conn) error {
	const opReply, opQuery, opMsg = 1, 2004, 2013
	defer func() { _ = connection.Close() }()
	for {
		header := make([]byte, 16)
		if _, err := io.ReadFull(connection, header); err != nil {
			return err
		}
		message := make([]byte, binary.LittleEndian.Uint32(header)-16)
		if _, err := io.ReadFull(connection, message); err != nil {
			return err
		}
		var document []byte
		var op uint32
		var head []byte
		switch binary.LittleEndian.Uint32(header[12:]) {
		case opQuery: // flags, the collection's name, skip, limit
			document, op = message[4+bytes.IndexByte(message[4:], 0)+1+8:], opReply
			head = binary.LittleEndian.AppendUint32(make([]byte, 16), 1) // flags, cursor, start; one document
		case opMsg: // flags, kind of section
			document, op, head = message[5:], opMsg, make([]byte, 5)
		default:
			return errors.New("the message has an unknown kind")
		}
		var command bson.D
		if err := bson.Unmarshal(document[:binary.LittleEndian.Uint32(document)], &command); err != nil {
			return err
		}
		body, err := bson.Marshal(f.answer(command))
		if err != nil {
			return err
		}
		reply := binary.LittleEndian.AppendUint32(nil, uint32(16+len(head)+len(body)))
		reply = append(reply, 0, 0, 0, 0)
		reply = append(reply, header[4:8]...)
		reply = binary.LittleEndian.AppendUint32(reply, op)
		if _, err := connection.Write(slices.Concat(reply, head, body)); err != nil {
			return err
		}
	}
}

func (f *fakeMongod) start(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if err := f.serve(connection); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("fake mongod: %v", err)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestAnUninitiatedNodeIsInitiated(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		fake := &fakeMongod{electing: 9, refuse: refuse}
		url := mongoURL(fake.start(t))
		var name, version string
		err := poll(t.Context(), time.Minute, func(ctx context.Context) (err error) {
			if err := initiateMongoDB(ctx, url); err != nil {
				return err
			}
			name, version, err = probeMongoDB(ctx, url)
			return err
		})
		if err != nil || name != "MongoDB" || version != "8.0.13" {
			t.Errorf("refuse %v: got %q %q, %v, want MongoDB 8.0.13", refuse, name, version, err)
		}
		if !refuse && (len(fake.initiated) == 0 || fake.initiated[0] != bson.E{Key: "_id", Value: mongoReplicaSet}) {
			t.Errorf("initiated with %v", fake.initiated)
		}
	}
}

// A server that the environment names belongs to its owner, so it is never
// initiated.
func TestAnEndpointIsNeverInitiated(t *testing.T) {
	fake := &fakeMongod{}
	t.Setenv("SOJOURN_MONGODB_URL", mongoURL(fake.start(t)))
	once := func(ctx context.Context, url string) (name, version string, err error) {
		if name, version, err = probeMongoDB(ctx, url); err != nil && ctx.Err() == nil {
			err = &finalError{err}
		}
		return name, version, err
	}
	s := spec{server: "mongodb", addr: mongoAddr, probe: once, prepare: initiateMongoDB, wait: time.Minute}
	if _, err := s.start(); err == nil || !strings.Contains(err.Error(), "no primary") {
		t.Errorf("got %v, want an error about the missing primary", err)
	}
	if fake.initiated != nil {
		t.Errorf("initiated with %v", fake.initiated)
	}
}

func TestMongoAddr(t *testing.T) {
	for url, want := range map[string]string{
		mongoURL("127.0.0.1:32768"):                   "127.0.0.1:32768",
		"mongodb://user:secret@example.org":           "example.org:27017",
		"mongodb://[::1]/?directConnection=true":      "[::1]:27017",
		"mongodb://a:1,b:2,c:3/?replicaSet=rs0":       "a:1",
		"http://127.0.0.1":                            "",
		"mongodb://a:1,b:2/?directConnection=true":    "",
		"mongodb://127.0.0.1:32768/?readPreference=x": "",
	} {
		if got, err := mongoAddr(url); got != want || (err == nil) != (want != "") {
			t.Errorf("mongoAddr(%q) = %q, %v; want %q", url, got, err, want)
		}
	}
}

func TestMongoDBIdentity(t *testing.T) {
	for _, test := range []struct {
		build         bson.D
		name, version string
	}{
		{bson.D{{Key: "version", Value: "8.0.13"}}, "MongoDB", "8.0.13"},
		{
			bson.D{{Key: "version", Value: "8.2.11"}, {Key: "secantusVersion", Value: "0.5.3"}},
			"MongoDB stand-in secantusd-rs", "0.5.3",
		},
		{
			bson.D{{Key: "version", Value: "5.0.0"}, {Key: "mongoJavaServerVersion", Value: "1.47.0"}},
			"MongoDB stand-in mongo-java-server", "1.47.0",
		},
		{
			bson.D{{Key: "version", Value: "7.0.77"}, {Key: "ferretdb", Value: bson.D{{Key: "version", Value: "v2.0.0"}}}},
			"FerretDB", "2.0.0",
		},
	} {
		encoded, err := bson.Marshal(test.build)
		if err != nil {
			t.Fatal(err)
		}
		var build mongoBuild
		if err := bson.Unmarshal(encoded, &build); err != nil {
			t.Fatal(err)
		}
		if name, version := build.identity(); name != test.name || version != test.version {
			t.Errorf("%v: got %q %q, want %q %q", test.build, name, version, test.name, test.version)
		}
	}
}
