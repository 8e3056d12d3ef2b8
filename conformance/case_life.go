package conformance

import (
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func closeCases() []Case {
	return group("Close",
		that("IsIdempotent", "R58", func(c *C) {
			b := c.second()
			for range 3 {
				c.ok(b.Close(), "close")
			}
		}),
		that("MayBeCalledByManyAtOnce", "R58", func(c *C) {
			b := c.second()
			for i, err := range c.together(100, func(int) error { return b.Close() }) {
				c.ok(err, "close %d", i)
			}
		}),
		that("EndsEveryOperation", "R59", func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			b := c.second()
			c.ok(b.Close(), "close")
			_, get := b.Get(c.ctx(), c.now, "a")
			_, create := b.Write(c.ctx(), c.now, expiry.Write{Record: c.rec("b", "1", time.Hour), Cond: model.Absent})
			_, upsert := b.Write(c.ctx(), c.now, expiry.Write{Record: c.rec("a", "2", time.Hour), Cond: model.Always})
			_, touch := b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: expiry.Clear})
			_, page := b.Page(c.ctx(), c.now, expiry.Query{Limit: 1})
			_, sweep := b.DeleteExpired(c.ctx(), c.now, 1, nil)
			_, count := expiry.Count(c.ctx(), b, c.now, "", "")
			for op, err := range map[string]error{
				"Get": get, "create": create, "upsert": upsert, "Touch": touch, "Page": page, "DeleteExpired": sweep, "Count": count,
				"Delete": b.Delete(c.ctx(), c.now, "a", model.Live, model.Record{}),
				"Ping":   expiry.Ping(c.ctx(), b, c.now),
			} {
				c.is(err, model.ErrClosed, "%s after Close", op)
			}
			c.holds(r)
			c.gone("b")
		}),
		that("LeavesOtherNodesAndTheClient", "R60", func(c *C) {
			b := c.second()
			r := c.put(c.rec("a", "1", time.Hour))
			c.ok(b.Close(), "close")
			c.holds(r)
			c.put(c.rec("b", "1", time.Hour))
		}),
		that("LeavesDescribe", "R57", func(c *C) {
			b := c.second()
			before := b.Describe()
			c.ok(b.Close(), "close")
			after := b.Describe()
			if before.Backend == "" || before.Backend != after.Backend || before.MaxValue != after.MaxValue || len(before.Labels) != len(after.Labels) {
				c.fail("Describe said %+v, then %+v", before, after)
			}
		}),
		that("WhileOthersWorkNeverHangs", "R58 R59", func(c *C) {
			b := c.second()
			var wg sync.WaitGroup
			for who := range 8 {
				wg.Go(func() {
					for i := range 50 {
						id := string(rune('a'+who)) + string(rune('a'+i%10))
						if _, err := b.Write(c.ctx(), c.now, expiry.Write{Record: c.rec(id, "v", time.Hour), Cond: model.Always}); err != nil {
							return
						}
						if _, err := b.Page(c.ctx(), c.now, expiry.Query{Limit: 3}); err != nil {
							return
						}
						if _, err := b.DeleteExpired(c.ctx(), c.now, 3, nil); err != nil {
							return
						}
					}
				})
			}
			c.ok(b.Close(), "close while others work")
			wg.Wait()
			_, err := b.Get(c.ctx(), c.now, "a")
			c.is(err, model.ErrClosed, "get after close")
		}),
		that("ThroughTheStore", "R58 R59", func(c *C) {
			s := storeOn[doc](c, c.second(), nil)
			c.ok(s.Close(), "close")
			c.ok(s.Close(), "close again")
			_, err := s.Get(c.ctx(), "a")
			c.is(err, model.ErrClosed, "get after Close")
		}),
	)
}

func storageCases() []Case {
	return group("Storage",
		that("CreatedAgainKeepsItsRecords", "R85", func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			for range 2 {
				c.ok(expiry.CreateStorage(c.ctx(), c.b), "CreateStorage")
			}
			c.holds(r)
			c.ids(c.bearers("ann"), "a")
		}),
		that("DeletedIsEmpty", "R86", func(c *C) {
			if _, ok := c.b.(expiry.StorageManager); !ok {
				// Nothing is made, so nothing is deleted: the call does nothing.
				r := c.put(c.rec("a", "1", time.Hour))
				c.ok(expiry.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
				c.holds(r)
				return
			}
			for i := range 40 {
				c.put(c.labelled(string(rune('a'+i)), "1", "ann", time.Hour))
			}
			c.ok(expiry.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(expiry.DeleteStorage(c.ctx(), c.b), "DeleteStorage again")
			c.ok(expiry.CreateStorage(c.ctx(), c.b), "CreateStorage")
			c.gone("a")
			c.ids(c.list(expiry.Query{}))
			c.ids(c.bearers("ann"))
			r := c.put(c.labelled("a", "2", "ann", time.Hour))
			c.holds(r)
			c.ids(c.bearers("ann"), "a")
			c.advance(time.Hour)
			if n := c.sweep(100); n != 1 {
				c.fail("%d removed by a sweep of the storage made anew, want 1", n)
			}
		}),
		that("MadeAnewKnowsNoOldRevision", "R66 R86", func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			c.ok(expiry.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(expiry.CreateStorage(c.ctx(), c.b), "CreateStorage")
			_, err := c.write(c.rec("a", "1", time.Hour), model.Always, model.Record{})
			c.ok(err, "upsert")
			_, err = c.write(c.rec("a", "2", time.Hour), model.Match, old)
			c.is(err, model.ErrConflict, "compare-and-set at a revision from before")
			c.is(c.b.Delete(c.ctx(), c.now, "a", model.Match, old), model.ErrConflict, "delete at a revision from before")
		}),
		that("DeletedLeavesANeighbours", "R86 R6", func(c *C) {
			neighbour := c.node(c.name + "-b")
			r := c.rec("a", "1", time.Hour)
			r.Labels = map[string]string{"principal": "ann"}
			_, err := neighbour.Write(c.ctx(), c.now, expiry.Write{Record: r.Clone(), Cond: model.Absent})
			c.ok(err, "create in the neighbour")
			c.put(c.rec("a", "mine", time.Hour))
			c.ok(expiry.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			got := c.getFrom(neighbour, "a")
			c.sameHead(got, r)
			p, err := neighbour.Page(c.ctx(), c.now, expiry.Query{Label: "principal", Value: "ann", Limit: 5})
			c.ok(err, "page of the neighbour")
			if len(p.Records) != 1 {
				c.fail("the neighbour lists %d records, want 1", len(p.Records))
			}
		}),
		that("OfTwoNamesNeverMeets", "R6", func(c *C) {
			// Names of which one is the beginning of the other.
			other := c.node(c.name + "1")
			c.put(c.labelled("a", "1", "ann", time.Minute))
			_, err := other.Get(c.ctx(), c.now, "a")
			c.is(err, model.ErrNotFound, "get from the other store")
			_, err = other.Write(c.ctx(), c.now, expiry.Write{Record: c.rec("1a", "2", time.Minute), Cond: model.Absent})
			c.ok(err, "create in the other store")
			c.ids(c.list(expiry.Query{}), "a")
			p, err := other.Page(c.ctx(), c.now, expiry.Query{Label: "principal", Value: "ann", Limit: 5})
			c.ok(err, "page of the other store")
			if len(p.Records) != 0 {
				c.fail("the other store lists %d of this one's", len(p.Records))
			}
			c.advance(time.Minute)
			s, err := other.DeleteExpired(c.ctx(), c.now, 10, nil)
			c.ok(err, "sweep of the other store")
			if s.Removed != 1 {
				c.fail("the other store's sweep removed %d, want its own 1", s.Removed)
			}
			if n := c.sweep(10); n != 1 {
				c.fail("this store's sweep removed %d, want its own 1", n)
			}
		}),
		that("AnswersAPing", "R57", func(c *C) { c.ok(expiry.Ping(c.ctx(), c.b, c.now), "ping") }),
	)
}

// damage is what may be found where a record should be.
func damage() map[string][]byte {
	return map[string][]byte{
		"nothing":      {},
		"one byte":     {'S'},
		"text":         []byte("not a record"),
		"JSON":         []byte(`{"id":"a"}`),
		"zeros":        make([]byte, 200),
		"high bytes":   []byte("\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc"),
		"long foreign": []byte("S\x00SJN\x01" + string(make([]byte, 2000))),
	}
}

func corruptCases() []Case {
	return group("Corrupt",
		thatDamages("IsAnErrorForThatIDAlone", "R5", func(c *C) {
			good := c.put(c.rec("good", "1", time.Hour))
			for what, data := range damage() {
				c.put(c.rec("bad "+what, "1", time.Hour))
				c.h.Damage(c.TB, c.name, "bad "+what, data)
				_, err := c.b.Get(c.ctx(), c.now, "bad "+what)
				c.is(err, model.ErrCorrupt, "get of %s", what)
			}
			c.holds(good)
		}),
		thatDamages("IsNeverOverwrittenByAnUpdate", "R5", func(c *C) {
			for what, data := range damage() {
				old := c.put(c.rec(what, "1", time.Hour))
				c.h.Damage(c.TB, c.name, what, data)
				_, err := c.write(c.rec(what, "2", time.Hour), model.Live, model.Record{})
				c.is(err, model.ErrCorrupt, "update of %s", what)
				_, err = c.write(c.rec(what, "2", time.Hour), model.Match, old)
				c.is(err, model.ErrCorrupt, "compare-and-set of %s", what)
				_, err = c.write(c.rec(what, "2", time.Hour), model.Absent, model.Record{})
				c.is(err, model.ErrCorrupt, "create over %s", what)
				_, err = c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: what, Mode: expiry.Set, ExpiresAt: c.in(2 * time.Hour)})
				c.is(err, model.ErrCorrupt, "touch of %s", what)
				c.is(c.b.Delete(c.ctx(), c.now, what, model.Live, model.Record{}), model.ErrCorrupt, "delete of %s", what)
				_, err = c.b.Get(c.ctx(), c.now, what)
				c.is(err, model.ErrCorrupt, "get of %s afterwards", what)
			}
		}),
		thatDamages("GivesWayToAnUpsert", "R5 R22", func(c *C) {
			for what, data := range damage() {
				c.put(c.labelled(what, "1", "ann", time.Hour))
				c.h.Damage(c.TB, c.name, what, data)
				r := c.labelled(what, "2", "bob", time.Hour)
				_, err := c.write(r, model.Always, model.Record{})
				c.ok(err, "upsert over %s", what)
				c.holds(r)
			}
			c.ids(c.bearers("ann"))
			if n := len(c.bearers("bob")); n != len(damage()) {
				c.fail("%d records listed, want %d", n, len(damage()))
			}
		}),
		thatDamages("IsNamedByAListingThatGoesOn", "R49", func(c *C) {
			ids := c.fill(20, "", time.Hour)
			c.h.Damage(c.TB, c.name, ids[3], []byte("not a record"))
			c.h.Damage(c.TB, c.name, ids[11], []byte{})
			got, corrupt := c.listAll(expiry.Query{})
			if len(got) != 18 {
				c.fail("%d records listed, want 18", len(got))
			}
			if len(corrupt) != 2 {
				c.fail("%q named as corrupt, want two", corrupt)
			}
		}),
		thatDamages("IsReportedByADeleteByLabel", "R78 R49", func(c *C) {
			ids := c.fill(6, "ann", time.Hour)
			c.h.Damage(c.TB, c.name, ids[2], []byte("not a record"))
			n, err := storeOf[any](c, nil).DeleteByLabel(c.ctx(), "principal", "ann")
			c.is(err, model.ErrCorrupt, "DeleteByLabel over a damaged record")
			if n != 5 {
				c.fail("%d removed, want the 5 that could be read", n)
			}
			_, err = c.b.Get(c.ctx(), c.now, ids[2])
			c.is(err, model.ErrCorrupt, "get of the damaged one")
		}),
		thatDamages("IsLeftByASweepThatGoesOn", "R5 R50", func(c *C) {
			ids := c.fill(20, "", time.Minute)
			c.h.Damage(c.TB, c.name, ids[7], []byte("not a record"))
			c.advance(time.Minute)
			n := 0
			for range 5 {
				s, err := c.b.DeleteExpired(c.ctx(), c.now, 100, nil)
				c.ok(err, "sweep")
				n += s.Removed
			}
			if n != 19 {
				c.fail("%d removed, want 19", n)
			}
			_, err := c.b.Get(c.ctx(), c.now, ids[7])
			c.is(err, model.ErrCorrupt, "get of the damaged one")
		}),
		that("IsAValueOfAnotherType", "R64", func(c *C) {
			words := storeOf[string](c, nil)
			_, err := words.Create(c.ctx(), "a", "text", nil)
			c.ok(err, "create")
			docs := storeOf[doc](c, nil)
			_, err = docs.Get(c.ctx(), "a")
			c.is(err, model.ErrCorrupt, "get as another type")
			_, err = docs.Mutate(c.ctx(), "a", func(*doc) error { return nil }, nil)
			c.is(err, model.ErrCorrupt, "mutate as another type")
			it, err := words.Get(c.ctx(), "a")
			c.ok(err, "get as the type it is")
			if it.Value != "text" {
				c.fail("the value became %q", it.Value)
			}
		}),
		that("IsAnotherEncoding", "R64", func(c *C) {
			r := c.rec("a", `{"n":1}`, time.Hour)
			r.Encoding = "other"
			c.put(r)
			_, err := storeOf[doc](c, nil).Get(c.ctx(), "a")
			c.is(err, model.ErrCorrupt, "get of another encoding")
			c.holds(r)
		}),
		thatPages("ValueIsYieldedWithItsErrorAndTheListingGoesOn", "R49 R64", func(c *C) {
			s := storeOf[doc](c, nil)
			for _, id := range []string{"a", "b", "c"} {
				_, err := s.Create(c.ctx(), id, doc{}, nil)
				c.ok(err, "create")
			}
			c.put(c.rec("bad", `"text"`, time.Hour))
			good, bad := 0, 0
			for it, err := range s.All(c.ctx(), nil) {
				if err != nil {
					c.is(err, model.ErrCorrupt, "listing")
					if it.ID != "bad" {
						c.fail("%q is yielded with an error", it.ID)
					}
					bad++
					continue
				}
				good++
			}
			if good != 3 || bad != 1 {
				c.fail("%d good and %d bad, want 3 and 1", good, bad)
			}
		}),
	)
}

func lostCases() []Case {
	return group("Lost",
		thatLoses("WriteIsUnknown", "R11", func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			lose := func() { c.Helper(); c.h.LoseNext(c.TB, c.b) }
			lose()
			_, err := c.write(c.rec("b", "1", time.Hour), model.Absent, model.Record{})
			c.is(err, model.ErrUnknown, "create")
			lose()
			_, err = c.write(c.rec("a", "2", time.Hour), model.Match, old)
			c.is(err, model.ErrUnknown, "compare-and-set")
			lose()
			_, err = c.b.Touch(c.ctx(), c.now, expiry.Touch{ID: "a", Mode: expiry.Set, ExpiresAt: c.in(2 * time.Hour)})
			c.is(err, model.ErrUnknown, "touch")
			lose()
			c.is(c.b.Delete(c.ctx(), c.now, "a", model.Live, model.Record{}), model.ErrUnknown, "delete")
		}),
		thatLoses("CreateIsRecognised", "R67 R12", func(c *C) {
			s := storeOf[doc](c, nil)
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create with a lost answer")
			if got := c.get("a"); got.Rev != it.Revision {
				c.fail("revision %v is stored, %v was answered", got.Rev, it.Revision)
			}
		}),
		thatLoses("UpdateIsRecognised", "R67 R12", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Update(c.ctx(), "a", doc{N: 2}, nil)
			c.ok(err, "update with a lost answer")
			if got := c.get("a"); got.Rev != it.Revision {
				c.fail("revision %v is stored, %v was answered", got.Rev, it.Revision)
			}
		}),
		thatLoses("CompareAndSetIsRecognised", "R67 R12", func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{If: it.Version()})
			c.ok(err, "compare-and-set with a lost answer")
			if got := c.get("a"); got.Rev != it.Revision {
				c.fail("revision %v is stored, %v was answered", got.Rev, it.Revision)
			}
		}),
		thatLoses("TouchIsRecognised", "R67", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Touch(c.ctx(), "a", expiry.At(c.in(time.Hour)), nil)
			c.ok(err, "touch with a lost answer")
			if !it.ExpiresAt.Equal(c.in(time.Hour)) {
				c.fail("the answer is %v", it.ExpiresAt)
			}
		}),
		thatLoses("MutateAppliesOnce", "R67 R72", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			armed := false
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error {
				if !armed {
					armed = true
					c.h.LoseNext(c.TB, c.b)
				}
				d.N++
				return nil
			}, nil)
			c.ok(err, "mutate with a lost answer")
			if it.Value.N != 2 {
				c.fail("answered %d, want 2", it.Value.N)
			}
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 2 {
				c.fail("stored %d, want 2", got.Value.N)
			}
		}),
		thatLoses("DeleteIsUnknownAndNothingRevives", "R11 R4", func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			c.is(s.Delete(c.ctx(), "a", nil), model.ErrUnknown, "delete with a lost answer")
			c.gone("a")
		}),
	)
}
