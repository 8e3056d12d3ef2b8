package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
)

const (
	clusterMasters = 3 // the fewest masters that can agree that one has failed
	clusterNodes   = 2 * clusterMasters
	clusterSlots   = 16384
	// clusterBusPort is the port inside each container on which the nodes talk to each other.
	clusterBusPort = 16379
	portTries      = 3

	// Nodes learn of each other in about half their timeout, so they join with a
	// short one.
	joinTimeout = "1000"
	// calmTimeout is longer than a loaded machine delays a node. Otherwise a
	// replica takes over without need.
	calmTimeout = "15000"
)

// Cluster is a running Redis Cluster. go-redis' ParseClusterURL accepts its
// URL: redis://host:port?addr=host:port&addr=….
type Cluster struct {
	Server
	nodes []*clusterNode // empty if this process did not start the cluster
}

// clusterNode is one node. Its port is the same inside and outside the
// container, because replicas and clients get the same port.
type clusterNode struct {
	addr      string // for clients
	inside    string // the address for the other containers
	container testcontainers.Container
}

var clusterSpec = spec{
	server: "redis-cluster",
	title:  "Redis Cluster",
	addr: func(url string) (string, error) {
		options, err := redis.ParseClusterURL(url)
		if err != nil {
			return "", err
		}
		return options.Addrs[0], nil
	},
	probe: probeCluster,
}

var theCluster struct {
	once   sync.Once
	found  *Cluster
	failed error
}

// RedisCluster returns the Redis Cluster of this test process, or the one at
// SOJOURN_REDIS_CLUSTER_URL. It has three masters, each with a replica, in six
// containers of the Redis image, which must be Redis 7.0 or later. This
// machine reaches the addresses that the nodes announce.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	clusterSpec.needMain(t)
	c := &theCluster
	c.once.Do(func() { c.found, c.failed = startCluster() })
	if c.failed != nil {
		clusterSpec.without(t, c.failed, "run conformance/containers/images/ensure.sh redis, or set "+clusterSpec.variable("URL"))
	}
	t.Logf("runs on %v", c.found.Server)
	return c.found
}

func startCluster() (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clusterSpec.patience()+pullLimit)
	defer cancel()
	if url := os.Getenv(clusterSpec.variable("URL")); url != "" {
		server, err := clusterSpec.endpoint(ctx, url)
		return &Cluster{Server: server}, err
	}
	engine, image, err := redisSpec.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.close()
	host, err := publishedHost(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{nodes: make([]*clusterNode, clusterNodes)}
	errs := make([]error, clusterNodes)
	var group sync.WaitGroup
	for i := range c.nodes {
		group.Go(func() { c.nodes[i], errs[i] = startNode(ctx, engine, image, host) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := c.join(ctx); err != nil {
		return nil, fmt.Errorf("the six containers %s do not form a cluster: %w%s", image, err, lastLog(ctx, c.nodes[0].container))
	}
	query := url.Values{}
	for _, n := range c.nodes[1:clusterMasters] {
		query.Add("addr", n.addr)
	}
	c.Server = Server{
		Addr: c.nodes[0].addr, Origin: "container " + image,
		URL: "redis://" + c.nodes[0].addr + "?" + query.Encode(),
	}
	c.Name, c.Version, err = probeCluster(ctx, c.URL)
	return c, err
}

// publishedHost returns the host of the ports that the engine publishes.
func publishedHost(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", err
	}
	defer func() { _ = provider.Close() }()
	return provider.DaemonHost(ctx)
}

// startNode starts a node that belongs to no cluster yet. The port is chosen
// before the engine binds it, so another process may take it. Then startNode
// tries again.
func startNode(ctx context.Context, engine *engine, image, host string) (*clusterNode, error) {
	var failed error
	for range portTries {
		chosen, err := ports(ctx, 1)
		if err != nil {
			return nil, err
		}
		port := chosen[0]
		n := &clusterNode{addr: net.JoinHostPort(host, port)}
		if n.container, err = runNode(ctx, engine, image, host, port); err == nil {
			if n.inside, err = n.container.ContainerIP(ctx); err == nil {
				return n, nil
			}
		}
		failed = err
	}
	return nil, failed
}

func runNode(ctx context.Context, engine *engine, image, host, port string) (testcontainers.Container, error) {
	node := spec{server: clusterSpec.server, title: clusterSpec.title, port: port + "/tcp", url: redisSpec.url, probe: probeRedis}
	command := append(slices.Clone(redisSpec.command(image)),
		"--port", port,
		"--cluster-enabled", "yes",
		"--cluster-port", strconv.Itoa(clusterBusPort),
		"--cluster-node-timeout", joinTimeout,
		// Clients get this name. Nodes use the addresses of their containers.
		"--cluster-announce-hostname", host,
		"--cluster-preferred-endpoint-type", "hostname",
		"--repl-diskless-sync-delay", "0",
		// A replica is announced to clients after it has received something.
		"--repl-ping-replica-period", "1",
	)
	started, _, err := node.launch(ctx, image,
		testcontainers.WithExposedPorts(node.port),
		testcontainers.WithCmd(command...),
		bound(engine, map[string]string{node.port: port}),
	)
	return started, err
}

// client returns a client for this node only. The caller closes it.
func (n *clusterNode) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 1})
}

// converse connects to the node, calls call and closes the connection.
func (n *clusterNode) converse(ctx context.Context, call func(*redis.Client) error) error {
	// The client logs each refused connection. That is expected while a server starts.
	if err := reachable(ctx, n.addr); err != nil {
		return err
	}
	client := n.client()
	defer func() { _ = client.Close() }()
	return call(client)
}

// join makes the nodes one cluster. The first three share the slots, and each
// of the others replicates one of them.
func (c *Cluster) join(ctx context.Context) error {
	ids := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		err := n.converse(ctx, func(client *redis.Client) (err error) {
			if ids[i], err = client.ClusterMyID(ctx).Result(); err != nil {
				return err
			}
			// Like redis-cli: no two masters may claim the same epoch.
			if err := client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
				return err
			}
			if i < clusterMasters {
				first, next := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters
				return client.ClusterAddSlotsRange(ctx, first, next-1).Err()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, n := range c.nodes[1:] {
		_, port, _ := net.SplitHostPort(n.addr)
		err := c.nodes[0].converse(ctx, func(client *redis.Client) error {
			return client.Do(ctx, "cluster", "meet", n.inside, port, clusterBusPort).Err()
		})
		if err != nil {
			return err
		}
	}
	for i, n := range c.nodes[clusterMasters:] {
		// The node refuses until it knows the master.
		err := poll(ctx, clusterSpec.patience(), func(ctx context.Context) error {
			return n.converse(ctx, func(client *redis.Client) error {
				return client.ClusterReplicate(ctx, ids[i]).Err()
			})
		})
		if err != nil {
			return err
		}
	}
	return c.settle(ctx)
}

// settle waits until the cluster is complete, and gives it the long timeout.
func (c *Cluster) settle(ctx context.Context) error {
	if err := c.whole(ctx); err != nil {
		return err
	}
	return c.SetTimeout(ctx, calmTimeout)
}

// SetTimeout sets the time after which the nodes consider a silent node
// failed.
func (c *Cluster) SetTimeout(ctx context.Context, milliseconds string) error {
	for _, n := range c.nodes {
		err := n.converse(ctx, func(client *redis.Client) error {
			return client.ConfigSet(ctx, "cluster-node-timeout", milliseconds).Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// whole waits until every node knows three masters, each with a connected
// replica.
func (c *Cluster) whole(ctx context.Context) error {
	var known []string
	for _, n := range c.nodes {
		known = append(known, n.addr)
	}
	slices.Sort(known)
	return poll(ctx, clusterSpec.patience(), func(ctx context.Context) error {
		for _, n := range c.nodes {
			err := n.converse(ctx, func(client *redis.Client) error { return sees(ctx, client, known) })
			if err != nil {
				return fmt.Errorf("node %s: %w", n.addr, err)
			}
		}
		return nil
	})
}

// sees returns nil if the node knows a complete cluster of exactly these
// addresses.
func sees(ctx context.Context, client *redis.Client, known []string) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") {
		return errors.New("the node does not report cluster_state:ok")
	}
	ranges, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // clients use this command, and its reply has their addresses
	if err != nil {
		return err
	}
	var seen []string
	covered := 0
	for _, r := range ranges {
		covered += r.End - r.Start + 1
		for _, node := range r.Nodes {
			seen = append(seen, node.Addr)
		}
	}
	slices.Sort(seen)
	if seen = slices.Compact(seen); covered != clusterSlots || !slices.Equal(seen, known) {
		return fmt.Errorf("the node knows %d slots and the nodes %v, want %d and %v", covered, seen, clusterSlots, known)
	}
	replication, err := client.Info(ctx, "replication").Result()
	if err == nil && strings.Contains(replication, "role:slave") && !strings.Contains(replication, "master_link_status:up") {
		err = errors.New("the replica has no link to its master")
	}
	return err
}

// Kill kills the node at an address that the cluster announces, like a power
// cut, and starts it again at the end of the test. If this process did not
// start the node, the test is skipped, or fails if CI is true.
func (c *Cluster) Kill(t testing.TB, addr string) {
	t.Helper()
	i := slices.IndexFunc(c.nodes, func(n *clusterNode) bool { return n.addr == addr })
	if i < 0 {
		absent := &absentError{missing: fmt.Sprintf("no container of this process is the node %s of %v", addr, c.Server)}
		clusterSpec.without(t, absent, "unset "+clusterSpec.variable("URL"))
	}
	t.Cleanup(func() {
		if err := c.revive(c.nodes[i].container); err != nil {
			t.Errorf("%s: the node %s does not start again: %v", clusterSpec.title, addr, err)
		}
	})
	kill(t, c.nodes[i].container)
}

// revive starts a node again and waits until it has joined the cluster.
func (c *Cluster) revive(node testcontainers.Container) error {
	ctx, cancel := context.WithTimeout(context.Background(), clusterSpec.patience())
	defer cancel()
	if err := restart(ctx, node); err != nil {
		return err
	}
	return c.settle(ctx)
}

// probeCluster succeeds if all slots are served. The version that it returns
// includes the number of masters.
func probeCluster(ctx context.Context, url string) (name, version string, err error) {
	options, err := redis.ParseClusterURL(url)
	if err != nil {
		return "", "", &finalError{err}
	}
	if err := reachable(ctx, options.Addrs[0]); err != nil {
		return "", "", err
	}
	options.MaxRedirects = -1
	options.DialerRetries = 1
	cluster := redis.NewClusterClient(options)
	defer func() { _ = cluster.Close() }()
	var mu sync.Mutex
	masters := 0
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		state, err := master.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if !strings.Contains(state, "cluster_state:ok") {
			return errors.New("a master does not report cluster_state:ok")
		}
		info, err := master.Info(ctx, "server").Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		masters++
		name, version = redisVersion(info)
		return nil
	})
	if err != nil {
		return "", "", err
	}
	return name + " Cluster", fmt.Sprintf("%s, %d masters", version, masters), nil
}
