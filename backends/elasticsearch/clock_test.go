package elasticsearch

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestClock has servers whose clock differs from this one: what a search took for
// "now" is changed in the answer.
func TestClock(t *testing.T) {
	name := drivertest.Name()
	openOn(t, client(t), name, nil)
	for what, test := range map[string]struct {
		off   time.Duration
		level driver.CheckLevel
		words string
	}{
		"right":      {0, driver.CheckRight, "clock"},
		"ahead":      {10 * time.Second, driver.CheckWarning, "ahead by"},
		"behind":     {-10 * time.Second, driver.CheckWarning, "behind by 9."},
		"far ahead":  {time.Hour, driver.CheckUnsafe, "NTP"},
		"far behind": {-time.Hour, driver.CheckUnsafe, "NTP"},
	} {
		t.Run(what, func(t *testing.T) {
			transport := pool(t)
			b := newBackend(t, clientOn(t, addressOf(t, open(t, nil)), roundTripper(func(r *http.Request) (*http.Response, error) {
				res, err := transport.RoundTrip(r)
				if err != nil || !strings.HasSuffix(r.URL.Path, "/_search") {
					return res, err
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if before, rest, ok := bytes.Cut(body, []byte(`"from":`)); ok {
					number, after, _ := strings.Cut(string(rest), ",")
					if at, err := strconv.ParseFloat(number, 64); err == nil {
						body = append(append(before[:len(before):len(before)], `"from":`...), strconv.FormatFloat(at+float64(test.off.Milliseconds()), 'f', 0, 64)+","+after...)
					}
				}
				res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				return res, err
			})), name, nil)
			b.trusted = true
			checks, err := b.Check(t.Context())
			if err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			one := checks[len(checks)-1]
			if one.Name != "clock" || one.Level != test.level || !strings.Contains(one.Seen+one.Fix+one.Name, test.words) {
				t.Errorf("%+v, want %v and %q", one, test.level, test.words)
			}
		})
	}
}
