package dynamodb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestKeysDoNotMeet has ids and labels that could run together.
func TestKeysDoNotMeet(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, key attributes) {
		pk, _ := stringOf(key[attrPK])
		sk, _ := stringOf(key[attrSK])
		if len(pk) > 2048 || len(sk) > 1024 || pk == "" || sk == "" {
			t.Errorf("%s: keys of %d and %d bytes", what, len(pk), len(sk))
		}
		if other, taken := seen[pk+"\x00"+sk]; taken {
			t.Errorf("%s and %s have the same keys", what, other)
		}
		seen[pk+"\x00"+sk] = what
	}
	words := []string{"a", "#", "a#", "#a", "r", "r#", "l#a", "r#a", strings.Repeat("x", model.MaxLabel)}
	for _, id := range append(words, strings.Repeat("i", model.MaxID)) {
		add(fmt.Sprintf("record %q", id), recordKey(id))
		for _, value := range words {
			for _, name := range []string{"a", "ab", strings.Repeat("n", 64)} {
				add(fmt.Sprintf("%q of %s=%q", id, name, value), labelKey(name, value, id))
			}
		}
	}
}

func TestFill(t *testing.T) {
	names, values := fill(attributes{":now": number(1), ":unused": number(2)}, condShape+" AND "+condLive, "SET #value = :now")
	want := map[string]bool{"#format": true, "#revision": true, "#labels": true, "#encoding": true, "#value": true, "#expires": true}
	if len(names) != len(want) {
		t.Errorf("the names are %v", names)
	}
	for token := range want {
		if names[token] != token[1:] {
			t.Errorf("%s is %q", token, names[token])
		}
	}
	for token, n := range map[string]int{":now": 1, ":format": 1, ":B": 1, ":M": 1, ":S": 1} {
		if values[token] == nil || n != 1 {
			t.Errorf("the values are %v", values)
		}
	}
	if len(values) != 5 {
		t.Errorf("the values are %v", values)
	}
	if names, values := fill(nil, ""); names != nil || values != nil {
		t.Errorf("nothing became %v, %v", names, values)
	}
}

func TestShardsAreEven(t *testing.T) {
	n := map[string]int{}
	for i := range 16_000 {
		n[shardOf(fmt.Sprint("id", i))]++
	}
	for i := range shards {
		if got := n[shardName(i)]; got < 800 || got > 1200 {
			t.Errorf("shard %d has %d of 16000", i, got)
		}
	}
	if len(n) != shards || shardOf("id") != "0" {
		t.Errorf("%d shards, and that of id is %s", len(n), shardOf("id"))
	}
}

func TestTokens(t *testing.T) {
	b := testBackend(nil)
	q := driver.Query{Label: "principal", Value: "ann"}
	for _, key := range []attributes{recordKey("id"), labelKey("principal", "ann", "id"), itemKey("\u00ff", "x")} {
		q.After = b.token(&q, key)
		got, err := b.parseToken(&q)
		if err != nil || describeItem(got) != describeItem(key) {
			t.Errorf("%v became %v, %v", key, got, err)
		}
		other := q
		other.Value = "bob"
		if _, err := b.parseToken(&other); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("the token of another listing: %v", err)
		}
		other = q
		for _, token := range []string{q.After[1:], q.After[:len(q.After)-1], q.After + "A", "A" + q.After} {
			if other.After = token; true {
				if _, err := b.parseToken(&other); !errors.Is(err, model.ErrInvalid) {
					t.Errorf("%q: %v", token, err)
				}
			}
		}
	}
	if b.token(&q, nil) != "" {
		t.Error("the end has a token")
	}
}

func TestStoragePlan(t *testing.T) {
	want := `aws dynamodb create-table --table-name carts --billing-mode PAY_PER_REQUEST \
  --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S AttributeName=due,AttributeType=S AttributeName=expires,AttributeType=N \
  --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE \
  --global-secondary-indexes '[{"IndexName":"due","KeySchema":[{"AttributeName":"due","KeyType":"HASH"},{"AttributeName":"expires","KeyType":"RANGE"}],"Projection":{"NonKeyAttributes":["labels"],"ProjectionType":"INCLUDE"}}]'
aws dynamodb wait table-exists --table-name carts
aws dynamodb update-time-to-live --table-name carts \
  --time-to-live-specification Enabled=true,AttributeName=ttl
`
	if got := testBackend(nil).StoragePlan(); got != want {
		t.Errorf("the plan is\n%s", got)
	}
	if got := testBackend(&Options{GraceTTL: -1}); strings.Contains((&Backend{table: "carts", grace: -1, labels: got.labels}).StoragePlan(), "time-to-live") {
		t.Error("a plan without reaping has it all the same")
	}
}

func TestOptions(t *testing.T) {
	c := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"})
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	for name, try := range map[string]func() (*Backend, error){
		"no client":         func() (*Backend, error) { return New(nil, "carts", nil) },
		"no table":          func() (*Backend, error) { return New(c, "", nil) },
		"short table":       func() (*Backend, error) { return New(c, "ab", nil) },
		"long table":        func() (*Backend, error) { return New(c, strings.Repeat("x", 256), nil) },
		"table with spaces": func() (*Backend, error) { return New(c, "a table", nil) },
		"label of capitals": func() (*Backend, error) { return New(c, "carts", &Options{Labels: []string{"A"}}) },
		"label twice":       func() (*Backend, error) { return New(c, "carts", &Options{Labels: []string{"a", "a"}}) },
		"many labels":       func() (*Backend, error) { return New(c, "carts", &Options{Labels: many}) },
	} {
		if b, err := try(); b != nil || !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := New(c, "carts", &Options{Labels: []string{"tenant", "principal"}, GraceTTL: time.Millisecond})
	if err != nil || b.Describe().Labels[0] != "principal" || b.grace != 1000 {
		t.Fatalf("%+v, %v", b, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b.Describe().Backend != "dynamodb" {
		t.Error("Describe after Close")
	}
}
