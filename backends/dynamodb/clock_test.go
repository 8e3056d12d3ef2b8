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
	drivertest.RunClock(t, direct, func(through http.RoundTripper) driver.Checker {
		b, err := New(clientBy(through, containers.DynamoDB(t).URL), base.table, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, drivertest.Clock{Name: "early TTL", Off: 2 * time.Hour, Level: driver.CheckUnsafe, Words: "GraceTTL"})
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
