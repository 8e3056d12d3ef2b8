package s3

import (
	"net/http"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestClock has servers whose clock differs from this one.
func TestClock(t *testing.T) {
	f := newFake(t, quirks{})
	drivertest.RunClock(t, http.DefaultTransport, func(through http.RoundTripper) driver.Checker {
		return newBackend(t, f.client(t, func(o *awss3.Options) { o.HTTPClient = &http.Client{Transport: through} }), "carts", "app", nil)
	})
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
