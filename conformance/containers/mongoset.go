package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

const (
	mongoMembers = 3
	// mongoFreeze is how many seconds a member that stepped down stands for no
	// election.
	mongoFreeze = 5
)

// ReplicaSet is a replica set of three members of MongoDB. The URL of its Server
// is a direct connection to the member that is primary unless it has stepped
// down.
type ReplicaSet struct {
	Server
	SetURL string // of all members, for clients that follow the primary

	members []string // their addresses; the first is the preferred primary
}

var theReplicaSet *ReplicaSet // under mongodbSpec.once

// MongoDBReplicaSet returns the replica set that [MongoDB] runs on. It needs
// SOJOURN_MONGODB_TOPOLOGY=replicaset and an image with mongod.
func MongoDBReplicaSet(t testing.TB) *ReplicaSet {
	t.Helper()
	mongodbSpec.serve(t)
	if theReplicaSet == nil {
		mongodbSpec.without(t, mongodbSpec.notThere("replicaset"), "make test-backend BACKEND=mongo TOPOLOGY=replicaset")
	}
	return theReplicaSet
}

// startStandalone starts mongod as no member of a replica set.
func startStandalone(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
	if strings.HasSuffix(image, "-packed") {
		found, err := e.client.ImageInspect(ctx, image)
		if err != nil {
			return Server{}, err
		}
		return s.run(ctx, e, image, testcontainers.WithCmd(append(found.Config.Cmd, "--standalone")...)) // it only says that it is alone
	}
	return s.run(ctx, e, image, testcontainers.WithCmd("mongod", "--bind_ip_all"))
}

// startReplicaSet starts three mongods in one container. Their ports are the
// same inside and outside, so that the members and the clients use the same
// addresses.
func startReplicaSet(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
	if strings.HasSuffix(image, "-packed") {
		return Server{}, &absentError{missing: fmt.Sprintf("the image %s is a stand-in, which has no replica sets", image)}
	}
	if !e.local {
		return Server{}, &absentError{missing: "a replica set's addresses are those of this machine, and the engine is on another one"}
	}
	set := &ReplicaSet{}
	err := again(func() error { return set.start(ctx, s, e, image) })
	if err != nil {
		return Server{}, err
	}
	theReplicaSet = set
	return set.Server, nil
}

// mongoSetLimit bounds what the members keep in memory as files. Each has its own
// journal and oplog.
const mongoSetLimit = "rw,size=4g"

// mongoSetScript starts a mongod for each port that it is given, and ends when
// one of them ends.
const mongoSetScript = `
for port; do
	mkdir -p "/data/member/$port"
	mongod --replSet "$SET" --bind_ip_all --port "$port" --dbpath "/data/member/$port" --wiredTigerCacheSizeGB 0.25 --oplogSize 128 --quiet &
done
wait -n
`

func (r *ReplicaSet) start(ctx context.Context, s *spec, e *engine, image string) error {
	chosen, err := ports(ctx, mongoMembers)
	if err != nil {
		return err
	}
	bindings := map[string]string{}
	r.members = nil
	for _, port := range chosen {
		bindings[port+"/tcp"] = port
		r.members = append(r.members, net.JoinHostPort("127.0.0.1", port))
	}
	member := spec{
		server: s.server, title: s.title, port: chosen[0] + "/tcp", url: mongoURL, probe: probeMongoDB,
		wait: 2 * time.Minute,
		prepare: func(ctx context.Context, url string) error {
			if err := initiateSet(ctx, url, r.members); err != nil {
				return err
			}
			return r.settled(ctx)
		},
	}
	exposed := make([]string, 0, len(bindings))
	for _, port := range chosen {
		exposed = append(exposed, port+"/tcp")
	}
	_, r.Server, err = member.launch(ctx, image,
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithEntrypoint("bash", "-c", mongoSetScript, "members"),
		testcontainers.WithCmd(chosen...),
		testcontainers.WithEnv(map[string]string{"SET": mongoReplicaSet}),
		testcontainers.WithTmpfs(map[string]string{"/data/member": mongoSetLimit}),
		bound(e, bindings),
	)
	r.SetURL = "mongodb://" + strings.Join(r.members, ",") + "/?replicaSet=" + mongoReplicaSet
	r.Version += fmt.Sprintf(", %d members", mongoMembers)
	return err
}

// initiateSet makes uninitiated nodes a replica set, of which the first member
// is the primary whenever it can be.
func initiateSet(ctx context.Context, url string, members []string) error {
	list := bson.A{}
	for i, addr := range members {
		priority := 1
		if i == 0 {
			priority = 2
		}
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: addr}, {Key: "priority", Value: priority}})
	}
	return converse(ctx, url, func(admin mongoAdmin) error {
		node, err := admin.hello()
		if err != nil || !node.Uninitiated {
			return err
		}
		err = admin.command(bson.D{{Key: "replSetInitiate", Value: bson.D{
			{Key: "_id", Value: mongoReplicaSet}, {Key: "members", Value: list},
		}}}, &bson.Raw{})
		var refused mongo.CommandError
		const alreadyInitialized = 23
		if errors.As(err, &refused) && refused.Code == alreadyInitialized {
			return nil
		}
		return err
	})
}

// mongoStatus is the part of a replSetGetStatus reply that tells the members' states.
type mongoStatus struct {
	Members []struct {
		Name  string `bson:"name"`
		State string `bson:"stateStr"`
	} `bson:"members"`
}

// primary returns the address of the primary, or "". All members must be there.
func (s mongoStatus) primary() (string, error) {
	primary, others := "", 0
	for _, m := range s.Members {
		switch m.State {
		case "PRIMARY":
			primary = m.Name
		case "SECONDARY":
			others++
		}
	}
	if primary == "" || others != mongoMembers-1 {
		return primary, fmt.Errorf("the replica set has the primary %q and %d secondaries, want one and %d", primary, others, mongoMembers-1)
	}
	return primary, nil
}

// settled returns nil if the set is complete and the first member is its primary.
func (r *ReplicaSet) settled(ctx context.Context) error {
	return converse(ctx, mongoURL(r.members[0]), func(admin mongoAdmin) error {
		var status mongoStatus
		if err := admin.command(bson.D{{Key: "replSetGetStatus", Value: 1}}, &status); err != nil {
			return err
		}
		primary, err := status.primary()
		if err == nil && primary != r.members[0] {
			err = fmt.Errorf("%s is the primary, and not %s yet", primary, r.members[0])
		}
		return err
	})
}

// StepDown makes the primary a secondary, and returns when another member is
// primary. At the end of the test the first one is primary again.
func (r *ReplicaSet) StepDown(ctx context.Context, t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		if err := poll(ctx, 2*time.Minute, r.settled); err != nil {
			t.Errorf("%s: the first member does not become primary again: %v", mongodbSpec.title, err)
		}
	})
	err := converse(ctx, mongoURL(r.members[0]), func(admin mongoAdmin) error {
		return admin.command(bson.D{
			{Key: "replSetStepDown", Value: mongoFreeze}, {Key: "secondaryCatchUpPeriodSecs", Value: mongoFreeze - 1},
		}, &bson.Raw{})
	})
	if err != nil {
		t.Fatalf("%s: the primary does not step down: %v", mongodbSpec.title, err)
	}
	err = poll(ctx, time.Minute, func(ctx context.Context) error {
		return converse(ctx, mongoURL(r.members[1]), func(admin mongoAdmin) error {
			node, err := admin.hello()
			if err == nil && (node.Primary == "" || !slices.Contains(r.members[1:], node.Primary)) {
				err = fmt.Errorf("the primary is %q", node.Primary)
			}
			return err
		})
	})
	if err != nil {
		t.Fatalf("%s: no other member becomes primary: %v", mongodbSpec.title, err)
	}
}
