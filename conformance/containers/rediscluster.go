package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
)

const (
	clusterMasters = 3 // the least that can agree that one of them has failed
	clusterNodes   = 2 * clusterMasters
	clusterSlots   = 16384
	// clusterBusPort is where nodes talk to each other, each at an address of its own.
	clusterBusPort = 16379
	portTries      = 3

	// Nodes hear of each other in about half their timeout, so they join with a short one.
	joinTimeout = "1000"
	// calmTimeout is longer than a loaded machine keeps a node waiting: else a replica takes over that
	// nobody wants.
	calmTimeout = "15000"
)

// Cluster is a running Redis Cluster. Its URL is as go-redis' ParseClusterURL takes it:
// redis://host:port?addr=host:port&addr=….
type Cluster struct {
	Server
	nodes []*clusterNode // none where somebody else runs it
}

// clusterNode is one node: a container that listens, inside as outside, at one port, since its
// replicas and its clients are told the same one.
type clusterNode struct {
	addr      string // for clients
	inside    string // its address among the containers
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

// RedisCluster returns this test process's Redis Cluster: three masters, each with a replica, in six
// containers on the image that Redis is tested on, or what SOJOURN_REDIS_CLUSTER_URL names. The nodes
// announce addresses that this machine reaches; the image must be of Redis 7.0 or later.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	if !running.inMain() {
		t.Fatal("package containers needs func TestMain(m *testing.M) { os.Exit(containers.Main(m)) } " +
			"in this test package, to remove what it starts")
	}
	c := &theCluster
	c.once.Do(func() { c.found, c.failed = startCluster() })
	if c.failed != nil {
		withoutCluster(t, c.failed, "run conformance/containers/images/ensure.sh redis, or set "+clusterSpec.variable("URL"))
	}
	t.Logf("runs on %v", c.found.Server)
	return c.found
}

// withoutCluster ends a test: what this machine lacks skips it, except under CI.
func withoutCluster(t testing.TB, err error, remedy string) {
	t.Helper()
	var absent *absentError
	switch {
	case !errors.As(err, &absent):
		t.Fatalf("%s: %s", clusterSpec.title, oneLine(err))
	case underCI():
		t.Fatalf("%s: %v; under CI that is a failure; %s", clusterSpec.title, absent, remedy)
	default:
		t.Skipf("%s: %v; %s", clusterSpec.title, absent, remedy)
	}
}

func startCluster() (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clusterSpec.patience()+pullLimit)
	defer cancel()
	if url := os.Getenv(clusterSpec.variable("URL")); url != "" {
		server, err := clusterSpec.endpoint(ctx, url)
		return &Cluster{Server: server}, err
	}
	engine, err := findEngine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.close()
	image, err := redisSpec.chooseImage(ctx, engine)
	if err != nil {
		return nil, err
	}
	engine.configure(ctx)
	removeOrphans(ctx, engine)
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
		return nil, fmt.Errorf("six containers %s do not form a cluster: %w%s", image, err, lastLog(ctx, c.nodes[0].container))
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

// publishedHost is where the ports that the engine publishes are reached.
func publishedHost(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", err
	}
	defer func() { _ = provider.Close() }()
	return provider.DaemonHost(ctx)
}

// startNode starts a node that belongs to no cluster yet. Its port is chosen before it is known to be
// free on the engine's host, so that another may be in its place.
func startNode(ctx context.Context, engine *engine, image, host string) (*clusterNode, error) {
	var failed error
	for range portTries {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		n := &clusterNode{addr: net.JoinHostPort(host, port)}
		if n.container, err = runNode(ctx, engine, image, host, port); err == nil {
			if n.inside, err = n.container.ContainerIP(ctx); err == nil {
				return n, nil
			}
		}
		failed = fmt.Errorf("container %s did not start: %w%s", image, err, lastLog(ctx, n.container))
	}
	return nil, failed
}

func runNode(ctx context.Context, engine *engine, image, host, port string) (testcontainers.Container, error) {
	inside := network.MustParsePort(port + "/tcp")
	bind := network.PortBinding{HostPort: port}
	if engine.local {
		// A test server has no password: it listens for this machine alone.
		bind.HostIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	node := spec{server: clusterSpec.server, title: clusterSpec.title, port: port + "/tcp", url: redisSpec.url, probe: probeRedis}
	command := append(slices.Clone(redisSpec.command(image)),
		"--port", port,
		"--cluster-enabled", "yes",
		"--cluster-port", strconv.Itoa(clusterBusPort),
		"--cluster-node-timeout", joinTimeout,
		// Clients are told this name, nodes know each other by the addresses of their containers.
		"--cluster-announce-hostname", host,
		"--cluster-preferred-endpoint-type", "hostname",
		"--repl-diskless-sync-delay", "0",
		// A replica counts as available, and is told to clients, once it has received something.
		"--repl-ping-replica-period", "1",
	)
	started, err := testcontainers.Run(ctx, image,
		testcontainers.WithExposedPorts(node.port),
		testcontainers.WithCmd(command...),
		testcontainers.WithLabels(map[string]string{ownerLabel: owner()}),
		testcontainers.WithWaitStrategyAndDeadline(node.patience(), &readiness{spec: &node}),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.PortBindings = network.PortMap{inside: {bind}}
		}),
	)
	if started != nil {
		running.add(started) // even if it is not ready: it is there, so it must be removed
	}
	return started, err
}

func freePort(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// client is a connection to this node alone. Its user closes it: tests look for leaks.
func (n *clusterNode) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 1})
}

// converse has one conversation with a node.
func (n *clusterNode) converse(ctx context.Context, call func(*redis.Client) error) error {
	// The client logs each refused connection; while a server starts, that is no news.
	if err := reachable(ctx, n.addr); err != nil {
		return err
	}
	client := n.client()
	defer func() { _ = client.Close() }()
	return call(client)
}

// join makes one cluster of the nodes: the first three share the slots, each of the others follows one.
func (c *Cluster) join(ctx context.Context) error {
	ids := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		err := n.converse(ctx, func(client *redis.Client) (err error) {
			if ids[i], err = client.ClusterMyID(ctx).Result(); err != nil {
				return err
			}
			// As redis-cli does, so that no two masters claim the same epoch.
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
		// Refused until the node has heard of that master.
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

// settle waits until the cluster is whole, and makes it slow to doubt that.
func (c *Cluster) settle(ctx context.Context) error {
	if err := c.whole(ctx); err != nil {
		return err
	}
	return c.SetTimeout(ctx, calmTimeout)
}

// SetTimeout changes after how many milliseconds of silence the nodes hold one of them for failed.
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

// whole waits until every node sees three masters, each with a replica that follows it.
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

// sees returns nil if a node knows a whole cluster of just these addresses.
func sees(ctx context.Context, client *redis.Client, known []string) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") {
		return errors.New("it does not say cluster_state:ok")
	}
	ranges, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // it is what clients ask, and has their addresses
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
		return fmt.Errorf("it knows %d slots and the nodes %v", covered, seen)
	}
	replication, err := client.Info(ctx, "replication").Result()
	if err == nil && strings.Contains(replication, "role:slave") && !strings.Contains(replication, "master_link_status:up") {
		err = errors.New("it has no link to its master")
	}
	return err
}

// Kill kills the node at an address that the cluster announces, as a power cut would, and starts it
// again at the end of the test. Nodes that somebody else runs are not killed: the test is skipped, and
// fails if CI is true.
func (c *Cluster) Kill(t testing.TB, addr string) {
	t.Helper()
	i := slices.IndexFunc(c.nodes, func(n *clusterNode) bool { return n.addr == addr })
	if i < 0 {
		absent := &absentError{missing: fmt.Sprintf("no container of this process is the node %s of %v", addr, c.Server)}
		withoutCluster(t, absent, "unset "+clusterSpec.variable("URL"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	engine, err := findEngine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.close()
	id := c.nodes[i].container.GetContainerID()
	t.Cleanup(func() {
		if err := c.revive(id); err != nil {
			t.Errorf("%s: node %s does not come back: %v", clusterSpec.title, addr, err)
		}
	})
	if _, err := engine.client.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
}

// revive starts a node again and waits until it has its place.
func (c *Cluster) revive(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), clusterSpec.patience())
	defer cancel()
	engine, err := findEngine(ctx)
	if err != nil {
		return err
	}
	defer engine.close()
	if _, err := engine.client.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return err
	}
	return c.settle(ctx)
}

// probeCluster succeeds once all slots are served. The version that it returns says how many masters
// share them.
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
			return errors.New("a master does not say cluster_state:ok")
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
