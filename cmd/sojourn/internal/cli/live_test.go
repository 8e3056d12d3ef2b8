package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var visits = session.NewKey[int]("visits")

// liveSite is a web site on two nodes, with clients that never stop.
type liveSite struct {
	t     *testing.T
	nodes [2]atomic.Pointer[http.Handler]
	urls  [2]string

	stop    atomic.Bool
	clients sync.WaitGroup
	mu      sync.Mutex
	more    sync.Cond
	done    int // requests
}

// newLiveSite starts both nodes on a backend, and the clients.
func newLiveSite(t *testing.T, b driver.ModelExpirySupport) *liveSite {
	t.Helper()
	s := &liveSite{t: t}
	s.more.L = &s.mu
	for i := range s.nodes {
		s.put(i, b)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.nodes[i].Load()).ServeHTTP(w, r) }))
		t.Cleanup(server.Close)
		s.urls[i] = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // one host for both: a cookie knows no port
	}
	const clients = 6
	for n := range clients {
		s.clients.Go(func() { s.client(fmt.Sprint("person-", n)) })
	}
	return s
}

// end stops the clients.
func (s *liveSite) end() {
	s.stop.Store(true)
	s.clients.Wait()
}

// put makes a node answer from a backend.
func (s *liveSite) put(node int, b driver.ModelExpirySupport) {
	s.t.Helper()
	svc, err := session.New(b, &session.Options{SweptElsewhere: true, Timeout: time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		current, err := session.Require(r.Context())
		if err == nil {
			err = current.SignIn(r.Context(), r.FormValue("name"), nil)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		err := visits.Update(r.Context(), func(n *int) error { *n++; return nil })
		n, _, getErr := visits.Get(r.Context())
		name, _, principalErr := session.User(r.Context())
		if err != nil || getErr != nil || principalErr != nil {
			http.Error(w, fmt.Sprint(err, getErr, principalErr), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprint(w, name, " ", n)
	})
	h := sessionhttp.Handler(svc, mux)
	s.nodes[node].Store(&h)
}

// client signs in and then visits both nodes in turn. Each answer must be its own
// and count its visits.
func (s *liveSite) client(name string) {
	defer func() { // who waits for visits sees that there are no more
		s.mu.Lock()
		defer s.mu.Unlock()
		s.more.Broadcast()
	}()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	c := &http.Client{Jar: jar, Timeout: time.Minute}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.urls[0]+"/sign-in", strings.NewReader("name="+name))
	if err != nil {
		s.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := answer(c, req); err != nil {
		s.t.Error(err)
		return
	}
	for n := 1; !s.stop.Load(); n++ {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.urls[n%2]+"/", http.NoBody)
		if err != nil {
			s.t.Error(err)
			return
		}
		got, err := answer(c, req)
		s.mu.Lock()
		s.done++
		s.more.Broadcast()
		s.mu.Unlock()
		if want := name + " " + strconv.Itoa(n); err != nil || got != want {
			s.t.Errorf("visit of %s: %q %v, want %q", name, got, err, want)
			return
		}
	}
}

func answer(c *http.Client, req *http.Request) (string, error) {
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// visited waits until the clients have made n more requests.
func (s *liveSite) visited(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for until := s.done + n; s.done < until && !s.t.Failed(); {
		s.more.Wait()
	}
}

// move moves the site from one backend to another one, node by node.
func (s *liveSite) move(from, to driver.ModelExpirySupport) {
	t := s.t
	t.Helper()
	if err := driver.CreateStorage(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	opts := &cutover.Options{Timeout: time.Minute, OnLag: func(_ context.Context, id string, err error) { t.Errorf("%s lags: %v", id, err) }}
	there, err := cutover.NewDualWrite(from, to, opts)
	if err != nil {
		t.Fatal(err)
	}
	both, err := cutover.NewDualRead(from, to, opts)
	if err != nil {
		t.Fatal(err)
	}
	back, err := cutover.NewDualWrite(to, from, opts)
	if err != nil {
		t.Fatal(err)
	}
	const some = 40
	for i, step := range []driver.ModelExpirySupport{there, both, back, to} {
		for node := range s.nodes {
			s.put(node, step)
			s.visited(some)
		}
		if i > 0 || t.Failed() {
			continue
		}
		// A pass can find records that are just being written to both. One that changes
		// all the time is for the next call, as its documentation says.
		const calls = 10
		for n := range calls {
			state, err := cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{PageSize: 2, Passes: 3})
			if state.Failed == 0 && state.Seen > 0 && err == nil {
				break
			}
			if n == calls-1 || !errors.Is(err, model.ErrConflict) {
				t.Fatalf("copy: %+v %v", state, err)
			}
		}
	}
}

// TestNobodyIsSignedOutByAMove moves a live site through four backends.
func TestNobodyIsSignedOutByAMove(t *testing.T) {
	t.Chdir(t.TempDir())
	places := []string{
		"file:data?name=sessions&no_sync=true",
		containers.Redis(t).URL + "?name=" + freshName("live-"),
		"sqlite:" + filepath.Join(".", "live.db"),
		"bbolt:live.bolt?no_sync=true",
	}
	moveThrough(t, places)
}

func moveThrough(t *testing.T, places []string) {
	t.Helper()
	at := openURL(t, places[0])
	if err := driver.CreateStorage(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	s := newLiveSite(t, at)
	defer s.end()
	s.visited(50)
	for _, place := range places[1:] {
		to := openURL(t, place)
		s.move(at, to)
		at = to
	}
	s.visited(50)
}

// TestNobodyIsSignedOutByAMoveBetweenServers moves a live site from Redis to
// DynamoDB and PostgreSQL, and examines the last one.
func TestNobodyIsSignedOutByAMoveBetweenServers(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts two more servers")
	}
	t.Chdir(t.TempDir())
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"} {
		t.Setenv(name, value)
	}
	postgres := containers.Postgres(t).URL
	join := "?"
	if strings.Contains(postgres, "?") {
		join = "&"
	}
	postgres += join + "table=" + strings.ReplaceAll(freshName("live_"), "-", "_")
	moveThrough(t, []string{
		containers.Redis(t).URL + "?name=" + freshName("live-"),
		"dynamodb://" + freshName("live-") + "?region=eu-west-1&endpoint=" + url.QueryEscape(containers.DynamoDB(t).URL),
		postgres,
	})
	env := environment{"SOJOURN_URL": postgres}
	run(t, env, "sessions", "person-1").want(t, exitDone, "person-1")
	run(t, env, "init", "--dry-run").want(t, exitDone, "CREATE TABLE")
	for setting, texts := range map[string][]string{
		"-c synchronous_commit=off":                     {"durability", "synchronous_commit off"},
		"-c default_transaction_isolation=serializable": {"isolation", "serializable"},
	} {
		t.Setenv("PGOPTIONS", setting)
		run(t, env, "doctor").want(t, exitWarning, texts...)
	}
	t.Setenv("PGOPTIONS", "-c default_transaction_read_only=on")
	run(t, env, "doctor").want(t, exitUnsafe, "read-only")
	t.Setenv("PGOPTIONS", "")
	none := environment{"SOJOURN_URL": postgres + "_none"}
	run(t, none, "doctor").want(t, exitUnsafe, "CreateStorage")
}
