package dynamodb

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
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
	own, url := client(t), containers.DynamoDB(t).URL
	var proxies sync.Map // by *Backend
	return conformance.Harness{
		Cases: 550, // all but those on power cuts, which are DynamoDB's
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t)
			b, err := New(clientBy(shortcut{p}, containers.DynamoDB(t).URL, marked), name, &Options{Labels: []string{"principal", "state"}})
			if err != nil {
				t.Fatal(err)
			}
			b.tried.Store(true) // TestCheck has the trials
			b.pause, b.watch = shortly, drivertest.StandsStill
			proxies.Store(b, p)
			return drivertest.NewCallLoser(b).StalledBy(p.stall)
		},
		Interrupt: drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
			t.Helper()
			b, err := New(clientBy(through.RoundTripper(direct), url), name, &Options{Labels: []string{"principal", "state"}, Partitions: 2})
			if err != nil {
				t.Fatal(err)
			}
			b.tried.Store(!strings.Contains(t.Name(), "/CreateStorageBy"))
			b.pause, b.watch = shortly, drivertest.StandsStill
			return b, nil
		}),
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
		Stored:   func(t testing.TB, name, id string) []conformance.Part { return partsOf(t, at(t, own, name), id) },
		Left:     func(t testing.TB, name string) int { return leftIn(t, at(t, own, name)) },
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			it := recordKey(id)
			it["data"] = blob(data)
			putItem(t, own, name, it)
		},
	}
}

// at returns a backend for the tests' own look at a table.
func at(t testing.TB, own API, name string) *Backend {
	t.Helper()
	b, err := New(own, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// looseAttributes are the attributes that a read returns, with what of a record
// each one holds. Another value in one comes from a request, and is what the item
// says.
var looseAttributes = map[string][]string{
	attrFormat: nil, attrRevision: {"revision"}, attrExpires: {"expiry"}, attrEncoding: {"encoding"}, attrValue: {"value"},
}

// partsOf returns the attributes of a record's item, and its labels.
func partsOf(t testing.TB, b *Backend, id string) (parts []conformance.Part) {
	t.Helper()
	it := itemOf(t, b, recordKey(id))
	add := func(name string, loose []string, v types.AttributeValue, set func(attributes, types.AttributeValue)) {
		data, with := scalar(v)
		parts = append(parts, conformance.Part{Name: "attribute " + name, Bytes: data, Loose: loose, Put: func(t testing.TB, data []byte) bool {
			t.Helper()
			changed, ok := with(data)
			if !ok {
				return false
			}
			now := itemOf(t, b, recordKey(id))
			set(now, changed)
			_, err := b.client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: &b.table, Item: now})
			if err != nil && codeOf(err) != "ValidationException" {
				t.Fatal(err)
			}
			return err == nil
		}})
	}
	for name, loose := range looseAttributes {
		if v, ok := it[name]; ok {
			add(name, loose, v, func(now attributes, v types.AttributeValue) { now[name] = v })
		}
	}
	labels, _ := it[attrLabels].(*types.AttributeValueMemberM)
	for label, v := range labels.Value {
		add(attrLabels+"."+label, []string{"labels"}, v, func(now attributes, v types.AttributeValue) {
			now[attrLabels].(*types.AttributeValueMemberM).Value[label] = v
		})
	}
	return parts
}

// scalar returns the bytes of an attribute, and a function that returns one of
// the same type with other bytes.
func scalar(v types.AttributeValue) (data []byte, with func([]byte) (types.AttributeValue, bool)) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return []byte(v.Value), func(data []byte) (types.AttributeValue, bool) { return str(string(data)), utf8.Valid(data) }
	case *types.AttributeValueMemberN:
		return []byte(v.Value), func(data []byte) (types.AttributeValue, bool) {
			return &types.AttributeValueMemberN{Value: string(data)}, utf8.Valid(data)
		}
	case *types.AttributeValueMemberB:
		return v.Value, func(data []byte) (types.AttributeValue, bool) { return blob(data), true }
	}
	return nil, func([]byte) (types.AttributeValue, bool) { return nil, false }
}

// leftIn counts a table, its items, their attributes and their labels.
func leftIn(t testing.TB, b *Backend) int {
	t.Helper()
	table, err := b.describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if table == nil {
		return 0
	}
	n := 1
	for _, it := range itemsOf(t, b) {
		n += 1 + len(it)
		if labels, ok := it[attrLabels].(*types.AttributeValueMemberM); ok {
			n += len(labels.Value)
		}
	}
	return n
}
