// Package containers gives tests real servers to run against.
//
// A server comes from the first of these that there is: an endpoint named by the environment
// (SOJOURN_REDIS_URL), else a container that testcontainers starts. The container's image is the one
// that the environment names (SOJOURN_REDIS_IMAGE), else the official image, else one that
// images/ensure.sh packed on this machine because the official one could not be pulled.
//
// One container serves all tests of a test process; [Main] removes it when they are done. Where
// nothing can be started a test is skipped with the reason and the remedy, or fails if CI is true.
//
// Only tests import this package.
package containers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a running server.
type Server struct {
	URL     string // as clients of this server take it: "redis://127.0.0.1:32768"
	Addr    string // host and port
	Name    string // "Redis", or what the server calls itself: "Valkey"
	Version string // as the server itself states it, never the image's tag
	Origin  string // "endpoint from SOJOURN_REDIS_URL", "container redis:8.2.4"
}

// String names the server and where it came from, without its URL, which may hold a password:
// "Redis 7.0.15 (container redis:7.0.15-packed)".
func (s Server) String() string {
	return fmt.Sprintf("%s %s (%s)", s.Name, s.Version, s.Origin)
}

// spec is what one kind of server needs to be started: one file each.
type spec struct {
	server string            // its name in images/images.txt, and in capitals in SOJOURN_<NAME>_URL and _IMAGE
	title  string            // its name to people
	port   string            // where it listens in its container: "6379/tcp"
	cmd    []string          // the image's command, where its own does not do
	packed []string          // the same for a packed image, where that needs another one
	env    map[string]string // the container's environment
	wait   time.Duration     // until it must answer; a minute if zero

	url  func(addr string) string
	addr func(url string) (string, error)
	// prepare, if any, is called before probe, in a container only, as often as probe is.
	prepare func(ctx context.Context, url string) error
	// probe asks the server what it is. It is ready once this succeeds.
	probe func(ctx context.Context, url string) (name, version string, err error)
	// logVersion, if any, reads the version from a container's log, for a server that states it there only.
	logVersion func(log string) string

	once   sync.Once
	found  Server
	failed error
}

func (s *spec) variable(suffix string) string {
	return "SOJOURN_" + strings.ToUpper(strings.ReplaceAll(s.server, "-", "_")) + "_" + suffix
}

func (s *spec) patience() time.Duration {
	if s.wait > 0 {
		return s.wait
	}
	return time.Minute
}

// absentError says that this machine lacks something, as opposed to something that went wrong.
type absentError struct {
	missing string
	cause   error
}

func (e *absentError) Error() string {
	if e.cause == nil {
		return e.missing
	}
	return e.missing + ": " + oneLine(e.cause)
}

func (e *absentError) Unwrap() error { return e.cause }

// serve returns the process's server of this kind; the first caller starts it.
func (s *spec) serve(t testing.TB) Server {
	t.Helper()
	if !running.inMain() {
		t.Fatal("package containers needs func TestMain(m *testing.M) { os.Exit(containers.Main(m)) } " +
			"in this test package, to remove what it starts")
	}
	s.once.Do(func() { s.found, s.failed = s.start() })
	var absent *absentError
	switch {
	case s.failed == nil:
		t.Logf("runs on %v", s.found)
	case !errors.As(s.failed, &absent):
		t.Fatalf("%s: %s", s.title, oneLine(s.failed))
	case underCI():
		t.Fatalf("%s: %v; under CI that is a failure; %s", s.title, absent, s.remedy())
	default:
		t.Skipf("%s: %v; %s", s.title, absent, s.remedy())
	}
	return s.found
}

func (s *spec) remedy() string {
	return fmt.Sprintf("run conformance/containers/images/ensure.sh %s, or set %s", s.server, s.variable("URL"))
}

func (s *spec) start() (Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience()+pullLimit)
	defer cancel()
	if url := os.Getenv(s.variable("URL")); url != "" {
		return s.endpoint(ctx, url)
	}
	engine, err := findEngine(ctx)
	if err != nil {
		return Server{}, err
	}
	defer engine.close()
	image, err := s.chooseImage(ctx, engine)
	if err != nil {
		return Server{}, err
	}
	return s.run(ctx, engine, image)
}

// endpoint is a server that somebody else runs. That it does not answer is never a reason to skip:
// it was asked for.
func (s *spec) endpoint(ctx context.Context, url string) (Server, error) {
	origin := "endpoint from " + s.variable("URL")
	addr, err := s.addr(url)
	if err != nil {
		return Server{}, fmt.Errorf("%s: %w", origin, err)
	}
	server := Server{URL: url, Addr: addr, Origin: origin}
	err = poll(ctx, s.patience(), func(ctx context.Context) (err error) {
		server.Name, server.Version, err = s.probe(ctx, url)
		return err
	})
	if err != nil {
		return Server{}, fmt.Errorf("%s: %w", origin, err)
	}
	server.Version = cmp.Or(server.Version, noVersion)
	return server, nil
}

func underCI() bool {
	ci, err := strconv.ParseBool(os.Getenv("CI"))
	return err == nil && ci
}

// oneLine keeps an error of several lines, as engines give them, readable in a test's output.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
