package elasticsearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestNames(t *testing.T) {
	b := &Backend{name: "carts"}
	epoch := newEpoch()
	if !isEpoch(epoch) || newEpoch() == epoch || b.epochOf(b.indexName(epoch)) != epoch {
		t.Errorf("the epoch %q", epoch)
	}
	for _, index := range []string{"", "carts", "carts@", "carts@x", b.epochAlias(epoch), "my-" + b.indexName(epoch), "carts@" + strings.ToUpper("a"+epoch[1:]), "cart@" + epoch} {
		if b.epochOf(index) != "" {
			t.Errorf("%q has the epoch %q", index, b.epochOf(index))
		}
	}
	if len((&Backend{name: strings.Repeat("x", maxName)}).epochAlias(epoch)) > 255 {
		t.Error("a name is too long")
	}
}

func TestTokens(t *testing.T) {
	b := &Backend{name: "carts"}
	q := driver.Query{Label: "principal", Value: "ann"}
	for _, id := range []string{"id", "ÿ\u2028<", "x\ny", strings.Repeat("x", model.MaxID)} {
		sort, err := marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		if q.After, err = b.token(&q, []json.RawMessage{sort}); err != nil {
			t.Fatal(err)
		}
		got, err := b.parseToken(&q)
		var back string
		if err != nil || len(got) != 1 || json.Unmarshal(got[0], &back) != nil || back != id {
			t.Errorf("%q became %s, %v", id, got, err)
		}
		for _, other := range []driver.Query{
			{Label: q.Label, Value: "bob", After: q.After}, {After: q.After}, {Label: q.Label, Value: q.Value, After: q.After[1:]},
			{Label: q.Label, Value: q.Value, After: q.After + "A"}, {Label: q.Label, Value: q.Value, After: "A" + q.After}, {Label: q.Label, Value: q.Value, After: "nonsense"},
		} {
			if _, err := b.parseToken(&other); !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%+v: %v", other, err)
			}
		}
	}
	for _, sort := range [][]json.RawMessage{nil, {json.RawMessage("null")}, {json.RawMessage("1")}, {json.RawMessage(`""`)}} {
		if _, err := b.token(&q, sort); !errors.Is(err, model.ErrUnavailable) {
			t.Errorf("%s: %v", sort, err)
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
		d.Mappings.Meta[metaKey] != (meta{1, epoch}) || len(d.Mappings.Properties) != 9 {
		t.Errorf("the plan is %s", plan)
	}
	if _, ok := d.Aliases["carts@"+epoch+"@match"]; !ok || fmt.Sprint(d.Settings) != "map[index:map[number_of_replicas:0 number_of_shards:3]]" {
		t.Errorf("the plan is %s", plan)
	}
	if strings.Contains((&Backend{name: "carts"}).StoragePlan(), "settings") {
		t.Error("a plan of defaults has settings")
	}
}

func TestOptions(t *testing.T) {
	c, err := es.NewClient(es.Config{})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	for name, try := range map[string]func() (*Backend, error){
		"no client":         func() (*Backend, error) { return New(nil, "carts", nil) },
		"an empty client":   func() (*Backend, error) { return New(&es.Client{}, "carts", nil) },
		"no name":           func() (*Backend, error) { return New(c, "", nil) },
		"long name":         func() (*Backend, error) { return New(c, strings.Repeat("x", maxName+1), nil) },
		"capitals":          func() (*Backend, error) { return New(c, "Carts", nil) },
		"an epoch's mark":   func() (*Backend, error) { return New(c, "carts@x", nil) },
		"a dash first":      func() (*Backend, error) { return New(c, "-carts", nil) },
		"a dot first":       func() (*Backend, error) { return New(c, ".carts", nil) },
		"a pattern":         func() (*Backend, error) { return New(c, "car*", nil) },
		"a path":            func() (*Backend, error) { return New(c, "a/b", nil) },
		"label of capitals": func() (*Backend, error) { return New(c, "carts", &Options{Labels: []string{"A"}}) },
		"label twice":       func() (*Backend, error) { return New(c, "carts", &Options{Labels: []string{"a", "a"}}) },
		"many labels":       func() (*Backend, error) { return New(c, "carts", &Options{Labels: many}) },
		"negative value":    func() (*Backend, error) { return New(c, "carts", &Options{MaxValue: -1}) },
		"huge value":        func() (*Backend, error) { return New(c, "carts", &Options{MaxValue: mostMaxValue + 1}) },
		"negative shards":   func() (*Backend, error) { return New(c, "carts", &Options{Shards: -1}) },
	} {
		if b, err := try(); b != nil || !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := New(c, "carts", &Options{Labels: []string{"tenant", "principal"}})
	if err != nil || b.Describe().Labels[0] != "principal" || b.Describe().MaxValue != defaultMaxValue {
		t.Fatalf("%+v, %v", b.Describe(), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b.Describe().Backend != "elasticsearch" {
		t.Error("Describe after Close")
	}
}
