package dynamodb

import (
	"net/http"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// dated answers with another date than the server's, or with none.
type dated struct {
	http.RoundTripper
	off  time.Duration
	none bool
}

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

// TestClock has servers whose clock differs from this one.
func TestClock(t *testing.T) {
	base := open(t, nil)
	newOn := func(through http.RoundTripper) *Backend {
		b, err := New(clientBy(through, containers.DynamoDB(t).URL), base.table, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, test := range map[string]struct {
		server dated
		level  driver.CheckLevel
		words  string
	}{
		"right":      {dated{}, driver.CheckRight, "the same"},
		"ahead":      {dated{off: 10 * time.Second}, driver.CheckWarning, "ahead by"},
		"behind":     {dated{off: -10 * time.Second}, driver.CheckWarning, "behind by"},
		"far ahead":  {dated{off: 10 * time.Minute}, driver.CheckUnsafe, "NTP"},
		"far behind": {dated{off: -10 * time.Minute}, driver.CheckUnsafe, "NTP"},
		"no date":    {dated{none: true}, driver.CheckUnknown, "compare"},
		"early TTL":  {dated{off: 2 * time.Hour}, driver.CheckUnsafe, "GraceTTL"},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.RoundTripper = direct
			checks, err := newOn(test.server).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range checks {
				if one.Name == "clock" {
					if one.Level != test.level || !strings.Contains(one.Seen+one.Fix, test.words) {
						t.Errorf("%+v, want %v and %q", one, test.level, test.words)
					}
					return
				}
			}
			t.Errorf("no finding: %+v", checks)
		})
	}
}

// TestCheckOfASharedTable has an item of another program in the table.
func TestCheckOfASharedTable(t *testing.T) {
	b := open(t, nil)
	find := func() driver.Finding {
		t.Helper()
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range checks {
			if one.Name == "table" {
				return one
			}
		}
		t.Fatalf("no finding in %+v", checks)
		return driver.Finding{}
	}
	if one := find(); one.Level != driver.CheckRight {
		t.Errorf("alone: %+v", one)
	}
	if _, err := sdkOf(b).PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: &b.table, Item: itemKey("theirs", "report")}); err != nil {
		t.Fatal(err)
	}
	if one := find(); one.Level != driver.CheckUnsafe || !strings.Contains(one.Seen, "attributes") {
		t.Errorf("shared: %+v", one)
	}
}
