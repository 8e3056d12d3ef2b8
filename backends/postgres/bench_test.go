package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) { conformance.Benchmarks(b, harness(b)) }

// floorOps is the number of calls of each side in a round.
const floorOps = 100

// BenchmarkFloor compares each operation with the same statement by hand, and
// with the plain one that a program without conditions would send: one client, a
// row of 1 KB with an expiry and a label.
func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	store := open(b, nil)
	db, t := store.db, store.place.name()
	value := []byte(strings.Repeat("v", 1<<10))
	exp, now := drivertest.Now.Add(time.Hour).UnixMilli(), drivertest.Now.UnixMilli()
	// All sides write at the same end of the index.
	id := func(side string, i int) string { return fmt.Sprintf("%08d-%s", i, side) }
	rev := func() pgtype.UUID { return revision(model.NewRevision()) }
	const lab = `{"principal":"ann"}`
	row := func(sql string, args ...any) error {
		rows, err := db.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var id, enc string
		var format int16
		var rev pgtype.UUID
		var exp *int64
		var lab, val []byte
		var done bool
		for rows.Next() {
			to := []any{&id, &format, &rev, &exp, &lab, &enc, &val}
			if strings.HasPrefix(sql, "WITH") || strings.HasPrefix(sql, "INSERT") {
				to = append(to, &done)
			}
			if err := rows.Scan(to...); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	plain := func(sql string, args ...any) error { _, err := db.Exec(ctx, sql, args...); return err }
	write := func(id string, c driver.Condition, keep bool) error {
		r := drivertest.Record(id, "ann", time.Hour)
		r.Value = value
		_, err := store.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: c, Keep: driver.Keep{Expiry: keep, Labels: keep}})
		return err
	}
	insert := "INSERT INTO " + t + " (id, format, rev, exp, lab, enc, val) VALUES ($1, 1, $2, $3, $4::text::jsonb, 'json', $5)"
	for _, op := range []struct {
		name              string
		seeded            bool // the rows exist already
		hand, plain, ours func(id string, i int) error
	}{
		{
			"get", true,
			func(id string, _ int) error { return row(store.sql.get, id) },
			func(id string, _ int) error { return row("SELECT "+whole+" FROM "+t+" WHERE id = $1", id) },
			func(id string, _ int) error { _, err := store.Get(ctx, drivertest.Now, driver.Get{ID: id}); return err },
		},
		{
			"create", false,
			func(id string, _ int) error { return row(store.sql.create, id, now, rev(), exp, lab, "json", value) },
			func(id string, _ int) error {
				return plain(insert+" ON CONFLICT DO NOTHING", id, rev(), exp, lab, value)
			},
			func(id string, _ int) error { return write(id, driver.IfAbsent, false) },
		},
		{
			"upsert", true,
			func(id string, _ int) error { return row(store.sql.upsert, id, now, rev(), exp, lab, "json", value) },
			func(id string, _ int) error {
				return plain(insert+" ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, exp = excluded.exp, lab = excluded.lab, enc = excluded.enc, val = excluded.val", id, rev(), exp, lab, value)
			},
			func(id string, _ int) error { return write(id, driver.IfAny, false) },
		},
		{
			"update", true,
			func(id string, _ int) error {
				return row(store.sql.update, id, now, pgtype.UUID{}, rev(), true, nil, true, nil, "json", value, nil)
			},
			func(id string, _ int) error {
				return plain("UPDATE "+t+" SET rev = $2, val = $3 WHERE id = $1", id, rev(), value)
			},
			func(id string, _ int) error { return write(id, driver.IfPresent, true) },
		},
		{
			"touch", true,
			func(id string, i int) error {
				return row(store.sql.touch, id, now, pgtype.UUID{}, exp+int64(i)*1000, false)
			},
			func(id string, i int) error {
				return plain("UPDATE "+t+" SET exp = $2 WHERE id = $1", id, exp+int64(i)*1000)
			},
			func(id string, i int) error {
				_, err := store.Touch(ctx, drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(time.Hour + time.Duration(i)*time.Second)})
				return err
			},
		},
		{
			"delete", true,
			func(id string, _ int) error { return row(store.sql.remove, id, now, pgtype.UUID{}) },
			func(id string, _ int) error { return plain("DELETE FROM "+t+" WHERE id = $1", id) },
			func(id string, _ int) error {
				return store.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
			},
		},
	} {
		b.Run(op.name, func(b *testing.B) {
			exec(b, db, "TRUNCATE "+t)
			if op.seeded {
				var ops []driver.BatchOp
				for _, side := range []string{"hand", "again", "plain", "ours"} {
					for i := range floorOps * (ratio.Rounds + 1) {
						r := drivertest.Record(id(side, i), "ann", time.Hour)
						r.Value = value
						ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAny}})
					}
				}
				if err := firstError(store.WriteMany(ctx, drivertest.Now, ops)); err != nil {
					b.Fatal(err)
				}
			}
			exec(b, db, "VACUUM (ANALYZE, PARALLEL 0) "+t)
			ratio.Report(b, floorOps,
				ratio.Side{Name: "by-hand", Do: func(i int) error { return op.hand(id("hand", i), i) }},
				ratio.Side{Name: "again", Do: func(i int) error { return op.hand(id("again", i), i) }},
				ratio.Side{Name: "plain", Do: func(i int) error { return op.plain(id("plain", i), i) }},
				ratio.Side{Name: "backend", Do: func(i int) error { return op.ours(id("ours", i), i) }})
		})
	}
}

// BenchmarkFloorSweep removes a thousand expired records among a million live
// ones, with and without announcements. It reports the median.
func BenchmarkFloorSweep(b *testing.B) {
	store := open(b, nil)
	fill(b, store, 1_000_000, 0)
	exec(b, store.db, "VACUUM (ANALYZE, PARALLEL 0) "+store.place.name())
	for name, onExpire := range map[string]func(model.Record) error{"plain": nil, "announced": func(model.Record) error { return nil }} {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			for range 21 {
				exec(b, store.db, "INSERT INTO "+store.place.name()+` SELECT 'old' || i, 1, gen_random_uuid(), $1::bigint - i, '{"principal": "ann"}', 'json', '\x00'
					FROM generate_series(1, 1000) AS i`, drivertest.Now.UnixMilli())
				began := time.Now()
				s, err := store.DeleteExpired(b.Context(), driver.Sweep{Before: drivertest.Now, Limit: 1000, OnExpire: onExpire})
				times = append(times, time.Since(began))
				if err != nil || s.Removed != 1000 {
					b.Fatal(s, err)
				}
			}
			slices.Sort(times)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/sweep")
			b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms/slowest")
		})
	}
}

// BenchmarkLabels compares the places for labels. They are in a column with an
// index for each label. They could be in a table of their own, which the same
// statement writes, or in an array with a GIN index.
func BenchmarkLabels(b *testing.B) {
	ctx := context.Background()
	pool := connect(b, poolConfig(b))
	name := func(what string) string { return pgx.Identifier{drivertest.Name() + what}.Sanitize() }
	one, two, three, side := name("column"), name("table"), name("array"), name("labels")
	for _, sql := range []string{
		"CREATE TABLE " + one + ` (id text COLLATE "C" PRIMARY KEY, lab jsonb, val bytea)`,
		"CREATE INDEX ON " + one + ` (((lab ->> 'principal') COLLATE "C"), id) WHERE lab ? 'principal'`,
		"CREATE TABLE " + two + ` (id text COLLATE "C" PRIMARY KEY, val bytea)`,
		"CREATE TABLE " + side + ` (name text COLLATE "C", value text COLLATE "C", id text COLLATE "C", PRIMARY KEY (name, value, id))`,
		"CREATE INDEX ON " + side + " (id)",
		"CREATE TABLE " + three + ` (id text COLLATE "C" PRIMARY KEY, lab text[], val bytea)`,
		"CREATE INDEX ON " + three + " USING gin (lab)",
	} {
		exec(b, pool, sql)
	}
	b.Cleanup(func() { exec(b, pool, "DROP TABLE "+one+", "+two+", "+three+", "+side) })
	value := []byte(strings.Repeat("v", 1<<10))
	do := func(sql string, args ...any) error { _, err := pool.Exec(ctx, sql, args...); return err }
	id := func(i int) string { return fmt.Sprintf("id-%08d", i) }
	who := func(i int) string { return fmt.Sprint("p", i/10) }
	b.Run("write", func(b *testing.B) {
		ratio.Report(b, floorOps,
			ratio.Side{Name: "column", Do: func(i int) error {
				return do("INSERT INTO "+one+" VALUES ($1, $2::text::jsonb, $3)", id(i), `{"principal":"`+who(i)+`"}`, value)
			}},
			ratio.Side{Name: "table", Do: func(i int) error {
				return do("WITH r AS (INSERT INTO "+two+" VALUES ($1, $3) RETURNING id) INSERT INTO "+side+" SELECT 'principal', $2::text, id FROM r", id(i), who(i), value)
			}},
			ratio.Side{Name: "array", Do: func(i int) error {
				return do("INSERT INTO "+three+" VALUES ($1, $2, $3)", id(i), []string{"principal=" + who(i)}, value)
			}})
	})
	exec(b, pool, "ANALYZE")
	b.Run("page", func(b *testing.B) {
		ratio.Report(b, floorOps,
			ratio.Side{Name: "column", Do: func(i int) error {
				return do("SELECT * FROM "+one+` WHERE lab ? 'principal' AND (lab ->> 'principal') COLLATE "C" = $1 ORDER BY id LIMIT 100`, who(i))
			}},
			ratio.Side{Name: "table", Do: func(i int) error {
				return do("SELECT r.* FROM "+side+" AS l JOIN "+two+" AS r USING (id) WHERE name = 'principal' AND value = $1 ORDER BY id LIMIT 100", who(i))
			}},
			ratio.Side{Name: "array", Do: func(i int) error {
				return do("SELECT * FROM "+three+" WHERE lab @> $1 ORDER BY id LIMIT 100", []string{"principal=" + who(i)})
			}})
	})
}
