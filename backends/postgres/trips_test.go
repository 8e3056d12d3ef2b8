package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// trip is a call with the statements that it sends and the error that it
// returns. Each statement, and each batch, is one round trip.
type trip struct {
	drivertest.Call
	sent string
	want error
}

// trips returns the calls whose round trips are counted, given the stored
// record.
func trips(base model.Record) []trip {
	var out []trip
	sent := map[string]string{
		"create": "insert", "create labelled": "insert", "create over expired": "insert", "upsert": "insert",
		"delete": "delete", "delete known": "delete",
		"get": "select", "get many": "select", "page": "select", "page by label": "select", "count": "select", "count by label": "select",
		"sweep of nothing": "delete", "ping": "select",
	}
	for _, c := range append(drivertest.Writes(base), drivertest.Reads()...) {
		s, ok := sent[c.Name]
		if !ok {
			s = "update"
		}
		out = append(out, trip{c, s, nil})
	}
	add := func(name, sent string, want error, do func(ctx context.Context, b driver.ModelExpirySupport) error) {
		out = append(out, trip{drivertest.Call{Name: name, Do: do}, sent, want})
	}
	write := func(name, sent string, want error, id string, w driver.Write) {
		add(name, sent, want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w.Record = drivertest.Record(id, "bob", time.Hour)
			_, err := b.Write(ctx, drivertest.Now, w)
			return err
		})
	}
	touch := func(name string, want error, change driver.Touch) {
		add(name, "update", want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			change.ID, change.Mode = "id", driver.TouchExtend
			_, err := b.Touch(ctx, drivertest.Now, change)
			return err
		})
	}
	other := model.Record{Revision: model.NewRevision()}
	write("create over a live one", "insert", model.ErrExists, "id", driver.Write{Cond: driver.IfAbsent})
	write("update of a missing record", "update", model.ErrNotFound, "none", driver.Write{Cond: driver.IfPresent})
	write("compare-and-set that loses", "update", model.ErrConflict, "id", driver.Write{Cond: driver.IfMatch, Known: other, Keep: driver.Keep{Expiry: true}})
	write("update over another encoding", "update", model.ErrCorrupt, "id", driver.Write{Cond: driver.IfPresent, Encodings: []string{"other"}})
	touch("extension that changes nothing", nil, driver.Touch{ExpiresAt: drivertest.Now.Add(time.Minute)})
	touch("touch that loses", model.ErrConflict, driver.Touch{ExpiresAt: drivertest.Now.Add(9 * time.Hour), Cond: driver.IfMatch, Known: other})
	add("delete that loses", "delete", model.ErrConflict, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: other})
	})
	add("stat", "select", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		_, err := driver.GetStat(ctx, b, drivertest.Now, driver.Get{ID: "id"})
		return err
	})
	for name, q := range map[string]driver.Query{"page of ids": {Limit: 100, KeysOnly: true}, "page that is full": {Limit: 2}} {
		add(name, "select", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, drivertest.Now, q)
			return err
		})
	}
	for sent, onExpire := range map[string]func(model.Record) error{"delete": nil, "select delete": func(model.Record) error { return nil }} {
		add("sweep by "+sent, sent, nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 100, OnExpire: onExpire})
			if err == nil && s.Removed != 1 {
				err = fmt.Errorf("swept %+v", s)
			}
			return err
		})
	}
	batch := func(name string, want error, op func(id string) driver.BatchOp) {
		add(name, "batch of 3", want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			ops := make([]driver.BatchOp, 3)
			for i := range ops {
				ops[i] = op(fmt.Sprint("many", i))
			}
			return firstError(driver.WriteMany(ctx, b, drivertest.Now, ops))
		})
	}
	for name, w := range map[string]struct {
		cond driver.Condition
		want error
	}{"upsert three": {driver.IfAny, nil}, "create three over live ones": {driver.IfAbsent, model.ErrExists}, "update three": {driver.IfPresent, nil}} {
		batch(name, w.want, func(id string) driver.BatchOp {
			return driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "ann", time.Hour), Cond: w.cond}}
		})
	}
	batch("delete three", nil, func(id string) driver.BatchOp {
		return driver.BatchOp{Delete: &driver.Delete{ID: id, Cond: driver.IfPresent}}
	})
	return out
}

func firstError(results []driver.BatchResult) error {
	for _, o := range results {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// TestTrips counts round trips on the wire, once the statements are prepared.
func TestTrips(t *testing.T) {
	b, p := proxied(t)
	for i := range trips(model.Record{}) {
		t.Run(trips(model.Record{})[i].Name, func(t *testing.T) {
			for range 2 { // the first time prepares
				exec(t, b.db, "DELETE FROM "+b.place.name())
				for n := range 3 {
					drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("many", n), "ann", time.Hour))
				}
				test := trips(drivertest.SeedCalls(t, b))[i]
				p.Requests()
				if err := test.Do(t.Context(), b); !errors.Is(err, test.want) {
					t.Fatalf("%s, want %v", drivertest.Causes(err), test.want)
				}
				if got := strings.Join(p.Requests(), " "); got != test.sent {
					t.Fatalf("sent %q, want %q", got, test.sent)
				}
			}
		})
	}
}

// plan is a node of what EXPLAIN ANALYZE says.
type plan struct {
	Type    string  `json:"Node Type"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan  `json:"Plans"`
}

// reads returns the rows that the scans of the table read, and a scan of the
// whole table if there is one.
func (p *plan) reads() (rows float64, whole string) {
	if strings.HasSuffix(p.Type, "Scan") && len(p.Plans) == 0 && p.Type != "CTE Scan" && p.Type != "Function Scan" {
		rows = (p.Rows + p.Removed) * p.Loops
	}
	if p.Type == "Seq Scan" {
		whole = p.Type
	}
	for i := range p.Plans {
		n, w := p.Plans[i].reads()
		rows, whole = rows+n, whole+w
	}
	return rows, whole
}

// explain runs a statement and returns how many rows it reads.
func explain(t *testing.T, b *Backend, sql string, args ...any) (rows float64, whole string) {
	t.Helper()
	tx, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	var out []byte
	args = append([]any{pgx.QueryExecModeExec}, args...)
	if err := query(t.Context(), tx, "EXPLAIN (ANALYZE, FORMAT JSON) "+sql, args, scanOne(&out)); err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan plan `json:"Plan"`
	}
	if err := json.Unmarshal(out, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%s: %v", out, err)
	}
	return plans[0].Plan.reads()
}

// TestCostInProportion has 20,000 live and 200 expired records. Of these, 50 and
// 5 have one label value. A call reads little more than what it returns, whether
// or not the server has analyzed the table, which it does in its own time.
func TestCostInProportion(t *testing.T) {
	b := open(t, nil)
	exec(t, b.db, "ALTER TABLE "+b.place.name()+" SET (autovacuum_enabled = false)")
	fill(t, b, 20_000, 200)
	now, q := drivertest.Now.UnixMilli(), driver.Query{Label: "principal", Value: "ann", Limit: 100}
	all := driver.Query{Limit: 100}
	keys := driver.Query{Limit: 100, KeysOnly: true}
	tests := map[string]struct {
		sql  string
		args []any
		most float64
	}{
		"get":            {b.sql.get, []any{"id0000007"}, 1},
		"page":           {b.sql.page(&all), []any{"id0000100", now, 100}, 105},
		"page of ids":    {b.sql.page(&keys), []any{"id0000100", now, 100}, 105},
		"page by label":  {b.sql.page(&q), []any{"", now, 100, "ann"}, 60},
		"count by label": {b.sql.count(&q), []any{now, "ann"}, 60},
		"touch":          {b.sql.touch, []any{"id0000007", now, known(0, model.Revision{}), now + 7_200_000, false}, 3},
		"sweep":          {b.sql.sweep, []any{now, 100}, 205},
		"sweep's heads":  {b.sql.due, []any{now, 0, "", 100}, 105},
		"batch of gets":  {b.sql.many, []any{[]string{"id0000007", "id0000009"}}, 4},
	}
	for _, state := range []string{"never analyzed", "analyzed"} {
		if state == "analyzed" {
			exec(t, b.db, "ANALYZE "+b.place.name())
		}
		for name, test := range tests {
			rows, whole := explain(t, b, test.sql, test.args...)
			if rows > test.most || rows < 1 || whole != "" {
				t.Errorf("%s, %s: the server reads %v rows, %v at most are wanted; %s", name, state, rows, test.most, whole)
			}
		}
	}
}

// fill stores live and expired records, every 400th and 40th with the label of
// ann.
func fill(t testing.TB, b *Backend, live, expired int) {
	t.Helper()
	exec(t, b.db, "INSERT INTO "+b.place.name()+` SELECT 'id' || lpad(i::text, 7, '0'), 1, gen_random_uuid(), CASE WHEN i > $1 THEN $3 - (i - $1) * 1000 ELSE $3 + 3600000 END,
		CASE WHEN i <= $1 AND i % 400 = 0 OR i > $1 AND i % 40 = 0 THEN '{"principal": "ann"}'::jsonb END, 'json', convert_to(repeat('v', 200), 'UTF8')
		FROM generate_series(1, $1::bigint + $2::bigint) AS i`, int64(live), int64(expired), drivertest.Now.UnixMilli())
}

// TestStorageTrips counts the round trips of the calls that look at the storage,
// on a connection that has made them before.
func TestStorageTrips(t *testing.T) {
	b, p := proxied(t)
	check := func(ctx context.Context) error { _, err := b.Check(ctx); return err }
	for _, test := range []struct {
		name  string
		do    func(context.Context) error
		trips int
	}{{"create storage again", b.CreateStorage, 5}, {"check", check, 2}, {"delete storage", b.DeleteStorage, 7}} {
		for again := range 2 {
			p.Requests()
			if err := test.do(t.Context()); err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			if got := p.Requests(); again == 1 && test.name != "delete storage" && len(got) != test.trips || len(got) > test.trips {
				t.Errorf("%s: sent %q, want %d", test.name, got, test.trips)
			}
		}
	}
}
