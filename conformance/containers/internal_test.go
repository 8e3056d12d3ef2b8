package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
)

func TestEveryImageIsPinned(t *testing.T) {
	for _, s := range []*spec{
		&redisSpec, &dynamodbSpec, &elasticsearchSpec, &minioSpec, &mongodbSpec, &mongodbSecondSpec, &postgresSpec,
	} {
		image := officialImage(imageList, s.server)
		if repository(image) == image || strings.HasSuffix(image, ":latest") {
			t.Errorf("%s: the image %q has no tag of a release", s.server, image)
		}
		script, err := os.ReadFile("images/" + s.server + ".sh")
		if err != nil || !strings.Contains(string(script), "\npack_"+s.server+"() {\n") {
			t.Errorf("%s: images/%s.sh does not say how to pack it: %v", s.server, s.server, err)
		}
	}
}

func TestCommand(t *testing.T) {
	s := spec{cmd: []string{"--official"}}
	if got := s.command("mongo:8-packed"); len(got) != 1 {
		t.Errorf("got %q for a packed image, want the official command", got)
	}
	s.packed = []string{}
	if got := s.command("mongo:8-packed"); len(got) != 0 {
		t.Errorf("got %q for a packed image, want no command", got)
	}
	if got := s.command("mongo:8"); len(got) != 1 {
		t.Errorf("got %q for an official image, want its command", got)
	}
}

func TestDataInMemoryIsBounded(t *testing.T) {
	for _, s := range []*spec{&minioSpec, &elasticsearchSpec, &postgresSpec} {
		mounts := s.mounts()
		if len(mounts) == 0 {
			t.Errorf("%s: the data is on a disk", s.server)
		}
		for folder, how := range mounts {
			if !strings.HasPrefix(folder, "/") || !strings.Contains(how, "size=") {
				t.Errorf("%s: %s is mounted with %q, want a limit", s.server, folder, how)
			}
		}
	}
}

func TestOfficialImage(t *testing.T) {
	list := "# redis redis:0\n\nredis redis:8.2.4\nmongo mongo:8.0@sha256:aa\n"
	for server, want := range map[string]string{"redis": "redis:8.2.4", "mongo": "mongo:8.0@sha256:aa", "mon": ""} {
		if got := officialImage(list, server); got != want {
			t.Errorf("officialImage(%q) = %q, want %q", server, got, want)
		}
	}
}

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{
		"redis":                             "redis",
		"redis:8.2.4":                       "redis",
		"redis:8.2.4@sha256:ab":             "redis",
		"redis@sha256:ab":                   "redis",
		"host:5000/team/redis":              "host:5000/team/redis",
		"host:5000/team/redis:8":            "host:5000/team/redis",
		"docker.elastic.co/elastic/search:": "docker.elastic.co/elastic/search",
	} {
		if got := repository(image); got != want {
			t.Errorf("repository(%q) = %q, want %q", image, got, want)
		}
	}
}

// images is an imageStore: an engine with some images, and a registry with some.
type images struct {
	present, registry []string
	packed            string
	pulled            []string
}

func (i *images) hasImage(_ context.Context, image string) bool     { return contains(i.present, image) }
func (i *images) packedImage(_ context.Context, repo string) string { return i.packed }
func (i *images) pullImage(_ context.Context, image string) (err error) {
	i.pulled = append(i.pulled, image)
	if !contains(i.registry, image) {
		err = errors.New("no such host")
	}
	return err
}

func contains(list []string, item string) bool {
	for _, each := range list {
		if each == item {
			return true
		}
	}
	return false
}

func TestChooseImage(t *testing.T) {
	official := officialImage(imageList, "redis")
	const packed = "redis:7.0.15-packed"
	for _, test := range []struct {
		name   string
		asked  string
		images images
		want   string
		pulls  int
		absent bool
	}{
		{name: "official is there", images: images{present: []string{official}, packed: packed}, want: official},
		{name: "packed before a pull", images: images{packed: packed, registry: []string{official}}, want: packed},
		{name: "official is pulled", images: images{registry: []string{official}}, want: official, pulls: 1},
		{name: "no image anywhere", pulls: 1, absent: true},
		{name: "asked for", asked: "valkey:8", images: images{present: []string{official, "valkey:8"}}, want: "valkey:8"},
		{name: "asked for, pulled", asked: "valkey:8", images: images{registry: []string{"valkey:8"}}, want: "valkey:8", pulls: 1},
		{name: "asked for, but another is present", asked: "valkey:8", images: images{present: []string{official}, packed: packed}, pulls: 1, absent: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("SOJOURN_REDIS_IMAGE", test.asked)
			got, err := redisSpec.chooseImage(t.Context(), &test.images)
			var absent *absentError
			if got != test.want || errors.As(err, &absent) != test.absent {
				t.Errorf("got %q, %v; want %q, absent %v", got, err, test.want, test.absent)
			}
			if len(test.images.pulled) != test.pulls {
				t.Errorf("pulled %q, want %d images", test.images.pulled, test.pulls)
			}
		})
	}
}

func TestRedisVersion(t *testing.T) {
	for _, test := range []struct{ name, info, wantName, wantVersion string }{
		{"Redis", "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", "Redis", "7.0.15"},
		{"Valkey", "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n", "Valkey", "8.1.0"},
		{"silent", "# Server\r\n", "Redis", "of no stated version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if name, version := redisVersion(test.info); name != test.wantName || version != test.wantVersion {
				t.Errorf("got %q %q, want %q %q", name, version, test.wantName, test.wantVersion)
			}
		})
	}
}

func TestEndpointFromTheEnvironment(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	answers := func(context.Context, string) (string, string, error) { return "Redis", "8.0", nil }

	t.Run("answers", func(t *testing.T) {
		t.Setenv("SOJOURN_REDIS_URL", "redis://user:secret@example.org:7000/2")
		s := spec{server: "redis", title: "Redis", addr: redisSpec.addr, probe: answers}
		got, err := s.start()
		want := Server{
			URL: "redis://user:secret@example.org:7000/2", Addr: "example.org:7000",
			Name: "Redis", Version: "8.0", Origin: "endpoint from SOJOURN_REDIS_URL",
		}
		if got != want || err != nil {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if got.String() != "Redis 8.0 (endpoint from SOJOURN_REDIS_URL)" {
			t.Errorf("String returns %q", got)
		}
	})
	t.Run("does not answer", func(t *testing.T) {
		t.Setenv("SOJOURN_REDIS_URL", "redis://"+refuses)
		s := spec{server: "redis", title: "Redis", addr: redisSpec.addr, probe: probeRedis, wait: 200 * time.Millisecond}
		_, err := s.start()
		var absent *absentError
		if err == nil || errors.As(err, &absent) {
			t.Errorf("got %v, want an error that is not an absentError", err)
		}
	})
	t.Run("is malformed", func(t *testing.T) {
		t.Setenv("SOJOURN_REDIS_URL", "memcached://"+refuses)
		s := spec{server: "redis", title: "Redis", addr: redisSpec.addr, probe: probeRedis}
		if _, err := s.start(); err == nil {
			t.Error("a malformed URL returns no error")
		}
	})
}

// ending records how a test ends and stops it with a panic.
type ending struct {
	testing.TB
	how, message string
}

type ended struct{}

func (e *ending) Helper()             {}
func (e *ending) Logf(string, ...any) {}
func (e *ending) end(how, format string, args []any) {
	e.how, e.message = how, fmt.Sprintf(format, args...)
	panic(ended{})
}
func (e *ending) Skipf(format string, args ...any)  { e.end("skipped", format, args) }
func (e *ending) Fatalf(format string, args ...any) { e.end("failed", format, args) }

func (e *ending) of(s *spec) {
	defer func() {
		if reason := recover(); reason != nil && reason != any(ended{}) {
			panic(reason)
		}
	}()
	s.serve(e)
}

func TestWithoutAnEngine(t *testing.T) {
	nowhere := "unix://" + t.TempDir() + "/none.sock"
	for _, test := range []struct{ name, ci, how string }{
		{"locally", "", "skipped"},
		{"CI is false", "false", "skipped"},
		{"under CI", "true", "failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("CI", test.ci)
			t.Setenv(client.EnvOverrideHost, nowhere)
			t.Setenv("SOJOURN_REDIS_URL", "")
			s := spec{server: "redis", title: "Redis"}
			end := ending{TB: t}
			end.of(&s)
			if end.how != test.how {
				t.Errorf("the test %s (%s), want %s", end.how, end.message, test.how)
			}
			for _, part := range []string{"Redis: no container engine answers", "ensure.sh redis", "SOJOURN_REDIS_URL"} {
				if !strings.Contains(end.message, part) || strings.Contains(end.message, "\n") {
					t.Errorf("the message is %q, want one line with %q", end.message, part)
				}
			}
		})
	}
}

func TestPollEndsAtItsLimitAndAtAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := poll(t.Context(), 3*pollEvery-1, func(context.Context) error { tries++; return errors.New("not yet") })
		if err == nil || tries != 3 || !strings.Contains(err.Error(), "not yet") {
			t.Errorf("%d tries, %v", tries, err)
		}
		tries = 0
		final := errors.New("gone")
		err = poll(t.Context(), time.Minute, func(context.Context) error { tries++; return &finalError{final} })
		if !errors.Is(err, final) || tries != 1 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

func TestProcessLives(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("orphans are not removed on Windows")
	}
	if !processLives(os.Getpid()) {
		t.Error("processLives is false for this process")
	}
	short := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := short.Start(); err != nil {
		t.Fatal(err)
	}
	if err := poll(t.Context(), time.Minute, func(context.Context) error {
		if runtime.GOOS == "linux" && processLives(short.Process.Pid) {
			return errors.New("processLives is true for a process that ended before Wait")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := short.Wait(); err != nil {
		t.Fatal(err)
	}
	if processLives(short.Process.Pid) {
		t.Error("processLives is true for a process that ended")
	}
}
