package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// control is a server that answers the operations on tables, as DynamoDB
// documents them, and accepts every write. It keeps the requests.
type control struct {
	mu       sync.Mutex
	requests map[string][]string
	tables   []string          // the answers to DescribeTable; the last one stays
	answers  map[string]answer // to other operations
}

func (c *control) start(t testing.TB, table string, opts *Options) *Backend {
	t.Helper()
	c.requests = map[string][]string{}
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		c.mu.Lock()
		n := len(c.requests[op])
		c.requests[op] = append(c.requests[op], string(body))
		a, ok := c.answers[op]
		if op == "DescribeTable" && len(c.tables) > 0 {
			ok, a = true, answer{status: 200, body: c.tables[min(n, len(c.tables)-1)]}
			if a.body == "" {
				a = answer{status: 400, code: "ResourceNotFoundException"}
			}
		}
		c.mu.Unlock()
		if !ok {
			a = done
		}
		a.write(w)
	})
	b, err := New(sdkOf(b), table, opts)
	if err != nil {
		t.Fatal(err)
	}
	b.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return b
}

// sent returns the requests of an operation.
func (c *control) sent(op string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests[op])
}

// described returns an answer to DescribeTable.
func described(status string, change func(table map[string]any)) string {
	key := func(name, kind string) map[string]string {
		return map[string]string{"AttributeName": name, "KeyType": kind}
	}
	table := map[string]any{
		"TableName": "carts", "TableId": "1", "TableStatus": status,
		"KeySchema": []any{key("pk", "HASH"), key("sk", "RANGE")},
		"AttributeDefinitions": []any{
			map[string]string{"AttributeName": "pk", "AttributeType": "S"}, map[string]string{"AttributeName": "sk", "AttributeType": "S"},
			map[string]string{"AttributeName": "due", "AttributeType": "S"}, map[string]string{"AttributeName": "expires", "AttributeType": "N"},
		},
		"BillingModeSummary":     map[string]string{"BillingMode": "PAY_PER_REQUEST"},
		"GlobalSecondaryIndexes": []any{map[string]any{"IndexName": "due", "IndexStatus": "ACTIVE", "KeySchema": []any{key("due", "HASH"), key("expires", "RANGE")}}},
	}
	if change != nil {
		change(table)
	}
	text, _ := json.Marshal(map[string]any{"Table": table}) //nolint:errchkjson // only strings and numbers
	return string(text)
}

var enabledTTL = answer{status: 200, body: `{"TimeToLiveDescription":{"AttributeName":"ttl","TimeToLiveStatus":"ENABLED"}}`}

// TestProductionOptions has a new table and every option: they are in the
// requests, and in the commands of StoragePlan.
// docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
func TestProductionOptions(t *testing.T) {
	const arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/carts"
	c := &control{tables: []string{"", described("CREATING", nil), described("ACTIVE", nil)}, answers: map[string]answer{"DescribeTimeToLive": enabledTTL}}
	b := c.start(t, arn, &Options{
		DeletionProtection: true, PointInTimeRecovery: true, KMSKey: "alias/carts", Tags: []string{"team=o'web"}, Partitions: 64,
	})
	_ = b.CreateStorage(t.Context()) // the server's answers to the trials are wrong
	for op, want := range map[string][]string{
		"CreateTable": {
			`"TableName":"` + arn + `"`, `"DeletionProtectionEnabled":true`, `"KMSMasterKeyId":"alias/carts"`, `"SSEType":"KMS"`, `"Enabled":true`,
			`{"Key":"team","Value":"o'web"}`, `"BillingMode":"PAY_PER_REQUEST"`,
		},
		"UpdateContinuousBackups": {`"TableName":"` + arn + `"`, `"PointInTimeRecoveryEnabled":true`},
		"UpdateTable":             {`"DeletionProtectionEnabled":true`}, // the table is one that exists without it
		"PutItem":                 {`"partitions":{"N":"64"}`},
		"Scan":                    {`"IndexName":"due"`},
	} {
		sent := strings.Join(c.sent(op), "\n")
		for _, part := range want {
			if !strings.Contains(sent, part) {
				t.Errorf("%s lacks %s: %s", op, part, sent)
			}
		}
	}
	plan := b.StoragePlan()
	for _, part := range []string{
		"--deletion-protection-enabled", "KMSMasterKeyId=alias/carts", `'Key=team,Value=o'\''web'`, "PointInTimeRecoveryEnabled=true", `"partitions":{"N":"64"}`, "--table-name " + arn,
	} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan lacks %s:\n%s", part, plan)
		}
	}
	// Without the options nothing of it is asked for.
	c = &control{tables: []string{"", described("ACTIVE", nil)}, answers: map[string]answer{"DescribeTimeToLive": enabledTTL}}
	_ = c.start(t, "carts", nil).CreateStorage(t.Context())
	if sent := strings.Join(c.sent("CreateTable"), ""); strings.Contains(sent, "Protection") || strings.Contains(sent, "SSE") || strings.Contains(sent, "Tags") {
		t.Errorf("without options: %s", sent)
	}
	if n := len(c.sent("DescribeContinuousBackups")) + len(c.sent("UpdateTable")); n > 0 {
		t.Errorf("without options: %d requests more", n)
	}
}

// TestOptionsThatAreRefused are refused by New.
func TestOptionsThatAreRefused(t *testing.T) {
	var many []string
	for i := range 51 {
		many = append(many, crowdID(i)+"=")
	}
	for name, opts := range map[string]*Options{
		"partitions":     {Partitions: -1},
		"257 partitions": {Partitions: 257},
		"51 tags":        {Tags: many},
		"an empty tag":   {Tags: []string{"=x"}},
		"not a tag":      {Tags: []string{"x"}},
		"a tag twice":    {Tags: []string{"x=1", "x=2"}},
		"a tag of AWS":   {Tags: []string{"aws:x=x"}},
		"a long tag":     {Tags: []string{"x=" + strings.Repeat("x", 257)}},
	} {
		if _, err := New(client(t), "carts", opts); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, table := range []string{
		"arn:aws:dynamodb:eu-west-1:123456789012:table/", "arn:aws:dynamodb:eu-west-1:123456789012:table/a b", "arn:aws:s3:::carts",
		"arn:aws:dynamodb::123456789012:table/carts", "arn:aws:dynamodb:eu-west-1:123456789012:index/carts",
	} {
		if _, err := New(client(t), table, nil); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v", table, err)
		}
	}
	given := []string{"a=b"}
	b := testBackend(t, &Options{Tags: given, Partitions: 256})
	given[0] = "c"
	if b.opts.Tags[0] != "a=b" {
		t.Error("the tags are the caller's slice")
	}
	if small := testBackend(t, nil); b.Describe().MaxValue >= small.Describe().MaxValue {
		t.Error("a longer name of a partition takes no room")
	}
}

// TestTablesInOtherStates has what DescribeTable says while other nodes and
// operators change the table.
func TestTablesInOtherStates(t *testing.T) {
	active := described("ACTIVE", nil)
	bare := func(change func(map[string]any)) string {
		return described("ACTIVE", func(table map[string]any) {
			delete(table, "GlobalSecondaryIndexes")
			if change != nil {
				change(table)
			}
		})
	}
	provisioned := func(table map[string]any) {
		delete(table, "BillingModeSummary") // as DynamoDB answers for a table that never was billed by request
		table["ProvisionedThroughput"] = map[string]int{"ReadCapacityUnits": 7, "WriteCapacityUnits": 9}
	}
	index := func(status string) string {
		return described("UPDATING", func(table map[string]any) {
			table["GlobalSecondaryIndexes"].([]any)[0].(map[string]any)["IndexStatus"] = status
		})
	}
	for name, test := range map[string]struct {
		tables  []string
		creates int
		adds    []string // parts of UpdateTable
		update  *answer
	}{
		"deleting":                           {[]string{described("DELETING", nil), described("DELETING", nil), "", described("CREATING", nil), active}, 1, nil, nil},
		"deleted after it was active":        {[]string{described("UPDATING", nil), described("DELETING", nil), "", active}, 1, nil, nil},
		"not visible after its creation":     {[]string{"", "", "", active}, 3, nil, nil},
		"its index is being deleted":         {[]string{index("DELETING"), index("DELETING"), bare(nil), index("CREATING"), active}, 0, []string{`"IndexName":"due"`}, nil},
		"without the index":                  {[]string{bare(nil), index("CREATING"), active}, 0, []string{`"IndexName":"due"`}, nil},
		"without the index, with throughput": {[]string{bare(provisioned), index("CREATING"), active}, 0, []string{`"ReadCapacityUnits":7`, `"WriteCapacityUnits":9`}, nil},
		"another node adds the index": {
			[]string{bare(nil), bare(nil), index("CREATING"), active}, 0, []string{`"IndexName":"due"`},
			&answer{status: 400, code: "ValidationException", message: "Attempting to create an index which already exists"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &control{tables: test.tables, answers: map[string]answer{"DescribeTimeToLive": enabledTTL}}
			if test.update != nil {
				c.answers["UpdateTable"] = *test.update
			}
			if err := c.start(t, "carts", nil).CreateStorage(t.Context()); err != nil && !errors.Is(err, model.ErrUnsupported) { // the trials
				t.Error(err)
			}
			if n := len(c.sent("CreateTable")); n != test.creates {
				t.Errorf("CreateTable was sent %d times, want %d", n, test.creates)
			}
			sent := strings.Join(c.sent("UpdateTable"), "\n")
			for _, part := range test.adds {
				if !strings.Contains(sent, part) {
					t.Errorf("UpdateTable lacks %s: %s", part, sent)
				}
			}
			if test.adds == nil && sent != "" {
				t.Errorf("UpdateTable was sent: %s", sent)
			}
		})
	}
}

// TestWaitsHaveAnEnd has a table that never becomes ready, and a context without
// a deadline.
func TestWaitsHaveAnEnd(t *testing.T) {
	for name, table := range map[string]string{"CREATING": described("CREATING", nil), "DELETING": described("DELETING", nil)} {
		c := &control{tables: []string{table}}
		b := c.start(t, "carts", nil)
		if b.patience != maxWait {
			t.Errorf("it waits for %v, want %v", b.patience, maxWait)
		}
		b.patience = time.Minute
		var waited time.Duration
		b.pause = func(_ context.Context, d time.Duration) error { waited += d; return nil }
		for _, do := range []func(context.Context) error{b.CreateStorage, b.DeleteStorage} {
			waited = 0
			err := do(t.Context())
			if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "another call") {
				t.Errorf("%s: %v", name, err)
			}
			if waited < b.patience || waited > b.patience+2*time.Second {
				t.Errorf("%s: waited for %v", name, waited)
			}
		}
	}
	// Another node makes the table again while this one deletes it.
	c := &control{tables: []string{described("ACTIVE", nil), described("DELETING", nil), described("CREATING", func(table map[string]any) { table["TableId"] = "2" })}}
	if err := c.start(t, "carts", nil).DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(c.sent("DeleteTable")); n != 1 {
		t.Errorf("DeleteTable was sent %d times", n)
	}
}

// TestRefusedChanges has refusals of changes to the table, in DynamoDB's words:
// the errors have them.
func TestRefusedChanges(t *testing.T) {
	protected := "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
	quota := "Subscriber limit exceeded: There is a limit of 2500 tables per subscriber"
	c := &control{tables: []string{described("ACTIVE", nil)}, answers: map[string]answer{"DeleteTable": {status: 400, code: "ValidationException", message: protected}}}
	err := c.start(t, "carts", nil).DeleteStorage(t.Context())
	if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), protected) || !strings.Contains(err.Error(), "carts") {
		t.Errorf("a protected table: %v", err)
	}
	c = &control{tables: []string{""}, answers: map[string]answer{"CreateTable": {status: 400, code: "LimitExceededException", message: quota}}}
	err = c.start(t, "carts", nil).CreateStorage(t.Context())
	if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), quota) {
		t.Errorf("a limit: %v", err)
	}
	drivertest.WantKind(t, err, model.ErrUnavailable)
}
