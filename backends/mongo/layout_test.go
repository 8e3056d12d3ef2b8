package mongo

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/model"
)

// nowhere is a database of a server that does not answer.
func nowhere(t testing.TB) *mongodriver.Database {
	t.Helper()
	return clientOf(t, options.Client().ApplyURI("mongodb://127.0.0.1:1/?directConnection=true")).Database("shop")
}

// TestStoragePlan pins the plan.
func TestStoragePlan(t *testing.T) {
	for _, test := range []struct {
		opts *Options
		want string
	}{
		{nil, `db.createCollection("carts")
db.getCollection("carts").createIndex({"exp": 1}, {name: "sojourn expiry", expireAfterSeconds: 3600})
db.getCollection("carts").createIndex({"lab.principal": 1, "_id": 1}, {name: "sojourn label principal", partialFilterExpression: {"lab.principal": {$exists: true}}})
`},
		{&Options{Labels: []string{}, GraceTTL: -1}, `db.createCollection("carts")
db.getCollection("carts").createIndex({"exp": 1}, {name: "sojourn expiry"})
`},
	} {
		b, err := New(nowhere(t), "carts", test.opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.StoragePlan(); got != test.want {
			t.Errorf("got\n%s\nwant\n%s", got, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	db := nowhere(t)
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	tests := map[string]struct {
		db   *mongodriver.Database
		name string
		opts *Options
	}{
		"no database": {nil, "n", nil}, "no name": {db, "", nil}, "a long name": {db, strings.Repeat("n", 251), nil},
		"a dollar": {db, "a$", nil}, "NUL": {db, "a\x00", nil}, "no UTF-8": {db, "a\xff", nil},
		"a system collection": {db, "system.users", nil}, "a dot before": {db, ".a", nil}, "a dot behind": {db, "a.", nil},
		"a label": {db, "n", &Options{Labels: []string{"No"}}}, "a label twice": {db, "n", &Options{Labels: []string{"a", "b", "a"}}},
		"many labels": {db, "n", &Options{Labels: many}}, "a long grace": {db, "n", &Options{GraceTTL: 100 * 365 * 24 * time.Hour}},
		"too large": {db, "n", &Options{MaxValue: maxValue + 1}}, "a negative size": {db, "n", &Options{MaxValue: -1}},
	}
	for name, test := range tests {
		b, err := New(test.db, test.name, test.opts)
		var e *model.Error
		if b != nil || model.Kind(err) != model.ErrInvalid || !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	db := nowhere(t)
	for name, test := range map[string]struct {
		opts   *Options
		labels string
		size   int
		grace  int32
	}{
		"nil":  {nil, "[principal]", 16<<20 - 64<<10, 3600},
		"none": {&Options{Labels: []string{}, GraceTTL: -5}, "[]", 16<<20 - 64<<10, -1},
		"own":  {&Options{Labels: []string{"b", "a"}, MaxValue: 10, GraceTTL: 1}, "[a b]", 10, 1},
	} {
		b, err := New(db, "n", test.opts)
		if err != nil {
			t.Fatal(err)
		}
		if d := b.Describe(); d.Backend != "mongo" || fmt.Sprint(d.Labels) != test.labels || d.MaxValue != test.size || b.grace != test.grace {
			t.Errorf("%s: %+v, %d", name, d, b.grace)
		}
	}
}
