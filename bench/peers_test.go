//go:build peers

package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/tools/marks"
)

var (
	write    = flag.String("write", "", "the folder that gets tables, plots and raw figures, such as ../docs/bench")
	readme   = flag.String("readme", "", "the page that gets the short form, between its marks")
	rounds   = flag.Int("rounds", 5, "measured rounds of each cell")
	million  = flag.Bool("million", false, "also count, list and sweep among a million records: some minutes more")
	only     = flag.String("only", "", "measure the parts with this text in their names alone")
	small    = flag.Bool("small", false, "one short round of each: shows that everything runs, and nothing else")
	baseline = flag.String("baseline", "", "a raw.txt of an earlier run: fail if a ratio to the floor has grown by more than -tolerance")
	grown    = flag.Float64("tolerance", 0.15, "how much a ratio may grow, as a share of it, beyond the noise of both runs")
)

// TestPeers measures everything beside everybody and writes the pages.
func TestPeers(t *testing.T) {
	if *write == "" {
		t.Fatal("-write names no folder: make bench-peers does")
	}
	env := environment{date: time.Now().UTC().Format(time.DateOnly), cpu: processor(), busy: busy(3 * time.Second), versions: versions(t)}
	if *small {
		env.busy = 1 // one round is as bad as a busy machine
	}
	ctx := context.Background()
	loads := []load{{1, 300}, {16, 1600}, {256, 5120}}
	slow := []load{{1, 60}, {16, 320}} // servers that take longer
	numbers := []int{1_000, 10_000, 100_000}
	sessions := 10_000
	if *million {
		numbers = append(numbers, 1_000_000)
	}
	if *small {
		*rounds, numbers, sessions = 1, []int{1000}, 1000
		loads, slow = []load{{1, 20}, {16, 64}, {256, 512}}, []load{{1, 10}, {16, 32}}
	}
	all := report{env: &env, sessions: sessions}
	part := func(name string, measure func() ([]result, error)) {
		if !strings.Contains(name, *only) {
			return
		}
		began := time.Now()
		got, err := measure()
		if err != nil {
			t.Errorf("%s: %v", name, err) // the other parts are measured all the same
			all.failed = append(all.failed, name)
		}
		all.results = append(all.results, got...)
		t.Logf("%s: %v", name, time.Since(began).Round(time.Second))
	}
	redis := containers.Redis(t)
	var mongo, dynamo containers.Server
	env.servers = append(env.servers, redis.Name+" "+redis.Version)
	if *only == "" {
		mongo, dynamo = containers.MongoDB(t), containers.DynamoDB(t)
		env.servers = append(env.servers, mongo.Name+" "+mongo.Version, dynamo.Name+" "+dynamo.Version)
	}
	part("records on Redis", func() ([]result, error) {
		return contest(ctx, redis.Addr, unused(), recordCells("redis", loads, true), *rounds, redisStores)
	})
	part("sessions on Redis", func() ([]result, error) {
		return contest(ctx, redis.Addr, unused(), sessionCells("sessions", loads, sessionOps), *rounds, redisPrograms)
	})
	part("sessions through net/http", func() ([]result, error) {
		return contest(ctx, redis.Addr, unused(), sessionCells("http", []load{{256, loads[2].calls / 2}}, servedOps), *rounds, servedPrograms)
	})
	part("many records on Redis", func() ([]result, error) { return scale(ctx, redis.Addr, unused(), numbers, redisStores) })
	part("records on MongoDB", func() ([]result, error) {
		return contest(ctx, mongo.Addr, unused(), recordCells("mongo", slow, false), *rounds, mongoStores)
	})
	part("records on DynamoDB", func() ([]result, error) {
		return contest(ctx, dynamo.Addr, unused(), recordCells("dynamodb", slow, false), *rounds, dynamoStores)
	})
	part("memory", func() (_ []result, err error) {
		all.memories, err = memories(ctx, redis.Addr, unused(), sessions)
		return nil, err
	})
	if *baseline != "" {
		compare(t, all.results)
	}
	if err := all.publish(*write); err != nil {
		t.Fatal(err)
	}
	if *readme != "" {
		page, err := os.ReadFile(*readme)
		if err != nil {
			t.Fatal(err)
		}
		text, err := marks.Put(string(page), readmeBegin, readmeEnd, all.short())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compare fails the test for each ratio of Sojourn that has grown since the
// baseline. It is read first: it may be the file that the run then replaces.
func compare(t *testing.T, results []result) {
	t.Helper()
	f, err := os.Open(*baseline)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	old, err := readRatios(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regressions(old, results, *grown) {
		t.Error(line)
	}
}

// versions names what was compiled.
func versions(t *testing.T) string {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("the program does not know its modules")
	}
	out := []string{runtime.Version()}
	for _, m := range info.Deps {
		for _, path := range []string{"redis/go-redis", "alexedwards/scs", "gorilla/sessions", "boj/redistore", "gofiber/storage", "philippgille/gokv/redis", "gocloud.dev", "go.mongodb.org/mongo-driver", "aws-sdk-go-v2/service/dynamodb"} {
			if strings.Contains(m.Path, path) {
				out = append(out, fmt.Sprintf("%s %s", strings.TrimPrefix(m.Path, "github.com/"), m.Version))
				break
			}
		}
	}
	return strings.Join(out, ", ")
}
