package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
)

const (
	redisPort    = "6379"
	sentinelPort = "26379"

	// redisMaster is the name by which the sentinel knows the master.
	redisMaster = "sojourn"
)

// Replicated is a master of Redis with one replica, and a sentinel that lets the
// replica take over.
type Replicated struct {
	Server          // the master at first
	Master   string // its name, for the sentinel
	Sentinel string // its address

	master    testcontainers.Container
	published map[string]string // by the addresses that the nodes know each other by
}

var redisTopologies = map[string]topology{
	"replica": func(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
		r, err := startReplicated(ctx, s, e, image)
		if err != nil {
			return Server{}, err
		}
		return r.Server, nil
	},
	// The tests of a cluster ask for it by RedisCluster.
	"cluster": func(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
		return s.run(ctx, e, image)
	},
}

// RedisReplicated starts a master, a replica and a sentinel, for one test: it
// may kill the master. They are of the Redis image.
func RedisReplicated(t testing.TB) *Replicated {
	t.Helper()
	redisSpec.needMain(t)
	r, err := redisSpec.replicatedFor()
	if err != nil {
		redisSpec.without(t, err, redisSpec.remedy())
	}
	t.Logf("runs on %v", r.Server)
	return r
}

func (s *spec) replicatedFor() (*Replicated, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience()+pullLimit)
	defer cancel()
	engine, image, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.close()
	return startReplicated(ctx, s, engine, image)
}

func startReplicated(ctx context.Context, s *spec, e *engine, image string) (*Replicated, error) {
	r := &Replicated{Master: redisMaster, published: map[string]string{}}
	var err error
	if r.master, r.Server, err = r.node(ctx, s, e, image); err != nil {
		return nil, err
	}
	inside, err := r.master.ContainerIP(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err = r.node(ctx, s, e, image, "--replicaof", inside+" "+redisPort); err != nil {
		return nil, err
	}
	if err := r.watch(ctx, s, e, image, inside); err != nil {
		return nil, err
	}
	r.Version += ", a replica"
	return r, poll(ctx, s.patience(), r.whole)
}

// node starts a server and notes its addresses.
func (r *Replicated) node(ctx context.Context, s *spec, e *engine, image string, more ...string) (testcontainers.Container, Server, error) {
	command := append(slices.Clone(s.command(image)), "--repl-diskless-sync-delay", "0")
	started, server, err := s.launch(ctx, image,
		testcontainers.WithExposedPorts(s.port),
		testcontainers.WithCmd(append(command, more...)...),
		bound(e, map[string]string{s.port: ""}),
	)
	if err != nil {
		return nil, Server{}, err
	}
	inside, err := started.ContainerIP(ctx)
	r.published[net.JoinHostPort(inside, redisPort)] = server.Addr
	return started, server, err
}

// watch starts the sentinel, which decides alone. It replaces the file that it is
// given.
func (r *Replicated) watch(ctx context.Context, s *spec, e *engine, image, master string) error {
	const file = "/tmp/sentinel.conf"
	config := strings.Join([]string{
		"port " + sentinelPort,
		"protected-mode no",
		fmt.Sprintf("sentinel monitor %s %s %s 1", redisMaster, master, redisPort),
		"sentinel down-after-milliseconds " + redisMaster + " 2000",
		"sentinel failover-timeout " + redisMaster + " 10000",
	}, "\n") + "\n"
	sentinel := spec{server: s.server, title: "Redis Sentinel", port: sentinelPort + "/tcp", url: s.url, probe: probeRedis}
	program := "redis-server"
	if strings.Contains(repository(image), "valkey") {
		program = "valkey-server"
	}
	_, server, err := sentinel.launch(ctx, image,
		testcontainers.WithExposedPorts(sentinel.port),
		testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: strings.NewReader(config), ContainerFilePath: file, FileMode: 0o666,
		}),
		// The image's own entry point has options of a server, and changes to a
		// user who may not replace the file.
		testcontainers.WithEntrypoint(program),
		testcontainers.WithCmd(file, "--sentinel"),
		bound(e, map[string]string{sentinel.port: ""}),
	)
	r.Sentinel = server.Addr
	return err
}

// whole returns nil if the sentinel knows the replica, and the replica has the
// master's data.
func (r *Replicated) whole(ctx context.Context) error {
	for _, addr := range r.published {
		if err := r.linked(ctx, addr); err != nil {
			return err
		}
	}
	client := redis.NewSentinelClient(&redis.Options{Addr: r.Sentinel, MaxRetries: -1, PoolSize: 1})
	defer func() { _ = client.Close() }()
	replicas, err := client.Replicas(ctx, redisMaster).Result()
	if err == nil && (len(replicas) != 1 || replicas[0]["master-link-status"] != "ok") {
		err = errors.New("the sentinel does not know the replica yet")
	}
	return err
}

func (r *Replicated) linked(ctx context.Context, addr string) error {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, PoolSize: 1})
	defer func() { _ = client.Close() }()
	info, err := client.Info(ctx, "replication").Result()
	switch {
	case err != nil:
		return err
	case strings.Contains(info, "role:slave") && !strings.Contains(info, "master_link_status:up"),
		strings.Contains(info, "role:master") && !strings.Contains(info, "state=online"):
		return fmt.Errorf("the node %s is not linked yet", addr)
	}
	return nil
}

// DialContext connects to a node at the address that the sentinel tells.
func (r *Replicated) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if outside := r.published[addr]; outside != "" {
		addr = outside
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// KillMaster kills the first master like a power cut. It is not started again.
func (r *Replicated) KillMaster(t testing.TB) {
	t.Helper()
	kill(t, r.master)
}
