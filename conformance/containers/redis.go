package containers

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

var (
	redisSpec        = redisLike("redis", "Redis", redisTopologies)
	redisSecondSpec  = redisLike("redis-second", "the oldest Redis", nil)
	valkeySecondSpec = redisLike("valkey-second", "Valkey", nil)
)

func redisLike(server, title string, topologies map[string]topology) spec {
	return spec{
		server: server,
		title:  title,
		port:   "6379/tcp",
		cmd:    []string{"--save", "", "--appendonly", "no"}, // no snapshots
		url:    func(addr string) string { return "redis://" + addr },
		addr: func(url string) (string, error) {
			options, err := redis.ParseURL(url)
			if err != nil {
				return "", err
			}
			return options.Addr, nil
		},
		probe:      probeRedis,
		topologies: topologies,
	}
}

// Redis returns the Redis server of this test process, or another server of its
// protocol. With SOJOURN_REDIS_TOPOLOGY=replica it has a replica.
func Redis(t testing.TB) Server {
	t.Helper()
	return redisSpec.serve(t)
}

// RedisSecond returns the oldest Redis that the backend claims.
func RedisSecond(t testing.TB) Server {
	t.Helper()
	return redisSecondSpec.serve(t)
}

// ValkeySecond returns a current Valkey.
func ValkeySecond(t testing.TB) Server {
	t.Helper()
	return valkeySecondSpec.serve(t)
}

func probeRedis(ctx context.Context, url string) (name, version string, err error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", "", &finalError{err}
	}
	// The client logs each refused connection. That is expected while a server starts.
	if err := reachable(ctx, options.Addr); err != nil {
		return "", "", err
	}
	options.MaxRetries = -1 // poll tries again
	options.DialerRetries = 1
	options.PoolSize = 1
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.Ping(ctx).Err(); err != nil {
		return "", "", err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", "", err
	}
	name, version = redisVersion(info)
	return name, version, nil
}

// redisVersion returns the name and version in a reply to INFO server. Valkey
// states its own version and the version of Redis that it is compatible with.
func redisVersion(info string) (name, version string) {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[key] = value
		}
	}
	if version := fields["valkey_version"]; version != "" {
		return "Valkey", version
	}
	if version := fields["redis_version"]; version != "" {
		return "Redis", version
	}
	return "Redis", noVersion
}
