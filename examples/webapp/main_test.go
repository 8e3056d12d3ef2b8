package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// environment returns what looks up a variable.
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// TestTheEnvironmentNamesTheStore has the password apart from the URL, and proves that
// the flag comes first.
func TestTheEnvironmentNamesTheStore(t *testing.T) {
	env := environment(map[string]string{"SOJOURN_URL": "redis://u@127.0.0.1:1", "SOJOURN_PASSWORD": "hunter2"})
	_, err := openStore(t.Context(), "", env)
	if err == nil || !strings.Contains(err.Error(), "environment: the store redis://u:xxxxx@127.0.0.1:1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	b, err := openStore(t.Context(), "memory:", env)
	ok(t, err)
	ok(t, b.Close())
}

// running is the program, started with a command line.
type running struct {
	at   string
	stop func() error
}

func start(t *testing.T, args ...string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append(args, "-addr", "127.0.0.1:0"), environment(nil), in, io.Discard)
		_ = in.Close()
	}()
	var r running
	if _, err := fmt.Fscanf(out, "listening on %s\n", &r.at); err != nil {
		t.Fatal(err, <-done)
	}
	r.stop = func() error { cancel(); return <-done }
	return r
}

func TestRunServesUntilToldToStop(t *testing.T) {
	r := start(t, "-store", "memory:")
	res, err := http.Get(r.at + "/login")
	ok(t, err)
	_ = res.Body.Close()
	ok(t, r.stop())
	if res, err := http.Get(r.at); err == nil {
		_ = res.Body.Close()
		t.Fatal("still serving")
	}
}

func TestRunAgainKeepsTheSessions(t *testing.T) {
	store := "file:" + t.TempDir()
	r := start(t, "-store", store)
	jar, err := cookiejar.New(nil)
	ok(t, err)
	client := &http.Client{Jar: jar}
	res, err := client.PostForm(r.at+"/login", url.Values{"user": {"demo"}, "password": {"demo"}})
	ok(t, err)
	ok(t, res.Body.Close())
	first, err := url.Parse(r.at)
	ok(t, err)
	cookies := jar.Cookies(first)
	ok(t, r.stop())

	r = start(t, "-store", store)
	second, err := url.Parse(r.at)
	ok(t, err)
	jar.SetCookies(second, cookies)
	res, err = client.Get(r.at + "/api/session")
	ok(t, err)
	text, err := io.ReadAll(res.Body)
	ok(t, err)
	ok(t, res.Body.Close())
	if want := `{"authenticated":true,"principal":"demo","visits":1,"cart":[]}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	ok(t, r.stop())
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer func() { _ = taken.Close() }()
	for want, args := range map[string][]string{
		"is in use by another program": {"-store", "memory:", "-addr", taken.Addr().String()},
		"flag -addr":                   {"-store", "memory:", "-addr", "nonsense"},
		"-store":                       {"-store", "cassette:x"},
		"the URL has no scheme":        {"-store", "data"},
		"redis://u:xxxxx@127.0.0.1:1":  {"-store", "redis://u:secret@127.0.0.1:1"},
		"unexpected argument":          {"-store", "memory:", "extra"},
		"not defined":                  {"-nonsense"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := run(ctx, args, environment(nil), io.Discard, &bytes.Buffer{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
