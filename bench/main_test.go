package bench

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// unused is the name of a store, short as those in use are: each key has it.
func unused() string { return "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36) }

// TestSmoke measures two operations and three requests for a moment, one through net/http, on all
// contestants of Redis, and checks what does not depend on time.
func TestSmoke(t *testing.T) {
	addr := containers.Redis(t).Addr
	results, err := contest(t.Context(), addr, unused(), []cell{
		{topic: "redis", op: "get", clients: 1, value: 200, calls: 20}, {topic: "redis", op: "delete", clients: 16, value: 200, calls: 32},
	}, 1, redisStores)
	if err != nil {
		t.Fatal(err)
	}
	more, err := contest(t.Context(), addr, unused(), []cell{
		{topic: "sessions", op: "read-only", clients: 1, calls: 20}, {topic: "sessions", op: "sign-out", clients: 16, calls: 32},
	}, 1, redisPrograms)
	if err != nil {
		t.Fatal(err)
	}
	results = append(results, more...)
	if more, err = contest(t.Context(), addr, unused(), []cell{{topic: "http", op: "write", clients: 1, calls: 20}}, 1, servedPrograms); err != nil {
		t.Fatal(err)
	}
	results = append(results, more...)
	for _, want := range []struct {
		op, name string
		trips    float64
	}{{"get", "bare go-redis", 1}, {"get", "Sojourn", 1}, {"get", "gokv redis", 1}, {"read-only", "by hand on go-redis", 1}, {"read-only", "Sojourn", 1}, {"read-only", "scs, idle timeout", 2}, {"read-only", "gorilla redistore", 2}, {"write", "by hand on go-redis", 2}} {
		found := false
		for i := range results {
			if r := &results[i]; r.op == want.op && r.name == want.name {
				found = true
				if r.trips != want.trips {
					t.Errorf("%s of %s takes %v round trips, want %v", r.op, r.name, r.trips, want.trips)
				}
				if len(r.times) != 1 || r.times[0] <= 0 || r.allocs <= 0 {
					t.Errorf("%s of %s has the figures %+v", r.op, r.name, r)
				}
			}
		}
		if !found {
			t.Errorf("%s of %s was not measured", want.op, want.name)
		}
	}
}
