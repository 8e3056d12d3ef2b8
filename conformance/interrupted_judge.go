package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/causes"
	"github.com/sojourn-go/sojourn/model"
)

// judge stops the case unless each record is as the end of the call says, and all
// reads of the node agree.
func (t *trial) judge(b driver.ModelExpirySupport, end *ended) {
	t.Helper()
	t.b = b
	t.rightKind(end)
	if t.call.unmade {
		return // no rule says what reads return without a storage
	}
	stored := map[string]model.Record{}
	gone := 0
	for _, id := range trialIDs {
		got, err := b.Get(t.ctx(), t.now, driver.Get{ID: id})
		switch {
		case err == nil, errors.Is(err, model.ErrNotFound):
		case t.call.whole: // the record may be gone with its storage
			t.is(err, model.ErrUnavailable, "get %q after the interruption", id)
		default:
			t.ok(err, "get %q after the interruption", id)
		}
		if err == nil {
			stored[id] = got
		}
		before, was := t.before[id]
		after, changes := end.after[id]
		isBefore, isAfter := same(got, before), changes && same(got, after)
		why := end.of(id)
		switch {
		case !changes:
			t.must(isBefore, "%q, which %s does not change, is %s, want %s", id, t.call.name, about(got), about(before))
		case why == nil:
			t.must(isAfter, "%s was acknowledged and %q is %s, want %s", t.call.name, id, about(got), about(after))
		case errors.Is(why, model.ErrUnknown) || t.call.whole:
			t.must(isBefore || isAfter, "%q is %s, want %s or %s", id, about(got), about(before), about(after))
		default:
			t.must(isBefore, "%s returned %s and %q is %s, want %s: only ErrUnknown may have changed something", t.call.name, causes.Of(why), id, about(got), about(before))
		}
		if was && got.ID == "" {
			gone++
		}
	}
	if s := end.swept; s != nil {
		t.must(s.Removed <= gone && gone <= s.Removed+s.Unknown, "%d records are gone and the sweep counts %d removed and %d unknown", gone, s.Removed, s.Unknown)
		t.must(errors.Is(end.err, model.ErrUnknown) == (s.Unknown > 0), "the sweep counts %d unknown removals with the error %v", s.Unknown, end.err)
	}
	// What another node finds now is what this one has found.
	for id := range end.after {
		t.before[id] = stored[id]
		if _, ok := stored[id]; !ok {
			delete(t.before, id)
		}
	}
	end.after, end.swept = nil, nil
	if t.call.name != deletesStorage {
		t.agree(stored)
	}
}

func (t *trial) must(ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.fail(format, args...)
	}
}

// rightKind stops the case unless the errors of the call are of a kind that an
// interrupted one may have.
func (t *trial) rightKind(end *ended) {
	t.Helper()
	for _, err := range end.all() {
		switch {
		case err == nil:
		case errors.Is(err, model.ErrUnknown):
			t.is(err, model.ErrUnknown, "%s, interrupted", t.call.name)
		default:
			t.is(err, model.ErrUnavailable, "%s, interrupted", t.call.name)
		}
	}
}

// same reports whether two records are the same. The zero Record stands for an absent one.
func same(a, b model.Record) bool {
	return a.ID == b.ID && a.Revision == b.Revision && a.ExpiresAt.Equal(b.ExpiresAt) && a.Encoding == b.Encoding &&
		maps.Equal(a.Labels, b.Labels) && bytes.Equal(a.Value, b.Value)
}

func about(r model.Record) string {
	if r.ID == "" {
		return "not there"
	}
	return fmt.Sprintf("there with the revision %v, the labels %v, the expiry %v and %d bytes", r.Revision, r.Labels, r.ExpiresAt, len(r.Value))
}

// agree stops the case unless every kind of read finds exactly these records.
func (t *trial) agree(stored map[string]model.Record) {
	t.Helper()
	for i, o := range driver.GetMany(t.ctx(), t.b, t.now, driver.Gets(trialIDs...)) {
		want, there := stored[trialIDs[i]]
		if !there {
			t.is(o.Err, model.ErrNotFound, "get of many of %q", trialIDs[i])
			continue
		}
		t.ok(o.Err, "get of many of %q", trialIDs[i])
		t.must(same(o.Record, want), "get of many of %q: got %s, want %s", trialIDs[i], about(o.Record), about(want))
	}
	queries := t.queries()
	t.lists(stored, queries...)
	if t.nodes != used {
		queries = queries[1:]
	}
	for _, q := range queries { // one without a label may read everything
		t.counts(q, len(bearing(stored, q)))
	}
}

// lists stops the case unless the listings have exactly these records.
func (t *trial) lists(stored map[string]model.Record, queries ...driver.Query) {
	t.Helper()
	for _, q := range queries {
		q.Limit = 3
		got, corrupt := t.listAll(q)
		want := bearing(stored, q)
		t.must(len(corrupt) == 0, "the listing by %q %q has the corrupt records %q", q.Label, q.Value, corrupt)
		t.must(maps.EqualFunc(got, want, same), "the listing by %q %q has %q, and gets find %q", q.Label, q.Value, keys(got), keys(want))
	}
}

// queries are the listings that have all records of a trial.
func (t *trial) queries() []driver.Query {
	out := []driver.Query{{}}
	if !t.has(driver.FeatureLabels) {
		return out
	}
	for i, values := range [][]string{{"ann", "bob"}, {"new", "old"}} {
		for _, value := range values {
			if declared := t.b.Describe().Labels; i < len(declared) {
				out = append(out, driver.Query{Label: declared[i], Value: value})
			}
		}
	}
	return out
}

// bearing returns the records of a listing.
func bearing(of map[string]model.Record, q driver.Query) map[string]model.Record {
	out := maps.Clone(of)
	maps.DeleteFunc(out, func(_ string, r model.Record) bool { return q.Label != "" && r.Labels[q.Label] != q.Value })
	return out
}

func (t *trial) counts(q driver.Query, want int) {
	t.Helper()
	n, err := driver.Count(t.ctx(), t.b, t.now, q)
	t.ok(err, "count by %q %q", q.Label, q.Value)
	t.must(n == want, "the count by %q %q is %d, want %d", q.Label, q.Value, n, want)
}
