package mongo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// unreachable returns a database of a server that does not answer.
func unreachable(t testing.TB) *mongodriver.Database {
	t.Helper()
	return connect(t, options.Client().ApplyURI("mongodb://127.0.0.1:1/?directConnection=true")).Database("shop")
}

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
		if got := newBackend(t, unreachable(t), "carts", test.opts).StoragePlan(); got != test.want {
			t.Errorf("got\n%s\nwant\n%s", got, test.want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	db := unreachable(t)
	errs := map[string]error{}
	_, errs["no database"] = New(nil, "n", nil)
	for what, name := range map[string]string{
		"no name": "", "a long name": strings.Repeat("n", 251), "a dollar": "a$", "NUL": "a\x00", "no UTF-8": "a\xff",
		"a system collection": "system.users", "a dot at the start": ".a", "a dot at the end": "a.",
	} {
		_, errs[what] = New(db, name, nil)
	}
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	for what, opts := range map[string]Options{
		"a label": {Labels: []string{"No"}}, "a label twice": {Labels: []string{"a", "b", "a"}}, "many labels": {Labels: many},
		"a long grace": {GraceTTL: 100 * 365 * 24 * time.Hour}, "too large": {MaxValue: maxValue + 1}, "a negative size": {MaxValue: -1},
	} {
		_, errs[what] = New(db, "n", &opts)
	}
	drivertest.NewErrors(t, "mongo", errs)
}

func TestDescribe(t *testing.T) {
	db := unreachable(t)
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
		b := newBackend(t, db, "n", test.opts)
		if d := b.Describe(); d.Backend != "mongo" || fmt.Sprint(d.Labels) != test.labels || d.MaxValue != test.size || b.grace != test.grace {
			t.Errorf("%s: %+v, grace %d", name, d, b.grace)
		}
	}
}
