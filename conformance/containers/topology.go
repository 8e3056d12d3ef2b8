package containers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// topology starts a server from an image that the engine has.
type topology func(ctx context.Context, s *spec, e *engine, image string) (Server, error)

// topology returns the one that the environment names, else one node. An
// unknown one is an error and never an absentError: the user asked for it.
func (s *spec) topology() (topology, error) {
	name := os.Getenv(s.variable("TOPOLOGY"))
	if name == "" {
		return func(ctx context.Context, s *spec, e *engine, image string) (Server, error) {
			return s.run(ctx, e, image)
		}, nil
	}
	start := s.topologies[name]
	if start == nil {
		known := strings.Join(slices.Sorted(maps.Keys(s.topologies)), ", ")
		return nil, fmt.Errorf("%s is %q, want nothing or one of: %s", s.variable("TOPOLOGY"), name, known)
	}
	return start, nil
}

// notThere is the error of a test that needs a topology of containers of this process.
func (s *spec) notThere(topology string) error {
	if os.Getenv(s.variable("TOPOLOGY")) != topology {
		return fmt.Errorf("this test needs %s=%s", s.variable("TOPOLOGY"), topology)
	}
	return &absentError{missing: fmt.Sprintf("%v has no containers of this process: unset %s", s.found, s.variable("URL"))}
}

// ports returns n different free ports of this machine. The caller binds them
// later, so another process may take one meanwhile.
func ports(ctx context.Context, n int) ([]string, error) {
	all := make([]string, n)
	var held []net.Listener // until the end: no port comes twice
	defer func() {
		for _, listener := range held {
			_ = listener.Close()
		}
	}()
	for i := range all {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, listener)
		if _, all[i], err = net.SplitHostPort(listener.Addr().String()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// again calls start until it succeeds, a few times: a port that it chose may be
// taken before the engine binds it.
func again(start func() error) error {
	var err error
	for range portTries {
		var absent *absentError
		if err = start(); err == nil || errors.As(err, &absent) {
			return err
		}
	}
	return err
}

// kill kills a container like a power cut.
func kill(t testing.TB, started testcontainers.Container) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	engine, err := findEngine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.close()
	if _, err := engine.client.ContainerKill(ctx, started.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
}

// restart starts a killed container.
func restart(ctx context.Context, killed testcontainers.Container) error {
	engine, err := findEngine(ctx)
	if err != nil {
		return err
	}
	defer engine.close()
	_, err = engine.client.ContainerStart(ctx, killed.GetContainerID(), client.ContainerStartOptions{})
	return err
}
