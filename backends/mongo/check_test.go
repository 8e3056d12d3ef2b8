package mongo

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// smallServer keeps documents by id and knows what the checks need: updates by
// id, revision and expiry, finds and deletes. It can be wrong in several ways.
type smallServer struct {
	mu       sync.Mutex
	docs     map[string]bson.Raw
	races    bool // it reads before others have written
	unsorted bool
	hello    bson.D
	index    []any // of listIndexes
	missing  bool  // the collection
	other    reply // before all others; nil goes on
}

// legacy answers as a server that knows no hello.
func legacy(isMaster bson.D) reply {
	return func(name string, _ bson.Raw) bson.D {
		switch name {
		case "hello":
			return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: commandNotFound}, {Key: "errmsg", Value: "no such command: 'hello'"}}
		case "isMaster":
			return isMaster
		}
		return nil
	}
}

func (s *smallServer) reply(name string, body bson.Raw) bson.D {
	if s.other != nil {
		if answer := s.other(name, body); answer != nil {
			return answer
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "hello":
		return s.hello
	case "listCollections":
		if s.missing {
			return found()
		}
		return found(bson.D{{Key: "name", Value: "c"}, {Key: "type", Value: "collection"}})
	case "listIndexes":
		return found(s.index...)
	case "aggregate":
		return found()
	case "update":
		return s.update(body.Lookup("updates").Array().Index(0).Document())
	case "find":
		var docs []any
		for _, id := range s.ids() {
			if q := body.Lookup("filter", "_id"); q.Type != bson.TypeString || q.StringValue() == id {
				docs = append(docs, s.docs[id])
			}
		}
		return found(docs...)
	case "delete":
		s.docs = nil
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 1}}
}

func (s *smallServer) ids() []string {
	var ids []string
	for id := range s.docs {
		ids = append(ids, id)
	}
	if slices.Sort(ids); s.unsorted {
		slices.Reverse(ids)
	}
	return ids
}

// update replaces a document. A missing one is inserted, which is a duplicate key
// if the id exists.
func (s *smallServer) update(u bson.Raw) bson.D {
	id := u.Lookup("q", "_id").StringValue()
	cur, exists := s.docs[id]
	matches := exists
	if rev := u.Lookup("q", fieldRevision); matches && !rev.IsZero() {
		matches = s.races || rev.Equal(cur.Lookup(fieldRevision))
	}
	if before := u.Lookup("q", fieldExpiry, "$lte"); matches && !before.IsZero() {
		matches = s.races || cur.Lookup(fieldExpiry).DateTime() <= before.DateTime()
	}
	upsert, _ := u.Lookup("upsert").BooleanOK()
	ok := bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 1}, {Key: "nModified", Value: 1}}
	switch {
	case matches:
	case upsert && exists:
		return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 0}, {Key: "writeErrors", Value: bson.A{
			bson.D{{Key: "index", Value: 0}, {Key: "code", Value: 11000}, {Key: "errmsg", Value: "E11000 duplicate key error collection: d.c index: _id_ dup key"}},
		}}}
	case upsert:
		ok = append(ok, bson.E{Key: "upserted", Value: bson.A{bson.D{{Key: "index", Value: 0}, {Key: "_id", Value: id}}}})
	default:
		return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 0}, {Key: "nModified", Value: 0}}
	}
	if s.docs == nil {
		s.docs = map[string]bson.Raw{}
	}
	doc := append(bson.D{{Key: "_id", Value: id}}, withoutID(u.Lookup("u").Document())...)
	raw, err := bson.Marshal(doc)
	if err != nil {
		panic(err) // of the fake's own document
	}
	s.docs[id] = raw
	return ok
}

func withoutID(raw bson.Raw) (out bson.D) {
	elements, _ := raw.Elements()
	for _, e := range elements {
		if e.Key() != "_id" {
			out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	return out
}

// indexesOf returns the answer to listIndexes after CreateStorage.
func indexesOf(ttl int, more ...bson.E) []any {
	expires := bson.D{{Key: "name", Value: expiryIndex}, {Key: "key", Value: expiryKeys}}
	if ttl >= 0 {
		expires = append(expires, bson.E{Key: "expireAfterSeconds", Value: ttl})
	}
	return []any{
		bson.D{{Key: "name", Value: "_id_"}, {Key: "key", Value: idKeys}},
		append(expires, more...),
		bson.D{{Key: "name", Value: labelIndex("principal")}, {Key: "key", Value: labelKeys("principal")}, {Key: "partialFilterExpression", Value: hasField(labelField("principal"))}},
	}
}

// TestCheck has servers and collections with one wrong property each. The fields
// of hello and listIndexes are those of MongoDB's manual:
// https://www.mongodb.com/docs/manual/reference/command/hello/ and
// https://www.mongodb.com/docs/manual/reference/command/listIndexes/.
func TestCheck(t *testing.T) {
	hello := func(writable bool, wire int, ahead time.Duration) bson.D {
		return bson.D{
			{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: writable}, {Key: "maxWireVersion", Value: wire},
			{Key: "localTime", Value: time.Now().Add(ahead)}, {Key: "minWireVersion", Value: 0},
		}
	}
	shared := func(name string, _ bson.Raw) bson.D { // another program's document is among the first
		if name != "aggregate" {
			return nil
		}
		return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "db.c"}, {Key: "firstBatch", Value: bson.A{
			bson.D{{Key: "_id", Value: 1}, {Key: "theirs", Value: "x"}},
		}}}}}
	}
	const hour, unsafe, warning, unknown = 3600, driver.CheckUnsafe, driver.CheckWarning, driver.CheckUnknown
	for name, test := range map[string]struct {
		server *smallServer
		check  string // the finding that is not right; empty: all are
		level  driver.CheckLevel
		words  string
	}{
		"right":          {&smallServer{index: indexesOf(hour)}, "", 0, ""},
		"no collection":  {&smallServer{missing: true}, "collection", unsafe, "CreateStorage"},
		"a shared one":   {&smallServer{index: indexesOf(hour), other: shared}, "collection", unsafe, `fields "_id", "theirs"`},
		"no index":       {&smallServer{index: indexesOf(hour)[:2]}, "indexes", unsafe, labelIndex("principal")},
		"a hidden index": {&smallServer{index: indexesOf(hour, bson.E{Key: "hidden", Value: true})}, "indexes", unsafe, "hidden"},
		"no removal":     {&smallServer{index: indexesOf(-1)}, "removal by the server", warning, "Sweeper"},
		"early removal":  {&smallServer{index: indexesOf(60)}, "removal by the server", unsafe, "60 seconds"},
		"late removal":   {&smallServer{index: indexesOf(2 * hour)}, "removal by the server", warning, "7200 seconds"},
		"a fast clock":   {&smallServer{index: indexesOf(hour), hello: hello(true, 21, 2*time.Hour)}, "clock", unsafe, "ahead by 1h59m"},
		"a slow clock":   {&smallServer{index: indexesOf(hour), hello: hello(true, 21, -2*time.Hour)}, "clock", unsafe, "NTP"},
		"a late clock":   {&smallServer{index: indexesOf(hour), hello: hello(true, 21, -10*time.Second)}, "clock", warning, "behind by"},
		"no clock":       {&smallServer{index: indexesOf(hour), hello: hello(true, 21, 0)[:3]}, "clock", unknown, "compare"},
		"a secondary":    {&smallServer{index: indexesOf(hour), hello: hello(false, 21, 0)}, "state", unsafe, "replica set"},
		"an old version": {&smallServer{index: indexesOf(hour), hello: hello(true, 9, 0)}, "version", warning, "MongoDB 6"},
		"no hello": {&smallServer{index: indexesOf(hour), other: legacy(bson.D{
			{Key: "ok", Value: 1}, {Key: "ismaster", Value: false}, {Key: "maxWireVersion", Value: 21}, {Key: "localTime", Value: time.Now()},
		})}, "state", unsafe, "replica set"},
		"writes that race":  {&smallServer{index: indexesOf(hour), races: true}, "conditional writes", unsafe, "16 of 16"},
		"unsorted listings": {&smallServer{index: indexesOf(hour), unsorted: true}, "listings", unsafe, "order"},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.server
			if s.hello == nil {
				s.hello = hello(true, 21, 0)
			}
			b := openFake(t, true, nil, nil, s.reply)
			checks, err := b.Check(t.Context())
			if err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			seen := false
			for _, c := range checks {
				want := driver.CheckRight
				if c.Name == test.check {
					seen, want = true, test.level
					if !strings.Contains(c.Seen+c.Fix+c.Need, test.words) || c.Fix == "" {
						t.Errorf("%+v does not say %q, or not what to do", c, test.words)
					}
				}
				if c.Level != want {
					t.Errorf("%+v, want %s", c, want)
				}
			}
			if !seen && test.check != "" {
				t.Errorf("no finding %q in %+v", test.check, checks)
			}
			if len(s.docs) > 0 {
				t.Errorf("%d documents are left", len(s.docs))
			}
			if !slices.Contains([]string{"clock", "state", "conditional writes", "listings"}, test.check) || test.level != unsafe {
				return
			}
			s.index, s.missing = nil, true // CreateStorage refuses before it creates an index
			if name == "a slow clock" {    // which removes nothing early
				drivertest.WantKind(t, b.CreateStorage(t.Context()), nil)
				return
			}
			before := s.other
			s.other = func(name string, body bson.Raw) bson.D {
				if name == "createIndexes" {
					t.Error("an index was created")
				}
				if before == nil {
					return nil
				}
				return before(name, body)
			}
			err = b.CreateStorage(t.Context())
			drivertest.WantKind(t, err, model.ErrUnsupported)
			if !strings.Contains(err.Error(), test.check) {
				t.Error(err)
			}
		})
	}
}

// TestCheckOfTheServer looks at the server of the tests.
func TestCheckOfTheServer(t *testing.T) {
	b := open(t, nil)
	checks, err := b.Check(t.Context())
	if err != nil || checks.Err() != nil {
		t.Fatal(drivertest.Causes(err), checks.Err())
	}
	p, err := b.Page(t.Context(), time.UnixMilli(0), driver.Query{Limit: 100})
	if err != nil || len(p.Records) > 0 {
		t.Errorf("Check left %d records, %v", len(p.Records), err)
	}
}

// TestPageOfOneAnswer has a server whose answers have no limit of their own: a
// page ends by driver.PageBytes (rule R101).
func TestPageOfOneAnswer(t *testing.T) {
	var docs []any
	for i := range 24 {
		r := drivertest.Record(fmt.Sprintf("id%02d", i), "", time.Hour)
		r.Value = make([]byte, 1<<20)
		doc, _ := labelled().document(&r)
		docs = append(docs, doc)
	}
	b := openFake(t, false, nil, nil, func(_ string, body bson.Raw) bson.D {
		from := 0
		if after := body.Lookup("filter", "_id", "$gt").StringValue(); after != "" {
			_, _ = fmt.Sscanf(after, "id%02d", &from)
			from++
		}
		return found(docs[from:]...)
	})
	first, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 100})
	if err != nil || len(first.Records) != driver.PageBytes>>20 || first.Next == "" {
		t.Fatalf("%d records, next %q, %v", len(first.Records), first.Next, err)
	}
	rest, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 100, After: first.Next})
	if err != nil || len(rest.Records) != len(docs)-len(first.Records) || rest.Next != "" {
		t.Errorf("%d records, next %q, %v", len(rest.Records), rest.Next, err)
	}
}

// TestLimitsOfURLs has clients that URLs make: each has limits of time. The driver
// itself ignores sockettimeoutms.
func TestLimitsOfURLs(t *testing.T) {
	for query, want := range map[string]string{
		"": "5s 5s 30s", "timeoutms=100": "5s 5s 100ms", "serverselectiontimeoutms=7000&connecttimeoutms=1000": "7s 1s 30s",
		"sockettimeoutms=2000": "5s 5s 2s", "sockettimeoutms=2000&timeoutms=100": "5s 5s 100ms", "sockettimeoutms=0": "5s 5s 30s",
	} {
		o := options.Client().ApplyURI("mongodb://h/db?" + query)
		passed, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		tg := target{passed: passed}
		tg.limit(o)
		if got := fmt.Sprint(*o.ServerSelectionTimeout, " ", *o.ConnectTimeout, " ", *o.Timeout); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

// TestCheckBesideOtherCalls sweeps, lists and counts while the trial documents of
// Check are there: none of these calls meets them. They are also removed once, as the
// server does by its index on the expiry, and no finding is wrong. There is no such
// index here: a second removal at that time would be one too many.
func TestCheckBesideOtherCalls(t *testing.T) {
	without := &Options{GraceTTL: -1}
	b := open(t, without)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	calls, removed := 0, false
	other := func(name string, raw bson.Raw) {
		if name != "find" && name != "update" || !strings.HasPrefix(raw.String(), "{") || !strings.Contains(raw.String(), "check ") {
			return
		}
		calls++
		ctx := context.WithoutCancel(t.Context())
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 100, OnExpire: func(r model.Record) error {
			t.Errorf("%q was announced", r.ID)
			return nil
		}})
		if err != nil || swept.Removed > 0 {
			t.Errorf("swept %+v, %v", swept, err)
		}
		if p, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 100}); err != nil || len(p.Records) != 1 || len(p.Corrupt) > 0 {
			t.Errorf("listed %d records and %q, %v", len(p.Records), p.Corrupt, err)
		}
		if n, err := b.Count(ctx, drivertest.Now, driver.Query{}); err != nil || n != 1 {
			t.Errorf("counted %d, %v", n, err)
		}
		if name == "find" && !removed {
			removed = true
			if _, err := b.coll.DeleteMany(ctx, bson.D{{Key: fieldExpiry, Value: bson.D{{Key: "$lt", Value: time.UnixMilli(1000)}}}}); err != nil {
				t.Error(err)
			}
		}
	}
	var mu sync.Mutex
	o := clientOptions(t).SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		other(e.CommandName, e.Command)
	}})
	checks, err := newBackend(t, connect(t, o).Database(databaseName), b.coll.Name(), without).Check(t.Context())
	if err != nil || checks.Err() != nil {
		t.Fatal(drivertest.Causes(err), checks.Err())
	}
	if calls == 0 || !removed {
		t.Error("nothing ran beside the check")
	}
	wantDocuments(t, b, 1)
}

// TestTrialsAreRemoved has documents of a trial that a crash has left: the next
// Check removes them, if they are old, and DeleteStorage does not take them for
// those of another program.
func TestTrialsAreRemoved(t *testing.T) {
	b := open(t, &Options{GraceTTL: -1})
	for _, age := range []time.Duration{2 * trialsKept, trialsKept / 2} {
		left := trial{Backend: b, prefix: "\x01check of " + age.String(), at: time.Now().Add(-age)}
		if _, err := left.put(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantDocuments(t, b, 1)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantDocuments(t *testing.T, b *Backend, want int64) {
	t.Helper()
	if n, err := b.coll.CountDocuments(t.Context(), bson.D{}); err != nil || n != want {
		t.Errorf("%d documents are there, %v, want %d", n, err, want)
	}
}
