package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	urls "net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

const elasticNodes = 3

// Nodes is a cluster of three nodes of Elasticsearch. The URL of its Server is
// that of the first one.
type Nodes struct {
	Server
	URLs []string // of all nodes

	spec       *spec
	names      []string
	containers []testcontainers.Container
}

var theNodes *Nodes // under elasticsearchSpec.once

// ElasticsearchNodes returns the cluster that [Elasticsearch] runs on. It needs
// SOJOURN_ELASTICSEARCH_TOPOLOGY=nodes.
func ElasticsearchNodes(t testing.TB) *Nodes {
	t.Helper()
	elasticsearchSpec.serve(t)
	if theNodes == nil {
		elasticsearchSpec.without(t, elasticsearchSpec.notThere("nodes"), "make test-backend BACKEND=elasticsearch TOPOLOGY=nodes")
	}
	return theNodes
}

// startNodes starts three nodes, each in a container of its own. They share this
// machine's network and talk to each other on its loopback address, for which
// the server makes none of its checks of machines in production. Their data is in
// the containers, because a node that starts again must have it.
func startNodes(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
	if runtime.GOOS != "linux" || !e.local {
		return Server{}, &absentError{missing: "the nodes need the network of a Linux machine on which the engine runs"}
	}
	n := &Nodes{spec: s}
	if err := again(func() error { return n.start(ctx, e, image) }); err != nil {
		return Server{}, err
	}
	theNodes = n
	return n.Server, nil
}

func (n *Nodes) start(ctx context.Context, e *engine, image string) error {
	chosen, err := ports(ctx, 2*elasticNodes)
	if err != nil {
		return err
	}
	n.URLs, n.names, n.containers = nil, nil, nil
	public, between := chosen[:elasticNodes], chosen[elasticNodes:]
	for i := range elasticNodes {
		n.names = append(n.names, "node-"+strconv.Itoa(i+1))
		n.URLs = append(n.URLs, n.spec.url(net.JoinHostPort("127.0.0.1", public[i])))
	}
	for i := range elasticNodes {
		// A node answers only once it has found the others.
		started, err := launch(ctx, image,
			testcontainers.WithEnv(nodeSettings(n.spec.env, n.names, public, between, i)),
			testcontainers.WithHostConfigModifier(func(host *container.HostConfig) { host.NetworkMode = "host" }),
		)
		if err != nil {
			return err
		}
		n.containers = append(n.containers, started)
	}
	if err := n.settled(ctx); err != nil {
		for _, started := range n.containers {
			kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), engineLimit)
			_, _ = e.client.ContainerKill(kill, started.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"})
			cancel()
		}
		return fmt.Errorf("the three containers %s do not form a cluster: %w%s", image, err, lastLog(ctx, n.containers[0]))
	}
	n.Server = Server{URL: n.URLs[0], Addr: net.JoinHostPort("127.0.0.1", public[0]), Origin: "container " + image}
	n.Name, n.Version, err = n.spec.probe(ctx, n.URL)
	n.Version += fmt.Sprintf(", %d nodes", elasticNodes)
	return err
}

// nodeSettings returns the environment of a node, at one port for clients and
// one for the other nodes.
func nodeSettings(env map[string]string, names, public, between []string, i int) map[string]string {
	out := maps.Clone(env)
	delete(out, "discovery.type")
	var seeds []string
	for _, port := range between {
		seeds = append(seeds, net.JoinHostPort("127.0.0.1", port))
	}
	maps.Copy(out, map[string]string{
		"cluster.name": "sojourn", "node.name": names[i],
		"cluster.initial_master_nodes": strings.Join(names, ","),
		"discovery.seed_hosts":         strings.Join(seeds, ","),
		"http.host":                    "127.0.0.1", "http.port": public[i],
		"transport.host": "127.0.0.1", "transport.port": between[i],
	})
	return out
}

// settled waits until every node sees all of them and every shard has its copies.
func (n *Nodes) settled(ctx context.Context) error {
	for _, url := range n.URLs {
		if err := poll(ctx, n.spec.patience(), func(ctx context.Context) error {
			return n.healthy(ctx, url)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Nodes) healthy(ctx context.Context, url string) error {
	base, err := urls.Parse(url)
	if err != nil {
		return &finalError{withoutURL(err)}
	}
	health := base.JoinPath("_cluster/health")
	health.RawQuery = "wait_for_nodes=" + strconv.Itoa(elasticNodes) + "&wait_for_status=green&timeout=1s"
	got, err := get(ctx, health.String())
	if err == nil && got.status != http.StatusOK {
		err = got.unexpected("Elasticsearch's health check")
	}
	return err
}

// Settled waits until every shard has its copies, so that the loss of one node
// loses no data.
func (n *Nodes) Settled(ctx context.Context, t testing.TB) {
	t.Helper()
	if err := n.settled(ctx); err != nil {
		t.Fatalf("%s: %v", n.spec.title, err)
	}
}

// KillPrimary kills the node that has an index's primary shard, like a power
// cut, and starts it again at the end of the test. It returns the node's name.
func (n *Nodes) KillPrimary(ctx context.Context, t testing.TB, index string) string {
	t.Helper()
	name, err := n.primary(ctx, index)
	if err != nil {
		t.Fatalf("%s: %v", n.spec.title, err)
	}
	for i := range n.names {
		if n.names[i] != name {
			continue
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), n.spec.patience())
			defer cancel()
			err := restart(ctx, n.containers[i])
			if err == nil {
				err = n.settled(ctx)
			}
			if err != nil {
				t.Errorf("%s: %s does not join again: %v%s", n.spec.title, name, err, lastLog(ctx, n.containers[i]))
			}
		})
		kill(t, n.containers[i])
		return name
	}
	t.Fatalf("%s: no container is the node %q", n.spec.title, name)
	return ""
}

func (n *Nodes) primary(ctx context.Context, index string) (string, error) {
	base, err := urls.Parse(n.URL)
	if err != nil {
		return "", withoutURL(err)
	}
	shards := base.JoinPath("_cluster/state/routing_table,nodes", index)
	shards.RawQuery = "filter_path=nodes.*.name,routing_table.indices.*.shards.*.primary,routing_table.indices.*.shards.*.node"
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	got, err := get(ctx, shards.String())
	if err != nil {
		return "", err
	}
	var state struct {
		Nodes map[string]struct {
			Name string `json:"name"`
		} `json:"nodes"`
		Routing struct {
			Indices map[string]struct {
				Shards map[string][]struct {
					Primary bool   `json:"primary"`
					Node    string `json:"node"`
				} `json:"shards"`
			} `json:"indices"`
		} `json:"routing_table"`
	}
	if err := json.Unmarshal(got.body, &state); err != nil || got.status != http.StatusOK {
		return "", errors.Join(err, got.unexpected("Elasticsearch's state"))
	}
	for _, one := range state.Routing.Indices {
		for _, shard := range one.Shards {
			for _, held := range shard {
				if held.Primary {
					return state.Nodes[held.Node].Name, nil
				}
			}
		}
	}
	return "", fmt.Errorf("the index %s has no primary shard", index)
}
