package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts the statements of each call.
func TestTrips(t *testing.T) {
	type call struct {
		name, sent string
		want       error
		do         func(ctx context.Context, b driver.ModelExpirySupport) error
	}
	base := drivertest.Record("id", "ann", time.Hour)
	var calls []call
	sent := map[string]string{
		"create": "insert", "create labelled": "insert", "create over expired": "insert", "upsert": "insert", "delete": "delete", "delete known": "delete",
		"sweep of nothing": "delete",
	}
	for i, c := range append(drivertest.Writes(base), drivertest.Reads()...) {
		verb, ok := sent[c.Name]
		switch {
		case ok:
		case i < len(drivertest.Writes(base)):
			verb = "update"
		default:
			verb = "select"
		}
		calls = append(calls, call{c.Name, verb, nil, c.Do})
	}
	other := model.Record{Revision: model.NewRevision()}
	add := func(name, sent string, want error, do func(ctx context.Context, b driver.ModelExpirySupport) error) {
		calls = append(calls, call{name, sent, want, do})
	}
	write := func(name, sent string, want error, w driver.Write) {
		add(name, sent, want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w.Record = drivertest.Record("id", "bob", time.Hour)
			return onlyErr(b.Write(ctx, now, w))
		})
	}
	write("create over a live one", "insert select", model.ErrExists, driver.Write{Cond: driver.IfAbsent})
	write("compare-and-set that loses", "update select", model.ErrConflict, driver.Write{Cond: driver.IfMatch, Known: other})
	write("update over another encoding", "update select", model.ErrCorrupt, driver.Write{Cond: driver.IfPresent, Encodings: []string{"other", "more"}})
	write("update over one of the encodings", "update", nil, driver.Write{Cond: driver.IfPresent, Encodings: []string{"other", "json"}})
	write("update over no encoding", "update select", model.ErrCorrupt, driver.Write{Cond: driver.IfPresent, Encodings: []string{}})
	add("extension that changes nothing", "update select", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return onlyErr(b.Touch(ctx, now, driver.Touch{ID: "id", Mode: driver.TouchExtend, ExpiresAt: now.Add(time.Minute)}))
	})
	add("delete that loses", "delete select", model.ErrConflict, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return b.Delete(ctx, now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: other})
	})
	sweep := func(name, sent string, onExpire func(model.Record) error) {
		add(name, sent, nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: now, Limit: 100, OnExpire: onExpire})
			if err == nil && s.Removed != 1 {
				err = fmt.Errorf("swept %+v", s)
			}
			return err
		})
	}
	sweep("sweep", "delete", nil)
	sweep("sweep with announcements", "select delete", func(model.Record) error { return nil })
	add("batch", "begin insert delete commit", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		out := driver.WriteMany(ctx, b, now, []driver.BatchOp{
			{Write: &driver.Write{Record: drivertest.Record("x", "ann", time.Hour), Cond: driver.IfAny}},
			{Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}},
		})
		return errors.Join(out[0].Err, out[1].Err)
	})
	add("batch of invalid operations", "", model.ErrInvalid, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return driver.WriteMany(ctx, b, now, make([]driver.BatchOp, 3))[2].Err
	})
	storage := func(name, sent string, do func(context.Context, driver.ModelExpirySupport) error) {
		add(name, sent, nil, do)
	}
	storage("create storage again", "begin select commit select select", driver.CreateStorage)
	storage("check", "select select", func(ctx context.Context, b driver.ModelExpirySupport) error { return onlyErr(driver.Check(ctx, b)) })
	storage("delete storage", "begin select drop commit", driver.DeleteStorage)
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			b, w := fresh(t)
			drivertest.Seed(t, b, base, drivertest.Expired("old", ""))
			w.statements()
			if err := c.do(t.Context(), b); !errors.Is(err, c.want) {
				t.Fatalf("%s, want %v", drivertest.Causes(err), c.want)
			}
			if got := w.statements(); got != c.sent {
				t.Errorf("sent %q, want %q", got, c.sent)
			}
		})
	}
}

// TestPlans asks SQLite how it carries out the statements: no one reads the whole
// table or sorts it. It has no statistics.
func TestPlans(t *testing.T) {
	b, w := fresh(t)
	drivertest.SeedCalls(t, b)
	texts := map[string]bool{}
	w.seen = func(text string) { texts[text] = true }
	for _, c := range append(drivertest.Writes(drivertest.Record("id", "ann", time.Hour)), drivertest.Reads()...) {
		_ = c.Do(t.Context(), b) // some conditions fail
	}
	onExpire := func(r model.Record) error { return nil }
	for range 2 {
		drivertest.Seed(t, b, drivertest.Expired("old", ""), drivertest.Expired("older", "ann"))
		must(t, onlyErr(b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 5, OnExpire: onExpire})))
		onExpire = nil
	}
	for _, q := range []driver.Query{{Limit: 1, KeysOnly: true}, {Limit: 1, Label: "state", Value: "x"}} {
		must(t, onlyErr(b.Page(t.Context(), now, q)))
	}
	w.seen = nil
	if len(texts) < 12 {
		t.Errorf("%d statements, want more", len(texts))
	}
	for text := range texts {
		args := make([]any, strings.Count(text, "?"))
		rows, err := b.db.Query("EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			must(t, rows.Scan(&id, &parent, &unused, &detail))
			whole := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "VIRTUAL TABLE") && !strings.Contains(detail, "CONSTANT ROW") && !strings.Contains(detail, "VALUES")
			if whole || strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s\n\t%s", text, detail)
			}
			if strings.Contains(text, "lab ->>") && strings.HasPrefix(detail, "SEARCH") && !strings.Contains(detail, "label") {
				t.Errorf("%s\n\t%s: want the index of the label", text, detail)
			}
		}
		must(t, rows.Err())
		must(t, rows.Close())
	}
}
