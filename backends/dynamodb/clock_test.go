package dynamodb

import (
	"net/http"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

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
		"early TTL":  {drivertest.Dated{Off: 2 * time.Hour}, driver.CheckUnsafe, "GraceTTL"},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.RoundTripper = direct
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

// TestCheckOfASharedTable has an item of another program in the table.
func TestCheckOfASharedTable(t *testing.T) {
	b := open(t, nil)
	find := func() driver.Finding {
		t.Helper()
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return drivertest.Finding(t, checks, "table")
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
