package dynamodb

import (
	"context"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestMissingTable writes without a table, which no write creates.
func TestMissingTable(t *testing.T) {
	b, err := New(client(t), drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, c := range writes(drivertest.Record("id", "ann", 0)) {
		if err := c.Do(ctx, b); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.table) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	drivertest.WantKind(t, b.Ping(ctx), model.ErrUnavailable)
	if table, err := b.describe(ctx); err != nil || table != nil {
		t.Errorf("the table exists: %v", err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

// TestStorage creates a table, concurrently and again, and deletes it.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, nil), open(t, nil)
	ctx := t.Context()
	drivertest.Seed(t, b, drivertest.Record("id", "ann", 0))
	drivertest.Seed(t, neighbour, drivertest.Record("id", "ann", 0))
	createStorage := func() {
		t.Helper()
		errs := make([]error, 4)
		driverkit.Parallel(len(errs), len(errs), func(i int) { errs[i] = b.CreateStorage(ctx) })
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	createStorage()
	wantBearers(t, b, "id")
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	createStorage()
	noItems(t, b)
	wantBearers(t, neighbour, "id")
}

// createTable creates a table with a changed definition and returns a backend on
// it. The table is deleted at the end of the test.
func createTable(t testing.TB, c *awsdynamodb.Client, change func(in *awsdynamodb.CreateTableInput)) *Backend {
	t.Helper()
	b, err := New(c, drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	direct, in := client(t), b.definition()
	change(in)
	if _, err := direct.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = direct.DeleteTable(context.WithoutCancel(t.Context()), &awsdynamodb.DeleteTableInput{TableName: &b.table})
	})
	return b
}

// withoutIndex changes a definition to a table without the index.
func withoutIndex(in *awsdynamodb.CreateTableInput) {
	in.GlobalSecondaryIndexes, in.AttributeDefinitions = nil, in.AttributeDefinitions[:2]
}

// TestOtherTables has tables that other programs created. Other keys are an
// error, which says what is needed, and the table stays. A missing index is
// added.
func TestOtherTables(t *testing.T) {
	ctx := t.Context()
	other := createTable(t, client(t), func(in *awsdynamodb.CreateTableInput) {
		in.AttributeDefinitions[0].AttributeName, in.KeySchema[0].AttributeName = aws.String("id"), aws.String("id")
	})
	for name, err := range map[string]error{"create": other.CreateStorage(ctx), "delete": other.DeleteStorage(ctx)} {
		if model.Kind(err) != model.ErrCorrupt || !strings.Contains(err.Error(), "StoragePlan") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := other.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	for _, c := range writes(drivertest.Record("id", "ann", 0)) {
		if err := c.Do(ctx, other); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "key schema") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	bare := createTable(t, client(t), withoutIndex)
	drivertest.Seed(t, bare, drivertest.Record("id", "ann", time.Hour))
	_, err = bare.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10})
	if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "index") {
		t.Errorf("a sweep without the index: %v", err)
	}
	if err := bare.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	wantSwept(t, bare, time.Hour, 1)
	// The context ends an endless wait.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := bare.await(short, func() (bool, string, error) { return false, "", nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an endless wait: %v", err)
	}
}

// TestPermissions makes every kind of call and compares the requests with the
// policy in the package comment.
func TestPermissions(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	bare := createTable(t, sdkOf(b), withoutIndex)
	errs := []error{bare.CreateStorage(ctx), bare.DeleteStorage(ctx), bare.CreateStorage(ctx), bare.DeleteStorage(ctx)}
	drivertest.Seed(t, b, drivertest.Record("reaped", "ann", time.Hour))
	_, err := b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: recordKey("reaped")})
	errs = append(errs, err)
	calls := append(drivertest.Writes(drivertest.SeedCalls(t, b)), drivertest.Reads()...)
	for _, c := range drivertest.Pick(t, calls, "create", "update relabelled", "touch", "delete", "page", "page by label", "ping") {
		errs = append(errs, c.Do(ctx, b))
	}
	_, err = b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10, OnExpire: func(model.Record) error { return nil }})
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	// A transaction needs the permissions of its items.
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
	if got, want := slices.Sorted(maps.Keys(granted)), slices.Sorted(maps.Keys(used)); !slices.Equal(got, want) {
		t.Errorf("the policy allows %v, the calls need %v", got, want)
	}
}

// TestFinalStates has tables in states that they do not leave: the call ends.
func TestFinalStates(t *testing.T) {
	for _, state := range finalStates {
		b, _ := fake(t, answer{status: 200, body: `{"Table":{"TableName":"t","TableStatus":"` + string(state) + `"}}`})
		for call, err := range map[string]error{"create": b.CreateStorage(t.Context()), "delete": b.DeleteStorage(t.Context())} {
			if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), string(state)) {
				t.Errorf("%s, %s: %v", state, call, err)
			}
		}
	}
}

// busy is a client of a table that refuses changes as long as it is busy: the
// first n of each kind. It names the changes that were made.
type busy struct {
	API
	n      int
	tries  map[string]int
	made   []string
	others bool // make the change meanwhile
}

func (c *busy) refuses(what string) error {
	if c.tries == nil {
		c.tries = map[string]int{}
	}
	if c.tries[what]++; c.tries[what] <= c.n {
		return codeError("ResourceInUseException")
	}
	c.made = append(c.made, what)
	return nil
}

func (c *busy) UpdateTable(ctx context.Context, in *awsdynamodb.UpdateTableInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTableOutput, error) {
	if aws.ToBool(in.DeletionProtectionEnabled) {
		return &awsdynamodb.UpdateTableOutput{}, c.refuses("protection")
	}
	if err := c.refuses("index"); err != nil {
		return nil, err
	}
	return c.API.UpdateTable(ctx, in, opts...)
}

func (c *busy) DescribeTable(ctx context.Context, in *awsdynamodb.DescribeTableInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error) {
	out, err := c.API.DescribeTable(ctx, in, opts...)
	if err == nil {
		out.Table.DeletionProtectionEnabled = aws.Bool(slices.Contains(c.made, "protection") || c.others && c.tries["protection"] > 0)
	}
	return out, err
}

func (c *busy) UpdateTimeToLive(ctx context.Context, in *awsdynamodb.UpdateTimeToLiveInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTimeToLiveOutput, error) {
	if err := c.refuses("TTL"); err != nil {
		return nil, err
	}
	return c.API.UpdateTimeToLive(ctx, in, opts...)
}

func (c *busy) DescribeContinuousBackups(context.Context, *awsdynamodb.DescribeContinuousBackupsInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeContinuousBackupsOutput, error) {
	return &awsdynamodb.DescribeContinuousBackupsOutput{}, nil
}

func (c *busy) UpdateContinuousBackups(context.Context, *awsdynamodb.UpdateContinuousBackupsInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateContinuousBackupsOutput, error) {
	return &awsdynamodb.UpdateContinuousBackupsOutput{}, c.refuses("recovery")
}

// onBusy returns a backend on a table that another program made, behind a client
// that is busy for n changes of each kind.
func onBusy(t testing.TB, n int, opts *Options) (*Backend, *busy) {
	t.Helper()
	base := createTable(t, client(t), withoutIndex)
	c := &busy{API: sdkOf(base), n: n}
	b, err := New(c, base.table, opts)
	if err != nil {
		t.Fatal(err)
	}
	b.tried.Store(true)
	b.pause = shortly
	return b, c
}

// TestBusyTables has tables that refuse changes for now: what was asked for is in
// force at the end, and each change is made once.
func TestBusyTables(t *testing.T) {
	b, c := onBusy(t, 3, &Options{DeletionProtection: true, PointInTimeRecovery: true})
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"index", "TTL", "protection", "recovery"}; !slices.Equal(c.made, want) {
		t.Errorf("made the changes %v, want %v", c.made, want)
	}
	if name, err := b.ttlAttribute(t.Context()); name != attrTTL || err != nil {
		t.Errorf("the TTL is by %q, %v", name, err)
	}
	putItem(t, c.API.(*awsdynamodb.Client), b.table, order())
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour))
	c.tries, c.made = nil, nil
	drivertest.WantForeign(t, b.DeleteStorage(t.Context()), `"total"`)
	if want := []string{"TTL", "index"}; !slices.Equal(c.made, want) {
		t.Errorf("made the changes %v, want %v", c.made, want)
	}
	wantOnlyOrder(t, b)

	b, c = onBusy(t, 3, &Options{DeletionProtection: true})
	c.others = true // another node switches it on
	if err := b.CreateStorage(t.Context()); err != nil || c.tries["protection"] != 1 {
		t.Errorf("tried to protect the table %d times, %v", c.tries["protection"], err)
	}
}

// TestTablesThatStayBusy waits for a minute, by pauses that take no time. The
// error says what is not in force.
func TestTablesThatStayBusy(t *testing.T) {
	for what, opts := range map[string]Options{"deletion protection": {DeletionProtection: true, GraceTTL: -1}, "TTL": {}} {
		b, c := onBusy(t, 0, &opts)
		err := b.CreateStorage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.made, c.n, b.patience = nil, 1<<30, time.Minute
		b.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
		_, err = b.setTTL(t.Context(), false, "already disabled")
		if opts.DeletionProtection {
			err = b.CreateStorage(t.Context())
		}
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "for 1m0s") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
