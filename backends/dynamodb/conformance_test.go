package dynamodb

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend with a proxy of its own, which sees the requests
// that it has something to do with. Each store is a table.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	own := client(t)
	var proxies sync.Map // by *Backend
	return conformance.Harness{
		Cases: 438,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			b, err := New(clientBy(shortcut{p}, containers.DynamoDB(t).URL, marked), name, &Options{Labels: []string{"principal", "state"}})
			if err != nil {
				t.Fatal(err)
			}
			b.tried.Store(true) // TestCheck has the trials
			b.pause = shortly
			proxies.Store(b, p)
			return drivertest.NewCallLoser(b).StalledBy(p.stall)
		},
		Stall: drivertest.Stall,
		Delay: func(t testing.TB, wrapped driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			b, ok := wrapped.(*Backend)
			for !ok {
				wrapped = wrapped.(driver.Unwrapper).Unwrap()
				b, ok = wrapped.(*Backend)
			}
			p, _ := proxies.Load(b)
			p.(*proxy).delays(b, d)
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			b, err := New(own, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if table, err := b.describe(t.Context()); err != nil {
				t.Fatal(err)
			} else if table == nil {
				in := b.definition()
				withoutIndex(in)
				if _, err := own.CreateTable(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() {
				_, _ = own.DeleteTable(context.WithoutCancel(t.Context()), &awsdynamodb.DeleteTableInput{TableName: &b.table})
			})
			putItem(t, own, name, order())
			return func(t testing.TB) {
				t.Helper()
				if !slices.ContainsFunc(itemsOf(t, b), func(it attributes) bool { return reflect.DeepEqual(it, order()) }) {
					t.Fatal("another program's item is gone")
				}
			}
		},
		Server:   containers.DynamoDB(t).String(),
		LoseNext: drivertest.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			it := recordKey(id)
			it["data"] = blob(data)
			putItem(t, own, name, it)
		},
	}
}
