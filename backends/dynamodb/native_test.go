package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// noItems fails the test if the table has an item.
func noItems(t testing.TB, b *Backend) {
	t.Helper()
	if items := itemsOf(t, b); len(items) > 0 {
		t.Fatalf("items are left: %v", items)
	}
}

// listed returns the sorted ids of a listing, page by page. It fails the test
// if a record cannot be read.
func listed(t testing.TB, b *Backend, q driver.Query) []string {
	t.Helper()
	var ids []string
	for {
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil || len(p.Corrupt) > 0 {
			t.Fatalf("page: %+v, %v", p, err)
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

// wantBearers fails the test unless a listing has exactly these ids of ann.
func wantBearers(t testing.TB, b *Backend, want ...string) {
	t.Helper()
	if got := listed(t, b, driver.Query{Label: "principal", Value: "ann", Limit: 100, KeysOnly: true}); !slices.Equal(got, want) {
		t.Errorf("the records of ann are %q, want %q", got, want)
	}
}

// wantOps fails the test unless exactly these operations were sent.
func wantOps(t testing.TB, p *proxy, step string, want ...string) {
	t.Helper()
	if got := p.Requests(); !slices.Equal(got, want) {
		t.Errorf("%s: sent %v, want %v", step, got, want)
	}
}

// wantCount fails the test unless the backend counts n records.
func wantCount(t testing.TB, b *Backend, label, value string, n int) {
	t.Helper()
	if got, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: label, Value: value}); err != nil || got != n {
		t.Errorf("counted %d, %v; want %d", got, err, n)
	}
}

// wantSwept fails the test unless a sweep of what expires within ttl removes n
// records.
func wantSwept(t testing.TB, b *Backend, ttl time.Duration, n int) {
	t.Helper()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(ttl), Limit: 1000})
	if err != nil || swept != (driver.Swept{Removed: n}) {
		t.Fatalf("swept %+v, %v; want %d removed", swept, err, n)
	}
}

// update writes a record that exists.
func update(t testing.TB, b *Backend, r model.Record, keep driver.Keep) {
	t.Helper()
	if _, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfPresent, Keep: keep}); err != nil {
		t.Fatal(err)
	}
}

// remove deletes a live record.
func remove(t testing.TB, b *Backend, id string) {
	t.Helper()
	if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
}

// labelItems returns the keys of the table's label items, sorted.
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

// wantLabelItems fails the test unless the table has exactly these label items.
func wantLabelItems(t testing.TB, b *Backend, step string, want ...string) {
	t.Helper()
	if got := labelItems(t, b); !slices.Equal(got, want) {
		t.Errorf("%s: the label items are %q, want %q", step, got, want)
	}
}

// TestServerTTL reads the attributes of the expiry after each kind of write. The
// TTL is the expiry and the grace in whole seconds, rounded up.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10 * time.Minute})
	without := open(t, &Options{GraceTTL: -1})
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	keepExpiry, keepLabels := driver.Keep{Expiry: true}, driver.Keep{Labels: true}
	for _, step := range []struct {
		name string
		do   func()
		want time.Duration // zero: the record never expires
	}{
		{"create", func() { drivertest.WantKind(t, create(t, b, drivertest.Record("id", "ann", time.Hour)), nil) }, time.Hour},
		{"update that keeps the expiry", func() { update(t, b, drivertest.Record("id", "bob", 0), keepExpiry) }, time.Hour},
		{"update that keeps the labels", func() { update(t, b, drivertest.Record("id", "", 3*time.Hour), keepLabels) }, 3 * time.Hour},
		{"set", func() { touch(driver.TouchSet, time.Hour) }, time.Hour},
		{"extend", func() { touch(driver.TouchExtend, 2*time.Hour) }, 2 * time.Hour},
		{"extend to an earlier time", func() { touch(driver.TouchExtend, time.Hour) }, 2 * time.Hour},
		{"clear", func() { touch(driver.TouchClear, 0) }, 0},
		{"set again", func() { touch(driver.TouchSet, time.Hour) }, time.Hour},
		{"update without an expiry", func() { update(t, b, drivertest.Record("id", "", 0), keepLabels) }, 0},
		{"set a third time", func() { touch(driver.TouchSet, time.Hour) }, time.Hour},
		{"update without an expiry, with another label", func() { update(t, b, drivertest.Record("id", "bob", 0), driver.Keep{}) }, 0},
		{"upsert", func() { drivertest.Seed(t, b, drivertest.Record("id", "ann", 2*time.Hour)) }, 2 * time.Hour},
	} {
		step.do()
		it := itemOf(t, b, recordKey("id"))
		if step.want == 0 {
			if it[attrTTL] != nil || it[attrExpires] != nil || it[attrDue] != nil {
				t.Fatalf("%s: %v", step.name, it)
			}
			continue
		}
		want := drivertest.Now.Add(step.want+10*time.Minute).Unix() + 1 // Now has 6 milliseconds
		if got, ok := intOf(it[attrTTL]); !ok || got != want || it[attrDue] == nil {
			t.Fatalf("%s: the TTL is %d, want %d", step.name, got, want)
		}
	}

	drivertest.Seed(t, without, drivertest.Record("id", "ann", time.Hour))
	if it := itemOf(t, without, recordKey("id")); it[attrTTL] != nil || it[attrExpires] == nil {
		t.Errorf("without a TTL: %v", it)
	}
	for store, want := range map[*Backend]bool{b: true, without: false} {
		out, err := store.client.DescribeTimeToLive(t.Context(), &awsdynamodb.DescribeTimeToLiveInput{TableName: &store.table})
		if err != nil {
			t.Fatal(err)
		}
		d := out.TimeToLiveDescription
		if on := d.TimeToLiveStatus == types.TimeToLiveStatusEnabled; on != want || on && aws.ToString(d.AttributeName) != attrTTL {
			t.Errorf("the table's TTL is %+v, want enabled: %v", d, want)
		}
	}
}

// TestNothingIsLeft deletes half of the records and sweeps the others.
func TestNothingIsLeft(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	for i := range 60 {
		r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["tenant"] = fmt.Sprint(i % 3)
		drivertest.Seed(t, b, r)
	}
	for i := range 30 {
		remove(t, b, fmt.Sprint("id", i))
	}
	wantSwept(t, b, time.Hour, 30)
	noItems(t, b)
}

// TestLabelsAreWrittenWithTheirRecord asserts that one transaction writes a
// record and its label items, so that no crash can come between them.
func TestLabelsAreWrittenWithTheirRecord(t *testing.T) {
	b, p := proxied(t, &Options{Labels: []string{"principal", "tenant"}})
	ctx := t.Context()
	full := func(principal, tenant string) model.Record {
		r := drivertest.Record("id", "", time.Hour)
		r.Labels = map[string]string{}
		for name, value := range map[string]string{"principal": principal, "tenant": tenant} {
			if value != "" {
				r.Labels[name] = value
			}
		}
		return r
	}
	var known model.Record
	cond := driver.IfAbsent
	for _, step := range []struct {
		name string
		next model.Record
		want []string
	}{
		{"create", full("ann", "t1"), []string{"l#principal#ann id", "l#tenant#t1 id"}},
		{"one changes", full("bob", "t1"), []string{"l#principal#bob id", "l#tenant#t1 id"}},
		{"both change", full("ann", "t2"), []string{"l#principal#ann id", "l#tenant#t2 id"}},
		{"one goes", full("", "t2"), []string{"l#tenant#t2 id"}},
		{"one comes", full("x#y", "t2"), []string{"l#principal#x#y id", "l#tenant#t2 id"}},
		{"all go", full("", ""), nil},
		{"all come", full("ann", "t1"), []string{"l#principal#ann id", "l#tenant#t1 id"}},
	} {
		p.Requests()
		if _, err := b.Write(ctx, drivertest.Now, driver.Write{Record: step.next, Cond: cond, Known: known}); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		wantOps(t, p, step.name, "TransactWriteItems")
		wantLabelItems(t, b, step.name, step.want...)
		known, cond = step.next, driver.IfMatch
	}
	p.Requests()
	if err := b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: known}); err != nil {
		t.Fatal(err)
	}
	wantOps(t, p, "delete", "TransactWriteItems")
	noItems(t, b)
}

// TestReaped deletes records with the plain client, as DynamoDB's TTL does. The
// next listing or count leaves them out and removes their label items.
func TestReaped(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	reap := func(id string) {
		t.Helper()
		if _, err := b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: recordKey(id)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"gone", "counted", "again", "here"} {
		drivertest.Seed(t, b, drivertest.Record(id, "ann", time.Hour))
	}
	reap("gone")
	reap("again")
	drivertest.Seed(t, b, drivertest.Record("again", "bob", 0))
	wantBearers(t, b, "counted", "here")
	wantLabelItems(t, b, "after a listing", "l#principal#ann counted", "l#principal#ann here", "l#principal#bob again")
	reap("counted")
	wantCount(t, b, "principal", "ann", 1)
	wantLabelItems(t, b, "after a count", "l#principal#ann here", "l#principal#bob again")
	// A label item stays if its record has the label.
	b.prune(ctx, "principal", "ann", []string{"here"})
	wantBearers(t, b, "here")
}

// TestUnreadable stores items that are not records. They are errors for their
// id alone, and only an upsert overwrites them.
func TestUnreadable(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	whole := drivertest.Record("id", "ann", time.Hour)
	with := func(change func(it attributes)) attributes {
		it := b.encode(&whole)
		change(it)
		return it
	}
	tests := map[string]attributes{
		"foreign":          recordKey("id"),
		"a newer version":  with(func(it attributes) { it[attrFormat] = number(2) }),
		"no version":       with(func(it attributes) { delete(it, attrFormat) }),
		"version in words": with(func(it attributes) { it[attrFormat] = str("1") }),
		"no revision":      with(func(it attributes) { delete(it, attrRevision) }),
		"revision of text": with(func(it attributes) { it[attrRevision] = str("0123456789abcdef") }),
		"a short revision": with(func(it attributes) { it[attrRevision] = blob(whole.Revision[:15]) }),
		"value of numbers": with(func(it attributes) { it[attrValue] = number(1) }),
		"no labels":        with(func(it attributes) { delete(it, attrLabels) }),
		"labels of text":   with(func(it attributes) { it[attrLabels] = str("ann") }),
		"a label of number": with(func(it attributes) {
			it[attrLabels] = &types.AttributeValueMemberM{Value: attributes{"principal": number(7)}}
		}),
		"no encoding":    with(func(it attributes) { delete(it, attrEncoding) }),
		"no value":       with(func(it attributes) { delete(it, attrValue) }),
		"its own labels": {attrPK: str("r#id"), attrSK: str("r"), attrLabels: str("x"), "color": str("red")},
	}
	for name, it := range tests {
		t.Run(name, func(t *testing.T) {
			drivertest.Seed(t, b, whole, drivertest.Record("good", "ann", 0))
			putItem(t, sdkOf(b), b.table, it)
			before := itemOf(t, b, recordKey("id"))

			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
				for _, r := range []model.Record{drivertest.Record("id", "bob", 0), drivertest.Record("id", "", 0)} {
					_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: cond, Known: whole})
					drivertest.WantKind(t, err, model.ErrCorrupt)
				}
			}
			for _, c := range drivertest.Pick(t, append(writes(whole), drivertest.Reads()...),
				"update", "touch", "extend", "clear", "delete", "delete known", "get", "get many") {
				drivertest.WantKind(t, c.Do(ctx, b), model.ErrCorrupt)
			}
			wantSwept(t, b, 2*time.Hour, 0)
			announced := driver.Sweep{Before: drivertest.Now.Add(2 * time.Hour), Limit: 10, OnExpire: func(model.Record) error { return nil }}
			if swept, err := b.DeleteExpired(ctx, announced); err != nil || swept != (driver.Swept{}) {
				t.Fatalf("sweep with OnExpire: %+v, %v", swept, err)
			}
			if after := itemOf(t, b, recordKey("id")); describeItem(after) != describeItem(before) {
				t.Fatalf("it was overwritten: %v", after)
			}
			for _, q := range []driver.Query{{Limit: 10}, {Limit: 10, Label: "principal", Value: "ann"}} {
				p, err := b.Page(ctx, drivertest.Now, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"id"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			wantCount(t, b, "", "", 1)
			drivertest.Seed(t, b, drivertest.Record("id", "bob", 0))
			wantBearers(t, b, "good")
			remove(t, b, "id")
			remove(t, b, "good")
			noItems(t, b)
		})
	}
}

// describeItem returns an item as text, for comparisons.
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

// TestForeignItemsAreIgnored has items in the table whose keys are not a
// record's. Listings and sweeps leave them out.
func TestForeignItemsAreIgnored(t *testing.T) {
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	for _, key := range []attributes{itemKey("x", "y"), itemKey("r#id", "other"), itemKey("r#", "r"), itemKey("l#principal#ann", "nobody")} {
		key[attrDue], key[attrExpires] = str("0"), millis(drivertest.Now)
		putItem(t, sdkOf(b), b.table, key)
	}
	for _, limit := range []int{1, 10} {
		if got := listed(t, b, driver.Query{Limit: limit}); !slices.Equal(got, []string{"id"}) {
			t.Errorf("listed %q", got)
		}
	}
	wantSwept(t, b, time.Hour, 1)
}

// TestLargest stores the largest value under the longest id, label and
// encoding, as text and as bytes. It gets ErrTooLarge for a larger value, which
// is not sent.
func TestLargest(t *testing.T) {
	b, p := proxied(t, &Options{Labels: []string{"principal", strings.Repeat("n", 64)}, Queryable: true})
	for what, unit := range map[string]string{"text": "x", "bytes": "\xff"} {
		r := drivertest.Record(strings.Repeat("i", model.MaxID), strings.Repeat("p", model.MaxLabel), time.Hour)
		r.Labels[strings.Repeat("n", 64)] = strings.Repeat("v", model.MaxLabel)
		r.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
		r.Encoding = strings.Repeat("e", 255)
		r.Value = []byte(strings.Repeat(unit, b.Describe().MaxValue))
		drivertest.Seed(t, b, r)
		if got := drivertest.Get(t, b, r.ID); !bytes.Equal(got.Value, r.Value) || got.Labels["principal"] != r.Labels["principal"] {
			t.Fatalf("%s: got another record", what)
		}
		p.Requests()
		r.Value = append(r.Value, 'x')
		for _, cond := range []driver.Condition{driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: cond, Known: r})
			drivertest.WantKind(t, err, model.ErrTooLarge)
		}
		wantOps(t, p, what+" that is too large")
	}
	if limit := b.Describe().MaxValue; limit < 400_000 || limit > 400<<10 {
		t.Errorf("the limit is %d", limit)
	}
}

// TestOtherNodesLabels has a node that declares fewer labels than the node that
// wrote the records. Label items stay exact.
func TestOtherNodesLabels(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant", "device"}})
	few := openOn(t, sdkOf(all), all.table, &Options{Labels: []string{}})
	full := func(id string) model.Record {
		r := drivertest.Record(id, "ann", time.Hour)
		r.Labels["tenant"], r.Labels["device"] = "t", "d"
		return r
	}
	count := func(want int) {
		t.Helper()
		if got := labelItems(t, all); len(got) != 3*want {
			t.Fatalf("the label items are %q, want those of %d records", got, want)
		}
	}
	drivertest.Seed(t, all, full("deleted"), full("updated"), full("kept"), full("upserted"), full("swept"))
	count(5)
	remove(t, few, "deleted")
	count(4)
	update(t, few, drivertest.Record("updated", "", 0), driver.Keep{})
	drivertest.Seed(t, few, drivertest.Record("upserted", "", 0))
	count(2)
	rec, err := few.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("kept", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	if err != nil || len(rec.Labels) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	count(2)
	wantSwept(t, few, time.Hour, 2)
	count(0)
}

// TestReadableByThePlainClient reads a record and its native copy with the
// plain client.
func TestReadableByThePlainClient(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	r := drivertest.Record("user-1", "ann", time.Hour)
	r.Value = []byte(`{"name":"Ann","n":1.10,"tags":["a",null,true,{}],"deep":{"er":""}}`)
	drivertest.Seed(t, b, r)
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
	for step, value := range map[string]string{"a value that is not JSON": "text", "a JSON value": `{"n":2}`} {
		next := drivertest.Record("user-1", "", 0)
		next.Value = []byte(value)
		update(t, b, next, driver.Keep{Labels: true, Expiry: true})
		if got := itemOf(t, b, recordKey("user-1"))["json"]; (got != nil) != (value != "text") {
			t.Errorf("%s: the copy is %v", step, got)
		}
	}
	if got := drivertest.Get(t, b, "user-1"); got.Labels["principal"] != "ann" {
		t.Errorf("%+v", got)
	}
	plain := open(t, nil)
	drivertest.Seed(t, plain, r)
	if it := itemOf(t, plain, recordKey("user-1")); it["json"] != nil {
		t.Error("a copy without Options.Queryable")
	}
}

// TestUnprocessedKeys has answers that leave keys unprocessed, sometimes all of
// them. The backend requests those again and never returns ErrNotFound.
func TestUnprocessedKeys(t *testing.T) {
	p := startProxy(t)
	changed := func(o *awsdynamodb.Options) { o.DisableValidateResponseChecksum = true }
	b := openOn(t, clientAt(t, p.URL(), changed), drivertest.Name(), nil)
	ids := make([]string, 250)
	load(t, b, len(ids), func(i int) model.Record {
		ids[i] = fmt.Sprint("id", i)
		return drivertest.Record(ids[i], "ann", time.Hour)
	})
	p.replace = unprocessed(t, b.table, 3)
	for i, o := range b.GetMany(t.Context(), drivertest.Now, driver.Gets(ids...)) {
		if o.Err != nil || o.Record.ID != ids[i] {
			t.Fatalf("%q: %+v", ids[i], o)
		}
	}
	p.replace = unprocessed(t, b.table, 3)
	wantCount(t, b, "principal", "ann", 250)
	p.replace = unprocessed(t, b.table, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, o := range b.GetMany(ctx, drivertest.Now, driver.Gets(ids[:3]...)) {
		if !errors.Is(o.Err, context.DeadlineExceeded) || model.Kind(o.Err) != nil {
			t.Errorf("unprocessed until the deadline: %v", o.Err)
		}
	}
}

// unprocessed changes n answers to BatchGetItem: it keeps every other record of
// one answer and none of the next.
func unprocessed(t testing.TB, table string, n int) func(op string, body []byte) []byte {
	return func(op string, body []byte) []byte {
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

// TestAlwaysUnprocessed has a server that processes no key.
func TestAlwaysUnprocessed(t *testing.T) {
	t.Parallel()
	b, got := fake(t, answer{status: 200, body: `{"Responses":{},"UnprocessedKeys":{"table":{"Keys":[{"pk":{"S":"r#a"},"sk":{"S":"r"}}]}}}`})
	drivertest.WantKind(t, b.GetMany(t.Context(), drivertest.Now, driver.Gets("a"))[0].Err, model.ErrUnavailable)
	wantSent(t, got, batchAttempts)
}

// TestEmptyPagesAreNotTheEnd has answers without items but with a key to
// continue from, as after a filter or a size limit.
func TestEmptyPagesAreNotTheEnd(t *testing.T) {
	empty := answer{status: 200, body: `{"Count":0,"ScannedCount":100,"Items":[],"LastEvaluatedKey":{"pk":{"S":"r#m##"},"sk":{"S":"r"}}}`}
	last := answer{status: 200, body: `{"Count":7,"ScannedCount":7,"Items":[{"pk":{"S":"r#z"},"sk":{"S":"r"},"format":{"N":"1"},"revision":{"B":"MDEyMzQ1Njc4OWFiY2RlZg=="},"labels":{"M":{"principal":{"S":"ann"}}},"encoding":{"S":"json"},"value":{"S":"1"}}]}`}

	for _, test := range []struct {
		name      string
		answers   []answer
		query     driver.Query
		records   int
		continues bool
		scans     int
	}{
		{"a record at the end", []answer{empty, empty, last}, driver.Query{Limit: 10}, 1, false, 3},
		{"no record", []answer{empty}, driver.Query{Limit: 10}, 0, true, emptyScans},
		{"no record, by label", []answer{empty}, driver.Query{Label: "principal", Value: "ann", Limit: 10}, 0, true, 1},
	} {
		b, got := fake(t, test.answers...)
		p, err := b.Page(t.Context(), drivertest.Now, test.query)
		if err != nil || len(p.Records) != test.records || (p.Next != "") != test.continues {
			t.Errorf("%s: %+v, %v", test.name, p, err)
		}
		wantSent(t, got, test.scans)
	}
	b, _ := fake(t, empty, empty, last)
	wantCount(t, b, "", "", 7)
	batch := answer{status: 200, body: strings.Replace(strings.Replace(last.body, `"Items":`, `"Responses":{"table":`, 1), `"value":{"S":"1"}}]`, `"value":{"S":"1"}}]}`, 1)}
	empty.body = strings.Replace(empty.body, `"sk":{"S":"r"}`, `"sk":{"S":"a"}`, 1)
	b, _ = fake(t, empty, last, batch)
	wantCount(t, b, "principal", "ann", 0) // the label items have no records
}

// TestRefusals has recorded refusals for wrong credentials, permissions, regions
// and tables. The errors say what is wrong and have no text of the server.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		code, message string
		says          string // in the error
	}{
		"unknown key":      {"UnrecognizedClientException", "The security token included in the request is invalid.", "credentials are unknown"},
		"wrong secret":     {"InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.", "secret key"},
		"another region":   {"InvalidSignatureException", "Credential should be scoped to a valid region.", "region"},
		"expired token":    {"ExpiredTokenException", "The security token included in the request is expired", "expired"},
		"no permission":    {"AccessDeniedException", "User: arn:aws:iam::123456789012:user/hunter2 is not authorized to perform: dynamodb:PutItem", "permission"},
		"missing table":    {"ResourceNotFoundException", "Requested resource not found", "CreateStorage"},
		"other keys":       {"ValidationException", "One or more parameter values were invalid: Missing the key hunter2 in the item", "key schema"},
		"no index":         {"ValidationException", "The table does not have the specified index: due", "index"},
		"too large":        {"ValidationException", "Item size has exceeded the maximum allowed size", "400 KB"},
		"invalid":          {"ValidationException", "hunter2", "invalid"},
		"another's region": {"ReplicatedWriteConflictException", "hunter2", "another region"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := model.ErrUnavailable
			if name == "too large" {
				want = model.ErrTooLarge
			}
			b, _ := fake(t, answer{status: 400, code: test.code, message: test.message})
			calls := append(writes(drivertest.Record("id", "ann", time.Hour)), drivertest.Reads()...)
			driverkit.Parallel(len(calls), len(calls), func(i int) {
				err := calls[i].Do(t.Context(), b)
				if model.Kind(err) != want || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v of kind %v", calls[i].Name, err, model.Kind(err))
				}
			})
		})
	}
}
