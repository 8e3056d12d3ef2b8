package webapp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	urls "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// store is one that the program can be given.
type store struct {
	name string
	url  func(t *testing.T, name string) string
	env  func(t *testing.T) []string
	// alone: each process has a store of its own, which ends with it.
	alone bool
}

// stores are all there are. The names of the tests' stores are new at each run.
var stores = []store{
	{name: "memory", alone: true, url: func(*testing.T, string) string { return "memory:" }},
	{name: "file", url: func(t *testing.T, _ string) string { t.Helper(); return "file:" + t.TempDir() }},
	{name: "redis", url: func(t *testing.T, name string) string {
		t.Helper()
		return withQuery(t, containers.Redis(t).URL, "name", name)
	}},
	{name: "mongodb", url: func(t *testing.T, name string) string {
		t.Helper()
		u := parse(t, containers.MongoDB(t).URL)
		u.Path = "/webapp"
		return withQuery(t, u.String(), "collection", name)
	}},
	{name: "elasticsearch", url: func(t *testing.T, name string) string {
		t.Helper()
		u := parse(t, containers.Elasticsearch(t).URL)
		u.Scheme, u.Path = "elasticsearch", "/"+name
		return u.String()
	}},
	{name: "s3", env: func(t *testing.T) []string {
		t.Helper()
		secret, _ := parse(t, containers.MinIO(t).URL).User.Password()
		return aws(parse(t, containers.MinIO(t).URL).User.Username(), secret)
	}, url: func(t *testing.T, name string) string {
		t.Helper()
		endpoint := parse(t, containers.MinIO(t).URL)
		endpoint.User = nil
		return withQuery(t, "s3://"+name+"/shop", "region", "us-east-1", "endpoint", endpoint.String())
	}},
	{name: "dynamodb", env: func(*testing.T) []string { return aws("test", "test") }, url: func(t *testing.T, name string) string {
		t.Helper()
		return withQuery(t, "dynamodb://"+name, "region", "eu-west-1", "endpoint", containers.DynamoDB(t).URL)
	}},
}

// aws are credentials as the AWS SDK takes them from the environment.
func aws(key, secret string) []string {
	return []string{"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret}
}

func parse(t *testing.T, raw string) *urls.URL {
	t.Helper()
	u, err := urls.Parse(raw)
	ok(t, err)
	return u
}

func withQuery(t *testing.T, raw string, pairs ...string) string {
	t.Helper()
	u := parse(t, raw)
	q := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryStore runs two processes of the program on one store. It checks that
// what a browser does in one process holds in the other and, if the store is
// persistent, after a crash.
func TestEveryStore(t *testing.T) {
	program := build(t)
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			url := s.url(t, fmt.Sprintf("webapp-%d", time.Now().UnixNano()))
			var env []string
			if s.env != nil {
				env = s.env(t)
			}
			start := func() *process { t.Helper(); return program.start(t, env, url) }
			first := start()
			second := first
			if !s.alone {
				second = start()
			}
			phone, laptop := newBrowser(t), newBrowser(t)
			phone.get(first, "/")
			phone.signIn(first)
			stolen := phone.cookies(first)

			// Both processes change one session at once: no visit is lost.
			const visits = 24
			var all sync.WaitGroup
			for i := range visits {
				all.Go(func() { phone.get([]*process{first, second}[i%2], "/") })
			}
			all.Wait()
			phone.is(second, true, 1+visits)

			if !s.alone {
				first.kill()
				first = start()
				phone.is(first, true, 1+visits)
			}
			laptop.signIn(second)
			laptop.is(first, true, 0)
			laptop.post(second, "/devices/delete-others")
			phone.is(first, false, 0)
			phone.is(second, false, 0)
			laptop.post(first, "/logout")
			laptop.is(second, false, 0)

			// The token that was copied opens nothing, now and after a restart.
			if !s.alone {
				first.kill()
				first = start()
			}
			thief := newBrowser(t)
			thief.jar.SetCookies(parse(t, first.at), stolen)
			thief.is(first, false, 0)
		})
	}
}

// program is the built program.
type program string

func build(t *testing.T) program {
	t.Helper()
	at := filepath.Join(t.TempDir(), "webapp.exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", at, "../../../examples/webapp").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program(at)
}

// process is the program, running.
type process struct {
	at   string // its URL
	kill func()
}

func (p program) start(t *testing.T, env []string, storeURL string) *process {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), string(p), "-addr", "127.0.0.1:0", "-store", storeURL)
	cmd.Env = append(os.Environ(), env...)
	said := &strings.Builder{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	at, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		kill()
		t.Fatalf("the program printed %q, then: %v\n%s", line, err, said)
	}
	return &process{at, kill}
}

// browser keeps cookies and does not follow redirects.
type browser struct {
	t   *testing.T
	jar *cookiejar.Jar
	c   *http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	ok(t, err)
	return &browser{t, jar, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) cookies(p *process) []*http.Cookie { return b.jar.Cookies(parse(b.t, p.at)) }

// do reports what is wrong by t.Error: browsers work in goroutines too.
func (b *browser) do(method string, p *process, path string, form urls.Values, status int) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, p.at+path, strings.NewReader(form.Encode()))
	if err == nil {
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		var res *http.Response
		if res, err = b.c.Do(req); err == nil {
			defer func() { _ = res.Body.Close() }()
			var text []byte
			if text, err = io.ReadAll(res.Body); err == nil && res.StatusCode != status {
				err = fmt.Errorf("status %d, want %d: %s", res.StatusCode, status, text)
			}
			if err == nil {
				return string(text)
			}
		}
	}
	b.t.Errorf("%s %s: %v", method, path, err)
	return ""
}

func (b *browser) get(p *process, path string) string {
	b.t.Helper()
	return b.do(http.MethodGet, p, path, nil, http.StatusOK)
}

func (b *browser) post(p *process, path string) {
	b.t.Helper()
	b.do(http.MethodPost, p, path, nil, http.StatusSeeOther)
}

func (b *browser) signIn(p *process) {
	b.t.Helper()
	b.do(http.MethodPost, p, "/login", urls.Values{"user": {"demo"}, "password": {"demo"}}, http.StatusSeeOther)
}

// is checks who the browser is to the process, and how many visits it has made.
func (b *browser) is(p *process, authenticated bool, visits int) {
	b.t.Helper()
	var got struct {
		Authenticated bool `json:"authenticated"`
		Visits        int  `json:"visits"`
	}
	ok(b.t, json.Unmarshal([]byte(b.get(p, "/api/session")), &got))
	if got.Authenticated != authenticated || got.Visits != visits {
		b.t.Fatalf("signed in: %v with %d visits, want %v with %d", got.Authenticated, got.Visits, authenticated, visits)
	}
}
