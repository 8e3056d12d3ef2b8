package drivertest

import (
	"net/http"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Finding returns the finding of that name, and ends the test if there is none.
func Finding(t testing.TB, checks driver.Checks, name string) driver.Finding {
	t.Helper()
	for _, f := range checks {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, checks)
	return driver.Finding{}
}

// Dated answers with another date than the server's, or with none.
type Dated struct {
	http.RoundTripper
	Off  time.Duration
	None bool
}

// RoundTrip sends the request and changes the header Date of the answer.
func (d Dated) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := d.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Header.Set("Date", time.Now().Add(d.Off).UTC().Format(http.TimeFormat))
		if d.None {
			res.Header.Del("Date")
		}
	}
	return res, err
}
