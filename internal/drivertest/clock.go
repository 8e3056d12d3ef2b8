package drivertest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Finding returns the finding with the name. Without one it ends the test.
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

// Clock is a server's clock, and what Check finds of it.
type Clock struct {
	Name  string
	Off   time.Duration // from this machine's clock
	None  bool          // the answers have no date
	Level driver.CheckLevel
	Words string // in what is found, or in what to do
}

// RunClock checks a backend whose server's clock differs from this machine's, as the
// dates of its answers say. Open returns a backend that sends through a transport,
// and direct is the one that reaches the server. More are further clocks.
func RunClock(t *testing.T, direct http.RoundTripper, open func(through http.RoundTripper) driver.Checker, more ...Clock) {
	t.Helper()
	for _, test := range append([]Clock{
		{"right", 0, false, driver.CheckRight, "the same"},
		{"ahead", 10 * time.Second, false, driver.CheckWarning, "ahead by"},
		{"behind", -10 * time.Second, false, driver.CheckWarning, "behind by"},
		{"far ahead", 10 * time.Minute, false, driver.CheckUnsafe, "NTP"},
		{"far behind", -10 * time.Minute, false, driver.CheckUnsafe, "NTP"},
		{"no date", 0, true, driver.CheckUnknown, "compare"},
	}, more...) {
		t.Run(test.Name, func(t *testing.T) {
			checks, err := open(dated{direct, test.Off, test.None}).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if one := Finding(t, checks, "clock"); one.Level != test.Level || !strings.Contains(one.Seen+one.Fix, test.Words) {
				t.Errorf("%+v, want %v and %q", one, test.Level, test.Words)
			}
		})
	}
}

// dated answers with another date than the server's, or with none.
type dated struct {
	http.RoundTripper
	off  time.Duration
	none bool
}

// RoundTrip sends the request and changes the header Date of the answer.
func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := d.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Header.Set("Date", time.Now().Add(d.off).UTC().Format(http.TimeFormat))
		if d.none {
			res.Header.Del("Date")
		}
	}
	return res, err
}
