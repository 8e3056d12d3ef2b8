package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sequence runs random calls on the backend and on a map that follows the
// contract, and compares the results.
type sequence struct {
	c      *C
	nodes  []driver.ModelExpirySupport
	labels []string // at most two of the declared ones
	model  map[string]model.Record
	past   []model.Revision // revisions that were in force before
}

func (s *sequence) id(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id")
}

// label returns a label and a value to list by, or none.
func (s *sequence) label(t *rapid.T) (name, value string) {
	value = rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "by label")
	if value == "" {
		return "", ""
	}
	return rapid.SampledFrom(s.labels).Draw(t, "label"), value
}

// node returns the node that makes the next call.
func (s *sequence) node(t *rapid.T) driver.ModelExpirySupport {
	return s.nodes[rapid.IntRange(0, len(s.nodes)-1).Draw(t, "node")]
}

func (s *sequence) cur(id string) *model.Record {
	if r, ok := s.model[id]; ok {
		return &r
	}
	return nil
}

func (s *sequence) expiry(t *rapid.T) time.Time {
	d := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "lifetime")
	if d == 0 {
		return time.Time{}
	}
	return s.c.in(d)
}

func (s *sequence) rev(t *rapid.T, id string) model.Revision {
	if cur := s.cur(id); cur != nil && rapid.IntRange(0, 3).Draw(t, "right revision") > 0 {
		return cur.Revision
	}
	if len(s.past) > 0 {
		return rapid.SampledFrom(s.past).Draw(t, "old revision")
	}
	return model.NewRevision()
}

// same stops the case unless the backend's error is the model's. It reports
// whether the call succeeded.
func (s *sequence) same(rule string, got, want error, what string) bool {
	s.c.rule = rule
	switch {
	case want != nil:
		s.c.is(got, want, "%s", what)
	case got != nil:
		s.c.ok(got, "%s", what)
	}
	return want == nil
}

// writeRule returns the rule about the error of a write.
func writeRule(w *driver.Write, cur *model.Record, now time.Time) string {
	switch w.Cond {
	case driver.IfAbsent:
		if cur != nil && cur.Expired(now) {
			return "R17"
		}
		return "R15"
	case driver.IfPresent:
		return "R18"
	case driver.IfMatch:
		return "R19"
	}
	return "R22"
}

// headRule returns the rule about the difference between the record that a
// write returned and the one that it must leave in force.
func headRule(w *driver.Write, got, want *model.Record) string {
	expiry, labels := !got.ExpiresAt.Equal(want.ExpiresAt), !maps.Equal(got.Labels, want.Labels)
	switch {
	case expiry && w.Keep.Expiry:
		return "R23"
	case labels && w.Keep.Labels:
		return "R24"
	case w.Cond == driver.IfPresent || w.Cond == driver.IfMatch:
		return "R25"
	}
	return writeRule(w, nil, time.Time{})
}

// touchRule returns the rule about the expiry that a touch leaves in force.
func touchRule(m driver.TouchMode) string {
	return map[driver.TouchMode]string{driver.TouchSet: "R30", driver.TouchExtend: "R31", driver.TouchClear: "R33"}[m]
}

// drawWrite returns a random write of the id.
func (s *sequence) drawWrite(t *rapid.T, id string) driver.Write {
	w := driver.Write{Cond: rapid.SampledFrom([]driver.Condition{driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch}).Draw(t, "condition")}
	w.Record = model.Record{ID: id, Revision: model.NewRevision(), Encoding: "json", ExpiresAt: s.expiry(t)}
	w.Record.Value = []byte(rapid.StringN(0, 20, 60).Draw(t, "value"))
	w.Record.Labels = map[string]string{}
	for _, name := range s.labels {
		if p := rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, name); p != "" {
			w.Record.Labels[name] = p
		}
	}
	if w.Cond == driver.IfPresent || w.Cond == driver.IfMatch {
		w.Keep.Expiry = rapid.Bool().Draw(t, "keep expiry")
		w.Keep.Labels = rapid.Bool().Draw(t, "keep labels")
	}
	if w.Cond == driver.IfMatch {
		w.Known.Revision = s.rev(t, id)
	}
	return w
}

// wrote compares the result of a write with the model's and updates the model.
func (s *sequence) wrote(w driver.Write, got model.Record, err error) {
	cur := s.cur(w.Record.ID)
	want := driver.Judge(s.c.now, cur, w.Cond, w.Known.Revision)
	if s.same(writeRule(&w, cur, s.c.now), err, want, fmt.Sprintf("write under %v of %q", w.Cond, w.Record.ID)) {
		next := w.Result(cur)
		next = next.Clone()
		s.model[w.Record.ID] = next
		s.past = append(s.past, next.Revision)
		s.c.rule = headRule(&w, &got, &next)
		s.c.sameHead(got, next)
	}
}

func (s *sequence) write(t *rapid.T) {
	w := s.drawWrite(t, s.id(t))
	got, err := s.node(t).Write(s.c.ctx(), s.c.now, w)
	s.wrote(w, got, err)
}

// batch makes a batch of random writes and deletes.
func (s *sequence) batch(t *rapid.T) {
	c := s.c
	var ops []driver.BatchOp
	for _, id := range []string{"a", "b", "c", "d"} {
		switch rapid.IntRange(0, 3).Draw(t, "operation") {
		case 0:
		case 1:
			d := driver.Delete{ID: id, Cond: driver.IfPresent}
			if rapid.Bool().Draw(t, "at a revision") {
				d.Cond, d.Known.Revision = driver.IfMatch, s.rev(t, id)
			}
			ops = append(ops, driver.BatchOp{Delete: &d})
		default:
			w := s.drawWrite(t, id)
			ops = append(ops, driver.BatchOp{Write: &w})
		}
	}
	out := driver.WriteMany(c.ctx(), s.node(t), c.now, ops)
	if len(out) != len(ops) {
		c.failAs("R88", "a batch has %d results for %d operations, want as many", len(out), len(ops))
	}
	for i, op := range ops {
		if op.Write != nil {
			s.wrote(*op.Write, out[i].Record, out[i].Err)
			continue
		}
		s.deleted(*op.Delete, out[i].Err)
	}
}

func (s *sequence) getMany(t *rapid.T) {
	c := s.c
	ids := []string{"c", "a", "never", "b"}
	for i, o := range driver.GetMany(c.ctx(), s.node(t), c.now, driver.Gets(ids...)) {
		cur := s.cur(ids[i])
		if s.same("R87", o.Err, driver.Judge(c.now, cur, driver.IfPresent, model.Revision{}), fmt.Sprintf("get of %q among many", ids[i])) {
			c.sameHead(o.Record, *cur)
			if !bytes.Equal(o.Record.Value, cur.Value) {
				c.failAs("R87", "%q has the value %q, want %q", ids[i], o.Record.Value, cur.Value)
			}
		}
	}
}

// count compares counts. The records of other sequences have been cleared.
func (s *sequence) count(t *rapid.T) {
	c := s.c
	var q driver.Query
	q.Label, q.Value = s.label(t)
	c.rule = "R77"
	want := 0
	for _, r := range s.model {
		if !r.Expired(c.now) && q.Bears(&r) {
			want++
		}
	}
	got, err := driver.Count(c.ctx(), s.node(t), c.now, driver.Query{Label: q.Label, Value: q.Value})
	c.ok(err, "count")
	if got != want {
		c.failAs("R77", "counted %d under %q, want %d", got, q.Value, want)
	}
}

func (s *sequence) touch(t *rapid.T) {
	c, id := s.c, s.id(t)
	tc := driver.Touch{ID: id, Mode: rapid.SampledFrom([]driver.TouchMode{driver.TouchSet, driver.TouchExtend, driver.TouchClear}).Draw(t, "mode")}
	if tc.Mode != driver.TouchClear {
		if tc.ExpiresAt = s.expiry(t); tc.ExpiresAt.IsZero() {
			tc.ExpiresAt = c.in(2 * time.Hour)
		}
	}
	cur := s.cur(id)
	got, err := s.node(t).Touch(c.ctx(), c.now, tc)
	if s.same("R2", err, driver.Judge(c.now, cur, driver.IfPresent, model.Revision{}), fmt.Sprintf("touch in mode %d of %q", tc.Mode, id)) {
		cur.ExpiresAt = tc.Result(cur.ExpiresAt)
		s.model[id] = *cur
		c.rule = touchRule(tc.Mode)
		c.sameHead(got, *cur)
	}
}

func (s *sequence) delete(t *rapid.T) {
	d := driver.Delete{ID: s.id(t), Cond: driver.IfPresent}
	if rapid.Bool().Draw(t, "at a revision") {
		d.Cond, d.Known.Revision = driver.IfMatch, s.rev(t, d.ID)
	}
	s.deleted(d, s.node(t).Delete(s.c.ctx(), s.c.now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known}))
}

// deleted compares the result of a delete with the model's and updates the
// model.
func (s *sequence) deleted(d driver.Delete, err error) {
	want := driver.Judge(s.c.now, s.cur(d.ID), d.Cond, d.Known.Revision)
	if s.same(map[driver.Condition]string{driver.IfPresent: "R38", driver.IfMatch: "R39"}[d.Cond], err, want, fmt.Sprintf("delete under %v of %q", d.Cond, d.ID)) {
		delete(s.model, d.ID)
	}
}

func (s *sequence) get(t *rapid.T) {
	c, id := s.c, s.id(t)
	cur := s.cur(id)
	got, err := s.node(t).Get(c.ctx(), c.now, driver.Get{ID: id})
	if s.same("R2", err, driver.Judge(c.now, cur, driver.IfPresent, model.Revision{}), fmt.Sprintf("get of %q", id)) {
		c.sameHead(got, *cur)
		if !bytes.Equal(got.Value, cur.Value) {
			c.failAs("R22", "%q has the value %q, want %q", id, got.Value, cur.Value)
		}
	}
}

func (s *sequence) list(t *rapid.T) {
	c := s.c
	q := driver.Query{Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
	q.Label, q.Value = s.label(t)
	c.rule = "R46"
	var want []string
	for id, r := range s.model {
		if !r.Expired(c.now) && q.Bears(&r) {
			want = append(want, id)
		}
	}
	var got []string
	for id := range c.list(q) {
		got = append(got, id)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.failAs("R46", "listed %q under %q, want %q", got, q.Value, want)
	}
}

func (s *sequence) sweep(t *rapid.T) {
	c := s.c
	c.rule = "R50"
	before := c.now.Add(-rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "grace"))
	seen := map[string]bool{}
	for more, n := true, 0; more; n++ {
		if n > mostSweeps {
			c.failAs("R50", "the sweep reports more for the %dth time, want an end", n)
		}
		sw, err := s.node(t).DeleteExpired(c.ctx(), driver.Sweep{Before: before, Limit: rapid.IntRange(1, 3).Draw(t, "limit"), OnExpire: func(r model.Record) error {
			seen[r.ID] = true
			return nil
		}})
		c.ok(err, "sweep")
		more = sw.More
	}
	for id, r := range s.model {
		if r.Expired(before) != seen[id] {
			c.failAs("R50", "the sweep before %v announced %q, which expires at %v: %v, want %v", before, id, r.ExpiresAt, seen[id], r.Expired(before))
		}
		if seen[id] {
			delete(s.model, id)
		}
	}
}

// clear removes the records of the sequence, also the expired ones: the next
// one begins at the same time again.
func (s *sequence) clear(base time.Time) {
	for id, r := range s.model {
		if r.Expired(s.c.now) {
			continue
		}
		s.same("R38", s.c.b.Delete(s.c.ctx(), s.c.now, driver.Delete{ID: id, Cond: driver.IfPresent}), nil, "delete at the end")
	}
	s.c.rule = "R50"
	s.c.sweep(100)
	s.c.now = base // by this clock no record has expired
	if left := s.c.list(driver.Query{}); len(left) > 0 {
		s.c.failAs("R50", "%d records are left after all live ones were deleted and a sweep removed the others, want none", len(left))
	}
}

// rapidTB is a testing.TB of which rapid gets the failures.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                           {}
func (r rapidTB) Error(args ...any)                 { r.t.Error(args...) }
func (r rapidTB) Errorf(format string, args ...any) { r.t.Errorf(format, args...) }
func (r rapidTB) Fail()                             { r.t.Fail() }
func (r rapidTB) FailNow()                          { r.t.FailNow() }
func (r rapidTB) Failed() bool                      { return r.t.Failed() }
func (r rapidTB) Fatal(args ...any)                 { r.t.Fatal(args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

// sequencesPerStore bounds what a store keeps of removed records. Every listing
// and sweep would read all of it.
const sequencesPerStore = 10

func sequenceCases() []Case {
	return group("Sequence",
		that("OfRandomCallsAnswersAsTheModelDoes", "R2 R15 R17 R18 R19 R22 R23 R24 R25 R30 R31 R33 R38 R39 R46 R50 R77 R87 R88", needLabels|needSweep, func(c *C) {
			// Every attempt has the same times, ids and messages, and an empty store,
			// so that one that fails can be repeated and made smaller.
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			base, n, clean := c.now.Truncate(time.Hour), 0, true
			tb := c.TB
			defer func() { c.TB = tb }()
			rapid.Check(tb, func(t *rapid.T) {
				c.TB, c.now, c.rule = rapidTB{tb, t}, base, ""
				c.log.clear(base)
				if _, ok := storageManager(c.b); !ok && !clean {
					c.name = freshName()
					c.b = c.node(c.name)
					nodes = []driver.ModelExpirySupport{c.b, c.second()}
				}
				if n++; !clean || n%sequencesPerStore == 0 {
					c.ok(driver.DeleteStorage(c.ctx(), c.b), "delete the storage")
					c.ok(driver.CreateStorage(c.ctx(), c.b), "create the storage again")
				}
				clean = false
				labels := c.b.Describe().Labels
				s := &sequence{c: c, nodes: nodes, labels: labels[:min(2, len(labels))], model: map[string]model.Record{}}
				t.Repeat(map[string]func(*rapid.T){
					"write":   s.write,
					"write2":  s.write,
					"touch":   s.touch,
					"delete":  s.delete,
					"get":     s.get,
					"list":    s.list,
					"sweep":   s.sweep,
					"batch":   s.batch,
					"getMany": s.getMany,
					"count":   s.count,
					"advance": func(t *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 90_000).Draw(t, "ms")) * time.Millisecond) },
				})
				s.clear(base)
				clean = true
			})
		}),
	)
}
