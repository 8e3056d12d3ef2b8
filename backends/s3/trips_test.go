package s3

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// wire joins the names of requests. Index entries are written at the same time,
// so their order is normalized.
func wire(ops []string) string {
	for i := 1; i < len(ops); i++ {
		if ops[i-1] == "PUT x" && ops[i] == "PUT l" {
			ops[i-1], ops[i] = ops[i], ops[i-1]
		}
	}
	return strings.Join(ops, " ")
}

// TestTrips checks the requests of each operation in both modes.
func TestTrips(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			b, p := m.open(t)
			testTrips(t, b, p, m.removal)
		})
	}
}

func testTrips(t *testing.T, b *Backend, p *proxy, removal string) {
	t.Helper()
	ctx := t.Context()
	now, rec := drivertest.Now, drivertest.Record
	var got model.Record // the stored record as Get returns it
	none := func() model.Record { return model.Record{} }
	known := func() model.Record { return got }
	bare := func() model.Record { return model.Record{Revision: got.Revision} }
	stale := func() model.Record { r := got; r.Revision = model.NewRevision(); return r }
	headOnly := func() model.Record { return got.Head() } //nolint:gocritic // got changes
	write := func(cond driver.Condition, r model.Record, known func() model.Record, keep bool) func() error {
		return func() error {
			r.Revision = model.NewRevision()
			_, err := b.Write(ctx, now, driver.Write{Record: r, Cond: cond, Known: known(), Keep: driver.Keep{Expiry: keep, Labels: keep}})
			return err
		}
	}
	create := func(r model.Record) func() error { return write(driver.IfAbsent, r, none, false) }
	update := func(r model.Record) func() error { return write(driver.IfPresent, r, none, false) }
	swap := func(r model.Record) func() error { return write(driver.IfMatch, r, known, false) }
	touch := func(mode driver.TouchMode, ttl time.Duration, known func() model.Record) func() error {
		return func() error {
			_, err := b.Touch(ctx, now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: now.Add(ttl), Known: known()})
			return err
		}
	}
	del := func(cond driver.Condition, known func() model.Record) func() error {
		return func() error { return b.Delete(ctx, now, driver.Delete{ID: "id", Cond: cond, Known: known()}) }
	}
	page := func(q driver.Query) func() error {
		return func() error { _, err := b.Page(ctx, now, q); return err }
	}
	reads := func(name string) func() error {
		return func() error { return drivertest.Pick(t, drivertest.Reads(), name)[0].Do(ctx, b) }
	}
	plain, ever, full, everLabelled := rec("id", "", time.Hour), rec("id", "", 0), rec("id", "ann", time.Hour), rec("id", "ann", 0)
	later, earlier, relabelled := rec("id", "ann", 2*time.Hour), rec("id", "ann", time.Minute), rec("id", "bob", time.Hour)
	const (
		get  = "GET r"
		put  = "PUT r"
		due  = "PUT x "
		lab  = "PUT l "
		all  = "LIST r"
		tidy = " DELETES"
	)
	tests := []struct {
		name   string
		stored *model.Record
		do     func() error
		sent   string // in order
		want   error  // the kind
	}{
		{"get", &full, reads("get"), get, nil},
		{"create", nil, create(rec("new1", "", 0)), put, nil},
		{"create with an expiry", nil, create(rec("new2", "", time.Hour)), due + put, nil},
		{"create with both", nil, create(rec("new3", "ann", time.Hour)), lab + due + put, nil},
		{"create labelled", nil, create(rec("new4", "ann", 0)), lab + due + put, nil},
		{"create of an existing record", &ever, create(rec("id", "", 0)), put + " " + get, model.ErrExists},
		{"upsert", &ever, write(driver.IfAny, ever, none, false), put, nil},
		{"upsert with both", &full, write(driver.IfAny, full, none, false), lab + due + put, nil},
		{"update that keeps", &full, write(driver.IfPresent, full, none, true), get + " " + put, nil},
		{"update with the same label and a later expiry", &full, update(later), get + " " + put, nil},
		{"update with an earlier expiry", &full, update(earlier), get + " " + due + put, nil},
		{"update with another label", &full, update(relabelled), get + " " + lab + due + put, nil},
		{"compare-and-set", &full, swap(full), put, nil},
		{"compare-and-set that keeps", &full, write(driver.IfMatch, ever, known, true), put, nil},
		{"compare-and-set with a later expiry", &full, swap(later), put, nil},
		{"compare-and-set with another label", &full, swap(relabelled), lab + due + put, nil},
		{"compare-and-set without a server version", &full, write(driver.IfMatch, full, bare, false), get + " " + put, nil},
		{"compare-and-set at another revision", &full, write(driver.IfMatch, full, stale, false), get, model.ErrConflict},
		{"touch known", &full, touch(driver.TouchSet, 2*time.Hour, known), put, nil},
		{"extend known", &full, touch(driver.TouchExtend, 2*time.Hour, known), put, nil},
		{"touch known to an earlier time", &full, touch(driver.TouchSet, time.Minute, known), due + put, nil},
		{"clear known", &full, touch(driver.TouchClear, 0, known), put, nil},
		{"touch known without its value", &full, touch(driver.TouchSet, 2*time.Hour, headOnly), get + " " + put, nil},
		{"touch by id", &full, touch(driver.TouchSet, 2*time.Hour, none), get + " " + put, nil},
		{"touch from never", &ever, touch(driver.TouchSet, time.Hour, none), get + " " + due + put, nil},
		{"touch that changes nothing", &full, touch(driver.TouchExtend, time.Minute, known), get, nil},
		{"delete known", &plain, del(driver.IfMatch, known), removal, nil},
		{"delete any revision known", &plain, del(driver.IfPresent, known), removal, nil},
		{"delete by id", &plain, del(driver.IfPresent, none), get + " " + removal, nil},
		{"delete labelled known", &full, del(driver.IfMatch, known), removal + tidy, nil},
		{"delete labelled by id", &everLabelled, del(driver.IfPresent, none), get + " " + removal + tidy, nil},
		{"page", &full, page(driver.Query{Limit: 1}), all + " " + get, nil},
		{"page of ids", &full, page(driver.Query{Limit: 1, KeysOnly: true}), all + " " + get, nil},
		{"page by label", &full, page(driver.Query{Limit: 100, Label: "principal", Value: "zoe"}), "LIST l", nil},
		{"count by label", &full, func() error { _, err := b.Count(ctx, now, driver.Query{Label: "principal", Value: "zoe"}); return err }, "LIST l", nil},
		{"count", &full, reads("count"), "LIST x " + all, nil},
		{"get many", &full, func() error { return b.GetMany(ctx, now, driver.Gets("id", "id"))[0].Err }, get + " " + get, nil},
		{"write many", &full, func() error {
			w := driver.Write{Record: rec("id", "", 0), Cond: driver.IfAny}
			return b.WriteMany(ctx, now, []driver.BatchOp{{Write: &w}})[0].Err
		}, put, nil},
		{"ping", nil, reads("ping"), "GET store.json", nil},
		{"sweep of nothing", nil, reads("sweep of nothing"), "LIST x", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.stored != nil {
				got = drivertest.Put(t, b, *test.stored)
			}
			p.Requests()
			drivertest.WantKind(t, test.do(), test.want)
			if sent := wire(p.Requests()); sent != test.sent {
				t.Fatalf("sent %s, want %s", sent, test.sent)
			}
		})
	}
	t.Run("create over", func(t *testing.T) {
		drivertest.Seed(t, b, drivertest.Expired("old", "ann"))
		createOld := func(what, want string) {
			t.Helper()
			p.Requests()
			if err := create(rec("old", "", 0))(); err != nil {
				t.Fatal(err)
			}
			if sent := wire(p.Requests()); sent != want {
				t.Errorf("%s: sent %s, want %s", what, sent, want)
			}
		}
		createOld("an expired record", "PUT r GET r PUT r")
		remove(t, b, "old")
		if removal == "DELETE r" {
			createOld("a deleted record", "PUT r")
		} else {
			createOld("a tombstone", "PUT r GET r PUT r")
		}
	})
}

// load writes n records, some at the same time.
func load(t testing.TB, b *Backend, n int, of func(i int) model.Record) {
	t.Helper()
	errs := make([]error, n)
	parallel(n, func(i int) {
		_, errs[i] = b.Write(t.Context(), drivertest.Now, driver.Write{Record: of(i), Cond: driver.IfAny})
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCostInProportion has many live records and 200 expired ones. A sweep, a
// listing and a count by label read only the records that match.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t, nil)
	direct := newBackend(t, client(t), b.bucket, b.prefix, nil)
	const live, expired, crowd = 4000, 200, 50
	fill(t, direct, live-crowd)
	load(t, direct, crowd, func(i int) model.Record { return drivertest.Record(fmt.Sprint("crowd", i), "ann", time.Hour) })
	load(t, direct, expired, func(i int) model.Record {
		r := drivertest.Expired(fmt.Sprint("old", i), "bob")
		r.ExpiresAt = r.ExpiresAt.Add(-time.Duration(i) * time.Second)
		return r
	})
	ctx := t.Context()
	is := func(what string, requests, listed, reads int) {
		t.Helper()
		ops, keys := p.Requests(), p.takeListed()
		n := count(ops, "GET r")
		t.Logf("%s: %d requests, %d keys listed, %d records read", what, len(ops), keys, n)
		if len(ops) > requests || keys > listed || n != reads {
			t.Errorf("%s: %d requests, %d keys listed, %d records read; want at most %d, at most %d, and %d", what, len(ops), keys, n, requests, listed, reads)
		}
	}
	page := func(q driver.Query, records int, more bool) {
		t.Helper()
		pg, err := b.Page(ctx, drivertest.Now, q)
		if err != nil || len(pg.Records) != records || (pg.Next != "") != more {
			t.Fatalf("a page of %d records, more: %v, %v; want %d, %v", len(pg.Records), pg.Next != "", err, records, more)
		}
	}
	removes := func(limit, removed int, more bool) {
		t.Helper()
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: limit})
		if err != nil || swept.Removed != removed || swept.More != more {
			t.Fatalf("swept %+v, %v; want %d removed, more: %v", swept, err, removed, more)
		}
	}
	ann := driver.Query{Label: "principal", Value: "ann", Limit: 100}
	p.Requests()
	p.takeListed()
	wantCount(t, b, drivertest.Now, ann, crowd)
	is("count by label", crowd+1, crowd, crowd)
	page(ann, crowd, false)
	is("listing by label", crowd+1, crowd, crowd)
	page(driver.Query{Limit: 100}, 100, true)
	is("one page of all", 101, 100+spare, 100)
	wantCount(t, b, drivertest.Now, driver.Query{}, live)
	is("count", 1+expired+(live+expired)/maxKeys+1, maxKeys+live+expired, expired)
	removes(1000, expired, false)
	is("sweep", 1+2*expired+2, maxKeys, expired) // the listing with the due entries also has others
	removes(10, 0, false)
	is("sweep of nothing", 1, 2*10+sweepLeast, 0)
	load(t, direct, 3, func(i int) model.Record { return drivertest.Expired(fmt.Sprint("late", i), "") })
	removes(2, 2, true)
	is("sweep with a limit", 1+3+2+1, 2*2+sweepLeast, 3)
}

// fill writes n live records with one archive that the server unpacks. One in
// ten expires.
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
		r := drivertest.Record(fmt.Sprint("live", i), "", 0)
		if i%10 == 0 {
			r.ExpiresAt = drivertest.Now.Add(time.Hour)
		}
		h := &head{id: r.ID, rev: r.Revision, expiresAt: r.ExpiresAt, stamp: newStamp()}
		h.setValue(r.Value, r.Encoding)
		p := placeOf(r.ID)
		if !r.ExpiresAt.IsZero() {
			h.due = h.stamp
			add(dueKey(r.ExpiresAt, p.name, h.stamp), nil)
		}
		add(recordKey(p.name), append(h.encode(), r.Value...))
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

// TestSweepBesideAnother has another sweep remove half of the records that this
// one is about to remove. This sweep reports that more may be left.
func TestSweepBesideAnother(t *testing.T) {
	b := open(t)
	other := newBackend(t, client(t), b.bucket, b.prefix, nil)
	load(t, b, sweepLeast, func(i int) model.Record { return drivertest.Record(fmt.Sprint("id-", i), "", time.Minute) })
	later := drivertest.Now.Add(time.Hour)
	var first sync.Once
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 8, OnExpire: func(model.Record) error {
		first.Do(func() {
			if ahead, err := other.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 4}); err != nil || ahead.Removed != 4 {
				t.Errorf("the other sweep: %+v, %v; want 4 removed", ahead, err)
			}
		})
		return nil
	}})
	if err != nil || swept.Removed != 4 || !swept.More {
		t.Errorf("swept %+v, %v; want 4 removed and more", swept, err)
	}
}
