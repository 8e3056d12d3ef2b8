package dynamodb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestKeysAreDistinct has ids and labels that could be confused.
func TestKeysAreDistinct(t *testing.T) {
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
	want := []string{"#encoding", "#expires", "#format", "#labels", "#revision", "#value"}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, want) {
		t.Errorf("the names are %q, want %q", got, want)
	}
	for token, name := range names {
		if name != token[1:] {
			t.Errorf("%s is %q", token, name)
		}
	}
	want = []string{":B", ":M", ":S", ":format", ":now", ":sixteen"}
	if got := slices.Sorted(maps.Keys(values)); !slices.Equal(got, want) {
		t.Errorf("the values are those of %q, want %q", got, want)
	}
	if names, values := fill(nil, ""); names != nil || values != nil {
		t.Errorf("the empty expression uses %v, %v", names, values)
	}
}

func TestShardsAreEven(t *testing.T) {
	n := map[string]int{}
	b := testBackend(t, nil)
	for i := range 16_000 {
		n[b.shardOf(fmt.Sprint("id", i))]++
	}
	for i := range b.shards {
		if got := n[shardName(i)]; got < 800 || got > 1200 {
			t.Errorf("shard %d has %d of 16000", i, got)
		}
	}
	if len(n) != 16 || b.shardOf("id") != "0" {
		t.Errorf("%d shards, and that of id is %s", len(n), b.shardOf("id"))
	}
}

// TestTokens has keys of both kinds of listings, and a key that is not UTF-8.
func TestTokens(t *testing.T) {
	b := testBackend(t, nil)
	page := func(q driver.Query, token string) (attributes, error) {
		q.After, q.Limit = token, 1
		position, err := b.gate.Page(t.Context(), &q)
		if err != nil {
			return nil, err
		}
		return keyOf(position)
	}
	q := driver.Query{Label: "principal", Value: "ann"}
	for _, key := range []attributes{recordKey("id"), labelKey("principal", "ann", "id"), itemKey("\u00ff", "x")} {
		token := b.gate.Token(&q, positionOf(key))
		if got, err := page(q, token); err != nil || describeItem(got) != describeItem(key) {
			t.Errorf("%v became %v, %v", key, got, err)
		}
		if _, err := page(driver.Query{Label: "principal", Value: "bob"}, token); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("the token of another listing: %v", err)
		}
		for _, bad := range []string{token[1:], token[:len(token)-1], token + "A", "A" + token} {
			if _, err := page(q, bad); !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	for _, bad := range []string{"x", "\x00\x03abc"} {
		if _, err := keyOf(bad); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("the position %q: %v", bad, err)
		}
	}
	if b.gate.Token(&q, positionOf(nil)) != "" {
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
	if got := testBackend(t, nil).StoragePlan(); got != want {
		t.Errorf("the plan is\n%s", got)
	}
	if plan := testBackend(t, &Options{GraceTTL: -1}).StoragePlan(); strings.Contains(plan, "time-to-live") {
		t.Errorf("the plan without a TTL is\n%s", plan)
	}
}

func TestOptions(t *testing.T) {
	c := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"})
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = fmt.Sprint("l", i)
	}
	fails := func(c *awsdynamodb.Client, table string, labels ...string) error {
		_, err := New(c, table, &Options{Labels: labels})
		return err
	}
	drivertest.NewErrors(t, "dynamodb", map[string]error{
		"no client":         fails(nil, "carts"),
		"no table":          fails(c, ""),
		"short table":       fails(c, "ab"),
		"long table":        fails(c, strings.Repeat("x", 256)),
		"table with spaces": fails(c, "a table"),
		"label of capitals": fails(c, "carts", "A"),
		"label twice":       fails(c, "carts", "a", "a"),
		"many labels":       fails(c, "carts", many...),
	})
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
