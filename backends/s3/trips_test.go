package s3

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// wire is what went over it, as one line. Index entries are written at the same
// time, so that their order is none.
func wire(ops []string) string {
	for i := 1; i < len(ops); i++ {
		if ops[i-1] == "PUT x" && ops[i] == "PUT l" {
			ops[i-1], ops[i] = ops[i], ops[i-1]
		}
	}
	return strings.Join(ops, " ")
}

// TestTrips counts requests on the wire, and fails when one grows: where records
// are replaced by tombstones, and where they are deleted.
func TestTrips(t *testing.T) {
	for name, opened := range map[string]func(testing.TB, *Options) (*Backend, *proxy){"tombstones": proxied, "deletes": deleting} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := opened(t, nil)
			removal := "PUT r"
			if name == "deletes" {
				removal = "DELETE r"
			}
			testTrips(t, b, p, removal)
		})
	}
}

func testTrips(t *testing.T, b *Backend, p *proxy, removal string) {
	t.Helper()
	ctx := t.Context()
	var prev model.Record // as a Get gives it
	write := func(cond driver.Condition, r model.Record, change func(w *driver.Write)) func() error {
		return func() error {
			w := driver.Write{Record: r, Cond: cond}
			w.Record.Revision = model.NewRevision()
			if change != nil {
				change(&w)
			}
			_, err := b.Write(ctx, testNow, w)
			return err
		}
	}
	keep := func(w *driver.Write) { w.Keep.Expiry, w.Keep.Labels = true, true }
	compare := func(more func(w *driver.Write)) func(w *driver.Write) {
		return func(w *driver.Write) {
			w.Known = prev
			if more != nil {
				more(w)
			}
		}
	}
	bare := func(w *driver.Write) { w.Known = model.Record{Revision: prev.Revision} }
	touch := func(mode driver.TouchMode, d time.Duration, with func() model.Record) func() error {
		return func() error {
			tc := driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(d)}
			if with != nil {
				tc.Known = with()
			}
			_, err := b.Touch(ctx, testNow, tc)
			return err
		}
	}
	got := func() model.Record { return prev }
	heads := func() model.Record { return prev.Head() } //nolint:gocritic // prev changes
	del := func(cond driver.Condition, with func() model.Record) func() error {
		return func() error {
			var r model.Record
			if with != nil {
				r = with()
			}
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: cond, Known: r})
		}
	}
	page := func(q driver.Query) func() error {
		return func() error { _, err := b.Page(ctx, testNow, q); return err }
	}
	count := func(label, value string) func() error {
		return func() error { _, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value}); return err }
	}
	fails := func(want error, do func() error) func() error {
		return func() error {
			if err := do(); model.Kind(err) != want {
				return fmt.Errorf("got %w, want %w", err, want)
			}
			return nil
		}
	}
	plain, ever, full := record("id", "", time.Hour), record("id", "", 0), record("id", "ann", time.Hour)
	everLabelled := record("id", "ann", 0)
	rec := record
	const (
		get  = "GET r"
		put  = "PUT r"
		due  = "PUT x"
		lab  = "PUT l"
		all  = "LIST r"
		tidy = "DELETES"
	)
	tests := []struct {
		name   string
		stored *model.Record
		do     func() error
		ops    string // on the wire, in order
	}{
		{"get", &full, func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, get},
		{"create", nil, write(driver.IfAbsent, rec("new1", "", 0), nil), put},
		{"create with an expiry", nil, write(driver.IfAbsent, rec("new2", "", time.Hour), nil), due + " " + put},
		{"create with both", nil, write(driver.IfAbsent, rec("new3", "ann", time.Hour), nil), lab + " " + due + " " + put},
		{"create labelled", nil, write(driver.IfAbsent, rec("new4", "ann", 0), nil), lab + " " + due + " " + put},
		{"create of what is there", &ever, fails(model.ErrExists, write(driver.IfAbsent, rec("id", "", 0), nil)), put + " " + get},
		{"upsert", &ever, write(driver.IfAny, ever, nil), put},
		{"upsert with both", &full, write(driver.IfAny, full, nil), lab + " " + due + " " + put},
		{"update that keeps", &full, write(driver.IfPresent, full, keep), get + " " + put},
		{"update with the same label and a later expiry", &full, write(driver.IfPresent, rec("id", "ann", 2*time.Hour), nil), get + " " + put},
		{"update with an earlier expiry", &full, write(driver.IfPresent, rec("id", "ann", time.Minute), nil), get + " " + due + " " + put},
		{"update with another label", &full, write(driver.IfPresent, rec("id", "bob", time.Hour), nil), get + " " + lab + " " + due + " " + put},
		{"compare-and-set", &full, write(driver.IfMatch, rec("id", "ann", time.Hour), compare(nil)), put},
		{"compare-and-set that keeps", &full, write(driver.IfMatch, ever, compare(keep)), put},
		{"compare-and-set with a later expiry", &full, write(driver.IfMatch, rec("id", "ann", 2*time.Hour), compare(nil)), put},
		{"compare-and-set with another label", &full, write(driver.IfMatch, rec("id", "bob", time.Hour), compare(nil)), lab + " " + due + " " + put},
		{"compare-and-set without a hint", &full, write(driver.IfMatch, full, bare), get + " " + put},
		{"compare-and-set at another revision", &full, fails(model.ErrConflict, write(driver.IfMatch, full, func(w *driver.Write) { w.Known.Revision = model.NewRevision() })), get},
		{"touch with a prev", &full, touch(driver.TouchSet, 2*time.Hour, got), put},
		{"extend with a prev", &full, touch(driver.TouchExtend, 2*time.Hour, got), put},
		{"touch to an earlier time with a prev", &full, touch(driver.TouchSet, time.Minute, got), due + " " + put},
		{"clear with a prev", &full, touch(driver.TouchClear, 0, got), put},
		{"touch with a prev without its value", &full, touch(driver.TouchSet, 2*time.Hour, heads), get + " " + put},
		{"touch by id", &full, touch(driver.TouchSet, 2*time.Hour, nil), get + " " + put},
		{"touch from never", &ever, touch(driver.TouchSet, time.Hour, nil), get + " " + due + " " + put},
		{"touch that changes nothing", &full, touch(driver.TouchExtend, time.Minute, got), get},
		{"delete with a prev", &plain, del(driver.IfMatch, got), removal},
		{"delete of any revision with a prev", &plain, del(driver.IfPresent, got), removal},
		{"delete by id", &plain, del(driver.IfPresent, nil), get + " " + removal},
		{"delete labelled with a prev", &full, del(driver.IfMatch, got), removal + " " + tidy},
		{"delete labelled by id", &everLabelled, del(driver.IfPresent, nil), get + " " + removal + " " + tidy},
		{"page", &full, page(driver.Query{Limit: 1}), all + " " + get},
		{"page of ids", &full, page(driver.Query{Limit: 1, KeysOnly: true}), all + " " + get},
		{"page by label", &full, page(driver.Query{Limit: 100, Label: "principal", Value: "zoe"}), "LIST l"},
		{"count by label", &full, count("principal", "zoe"), "LIST l"},
		{"count", &full, count("", ""), "LIST x " + all},
		{"get many", &full, func() error { return b.GetMany(ctx, testNow, driver.Gets("id", "id"))[0].Err }, get + " " + get},
		{"write many", &full, func() error {
			w := driver.Write{Record: rec("id", "", 0), Cond: driver.IfAny}
			return b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &w}})[0].Err
		}, put},
		{"ping", nil, func() error { return b.Ping(ctx) }, "GET store.json"},
		{"sweep of nothing", nil, func() error { _, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 100}); return err }, "LIST x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.stored != nil {
				seed(t, b, *test.stored)
				var err error
				if prev, err = b.Get(ctx, testNow, driver.Get{ID: "id"}); err != nil {
					t.Fatal(err)
				}
			}
			p.take()
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			if ops := wire(p.take().ops); ops != test.ops {
				t.Fatalf("on the wire: %s, want %s", ops, test.ops)
			}
		})
	}
	t.Run("create over", func(t *testing.T) {
		old := record("old", "ann", 0)
		old.ExpiresAt = testNow
		seed(t, b, old)
		p.take()
		if err := write(driver.IfAbsent, rec("old", "", 0), nil)(); err != nil {
			t.Fatal(err)
		}
		if ops := wire(p.take().ops); ops != "PUT r GET r PUT r" {
			t.Errorf("an expired record: %s", ops)
		}
		if err := b.Delete(ctx, testNow, driver.Delete{ID: "old", Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
		p.take()
		if err := write(driver.IfAbsent, rec("old", "", 0), nil)(); err != nil {
			t.Fatal(err)
		}
		want := "PUT r GET r PUT r"
		if removal == "DELETE r" {
			want = "PUT r"
		}
		if ops := wire(p.take().ops); ops != want {
			t.Errorf("a deleted record: %s, want %s", ops, want)
		}
	})
}

// load puts n records into the store as they would be written, some at once.
func load(t testing.TB, b *Backend, n int, of func(i int) model.Record) {
	t.Helper()
	errs := make([]error, n)
	parallel(n, func(i int) {
		r := of(i)
		_, errs[i] = b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: driver.IfAny})
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCostInProportion has many live records and 200 expired ones: a sweep, a
// listing and a count by label look at what matches, whatever there is else.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t, nil)
	direct, err := New(client(t), b.bucket, b.prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	const live, expired, crowd = 20_000, 200, 50
	fill(t, direct, live-crowd)
	load(t, direct, crowd, func(i int) model.Record { return record(fmt.Sprint("crowd", i), "ann", time.Hour) })
	load(t, direct, expired, func(i int) model.Record {
		r := record(fmt.Sprint("old", i), "bob", 0)
		r.ExpiresAt = testNow.Add(-time.Duration(i) * time.Second)
		return r
	})
	ctx := t.Context()
	is := func(what string, requests, listed, reads int) {
		t.Helper()
		got := p.take()
		t.Logf("%s: %d requests, %d keys listed, %d records read", what, len(got.ops), got.listed, got.of("GET r"))
		if len(got.ops) > requests || got.listed > listed || got.of("GET r") != reads {
			t.Errorf("%s: %d requests, %d keys listed, %d records read; want at most %d, %d, and %d", what, len(got.ops), got.listed, got.of("GET r"), requests, listed, reads)
		}
	}
	p.take()
	if n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != crowd {
		t.Fatalf("%d, %v", n, err)
	}
	is("count by label", crowd+1, crowd, crowd)
	pg, err := b.Page(ctx, testNow, driver.Query{Label: "principal", Value: "ann", Limit: 100})
	if err != nil || len(pg.Records) != crowd || pg.Next != "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("listing by label", crowd+1, crowd, crowd)
	if pg, err = b.Page(ctx, testNow, driver.Query{Limit: 100}); err != nil || len(pg.Records) != 100 || pg.Next == "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("one page of all", 101, 100+spare, 100)
	n, err := b.Count(ctx, testNow, driver.Query{Label: ""})
	if err != nil || n != live {
		t.Fatalf("%d counted, %v", n, err)
	}
	is("count", 1+expired+(live+expired)/maxKeys+1, maxKeys+live+expired, expired)
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000})
	if err != nil || swept.Removed != expired || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep", 1+2*expired+2, maxKeys, expired) // the page with what is due has others on it
	if swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 10}); err != nil || swept.Removed != 0 {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep of nothing", 1, 2*10+sweepLeast, 0)
	for left := range 3 {
		r := record(fmt.Sprint("late", left), "", 0)
		r.ExpiresAt = testNow
		seed(t, direct, r)
	}
	p.take()
	if swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 2}); err != nil || swept.Removed != 2 || !swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep with a limit", 1+3+2+1, 2*2+sweepLeast, 3)
}

// fill puts n live records into the store, as they would be written: by one
// archive that the server unpacks. One in ten expires.
func fill(t testing.TB, b *Backend, n int) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(key string, data []byte) {
		err := w.WriteHeader(&tar.Header{Name: b.full(key), Size: int64(len(data)), Mode: 0o600, ModTime: time.Unix(1, 0), Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		r := record(fmt.Sprint("live", i), "", 0)
		if i%10 == 0 {
			r.ExpiresAt = testNow.Add(time.Hour)
		}
		h := &head{id: r.ID, rev: r.Revision, expiresAt: r.ExpiresAt, stamp: newStamp()}
		h.setValue(r.Value, r.Encoding)
		p := placeOf(r.ID)
		if !r.ExpiresAt.IsZero() {
			h.due = h.stamp
			add(dueKey(r.ExpiresAt, p.name, h.stamp), nil)
		}
		add(recordKey(p.name), h.encode(r.Value))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &b.bucket, Key: aws.String(b.prefix + ".tar"), Body: bytes.NewReader(archive.Bytes()),
		Metadata: map[string]string{"Snowball-Auto-Extract": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSweepThatOthersGetAheadOf has another sweep remove half of what this one
// is about to: what is over this one's limit is left, and it says so.
func TestSweepThatOthersGetAheadOf(t *testing.T) {
	b := openOn(t, client(t), nil)
	other, err := New(client(t), b.bucket, strings.TrimSuffix(b.prefix, "/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sweepLeast {
		seed(t, b, record(fmt.Sprint("id-", i), "", time.Minute))
	}
	first := true
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 8, OnExpire: func(model.Record) error {
		if first {
			first = false
			if ahead, err := other.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 4}); err != nil || ahead.Removed != 4 {
				t.Errorf("the other one: %+v, %v", ahead, err)
			}
		}
		return nil
	}})
	if err != nil || swept.Removed != 4 || !swept.More {
		t.Errorf("%+v, %v, want 4 removed and more", swept, err)
	}
}
