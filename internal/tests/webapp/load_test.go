//go:build load

package webapp

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	urls "net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/tools/marks"
)

const (
	loadClients = 16
	loadTime    = time.Minute
	loadTimeout = 10 * time.Second // of one request
)

var page = flag.String("page", "", "a page that gets the figures, between its marks")

// The marks in the page.
const (
	loadBegin = "<!-- figures: make load -->\n"
	loadEnd   = "<!-- end of figures -->\n"
)

// TestLoad sends what visitors do, from 16 clients for a minute, to the program on
// this machine. No request may fail.
func TestLoad(t *testing.T) {
	program := build(t)
	text := fmt.Sprintf("%d clients for %v on %d cores, on the machine of the program. Every request was answered.\n\n", loadClients, loadTime, runtime.NumCPU()) +
		"| store | requests a second | p50 | p99 | longest |\n|---|---|---|---|---|\n"
	for _, s := range stores {
		if s.name != "file" && s.name != "redis" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			p := program.start(t, nil, s.url(t, fmt.Sprintf("load-%d", time.Now().UnixNano())))
			ctx, cancel := context.WithTimeout(t.Context(), loadTime)
			defer cancel()
			var mu sync.Mutex
			var times []time.Duration
			var all sync.WaitGroup
			for range loadClients {
				all.Go(func() {
					own, err := visitor(ctx, p.at)
					mu.Lock()
					defer mu.Unlock()
					times = append(times, own...)
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if len(times) == 0 {
				t.Fatal("no request was answered")
			}
			slices.Sort(times)
			row := fmt.Sprintf("| %s | %.0f | %v | %v | %v |", s.name, float64(len(times))/loadTime.Seconds(),
				at(times, 50), at(times, 99), times[len(times)-1].Round(100*time.Microsecond))
			t.Log(row)
			text += row + "\n"
		})
	}
	if *page != "" && !t.Failed() {
		ok(t, publish(*page, text))
	}
}

// publish puts text between the marks of a page.
func publish(name, text string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	page, err := marks.Put(string(old), loadBegin, loadEnd, text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(page), 0o600)
}

func at(times []time.Duration, percent int) time.Duration {
	return times[len(times)*percent/100].Round(100 * time.Microsecond)
}

// visitor comes as somebody new, again and again, until the time is over. It
// returns how long each request took.
func visitor(ctx context.Context, site string) ([]time.Duration, error) {
	var times []time.Duration
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	for {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return times, err
		}
		c := &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		for _, step := range []struct {
			path   string
			form   urls.Values
			status int
		}{
			{"/", nil, 200}, {"/cart", urls.Values{"item": {"Trail map"}}, 303}, {"/", nil, 200}, {"/static/style.css", nil, 200},
			{"/login", nil, 200}, {"/login", urls.Values{"user": {"demo"}, "password": {"demo"}}, 303},
			{"/", nil, 200}, {"/cart", urls.Values{"item": {"Enamel mug"}}, 303}, {"/", nil, 200}, {"/api/session", nil, 200},
			{"/cart/remove", urls.Values{"item": {"Trail map"}}, 303}, {"/", nil, 200}, {"/logout", urls.Values{}, 303}, {"/goodbye", nil, 200},
		} {
			if ctx.Err() != nil {
				return times, nil
			}
			began := time.Now()
			if err := request(c, site+step.path, step.form, step.status); err != nil {
				return times, err
			}
			times = append(times, time.Since(began))
		}
	}
}

// request runs to its end, also when the time of the load is over.
func request(c *http.Client, url string, form urls.Values, status int) error {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != status {
		return fmt.Errorf("%s %s: status %d, want %d", method, url, res.StatusCode, status)
	}
	return nil
}
