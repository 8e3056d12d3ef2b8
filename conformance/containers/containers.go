// Package containers starts real servers for tests.
//
// If the environment names an endpoint (SOJOURN_REDIS_URL), tests use it. Otherwise testcontainers
// starts a container. Its image is the one that the environment names (SOJOURN_REDIS_IMAGE), else the
// official image. If the official image cannot be pulled, it is the one that images/ensure.sh packed on
// this machine.
//
// SOJOURN_<NAME>_TOPOLOGY sets the server up in another way than as one node. A topology that does not
// exist fails the tests.
//
// One container serves all tests of a test process. [Main] removes it afterwards. If no container can
// be started, a test is skipped with the reason and the way out. It fails instead if CI is true.
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
	URL     string // in the form that clients of this server accept: "redis://127.0.0.1:32768"
	Addr    string // host and port
	Name    string // "Redis", or the server's own name: "Valkey"
	Version string // as the server states it, never the image's tag
	Origin  string // "endpoint from SOJOURN_REDIS_URL", "container redis:8.2.4"
}

// String returns the server's name, version and origin without the URL, which
// may hold a password: "Redis 7.0.15 (container redis:7.0.15-packed)".
func (s Server) String() string {
	return fmt.Sprintf("%s %s (%s)", s.Name, s.Version, s.Origin)
}

// spec describes how to start one kind of server. Each kind has a file of its
// own.
type spec struct {
	server string            // its name in images/images.txt, and in capitals in SOJOURN_<NAME>_URL and _IMAGE
	title  string            // the name in messages
	port   string            // the port inside the container: "6379/tcp"
	cmd    []string          // replaces the image's command if not empty
	packed []string          // replaces cmd for a packed image if not nil
	env    map[string]string // the container's environment
	data   []string          // folders that are kept in memory: a test loses nothing with a server's disk
	wait   time.Duration     // how long the server gets to answer; zero means a minute

	url  func(addr string) string
	addr func(url string) (string, error)
	// prepare, if not nil, is called before each probe of a container.
	prepare func(ctx context.Context, url string) error
	// probe returns the name and version that the server states. The server is
	// ready if probe succeeds.
	probe func(ctx context.Context, url string) (name, version string, err error)
	// topologies start the server in another way than as one node.
	topologies map[string]topology
	// logVersion, if not nil, reads the version from a container's log, for a
	// server that states it only there.
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

// absentError is the error of a machine that lacks something, such as a
// container engine.
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

// serve returns the server that all tests of the process share. The first call
// starts it.
func (s *spec) serve(t testing.TB) Server {
	t.Helper()
	s.needMain(t)
	s.once.Do(func() { s.found, s.failed = s.start() })
	if s.failed != nil {
		s.without(t, s.failed, s.remedy())
	}
	t.Logf("runs on %v", s.found)
	return s.found
}

// needMain ends the test if nothing would remove what it starts.
func (s *spec) needMain(t testing.TB) {
	t.Helper()
	if !running.hasBegun() {
		t.Fatal("package containers needs func TestMain(m *testing.M) { os.Exit(containers.Main(m)) } " +
			"in this test package, to remove what it starts")
	}
}

// without skips the test if this machine lacks something and CI is not true.
// Otherwise it fails the test.
func (s *spec) without(t testing.TB, err error, remedy string) {
	t.Helper()
	var absent *absentError
	switch {
	case !errors.As(err, &absent):
		t.Fatalf("%s: %s", s.title, oneLine(err))
	case underCI():
		t.Fatalf("%s: %v; CI is true, so this is a failure; %s", s.title, absent, remedy)
	default:
		t.Skipf("%s: %v; %s", s.title, absent, remedy)
	}
}

func (s *spec) remedy() string {
	return fmt.Sprintf("run conformance/containers/images/ensure.sh %s, or set %s", s.server, s.variable("URL"))
}

func (s *spec) start() (Server, error) {
	start, err := s.topology()
	if err != nil {
		return Server{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience()+pullLimit)
	defer cancel()
	if url := os.Getenv(s.variable("URL")); url != "" {
		return s.endpoint(ctx, url)
	}
	engine, image, err := s.ready(ctx)
	if err != nil {
		return Server{}, err
	}
	defer engine.close()
	return start(ctx, s, engine, image)
}

// ready returns an engine, which the caller closes, and an image that it has.
func (s *spec) ready(ctx context.Context) (*engine, string, error) {
	engine, err := findEngine(ctx)
	if err != nil {
		return nil, "", err
	}
	image, err := s.chooseImage(ctx, engine)
	if err != nil {
		engine.close()
		return nil, "", err
	}
	engine.configure(ctx)
	removeOrphans(ctx, engine)
	return engine, image, nil
}

// endpoint returns the server that the environment names. It returns an error,
// never an absentError, if the server does not answer: the user asked for this
// server.
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

// oneLine returns the text of an error on one line. Container engines return errors of several lines.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
