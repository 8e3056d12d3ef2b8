package s3

import (
	"net/http"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestClock has servers whose clock differs from this one.
func TestClock(t *testing.T) {
	f := newFake(t, quirks{})
	newOn := func(through http.RoundTripper) *Backend {
		return newBackend(t, f.client(t, func(o *awss3.Options) { o.HTTPClient = &http.Client{Transport: through} }), "carts", "app", nil)
	}
	for name, test := range map[string]struct {
		server drivertest.Dated
		level  driver.CheckLevel
		words  string
	}{
		"right":      {drivertest.Dated{}, driver.CheckRight, "the same"},
		"ahead":      {drivertest.Dated{Off: 10 * time.Second}, driver.CheckWarning, "ahead by"},
		"behind":     {drivertest.Dated{Off: -10 * time.Second}, driver.CheckWarning, "behind by"},
		"far ahead":  {drivertest.Dated{Off: 10 * time.Minute}, driver.CheckUnsafe, "NTP"},
		"far behind": {drivertest.Dated{Off: -10 * time.Minute}, driver.CheckUnsafe, "NTP"},
		"no date":    {drivertest.Dated{None: true}, driver.CheckUnknown, "compare"},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.RoundTripper = http.DefaultTransport
			checks, err := newOn(test.server).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if one := drivertest.Finding(t, checks, "clock"); one.Level != test.level || !strings.Contains(one.Seen+one.Fix, test.words) {
				t.Errorf("%+v, want %v and %q", one, test.level, test.words)
			}
		})
	}
}

// TestCheckOfASharedPrefix has an object of another program below the prefix.
func TestCheckOfASharedPrefix(t *testing.T) {
	f := newFake(t, quirks{})
	b := newBackend(t, f.client(t), "carts", "app", nil)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	find := func() driver.Finding {
		t.Helper()
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return drivertest.Finding(t, checks, "prefix")
	}
	if one := find(); one.Level != driver.CheckRight {
		t.Errorf("alone: %+v", one)
	}
	f.mu.Lock()
	f.objects["carts/app/theirs/report.csv"] = []byte("x")
	f.mu.Unlock()
	if one := find(); one.Level != driver.CheckUnsafe || !strings.Contains(one.Seen, "theirs/report.csv") {
		t.Errorf("shared: %+v", one)
	}
}
