package elasticsearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestNames(t *testing.T) {
	b := &Backend{name: "carts"}
	epoch := newEpoch()
	if !isEpoch(epoch) || newEpoch() == epoch || b.epochOf(b.indexName(epoch)) != epoch {
		t.Errorf("the epoch is %q", epoch)
	}
	for _, index := range []string{"", "carts", "carts@", "carts@x", b.epochAlias(epoch), "my-" + b.indexName(epoch), "carts@" + strings.ToUpper("a"+epoch[1:]), "cart@" + epoch} {
		if b.epochOf(index) != "" {
			t.Errorf("%q has the epoch %q", index, b.epochOf(index))
		}
	}
	if len((&Backend{name: strings.Repeat("x", maxName)}).epochAlias(epoch)) > 255 {
		t.Error("the alias of the longest name is too long for Elasticsearch")
	}
}

// TestPagePositions gives ids to tokens and back. Tokens of other listings are
// refused.
func TestPagePositions(t *testing.T) {
	b := newBackend(t, clientOn(t, "http://localhost:9200", nil), "carts", nil)
	q := driver.Query{Label: "principal", Value: "ann", Limit: 1}
	for _, id := range []string{"id", "ÿ\u2028<", "x\ny", strings.Repeat("x", model.MaxID)} {
		source, err := marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		position, err := sortedID(&foundDoc{Sort: []json.RawMessage{source}})
		if err != nil {
			t.Fatal(err)
		}
		q.After = b.gate.Token(&q, position)
		if got, err := b.gate.Page(t.Context(), &q); err != nil || got != id {
			t.Errorf("%q became %q, %v", id, got, err)
		}
		for _, other := range []driver.Query{
			{Label: q.Label, Value: "bob", After: q.After}, {After: q.After}, {Label: q.Label, Value: q.Value, After: q.After[1:]},
			{Label: q.Label, Value: q.Value, After: q.After + "A"}, {Label: q.Label, Value: q.Value, After: "A" + q.After}, {Label: q.Label, Value: q.Value, After: "nonsense"},
		} {
			other.Limit = 1
			if _, err := b.Page(t.Context(), drivertest.Now, other); !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%+v: %v, want %v", other, err, model.ErrInvalid)
			}
		}
	}
	for _, sort := range [][]json.RawMessage{nil, {json.RawMessage("null")}, {json.RawMessage("1")}, {json.RawMessage(`""`)}} {
		if _, err := sortedID(&foundDoc{Sort: sort}); !errors.Is(err, model.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", sort, err, model.ErrUnavailable)
		}
	}
}

func TestStoragePlan(t *testing.T) {
	plan := (&Backend{name: "carts", shards: 3, replicas: -1}).StoragePlan()
	line, body, _ := strings.Cut(plan, "\n")
	epoch := strings.TrimPrefix(line, "PUT /carts@")
	var d definition
	if err := json.Unmarshal([]byte(body), &d); err != nil || !isEpoch(epoch) {
		t.Fatalf("the plan is %s, %v", plan, err)
	}
	if len(d.Aliases) != 2 || !d.Aliases["carts"].IsWriteIndex || d.Mappings.Dynamic != "strict" ||
		d.Mappings.Meta[metaKey] != (meta{1, epoch}) || len(d.Mappings.Properties) != 12 {
		t.Errorf("the plan is %s", plan)
	}
	if _, ok := d.Aliases["carts@"+epoch+"@match"]; !ok || fmt.Sprint(d.Settings) != "map[index:map[number_of_replicas:0 number_of_shards:3]]" {
		t.Errorf("the plan is %s", plan)
	}
	if strings.Contains((&Backend{name: "carts"}).StoragePlan(), "settings") {
		t.Error("the plan of the default options has settings")
	}
}

func TestOptions(t *testing.T) {
	c := clientOn(t, "http://localhost:9200", nil)
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	errs := map[string]error{}
	for name, test := range map[string]struct {
		client Client
		index  string
		opts   *Options
	}{
		"no client":         {nil, "carts", nil},
		"nil function":      {clientFunc(nil), "carts", nil},
		"nil client":        {(*es.Client)(nil), "carts", nil},
		"empty client":      {&es.Client{}, "carts", nil},
		"no name":           {c, "", nil},
		"long name":         {c, strings.Repeat("x", maxName+1), nil},
		"capitals":          {c, "Carts", nil},
		"at sign":           {c, "carts@x", nil},
		"dash first":        {c, "-carts", nil},
		"dot first":         {c, ".carts", nil},
		"pattern":           {c, "car*", nil},
		"path":              {c, "a/b", nil},
		"label of capitals": {c, "carts", &Options{Labels: []string{"A"}}},
		"label twice":       {c, "carts", &Options{Labels: []string{"a", "a"}}},
		"many labels":       {c, "carts", &Options{Labels: many}},
		"negative value":    {c, "carts", &Options{MaxValue: -1}},
		"huge value":        {c, "carts", &Options{MaxValue: limitMaxValue + 1}},
		"negative shards":   {c, "carts", &Options{Shards: -1}},
	} {
		b, err := New(test.client, test.index, test.opts)
		if b != nil {
			t.Errorf("%s: New returns a backend", name)
		}
		errs[name] = err
	}
	drivertest.NewErrors(t, backendName, errs)
	b, err := New(c, "carts", &Options{Labels: []string{"tenant", "principal"}})
	if err != nil || b.Describe().Labels[0] != "principal" || b.Describe().MaxValue != defaultMaxValue {
		t.Fatalf("%+v, %v", b.Describe(), err)
	}
	must(t, b.Close())
	if b.Describe().Backend != "elasticsearch" {
		t.Error("Describe returns nothing after Close")
	}
}
