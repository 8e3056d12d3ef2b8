package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func noItems(t testing.TB, b *Backend) {
	t.Helper()
	if items := itemsOf(t, b); len(items) > 0 {
		t.Fatalf("items are left: %v", items)
	}
}

// bearers are the ids that ann bears.
func bearers(t testing.TB, b *Backend) []string {
	t.Helper()
	var ids []string
	q := driver.Query{Label: "principal", Value: "ann", Limit: 100, KeysOnly: true}
	for {
		p, err := b.Page(t.Context(), testNow, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		if q.After = p.Next; q.After == "" {
			slices.Sort(ids)
			return ids
		}
	}
}

// labelItems are the keys of the label items that the table has.
func labelItems(t testing.TB, b *Backend) []string {
	t.Helper()
	var keys []string
	for _, it := range itemsOf(t, b) {
		pk, _ := stringOf(it[attrPK])
		sk, _ := stringOf(it[attrSK])
		if strings.HasPrefix(pk, labelPrefix) {
			keys = append(keys, pk+" "+sk)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestServerTTL reads what DynamoDB knows of the expiry: whole seconds, at the
// expiry and the grace, rounded up, and nothing where it is cleared.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10 * time.Minute})
	without := open(t, &Options{GraceTTL: -1})
	ctx := t.Context()
	is := func(step string, want time.Duration) {
		t.Helper()
		it := itemOf(t, b, recordKey("id"))
		_, due := it[attrDue]
		if want == 0 {
			if it[attrTTL] != nil || it[attrExpires] != nil || due {
				t.Fatalf("%s: %v", step, it)
			}
			return
		}
		got, ok := intOf(it[attrTTL])
		at := testNow.Add(want + 10*time.Minute)
		if second := at.Unix() + 1; !ok || got != second || !due { // testNow has 6 ms
			t.Fatalf("%s: the attribute is %d, want %d", step, got, second)
		}
	}
	write := func(w driver.Write) {
		t.Helper()
		if _, err := b.Write(ctx, testNow, w); err != nil {
			t.Fatal(err)
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	write(driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAbsent})
	is("create", time.Hour)
	write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
	is("update that keeps it", time.Hour)
	write(driver.Write{Record: record("id", "", 3*time.Hour), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
	is("update that gives another", 3*time.Hour)
	touch(driver.TouchSet, time.Hour)
	is("set", time.Hour)
	touch(driver.TouchExtend, 2*time.Hour)
	is("extend", 2*time.Hour)
	touch(driver.TouchExtend, time.Hour)
	is("extend to an earlier time", 2*time.Hour)
	touch(driver.TouchClear, 0)
	is("clear", 0)
	touch(driver.TouchSet, time.Hour)
	write(driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
	is("update without one", 0)
	touch(driver.TouchSet, time.Hour)
	write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfPresent})
	is("update without one and with labels", 0)
	write(driver.Write{Record: record("id", "ann", 2*time.Hour), Cond: driver.IfAny})
	is("upsert", 2*time.Hour)

	seed(t, without, record("id", "ann", time.Hour))
	if it := itemOf(t, without, recordKey("id")); it[attrTTL] != nil || it[attrExpires] == nil {
		t.Errorf("without reaping: %v", it)
	}
	for store, want := range map[*Backend]bool{b: true, without: false} {
		out, err := store.client.DescribeTimeToLive(ctx, &awsdynamodb.DescribeTimeToLiveInput{TableName: &store.table})
		if err != nil {
			t.Fatal(err)
		}
		d := out.TimeToLiveDescription
		if on := d.TimeToLiveStatus == types.TimeToLiveStatusEnabled; on != want || on && aws.ToString(d.AttributeName) != attrTTL {
			t.Errorf("the table reaps: %+v, want %v", d, want)
		}
	}
}

// TestNothingIsLeft deletes and sweeps: no item stays.
func TestNothingIsLeft(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	for i := range 60 {
		r := record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["tenant"] = fmt.Sprint(i % 3)
		seed(t, b, r)
	}
	for i := range 30 {
		if err := b.Delete(t.Context(), testNow, driver.Delete{ID: fmt.Sprint("id", i), Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 100})
	if err != nil || swept.Removed != 30 || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	noItems(t, b)
}

// TestLabelsAreWrittenWithTheirRecord asserts that there is no step between a
// record and its label items at which a crash could leave them apart: each
// write that changes both is one transaction.
func TestLabelsAreWrittenWithTheirRecord(t *testing.T) {
	b, p := proxied(t, &Options{Labels: []string{"principal", "tenant"}})
	ctx := t.Context()
	full := func(principal, tenant string) model.Record {
		r := record("id", "", time.Hour)
		r.Labels = map[string]string{}
		for name, value := range map[string]string{"principal": principal, "tenant": tenant} {
			if value != "" {
				r.Labels[name] = value
			}
		}
		return r
	}
	prev := full("ann", "t1")
	steps := []struct {
		name string
		w    driver.Write
		want []string
	}{
		{"create", driver.Write{Record: prev, Cond: driver.IfAbsent}, []string{"l#principal#ann id", "l#tenant#t1 id"}},
		{"one changes", driver.Write{Record: full("bob", "t1"), Cond: driver.IfMatch}, []string{"l#principal#bob id", "l#tenant#t1 id"}},
		{"both change", driver.Write{Record: full("ann", "t2"), Cond: driver.IfMatch}, []string{"l#principal#ann id", "l#tenant#t2 id"}},
		{"one goes", driver.Write{Record: full("", "t2"), Cond: driver.IfMatch}, []string{"l#tenant#t2 id"}},
		{"one comes", driver.Write{Record: full("x#y", "t2"), Cond: driver.IfMatch}, []string{"l#principal#x#y id", "l#tenant#t2 id"}},
		{"all go", driver.Write{Record: full("", ""), Cond: driver.IfMatch}, nil},
		{"all come", driver.Write{Record: full("ann", "t1"), Cond: driver.IfMatch}, []string{"l#principal#ann id", "l#tenant#t1 id"}},
	}
	for _, step := range steps {
		p.take()
		step.w.Known = prev
		if _, err := b.Write(ctx, testNow, step.w); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := p.take(); !slices.Equal(got.ops, []string{"TransactWriteItems"}) {
			t.Errorf("%s: %v on the wire", step.name, got.ops)
		}
		if got := labelItems(t, b); !slices.Equal(got, step.want) {
			t.Errorf("%s: the label items are %q, want %q", step.name, got, step.want)
		}
		prev = step.w.Record
	}
	p.take()
	if err := b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: prev}); err != nil {
		t.Fatal(err)
	}
	if got := p.take(); !slices.Equal(got.ops, []string{"TransactWriteItems"}) {
		t.Errorf("delete: %v on the wire", got.ops)
	}
	noItems(t, b)
}

// TestReaped removes records behind the backend's back, as DynamoDB's TTL does:
// listings and counts pass over what is left of them, and remove it.
func TestReaped(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	reap := func(id string) {
		t.Helper()
		if _, err := b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: recordKey(id)}); err != nil {
			t.Fatal(err)
		}
	}
	seed(t, b, record("gone", "ann", time.Hour), record("counted", "ann", time.Hour), record("again", "ann", time.Hour), record("here", "ann", time.Hour))
	reap("gone")
	reap("again")
	seed(t, b, record("again", "bob", 0))
	if got := bearers(t, b); !slices.Equal(got, []string{"counted", "here"}) {
		t.Errorf("ann bears %v", got)
	}
	if got := labelItems(t, b); !slices.Equal(got, []string{"l#principal#ann counted", "l#principal#ann here", "l#principal#bob again"}) {
		t.Errorf("after a listing, the label items are %q", got)
	}
	reap("counted")
	if n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if got := labelItems(t, b); !slices.Equal(got, []string{"l#principal#ann here", "l#principal#bob again"}) {
		t.Errorf("after a count, the label items are %q", got)
	}
	// What bears the label keeps its item, whoever asks for its removal.
	b.prune(ctx, "principal", "ann", []string{"here"})
	if got := bearers(t, b); !slices.Equal(got, []string{"here"}) {
		t.Errorf("ann bears %v", got)
	}
}

// TestUnreadable puts what is no record under an id: an error for that id
// alone, which nothing but an upsert overwrites.
func TestUnreadable(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	whole := record("bad", "ann", time.Hour)
	with := func(change func(it attributes)) attributes {
		it := b.encode(&whole)
		change(it)
		return it
	}
	tests := map[string]attributes{
		"foreign":          recordKey("bad"),
		"a newer version":  with(func(it attributes) { it[attrFormat] = number(2) }),
		"no version":       with(func(it attributes) { delete(it, attrFormat) }),
		"version in words": with(func(it attributes) { it[attrFormat] = str("1") }),
		"no revision":      with(func(it attributes) { delete(it, attrRevision) }),
		"revision of text": with(func(it attributes) { it[attrRevision] = str("0123456789abcdef") }),
		"no labels":        with(func(it attributes) { delete(it, attrLabels) }),
		"labels of text":   with(func(it attributes) { it[attrLabels] = str("ann") }),
		"no encoding":      with(func(it attributes) { delete(it, attrEncoding) }),
		"no value":         with(func(it attributes) { delete(it, attrValue) }),
		"its own labels":   {attrPK: str("r#bad"), attrSK: str("r"), attrLabels: str("x"), "color": str("red")},
	}
	for name, it := range tests {
		t.Run(name, func(t *testing.T) {
			seed(t, b, whole, record("good", "ann", 0))
			putItem(t, b.client, b.table, it)
			before := itemOf(t, b, recordKey("bad"))

			_, err := b.Get(ctx, testNow, driver.Get{ID: "bad"})
			only(t, err, model.ErrCorrupt)
			only(t, b.GetMany(ctx, testNow, driver.Gets("good", "bad"))[1].Err, model.ErrCorrupt)
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
				for _, r := range []model.Record{record("bad", "bob", 0), record("bad", "", 0)} {
					_, err := b.Write(ctx, testNow, driver.Write{Record: r, Cond: cond, Known: whole})
					only(t, err, model.ErrCorrupt)
				}
			}
			_, err = b.Write(ctx, testNow, driver.Write{Record: whole, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
			only(t, err, model.ErrCorrupt)
			for _, mode := range []driver.TouchMode{driver.TouchSet, driver.TouchExtend, driver.TouchClear} {
				_, err = b.Touch(ctx, testNow, driver.Touch{ID: "bad", Mode: mode, ExpiresAt: testNow.Add(2 * time.Hour)})
				only(t, err, model.ErrCorrupt)
			}
			only(t, b.Delete(ctx, testNow, driver.Delete{ID: "bad", Cond: driver.IfPresent}), model.ErrCorrupt)
			only(t, b.Delete(ctx, testNow, driver.Delete{ID: "bad", Cond: driver.IfMatch, Known: whole}), model.ErrCorrupt)
			for _, each := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
				if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(2 * time.Hour), Limit: 10, OnExpire: each}); err != nil || swept.Removed != 0 || swept.More {
					t.Fatalf("sweep: %+v, %v", swept, err)
				}
			}
			if after := itemOf(t, b, recordKey("bad")); describeItem(after) != describeItem(before) {
				t.Fatalf("it was overwritten: %v", after)
			}
			for _, q := range []driver.Query{
				{Limit: 10}, {Limit: 10, Label: "principal", Value: "ann"},
			} {
				p, err := b.Page(ctx, testNow, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"bad"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			if n, err := b.Count(ctx, testNow, driver.Query{Label: ""}); err != nil || n != 1 {
				t.Fatalf("%d counted, %v", n, err)
			}
			seed(t, b, record("bad", "bob", 0))
			if got := bearers(t, b); !slices.Equal(got, []string{"good"}) {
				t.Fatalf("ann bears %v", got)
			}
			for _, id := range []string{"bad", "good"} {
				if err := b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
					t.Fatal(err)
				}
			}
			noItems(t, b)
		})
	}
}

// describeItem is an item as text, for comparing.
func describeItem(it attributes) string {
	var lines []string
	for name, v := range it {
		data, isBytes := v.(*types.AttributeValueMemberB)
		if isBytes {
			lines = append(lines, fmt.Sprintf("%s: bytes %q", name, data.Value))
		} else {
			lines = append(lines, fmt.Sprintf("%s: %v", name, plain(v)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestForeignItemsAreNoRecords has items of other keys in the table: listings
// and sweeps pass over them.
func TestForeignItemsAreNoRecords(t *testing.T) {
	b := open(t, nil)
	seed(t, b, record("id", "ann", time.Hour))
	for _, key := range []attributes{itemKey("x", "y"), itemKey("r#id", "other"), itemKey("r#", "r"), itemKey("l#principal#ann", "nobody")} {
		key[attrDue], key[attrExpires] = str("0"), millis(testNow)
		putItem(t, b.client, b.table, key)
	}
	ctx := t.Context()
	for _, limit := range []int{1, 10} {
		q := driver.Query{Limit: limit}
		var ids []string
		for {
			p, err := b.Page(ctx, testNow, q)
			if err != nil || len(p.Corrupt) > 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			for _, r := range p.Records {
				ids = append(ids, r.ID)
			}
			if q.After = p.Next; q.After == "" {
				break
			}
		}
		if !slices.Equal(ids, []string{"id"}) {
			t.Errorf("listed %q", ids)
		}
	}
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("%+v, %v", swept, err)
	}
}

// TestLargest stores the largest value under the longest id, label and
// encoding, as text and as bytes, and refuses a larger one before it is sent.
func TestLargest(t *testing.T) {
	b, p := proxied(t, &Options{Labels: []string{"principal", strings.Repeat("n", 64)}, Queryable: true})
	ctx := t.Context()
	for what, unit := range map[string]string{"text": "x", "bytes": "\xff"} {
		r := record(strings.Repeat("i", model.MaxID), strings.Repeat("p", model.MaxLabel), time.Hour)
		r.Labels[strings.Repeat("n", 64)] = strings.Repeat("v", model.MaxLabel)
		r.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
		r.Encoding = strings.Repeat("e", 255)
		r.Value = []byte(strings.Repeat(unit, b.Describe().MaxValue))
		seed(t, b, r)
		got, err := b.Get(ctx, testNow, driver.Get{ID: r.ID})
		if err != nil || !bytes.Equal(got.Value, r.Value) || got.Labels["principal"] != r.Labels["principal"] {
			t.Fatalf("%s: %v", what, err)
		}
		p.take()
		r.Value = append(r.Value, 'x')
		for _, cond := range []driver.Condition{driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
			_, err = b.Write(ctx, testNow, driver.Write{Record: r, Cond: cond, Known: r})
			only(t, err, model.ErrTooLarge)
		}
		if got := p.take(); len(got.ops) > 0 {
			t.Errorf("%s: a value that is too large was sent: %v", what, got.ops)
		}
	}
	if limit := b.Describe().MaxValue; limit < 400_000 || limit > 400<<10 {
		t.Errorf("the limit is %d", limit)
	}
}

// TestOtherNodesLabels has a node that declares fewer labels than the one that
// wrote: label items stay exact all the same.
func TestOtherNodesLabels(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant", "device"}})
	few := openOn(t, all.client, all.table, &Options{Labels: []string{}})
	ctx := t.Context()
	full := func(id string) model.Record {
		r := record(id, "ann", time.Hour)
		r.Labels["tenant"], r.Labels["device"] = "t", "d"
		return r
	}
	count := func(want int) {
		t.Helper()
		if got := labelItems(t, all); len(got) != 3*want {
			t.Fatalf("the label items are %q, want those of %d records", got, want)
		}
	}
	seed(t, all, full("deleted"), full("updated"), full("kept"), full("upserted"), full("swept"))
	count(5)
	if err := few.Delete(ctx, testNow, driver.Delete{ID: "deleted", Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	count(4)
	if _, err := few.Write(ctx, testNow, driver.Write{Record: record("updated", "", 0), Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	seed(t, few, record("upserted", "", 0))
	count(2)
	rec, err := few.Write(ctx, testNow, driver.Write{Record: record("kept", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	if err != nil || len(rec.Labels) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	count(2)
	swept, err := few.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 2 {
		t.Fatalf("%+v, %v", swept, err)
	}
	count(0)
}

// TestReadableByThePlainClient reads a record as a person would.
func TestReadableByThePlainClient(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	r := record("user-1", "ann", time.Hour)
	r.Value = []byte(`{"name":"Ann","n":1.10,"tags":["a",null,true,{}],"deep":{"er":""}}`)
	seed(t, b, r)
	it := itemOf(t, b, itemKey("r#user-1", "r"))
	if v, _ := stringOf(it["value"]); v != string(r.Value) {
		t.Errorf("the value is %v", it["value"])
	}
	if v, _ := intOf(it["expires"]); v != r.ExpiresAt.UnixMilli() {
		t.Errorf("the expiry is %v", it["expires"])
	}
	out, err := b.client.Scan(t.Context(), &awsdynamodb.ScanInput{
		TableName: &b.table, FilterExpression: aws.String("#j.#name = :ann AND #j.n = :n AND #j.tags[0] = :a AND labels.principal = :p"),
		ExpressionAttributeNames: map[string]string{"#j": "json", "#name": "name"},
		ExpressionAttributeValues: attributes{
			":ann": str("Ann"), ":a": str("a"), ":n": &types.AttributeValueMemberN{Value: "1.1"}, ":p": str("ann"),
		},
	})
	if err != nil || out.Count != 1 {
		t.Fatalf("%d found, %v", out.Count, err)
	}
	ctx := t.Context()
	for step, value := range map[string]string{"no JSON any more": "text", "JSON again": `{"n":2}`} {
		next := record("user-1", "", 0)
		next.Value = []byte(value)
		if _, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Labels: true, Expiry: true}}); err != nil {
			t.Fatal(err)
		}
		if got := itemOf(t, b, recordKey("user-1"))["json"]; (got != nil) != (value != "text") {
			t.Errorf("%s: the copy is %v", step, got)
		}
	}
	got, err := b.Get(ctx, testNow, driver.Get{ID: "user-1"})
	if err != nil || got.Labels["principal"] != "ann" {
		t.Errorf("%+v, %v", got, err)
	}
	plain := open(t, nil)
	seed(t, plain, r)
	if it := itemOf(t, plain, recordKey("user-1")); it["json"] != nil {
		t.Error("a copy without Options.Queryable")
	}
}

// TestUnprocessedKeys has a service that leaves keys undone, sometimes all of
// them: they are asked for again, and never taken for records that are not
// there.
func TestUnprocessedKeys(t *testing.T) {
	b, p := proxied(t, nil)
	var ids []string
	load(t, b, 250, func(i int) model.Record { return record(fmt.Sprint("id", i), "ann", time.Hour) })
	for i := range 250 {
		ids = append(ids, fmt.Sprint("id", i))
	}
	p.replace = leaveUndone(t, b.table, 3)
	for i, o := range b.GetMany(t.Context(), testNow, driver.Gets(ids...)) {
		if o.Err != nil || o.Record.ID != ids[i] {
			t.Fatalf("%q: %+v", ids[i], o)
		}
	}
	p.replace = leaveUndone(t, b.table, 3)
	if n, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 250 {
		t.Errorf("%d counted, %v", n, err)
	}
	p.replace = leaveUndone(t, b.table, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, o := range b.GetMany(ctx, testNow, driver.Gets(ids[:3]...)) {
		if !errors.Is(o.Err, context.DeadlineExceeded) || model.Kind(o.Err) != nil {
			t.Errorf("left undone until the deadline: %v", o.Err)
		}
	}
}

// leaveUndone makes answers to BatchGetItem that have every other record of the
// real one, and now and then none: n times.
func leaveUndone(t testing.TB, table string, n int) func(op string, body []byte) []byte {
	var mu sync.Mutex
	return func(op string, body []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if op != "BatchGetItem" || n == 0 {
			return body
		}
		n--
		var answer struct {
			Responses       map[string][]map[string]any `json:"Responses"`
			UnprocessedKeys map[string]map[string]any   `json:"UnprocessedKeys"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Error(err)
			return body
		}
		var kept, left []map[string]any
		for i, it := range answer.Responses[table] {
			if i%2 == 0 && n%2 == 0 && n < 1000 {
				kept = append(kept, it)
			} else {
				left = append(left, map[string]any{"pk": it["pk"], "sk": it["sk"]})
			}
		}
		answer.Responses[table] = kept
		answer.UnprocessedKeys = map[string]map[string]any{table: {"Keys": left, "ConsistentRead": true}}
		out, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		return out
	}
}

// TestUnprocessedForEver has a service that does nothing: an error, not a
// record that is missing.
func TestUnprocessedForEver(t *testing.T) {
	t.Parallel()
	b, got := fake(t, answer{status: 200, body: `{"Responses":{},"UnprocessedKeys":{"table":{"Keys":[{"pk":{"S":"r#a"},"sk":{"S":"r"}}]}}}`})
	only(t, b.GetMany(t.Context(), testNow, driver.Gets("a"))[0].Err, model.ErrUnavailable)
	if got.count() != batchAttempts {
		t.Errorf("%d requests, want %d", got.count(), batchAttempts)
	}
}

// TestEmptyPagesAreNotTheEnd has a service that answers with no items and a key
// to go on from, as it does where a filter or its own limit left nothing.
func TestEmptyPagesAreNotTheEnd(t *testing.T) {
	empty := answer{status: 200, body: `{"Count":0,"ScannedCount":100,"Items":[],"LastEvaluatedKey":{"pk":{"S":"r#m"},"sk":{"S":"r"}}}`}
	last := answer{status: 200, body: `{"Count":7,"ScannedCount":7,"Items":[{"pk":{"S":"r#z"},"sk":{"S":"r"},"format":{"N":"1"},"revision":{"B":"MDEyMzQ1Njc4OWFiY2RlZg=="},"labels":{"M":{"principal":{"S":"ann"}}},"encoding":{"S":"json"},"value":{"S":"1"}}]}`}
	ctx := t.Context()

	b, got := fake(t, empty, empty, last)
	p, err := b.Page(ctx, testNow, driver.Query{Limit: 10})
	if err != nil || len(p.Records) != 1 || p.Next != "" || got.count() != 3 {
		t.Errorf("%+v, %v after %d scans", p, err, got.count())
	}
	b, got = fake(t, empty)
	p, err = b.Page(ctx, testNow, driver.Query{Limit: 10})
	if err != nil || len(p.Records) != 0 || p.Next == "" || got.count() != emptyScans {
		t.Errorf("%+v, %v after %d scans", p, err, got.count())
	}
	b, _ = fake(t, empty, empty, last)
	if n, err := b.Count(ctx, testNow, driver.Query{Label: ""}); err != nil || n != 7 {
		t.Errorf("%d counted, %v", n, err)
	}
	b, _ = fake(t, empty)
	p, err = b.Page(ctx, testNow, driver.Query{Label: "principal", Value: "ann", Limit: 10})
	if err != nil || len(p.Records) != 0 || p.Next == "" {
		t.Errorf("by label: %+v, %v", p, err)
	}
	batch := answer{status: 200, body: strings.Replace(strings.Replace(last.body, `"Items":`, `"Responses":{"table":`, 1), `"value":{"S":"1"}}]`, `"value":{"S":"1"}}]}`, 1)}
	b, _ = fake(t, empty, last, batch)
	if n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 0 {
		t.Errorf("%d counted of what has no such record, %v", n, err)
	}
}

// TestRefusals has a service that refuses in the recorded words of the real
// one: wrong credentials, permissions, regions, clocks, and tables.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		answer answer
		want   error
		says   string
	}{
		"unknown key":      {answer{status: 400, code: "UnrecognizedClientException", message: "The security token included in the request is invalid."}, model.ErrUnavailable, "credentials are unknown"},
		"wrong secret":     {answer{status: 400, code: "InvalidSignatureException", message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}, model.ErrUnavailable, "secret key"},
		"another region":   {answer{status: 400, code: "InvalidSignatureException", message: "Credential should be scoped to a valid region."}, model.ErrUnavailable, "region"},
		"expired token":    {answer{status: 400, code: "ExpiredTokenException", message: "The security token included in the request is expired"}, model.ErrUnavailable, "expired"},
		"no permission":    {answer{status: 400, code: "AccessDeniedException", message: "User: arn:aws:iam::123456789012:user/hunter2 is not authorized to perform: dynamodb:PutItem"}, model.ErrUnavailable, "permission"},
		"missing table":    {answer{status: 400, code: "ResourceNotFoundException", message: "Requested resource not found"}, model.ErrUnavailable, "CreateStorage"},
		"other keys":       {answer{status: 400, code: "ValidationException", message: "One or more parameter values were invalid: Missing the key hunter2 in the item"}, model.ErrUnavailable, "key schema"},
		"no index":         {answer{status: 400, code: "ValidationException", message: "The table does not have the specified index: due"}, model.ErrUnavailable, "index"},
		"too large":        {answer{status: 400, code: "ValidationException", message: "Item size has exceeded the maximum allowed size"}, model.ErrTooLarge, "400 KB"},
		"invalid":          {answer{status: 400, code: "ValidationException", message: "hunter2"}, model.ErrUnavailable, "invalid"},
		"another's region": {answer{status: 400, code: "ReplicatedWriteConflictException", message: "hunter2"}, model.ErrUnavailable, "another region"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := fake(t, test.answer)
			errs := map[string]error{}
			for op, w := range writes(record("id", "ann", time.Hour)) {
				errs[op] = w.do(t.Context(), b)
			}
			_, errs["get"] = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			_, errs["sweep"] = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow, Limit: 10})
			_, errs["page"] = b.Page(t.Context(), testNow, driver.Query{Limit: 10})
			for op, err := range errs {
				if model.Kind(err) != test.want || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v of kind %v", op, err, model.Kind(err))
				}
			}
		})
	}
}

// TestMissingTable writes where there is no table: no write makes it.
func TestMissingTable(t *testing.T) {
	b, err := New(client(t), tableName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, w := range writes(record("id", "ann", 0)) {
		if err := w.do(ctx, b); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.table) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s: %v", name, err)
		}
	}
	only(t, b.Ping(ctx), model.ErrUnavailable)
	if table, err := b.describe(ctx); err != nil || table != nil {
		t.Errorf("the table is there: %v", err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

// TestStorage makes, keeps and deletes tables.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, nil), open(t, nil)
	ctx := t.Context()
	seed(t, b, record("id", "ann", 0))
	seed(t, neighbour, record("id", "ann", 0))
	errs := make([]error, 4)
	driverkit.Parallel(len(errs), len(errs), func(i int) { errs[i] = b.CreateStorage(ctx) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := bearers(t, b); len(got) != 1 {
		t.Errorf("after CreateStorage again: %v", got)
	}
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	driverkit.Parallel(len(errs), len(errs), func(i int) { errs[i] = b.CreateStorage(ctx) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	noItems(t, b)
	if got := bearers(t, neighbour); len(got) != 1 {
		t.Errorf("the neighbour has %v", got)
	}
}

// TestOtherTables has tables that others made: with other keys, which is an
// error that names what is needed and leaves the table as it is, and without
// the index, which is added.
func TestOtherTables(t *testing.T) {
	ctx := t.Context()
	c := client(t)
	made := func(change func(in *awsdynamodb.CreateTableInput)) *Backend {
		t.Helper()
		b, err := New(c, tableName(), nil)
		if err != nil {
			t.Fatal(err)
		}
		in := b.definition()
		change(in)
		if _, err := c.CreateTable(ctx, in); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = c.DeleteTable(context.WithoutCancel(ctx), &awsdynamodb.DeleteTableInput{TableName: &b.table})
		})
		return b
	}
	other := made(func(in *awsdynamodb.CreateTableInput) {
		in.AttributeDefinitions[0].AttributeName, in.KeySchema[0].AttributeName = aws.String("id"), aws.String("id")
	})
	for name, err := range map[string]error{"create": other.CreateStorage(ctx), "delete": other.DeleteStorage(ctx)} {
		if model.Kind(err) != model.ErrCorrupt || !strings.Contains(err.Error(), "StoragePlan") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := other.Get(ctx, testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrUnavailable)
	for name, w := range writes(record("id", "ann", 0)) {
		if err := w.do(ctx, other); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "key schema") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bare := made(func(in *awsdynamodb.CreateTableInput) {
		in.GlobalSecondaryIndexes, in.AttributeDefinitions = nil, in.AttributeDefinitions[:2]
	})
	seed(t, bare, record("id", "ann", time.Hour))
	_, err = bare.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "index") {
		t.Errorf("a sweep without the index: %v", err)
	}
	if err := bare.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	if swept, err := bare.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10}); err != nil || swept.Removed != 1 {
		t.Errorf("a sweep by the index that was added: %+v, %v", swept, err)
	}
	// A context ends the wait for what never comes.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := bare.awaitTable(short, func(*types.TableDescription) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait without end: %v", err)
	}
}

// TestPermissions does all there is and compares what it asked the service to
// do with the policy in the package comment.
func TestPermissions(t *testing.T) {
	p := startProxy(t, containers.DynamoDB(t).URL)
	b := openOn(t, clientAt(t, p.url), tableName(), nil)
	ctx := t.Context()
	bare, err := New(b.client, tableName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := bare.definition()
	in.GlobalSecondaryIndexes, in.AttributeDefinitions = nil, in.AttributeDefinitions[:2]
	if _, err := client(t).CreateTable(ctx, in); err != nil {
		t.Fatal(err)
	}
	errs := []error{bare.CreateStorage(ctx), bare.DeleteStorage(ctx), bare.CreateStorage(ctx), bare.DeleteStorage(ctx)}
	seed(t, b, record("a", "ann", time.Hour), record("a", "bob", time.Hour), record("b", "", 0), record("c", "ann", time.Hour))
	_, err = b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: recordKey("c")})
	errs = append(errs, err, b.Ping(ctx), b.Delete(ctx, testNow, driver.Delete{ID: "b", Cond: driver.IfPresent}))
	_, err = b.Touch(ctx, testNow, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute)})
	errs = append(errs, err)
	_, err = b.Page(ctx, testNow, driver.Query{Limit: 10})
	errs = append(errs, err)
	_, err = b.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
	errs = append(errs, err)
	_, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(model.Record) error { return nil }})
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	// A transaction needs the permissions of what is in it.
	used := map[string]bool{"ConditionCheckItem": true}
	for _, op := range p.take().ops {
		used[op] = true
	}
	delete(used, "TransactWriteItems")
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	for _, m := range regexp.MustCompile(`"dynamodb:([A-Za-z]+)"`).FindAllStringSubmatch(string(doc), -1) {
		granted[m[1]] = true
	}
	for op := range used {
		if !granted[op] {
			t.Errorf("the policy lacks %s", op)
		}
	}
	for op := range granted {
		if !used[op] {
			t.Errorf("the policy has %s, which is never used", op)
		}
	}
}
