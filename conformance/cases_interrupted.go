package conformance

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// deletesStorage is the call after which the records that stay need not be listed.
const deletesStorage = "DeleteStorage"

// interruptedCases has one case for each call and each way in which it is
// interrupted.
func interruptedCases() []Case {
	var out []Case
	for i, call := range interruptibles() {
		call.turn = i
		call.needs |= needPaging | needSweep // they show and remove what an interruption leaves
		out = append(out,
			that(call.name+"ByAFailedStepIsWholeOrAsBefore", call.rules("R102"), call.needs|needFail, func(c *C) { call.run(c, Fail) }),
			that(call.name+"ByAKillIsWholeOrAsBefore", call.rules("R102"), call.needs|needKill, func(c *C) { call.run(c, Kill) }),
			that(call.name+"ByAPowerCutIsWholeOrAsBefore", call.rules("R102 R1"), call.needs|needCut, func(c *C) { call.run(c, PowerCut) }),
		)
	}
	return group("Interrupted", out...)
}

// rules adds those of what the call does again.
func (call *interruptible) rules(of string) string {
	switch {
	case call.unmade:
		return of + " R85"
	case call.whole:
		return of + " R86"
	case call.sweeps:
		return of + " R50 R52 R56"
	}
	return of
}

func interruptibles() []interruptible {
	return []interruptible{
		{name: "Create", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.writes(b, t.made("new", time.Hour, "ann"), driver.IfAbsent)
		}},
		{name: "CreateOverAnExpiredRecord", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.writes(b, t.made("lapsed", 3*time.Hour, "ann", "old"), driver.IfAbsent)
		}},
		{name: "Update", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.writes(b, t.made("old", 50*time.Hour, "bob"), driver.IfPresent)
		}},
		{name: "CompareAndSet", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.writes(b, t.made("old", time.Hour, "ann", "old"), driver.IfMatch)
		}},
		{name: "Upsert", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.writes(b, t.made("old", 0, "bob", "new"), driver.IfAny)
		}},
		{name: "Touch", do: func(t *trial, b driver.ModelExpirySupport) ended {
			after := t.before["old"]
			after.ExpiresAt = t.at(30 * time.Hour)
			_, err := b.Touch(t.ctx(), t.late, driver.Touch{ID: "old", Mode: driver.TouchSet, ExpiresAt: after.ExpiresAt})
			return ended{after: map[string]model.Record{"old": after}, err: err}
		}},
		{name: "Delete", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return ended{after: gone("old"), err: b.Delete(t.ctx(), t.late, driver.Delete{ID: "old", Cond: driver.IfPresent})}
		}},
		{name: "DeleteAtARevision", do: func(t *trial, b driver.ModelExpirySupport) ended {
			return ended{after: gone("old"), err: b.Delete(t.ctx(), t.late, driver.Delete{ID: "old", Cond: driver.IfMatch, Known: t.before["old"]})}
		}},
		{name: "Take", do: func(t *trial, b driver.ModelExpirySupport) ended {
			it, err := storeOn[doc](t.C, b, nil).Take(t.ctx(), "old")
			t.must(err != nil || it.Value.Name == "old", "take returned the value %v of another record", it.Value)
			return ended{after: gone("old"), err: err}
		}},
		{name: "Batch", do: (*trial).batches},
		{name: "Sweep", sweeps: true, do: func(t *trial, b driver.ModelExpirySupport) ended { return t.sweeps(b, nil) }},
		{name: "SweepThatAnnounces", sweeps: true, do: func(t *trial, b driver.ModelExpirySupport) ended {
			return t.sweeps(b, func(model.Record) error { return nil })
		}},
		{name: "CreateStorage", needs: needCreate, unmade: true, do: func(t *trial, b driver.ModelExpirySupport) ended {
			return ended{err: driver.CreateStorage(t.ctx(), b)}
		}},
		{name: deletesStorage, needs: needCreate, whole: true, do: func(t *trial, b driver.ModelExpirySupport) ended {
			return ended{after: gone("old", "due", "lapsed", "still"), err: driver.DeleteStorage(t.ctx(), b)}
		}},
		{name: "Get", do: (*trial).gets},
		{name: "Page", do: (*trial).pages},
		{name: "Count", do: (*trial).countings},
	}
}

func gone(ids ...string) map[string]model.Record {
	out := map[string]model.Record{}
	for _, id := range ids {
		out[id] = model.Record{}
	}
	return out
}

func (t *trial) writes(b driver.ModelExpirySupport, r model.Record, cond driver.Condition) ended {
	_, err := b.Write(t.ctx(), t.late, driver.Write{Record: r.Clone(), Cond: cond, Known: t.before[r.ID]})
	return ended{after: map[string]model.Record{r.ID: r}, err: err}
}

// batches makes a change of each kind with one call.
func (t *trial) batches(b driver.ModelExpirySupport) ended {
	created, compared, over := t.made("new", time.Hour, "ann"), t.made("old", 9*time.Hour, "bob"), t.made("lapsed", 0, "ann", "old")
	end := ended{after: map[string]model.Record{"new": created, "old": compared, "lapsed": over, "due": {}}, errs: map[string]error{}}
	ops := []driver.BatchOp{
		writing(created, driver.IfAbsent, model.Record{}), writing(compared, driver.IfMatch, t.before["old"]),
		writing(over, driver.IfAny, model.Record{}), removing("due", driver.IfMatch, t.before["due"]),
	}
	for i, o := range driver.WriteMany(t.ctx(), b, t.late, ops) {
		end.errs[ops[i].ID()] = o.Err
	}
	return end
}

// sweeps removes what expires within the first hour.
func (t *trial) sweeps(b driver.ModelExpirySupport, onExpire func(model.Record) error) ended {
	s, err := b.DeleteExpired(t.ctx(), driver.Sweep{Before: t.at(time.Hour), Limit: 10, OnExpire: onExpire})
	end := ended{after: gone("old", "due", "lapsed"), err: err, swept: &s}
	if err != nil && !errors.Is(err, model.ErrUnknown) {
		end.errs = map[string]error{} // the counts say how many are gone
		for id := range end.after {
			end.errs[id] = model.NewError(model.ErrUnknown, "some of the removals failed", nil)
		}
	}
	return end
}

// right stops the case unless a read returned the right answer, or an error that an
// interrupted one may have.
func (t *trial) right(err error, ok bool, what string, args ...any) {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	switch {
	case err == nil:
		t.must(ok, "%s that was interrupted returned no error and a wrong answer", what)
	case errors.Is(err, model.ErrUnknown):
		t.failAs("R11", "%s that was interrupted returned %v, want an error that is not %v", what, err, model.ErrUnknown)
	default:
		t.is(err, model.ErrUnavailable, "%s, interrupted", what)
	}
}

// gets reads each record, alone and together.
func (t *trial) gets(b driver.ModelExpirySupport) ended {
	for _, id := range trialIDs {
		got, err := b.Get(t.ctx(), t.early, driver.Get{ID: id})
		want, there := t.before[id]
		if !there && errors.Is(err, model.ErrNotFound) {
			err = nil
		}
		t.right(err, same(got, want), "a get of %q", id)
	}
	for i, o := range driver.GetMany(t.ctx(), b, t.early, driver.Gets(trialIDs[:4]...)) {
		t.right(o.Err, same(o.Record, t.before[trialIDs[i]]), "a get of many of %q", trialIDs[i])
	}
	return ended{}
}

func (t *trial) countings(b driver.ModelExpirySupport) ended {
	for _, q := range t.queries() {
		n, err := driver.Count(t.ctx(), b, t.early, q)
		t.right(err, n == len(bearing(t.before, q)), "a count by %q", q.Label)
	}
	return ended{}
}

// pages makes listings of several pages.
func (t *trial) pages(b driver.ModelExpirySupport) ended {
	for _, q := range t.queries() {
		got := map[string]model.Record{}
		q.Limit = 1
		var err error
		for p := (driver.Page{Next: "first"}); p.Next != "" && err == nil; q.After = p.Next {
			if p, err = b.Page(t.ctx(), t.early, q); err == nil {
				for _, r := range p.Records {
					got[r.ID] = r
				}
				t.must(len(p.Corrupt) == 0, "a page that was interrupted has the corrupt records %q", p.Corrupt)
			}
		}
		t.right(err, maps.EqualFunc(got, bearing(t.before, q), same), "a listing by %q", q.Label)
	}
	return ended{}
}
