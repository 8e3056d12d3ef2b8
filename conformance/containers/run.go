package containers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	pollEvery  = 50 * time.Millisecond
	probeLimit = 2 * time.Second
)

// run starts a container from an image that the engine has.
func (s *spec) run(ctx context.Context, engine *engine, image string, more ...testcontainers.ContainerCustomizer) (Server, error) {
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithExposedPorts(s.port),
		testcontainers.WithEnv(s.env),
		bound(engine, map[string]string{s.port: ""}),
	}
	if command := s.command(image); len(command) > 0 {
		options = append(options, testcontainers.WithCmd(command...))
	}
	if len(s.data) > 0 {
		options = append(options, testcontainers.WithTmpfs(s.mounts()))
	}
	_, server, err := s.launch(ctx, image, append(options, more...)...)
	return server, err
}

// launch starts a container and waits until the server in it answers.
func (s *spec) launch(ctx context.Context, image string, options ...testcontainers.ContainerCustomizer) (testcontainers.Container, Server, error) {
	ready := &readiness{spec: s, server: Server{Origin: "container " + image}}
	started, err := launch(ctx, image, append(options, testcontainers.WithWaitStrategyAndDeadline(s.patience(), ready))...)
	return started, ready.server, err
}

// launch starts a container, which Main removes, also if it did not get ready.
func launch(ctx context.Context, image string, options ...testcontainers.ContainerCustomizer) (testcontainers.Container, error) {
	options = append(options, testcontainers.WithLabels(map[string]string{ownerLabel: owner()}))
	started, err := testcontainers.Run(ctx, image, options...)
	if started != nil {
		running.add(started)
	}
	if err != nil {
		err = fmt.Errorf("container %s did not start: %w%s", image, err, lastLog(ctx, started))
	}
	return started, err
}

// bound publishes ports of a container, by their name inside ("6379/tcp"), at
// ports of the engine's machine. An empty one is any. A test server has no
// password, so it listens on this machine only.
func bound(engine *engine, ports map[string]string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
		host.PortBindings = network.PortMap{}
		for inside, outside := range ports {
			bind := network.PortBinding{HostPort: outside}
			if engine.local {
				bind.HostIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
			} else if outside == "" {
				continue // the engine's own choice
			}
			host.PortBindings[network.MustParsePort(inside)] = []network.PortBinding{bind}
		}
	})
}

// command returns the command of a container from the image. Nil means the
// image's own command.
func (s *spec) command(image string) []string {
	if s.packed != nil && strings.HasSuffix(image, "-packed") {
		return s.packed
	}
	return s.cmd
}

// dataLimit bounds what a server may keep in memory as files. MinIO refuses to
// write to a disk that has little space left.
const dataLimit = "rw,size=2g"

// mounts returns the mounts of the server's data in memory. A server that syncs
// each write waits for nothing there.
func (s *spec) mounts() map[string]string {
	out := map[string]string{}
	for _, folder := range s.data {
		out[folder] = dataLimit
	}
	return out
}

// readiness waits until the server in a container answers, and keeps its name and version.
type readiness struct {
	spec   *spec
	server Server
}

var _ wait.Strategy = (*readiness)(nil)

func (r *readiness) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
	return poll(ctx, r.spec.patience(), func(ctx context.Context) error {
		state, err := target.State(ctx)
		if err != nil {
			return err
		}
		if !state.Running {
			return &finalError{fmt.Errorf("the container ended with exit code %d", state.ExitCode)}
		}
		host, err := target.Host(ctx)
		if err != nil {
			return err
		}
		port, err := target.MappedPort(ctx, r.spec.port)
		if err != nil {
			return err
		}
		r.server.Addr = net.JoinHostPort(host, port.Port())
		r.server.URL = r.spec.url(r.server.Addr)
		if r.spec.prepare != nil {
			if err := r.spec.prepare(ctx, r.server.URL); err != nil {
				return err
			}
		}
		r.server.Name, r.server.Version, err = r.spec.probe(ctx, r.server.URL)
		if err != nil {
			return err
		}
		if r.server.Version == "" && r.spec.logVersion != nil {
			r.server.Version = r.spec.logVersion(readLog(ctx, target))
		}
		r.server.Version = cmp.Or(r.server.Version, noVersion)
		return nil
	})
}

// finalError is an error that another try cannot cure. It ends a poll.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// poll calls try until it succeeds, returns a finalError, or the limit has passed.
func poll(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	began := time.Now()
	var last error // the cause says more than a timeout
	for {
		once, done := context.WithTimeout(ctx, probeLimit)
		err := try(once)
		done()
		var timeout net.Error
		if last == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			last = err
		}
		var final *finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v: %w", time.Since(began).Round(time.Millisecond), last)
		case <-ticker.C:
		}
	}
}

// reachable returns nil if something listens at addr.
func reachable(ctx context.Context, addr string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return connection.Close()
}

// lastLog returns the last lines of a container's log, in which a server says why it does not start.
func lastLog(ctx context.Context, started testcontainers.Container) string {
	if started == nil || started.GetContainerID() == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeLimit) // ctx may have ended
	defer cancel()
	text := readLog(ctx, started)
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "; its log ends: " + strings.Join(lines[max(0, len(lines)-5):], " / ")
}

// readLog returns what a container has logged so far, or "" if it cannot be read.
func readLog(ctx context.Context, from interface {
	Logs(ctx context.Context) (io.ReadCloser, error)
}) string {
	logs, err := from.Logs(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = logs.Close() }()
	text, err := io.ReadAll(logs)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
