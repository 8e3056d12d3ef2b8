// Package promql holds only tests. They scrape a program that has spans and metrics,
// and run the queries of docs/telemetry with Prometheus' own libraries. It is a
// module of its own because of what these need.
package promql

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	apimetric "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var began = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// faulty is a backend whose reads return an error, if one is set.
type faulty struct {
	driverkit.Wrapper
	mu  sync.Mutex
	err error
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) fail() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *faulty) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := f.fail(); err != nil {
		return model.Record{}, err
	}
	return f.Wrapper.Get(ctx, now, g)
}

func (f *faulty) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	if err := f.fail(); err != nil {
		return driver.Swept{}, err
	}
	return f.Wrapper.DeleteExpired(ctx, s)
}

// site is a program with sessions and metrics for Prometheus.
type site struct {
	clock    *sessiontest.Clock
	inner    *faulty
	backend  driver.ModelExpirySupport
	svc      *session.Service
	sessions *otelsojourn.Sessions
	sweeps   *otelsojourn.Sweeps
	meters   *metric.MeterProvider
	server   *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
	must(t, err)
	s := &site{clock: sessiontest.NewClock(began)}
	s.meters = metric.NewMeterProvider(metric.WithReader(exporter))
	opts := &otelsojourn.Options{
		MeterProvider: s.meters, Collection: "sessions", Clock: s.clock,
	}
	s.sessions, err = otelsojourn.NewSessions(opts)
	must(t, err)
	s.sweeps, err = otelsojourn.NewSweeps(opts)
	must(t, err)
	b, err := memory.New(nil, "sessions", nil)
	must(t, err)
	s.inner = &faulty{Wrapper: driverkit.Wrap(b)}
	s.backend, err = otelsojourn.Wrap(s.inner, opts)
	must(t, err)
	s.svc, err = session.New(s.backend, &session.Options{
		Clock: s.clock, OnEvent: s.sessions.OnEvent, Observe: s.sweeps.Observe,
		Policy: session.Policy{Idle: 3 * time.Minute},
	})
	must(t, err)
	s.server = httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	t.Cleanup(s.server.Close)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scrape asks the program as Prometheus does.
func (s *site) scrape(t *testing.T) (text []byte, contentType string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL, nil)
	must(t, err)
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;escaping=underscores,text/plain;version=0.0.4")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close() //nolint:errcheck // it was read to its end
	text, err = io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the scrape returns %s: %s", res.Status, text)
	}
	return text, res.Header.Get("Content-Type")
}

// work is what happens between two scrapes of a site without faults.
func (s *site) work(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	var token string
	for range 3 {
		one := s.svc.Open("")
		must(t, one.SignIn(ctx, "somebody", nil))
		credential, err := one.Commit(ctx)
		must(t, err)
		token = credential.Token()
	}
	must(t, s.svc.Open(token).SignOut(ctx))
	_, _ = s.svc.Open("nonsense").Principal(ctx)
	n, err := s.svc.Count(ctx)
	must(t, err)
	s.sessions.SetLive(n)
	s.sweep(ctx)
}

// sweep does what a Sweeper does once.
func (s *site) sweep(ctx context.Context) {
	swept, err := s.svc.Sweep(ctx)
	s.sweeps.OnSwept(swept, err)
}

// events are those that a site without attackers has seldom, as the service would
// report them.
func (s *site) events(t *testing.T, list ...session.Event) {
	t.Helper()
	for _, e := range list {
		s.sessions.OnEvent(t.Context(), e)
	}
}

// slow measures an operation that took two seconds. None does that here, so the test
// records it in the backend's stead.
func (s *site) slow(t *testing.T) {
	t.Helper()
	duration, err := dbconv.NewClientOperationDuration(s.meters.Meter(otelsojourn.ScopeName),
		apimetric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10))
	must(t, err)
	duration.Record(t.Context(), 2, "memory", duration.AttrOperationName("Get"), duration.AttrCollectionName("sessions"))
}
