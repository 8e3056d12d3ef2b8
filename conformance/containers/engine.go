package containers

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const (
	engineLimit = 10 * time.Second
	// ownerLabel marks the containers of this package with the process that started them.
	ownerLabel = "sojourn.test"
)

// engine is a connection to a container engine.
type engine struct {
	client *client.Client
	host   string
	local  bool // published ports are ports of this machine
}

func (e *engine) close() { _ = e.client.Close() }

// engineHosts returns the addresses at which an engine may listen, in the
// order of images/lib.sh: the address that the environment names, else the
// default sockets of engines.
func engineHosts() []string {
	if host := os.Getenv(client.EnvOverrideHost); host != "" {
		return []string{host}
	}
	if runtime.GOOS == "windows" {
		return []string{client.DefaultDockerHost}
	}
	session := os.Getenv("XDG_RUNTIME_DIR")
	if session == "" {
		session = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/" // no such socket exists, so it is skipped
	}
	var hosts []string
	for _, socket := range []string{
		"/var/run/docker.sock",
		filepath.Join(session, "docker.sock"),
		filepath.Join(home, ".docker/run/docker.sock"),
		filepath.Join(session, "podman/podman.sock"),
		"/run/podman/podman.sock",
	} {
		if _, err := os.Stat(socket); err == nil {
			hosts = append(hosts, "unix://"+socket)
		}
	}
	return hosts
}

// findEngine returns the first engine that answers, or an absentError.
func findEngine(ctx context.Context) (*engine, error) {
	var last error
	hosts := engineHosts()
	for _, host := range hosts {
		api, err := client.New(client.FromEnv, client.WithHost(host))
		if err != nil {
			last = err
			continue
		}
		limited, cancel := context.WithTimeout(ctx, engineLimit)
		info, err := api.Info(limited, client.InfoOptions{})
		cancel()
		if err != nil {
			last = err
			_ = api.Close()
			continue
		}
		return &engine{client: api, host: host, local: sharesPorts(host, info.Info.Name)}, nil
	}
	if len(hosts) == 0 {
		return nil, &absentError{missing: "no container engine here (Docker or Podman)"}
	}
	return nil, &absentError{missing: "no container engine answers", cause: last}
}

// sharesPorts reports whether a port that the engine publishes is a port of
// this machine. For a socket it is. The exception is a process in a container
// with an engine outside: then the names differ.
func sharesPorts(host, engineName string) bool {
	if !strings.HasPrefix(host, "unix://") && !strings.HasPrefix(host, "npipe://") {
		return false
	}
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			name, err := os.Hostname()
			return err == nil && name == engineName
		}
	}
	return true
}

// configure passes the engine's address to testcontainers. testcontainers
// reads its settings from the environment once, before its first call to an
// engine. Variables that the user set stay.
func (e *engine) configure(ctx context.Context) {
	configured.Do(func() {
		setDefault(client.EnvOverrideHost, e.host)
		if e.local {
			setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
		}
		// The reaper of testcontainers removes the containers of killed processes. It needs an image of
		// its own. If the engine lacks the image, the reaper stays off: Main and removeOrphans do the same.
		ctx, cancel := context.WithTimeout(ctx, engineLimit)
		defer cancel()
		//nolint:staticcheck // nothing else exports the name of the reaper's image
		if !e.hasImage(ctx, testcontainers.ReaperDefaultImage) {
			setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
		}
		log.SetDefault(log.NewNoopLogger()) // the banner repeats what Server says
	})
}

var configured sync.Once

func setDefault(variable, value string) {
	if _, set := os.LookupEnv(variable); !set {
		_ = os.Setenv(variable, value) // it fails only for malformed names
	}
}

// removeOrphans removes the containers of test processes on this machine that
// ended without removing them, because they were killed or exceeded their time
// limit.
func removeOrphans(ctx context.Context, e *engine) {
	if runtime.GOOS == "windows" {
		return // Windows has no signal that tests whether a process lives
	}
	listed, err := e.client.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", ownerLabel),
	})
	if err != nil {
		return // a failed cleanup must not fail the tests
	}
	here, err := os.Hostname()
	if err != nil {
		return
	}
	for _, item := range listed.Items {
		host, id, _ := strings.Cut(item.Labels[ownerLabel], "/")
		pid, err := strconv.Atoi(id)
		if err != nil || host != here || processLives(pid) {
			continue
		}
		_, _ = e.client.ContainerRemove(ctx, item.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
}

// processLives reports whether the process lives. In doubt it returns true: a
// process that may not be signalled lives.
func processLives(pid int) bool {
	// On Linux a killed process accepts signals until its parent has waited for
	// it.
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err == nil && strings.Contains(string(stat), ") Z ") {
		return false
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = process.Signal(syscall.Signal(0))
	return err == nil || os.IsPermission(err)
}
