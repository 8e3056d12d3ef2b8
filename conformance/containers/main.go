package containers

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// Main runs the tests of a package and then removes the containers that they
// started. It returns the exit code: func TestMain(m *testing.M) {
// os.Exit(containers.Main(m)) }.
func Main(m *testing.M) int {
	running.begin()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, open := <-interrupted; open {
			_ = running.terminate()
			os.Exit(1)
		}
	}()
	code := m.Run()
	signal.Stop(interrupted)
	close(interrupted)
	if err := running.terminate(); err != nil {
		fmt.Fprintln(os.Stderr, "containers: not removed:", oneLine(err))
		code = max(code, 1)
	}
	return code
}

// running has the containers that this process started.
var running registry

type registry struct {
	mu      sync.Mutex
	begun   bool
	started []testcontainers.Container
}

func (r *registry) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
}

func (r *registry) hasBegun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

func (r *registry) add(started testcontainers.Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, started)
}

// terminate removes all containers at the same time. It skips the ten seconds
// that an engine gives a server to stop, because the data is not needed.
func (r *registry) terminate() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := make([]error, len(r.started))
	var group sync.WaitGroup
	for i, started := range r.started {
		group.Go(func() {
			errs[i] = testcontainers.TerminateContainer(started, testcontainers.StopTimeout(0))
		})
	}
	group.Wait()
	r.started = nil
	return errors.Join(errs...)
}
