package containers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestUnknownTopologyIsNoAbsence(t *testing.T) {
	for _, s := range []*spec{&redisSpec, &mongodbSpec, &elasticsearchSpec, &minioSpec, &dynamodbSpec} {
		t.Setenv(s.variable("TOPOLOGY"), "moebius")
		t.Setenv(s.variable("URL"), "unused://")
		_, err := s.start()
		var absent *absentError
		if err == nil || errors.As(err, &absent) || !strings.Contains(err.Error(), "moebius") {
			t.Errorf("%s: %v, want an error that names the topology and skips no test", s.server, err)
		}
		for name := range s.topologies {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v does not name %s", s.server, err, name)
			}
		}
	}
}

func TestTopologies(t *testing.T) {
	for s, want := range map[*spec][]string{
		&redisSpec: {"replica", "cluster"}, &mongodbSpec: {"standalone", "replicaset"}, &elasticsearchSpec: {"nodes"},
	} {
		for _, name := range append(want, "") {
			t.Setenv(s.variable("TOPOLOGY"), name)
			if start, err := s.topology(); start == nil || err != nil {
				t.Errorf("%s %q: %v", s.server, name, err)
			}
		}
		if len(s.topologies) != len(want) {
			t.Errorf("%s has %d topologies, want %q", s.server, len(s.topologies), want)
		}
	}
}

// What this machine lacks skips a test, and fails it under CI: see TestWithoutAnEngine.
func TestTopologiesThatCannotBeHadAreAbsences(t *testing.T) {
	var absent *absentError
	_, err := startReplicaSet(t.Context(), &mongodbSpec, &engine{local: true}, "mongo:standin-packed")
	if !errors.As(err, &absent) || !strings.Contains(err.Error(), "stand-in") {
		t.Errorf("a replica set of the stand-in: %v", err)
	}
	if _, err = startReplicaSet(t.Context(), &mongodbSpec, &engine{}, "mongo:8.0"); !errors.As(err, &absent) {
		t.Errorf("a replica set on another machine: %v", err)
	}
	if _, err = startNodes(t.Context(), &elasticsearchSpec, &engine{}, "elasticsearch:9.2.0"); !errors.As(err, &absent) {
		t.Errorf("nodes on another machine: %v", err)
	}
	t.Setenv(mongodbSpec.variable("TOPOLOGY"), "replicaset")
	if err := mongodbSpec.notThere("replicaset"); !errors.As(err, &absent) {
		t.Errorf("an endpoint instead of containers: %v", err)
	}
	// A test that was run without its topology is a mistake of who ran it.
	if err := mongodbSpec.notThere("other"); errors.As(err, &absent) || !strings.Contains(err.Error(), "SOJOURN_MONGODB_TOPOLOGY=other") {
		t.Errorf("another topology: %v", err)
	}
}

func TestNodeSettings(t *testing.T) {
	names, public, between := []string{"a", "b", "c"}, []string{"1", "2", "3"}, []string{"7", "8", "9"}
	got := nodeSettings(elasticsearchSpec.env, names, public, between, 1)
	for name, want := range map[string]string{
		"node.name": "b", "http.port": "2", "transport.port": "8", "transport.host": "127.0.0.1", "http.host": "127.0.0.1",
		"cluster.initial_master_nodes": "a,b,c", "discovery.seed_hosts": "127.0.0.1:7,127.0.0.1:8,127.0.0.1:9", "xpack.security.enabled": "false",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, set := got["discovery.type"]; set || elasticsearchSpec.env["discovery.type"] == "" {
		t.Error("a node of several is a single one, or the single one was changed")
	}
}

func TestPrimary(t *testing.T) {
	type member = struct {
		Name  string `bson:"name"`
		State string `bson:"stateStr"`
	}
	for _, test := range []struct {
		states  []string
		primary string
		whole   bool
	}{
		{[]string{"PRIMARY", "SECONDARY", "SECONDARY"}, "0", true},
		{[]string{"SECONDARY", "PRIMARY", "SECONDARY"}, "1", true},
		{[]string{"SECONDARY", "SECONDARY", "SECONDARY"}, "", false},
		{[]string{"PRIMARY", "STARTUP2", "SECONDARY"}, "0", false},
		{[]string{"PRIMARY"}, "0", false},
		{nil, "", false},
	} {
		var status mongoStatus
		for i, state := range test.states {
			status.Members = append(status.Members, member{Name: string(rune('0' + i)), State: state})
		}
		if got, err := status.primary(); got != test.primary || (err == nil) != test.whole {
			t.Errorf("%q: %q, %v", test.states, got, err)
		}
	}
}

func TestAgain(t *testing.T) {
	calls := 0
	failed := errors.New("the port is taken")
	if err := again(func() error { calls++; return failed }); !errors.Is(err, failed) || calls != portTries {
		t.Errorf("%v after %d calls", err, calls)
	}
	calls = 0
	if err := again(func() error { calls++; return &absentError{missing: "it"} }); err == nil || calls != 1 {
		t.Errorf("%v after %d calls of what is absent", err, calls)
	}
}

func TestPortsDiffer(t *testing.T) {
	got, err := ports(context.Background(), 8)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 8 {
		t.Errorf("%q has a port twice", got)
	}
}
