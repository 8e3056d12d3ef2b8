package containers_test

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

func TestRedis(t *testing.T) {
	server := containers.Redis(t)

	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatalf("URL %q: %v", server.URL, err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	ctx := context.Background()
	if err := client.Set(ctx, "greeting", "hello", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, "greeting").Result()
	if err != nil || got != "hello" {
		t.Fatalf("Get: %q, %v", got, err)
	}

	if _, _, err := net.SplitHostPort(server.Addr); err != nil {
		t.Errorf("Addr: %v", err)
	}
	if strings.TrimLeft(server.Version, "0123456789") == server.Version {
		t.Errorf("Version %q starts with no number", server.Version)
	}
	want := server.Name + " " + server.Version + " (" + server.Origin + ")"
	if server.String() != want {
		t.Errorf("String: %q, want %q", server.String(), want)
	}
}

func TestRedisIsSharedByAllTestsOfAProcess(t *testing.T) {
	first := containers.Redis(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if again := containers.Redis(t); again != first {
				t.Errorf("%v, want %v", again, first)
			}
		})
	}
	group.Wait()
}
