package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/causes"
	"github.com/sojourn-go/sojourn/model"
)

// C is the environment of a case: a store, a clock that only the case moves,
// and assertions that stop the case.
type C struct {
	testing.TB
	h    *Harness
	cs   *Case
	name string
	now  time.Time

	b driver.ModelExpirySupport // the first node

	log  callLog
	rule string // the rule that the next assertion is about, if it is not the first
}

func newC(t testing.TB, h *Harness, cs *Case) *C {
	c := &C{TB: t, h: h.bare(), cs: cs, name: freshName()}
	c.now = time.Now().UTC().Truncate(time.Millisecond).Add(24 * time.Hour)
	c.log.began = c.now
	c.b = c.node(c.name)
	return c
}

// warmUp makes one call of each kind. A backend does some work before its
// first call, such as loading a script, and the answer to that work must not
// be the lost one.
func (c *C) warmUp() {
	c.Helper()
	for _, id := range []string{"warm-up 1", "warm-up 2"} {
		r := c.put(c.rec(id, "0", time.Minute))
		_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: c.in(time.Second), Known: r})
		c.ok(err, "touch")
	}
	c.del("warm-up 1")
	c.now = c.in(time.Second)
	if !c.has(driver.FeatureSweep) {
		return
	}
	if n := c.sweep(10); n != 1 {
		c.fail("the sweep removed %d records, want 1", n)
	}
}

// freshName returns a store's name that was not used before.
func freshName() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return "c" + hex.EncodeToString(b[:])
}

// node opens a backend on the store with the name and creates its storage. At
// the end of the case it deletes the storage and closes the backend.
func (c *C) node(name string) driver.ModelExpirySupport {
	c.Helper()
	b := c.h.Open(c.TB, name)
	if b == nil {
		c.Fatal("Harness.Open returned nil")
	}
	b = &watched{Wrapper: driverkit.Wrap(b), c: c, log: &c.log}
	if err := driver.CreateStorage(c.ctx(), b); err != nil {
		c.Fatalf("CreateStorage: %s", causes.Of(err))
	}
	c.Cleanup(func() {
		// Another node may have closed the backend or deleted the storage already,
		// so errors are ignored.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), time.Minute)
		defer cancel()
		_ = driver.DeleteStorage(ctx, b)
		_ = b.Close()
	})
	return b
}

// second opens another node on the store of the case.
func (c *C) second() driver.ModelExpirySupport { c.Helper(); return c.node(c.name) }

func (c *C) ctx() context.Context { return c.Context() }

// has reports whether the backend has the feature.
func (c *C) has(f driver.Feature) bool {
	_, absent := c.b.Describe().Lacks(f)
	return !absent
}

// advance moves the clock forward.
func (c *C) advance(d time.Duration) { c.now = c.now.Add(d) }

// in returns the instant d after the case's now.
func (c *C) in(d time.Duration) time.Time { return c.now.Add(d) }

// ok stops the case if err is not nil.
func (c *C) ok(err error, what string, args ...any) {
	c.Helper()
	if err != nil {
		c.aboutLastCall()
		c.fail("%s: got the error %s, want none", fmt.Sprintf(what, args...), causes.Of(err))
	}
}

// is stops the case unless err matches the sentinel and no other.
func (c *C) is(err, sentinel error, what string, args ...any) {
	c.Helper()
	if !errors.Is(err, sentinel) {
		c.aboutLastCall()
	}
	if err == nil {
		c.fail("%s: got no error, want %v", fmt.Sprintf(what, args...), sentinel)
	}
	if !errors.Is(err, sentinel) {
		c.fail("%s: got %s, want %v", fmt.Sprintf(what, args...), causes.Of(err), sentinel)
	}
	for _, s := range sentinels {
		if errors.Is(sentinel, s) { // the sentinel itself, or ErrUnavailable, which ErrUnknown matches too
			continue
		}
		if errors.Is(err, s) {
			c.fail("%s: %v matches %v and %v, want only the latter", fmt.Sprintf(what, args...), err, s, sentinel)
		}
	}
}

var sentinels = []error{
	model.ErrNotFound, model.ErrExists, model.ErrConflict, model.ErrInvalid, model.ErrTooLarge,
	model.ErrCorrupt, model.ErrUnsupported, model.ErrUnavailable, model.ErrUnknown, model.ErrClosed,
}

// rec returns a record with a new revision. It never expires if lifetime is
// zero.
func (c *C) rec(id, value string, lifetime time.Duration) model.Record {
	r := model.Record{ID: id, Revision: model.NewRevision(), Value: []byte(value), Encoding: "json"}
	if lifetime != 0 {
		r.ExpiresAt = c.in(lifetime)
	}
	return r
}

// labelled returns rec with a principal, or without if the backend lacks
// labels.
func (c *C) labelled(id, value, principal string, lifetime time.Duration) model.Record {
	r := c.rec(id, value, lifetime)
	if c.has(driver.FeatureLabels) {
		r.Labels = map[string]string{"principal": principal}
	}
	return r
}

// put creates the record and returns it with its value and server version.
func (c *C) put(r model.Record) model.Record {
	c.Helper()
	got, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: r.Clone(), Cond: driver.IfAbsent})
	c.ok(err, "create %q", r.ID)
	c.sameHead(got, r)
	r.ServerVersion = got.ServerVersion
	return r
}

// write writes the record under the condition, with what the caller knows.
func (c *C) write(r model.Record, cond driver.Condition, known model.Record) (model.Record, error) {
	c.Helper()
	return c.b.Write(c.ctx(), c.now, driver.Write{Record: r.Clone(), Cond: cond, Known: known})
}

// get returns the live record with the id and stops the case if there is none.
func (c *C) get(id string) model.Record { c.Helper(); return c.getFrom(c.b, id) }

func (c *C) getFrom(b driver.ModelExpirySupport, id string) model.Record {
	c.Helper()
	r, err := b.Get(c.ctx(), c.now, driver.Get{ID: id})
	c.ok(err, "get %q", id)
	return r
}

// gone stops the case unless no live record has the id.
func (c *C) gone(id string) {
	c.Helper()
	_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: id})
	c.is(err, model.ErrNotFound, "get %q", id)
}

// del deletes the live record with the id and stops the case if there is none.
func (c *C) del(id string) {
	c.Helper()
	c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent}), "delete %q", id)
}

// holds stops the case unless exactly this record is stored.
func (c *C) holds(want model.Record) {
	c.Helper()
	got := c.get(want.ID)
	c.sameHead(got, want)
	if !bytes.Equal(got.Value, want.Value) {
		c.fail("%q has the value %q, want %q", want.ID, clip(got.Value), clip(want.Value))
	}
}

// sameHead stops the case unless the records are the same apart from the value
// and the server version.
func (c *C) sameHead(got, want model.Record) {
	c.Helper()
	switch {
	case got.ID != want.ID:
		c.fail("got the id %q, want %q", got.ID, want.ID)
	case got.Revision != want.Revision:
		c.fail("%q has another revision than the last write gave it, want that one", want.ID)
	case !got.ExpiresAt.Equal(want.ExpiresAt):
		c.fail("%q expires at %v, want %v", want.ID, got.ExpiresAt, want.ExpiresAt)
	case got.ExpiresAt.Location() != time.UTC:
		c.fail("%q expires at %v, want the time in UTC", want.ID, got.ExpiresAt)
	case len(got.Labels) != len(want.Labels) || len(want.Labels) > 0 && !maps.Equal(got.Labels, want.Labels):
		c.fail("%q has the labels %v, want %v", want.ID, got.Labels, want.Labels)
	case got.Encoding != want.Encoding:
		c.fail("%q has the encoding %q, want %q", want.ID, got.Encoding, want.Encoding)
	}
}

func clip(b []byte) []byte {
	if len(b) > 200 {
		return b[:200]
	}
	return b
}

// list returns the records of the whole listing by id. It stops the case if a
// record appears twice, or is named corrupt: nobody has damaged one.
func (c *C) list(q driver.Query) map[string]model.Record {
	c.Helper()
	out, corrupt := c.listAll(q)
	if len(corrupt) > 0 {
		c.failAs("R49", "Page.Corrupt names %q, which nobody damaged: does an index entry outlive its record?", corrupt)
	}
	return out
}

func (c *C) listAll(q driver.Query) (map[string]model.Record, []string) {
	c.Helper()
	if q.Limit == 0 {
		q.Limit = 7
	}
	out := map[string]model.Record{}
	var corrupt []string
	for {
		p, err := c.b.Page(c.ctx(), c.now, q)
		c.ok(err, "page")
		if len(p.Records) > q.Limit {
			c.fail("a page has %d records, want at most %d", len(p.Records), q.Limit)
		}
		for _, r := range p.Records {
			if _, twice := out[r.ID]; twice {
				c.fail("%q is listed twice", r.ID)
			}
			out[r.ID] = r
		}
		corrupt = append(corrupt, p.Corrupt...)
		if p.Next == "" {
			return out, corrupt
		}
		if p.Next == q.After {
			c.fail("the next page token is the same again: %q", p.Next)
		}
		q.After = p.Next
	}
}

// bearers returns the records of a principal by id.
func (c *C) bearers(principal string) map[string]model.Record {
	c.Helper()
	return c.list(driver.Query{Label: "principal", Value: principal, Limit: 7})
}

// bear stops the case unless exactly the records with the ids bear the
// principal. If the backend lacks labels, the listing must be ErrUnsupported.
func (c *C) bear(principal string, ids ...string) {
	c.Helper()
	c.lists(driver.Query{Label: "principal", Value: principal}, ids...)
}

// lists stops the case unless the listing has exactly the records with the
// ids. If the backend lacks the listing, it must be ErrUnsupported.
func (c *C) lists(q driver.Query, ids ...string) {
	c.Helper()
	if !c.has(driver.FeaturePaging) || q.Label != "" && !c.has(driver.FeatureLabels) {
		q.Limit = 1
		_, err := c.b.Page(c.ctx(), c.now, q)
		c.is(err, model.ErrUnsupported, "page without the feature")
		return
	}
	c.ids(c.list(q), ids...)
}

// ids stops the case unless the listing has exactly the records with the ids.
func (c *C) ids(got map[string]model.Record, want ...string) {
	c.Helper()
	for _, id := range want {
		if _, ok := got[id]; !ok {
			c.fail("%q is not listed, only %v", id, keys(got))
		}
	}
	if len(got) != len(want) {
		c.fail("%d records are listed, want %d; got %v", len(got), len(want), keys(got))
	}
}

func keys(m map[string]model.Record) []string {
	var out []string
	for k := range m {
		if len(out) == 20 {
			return append(out, "…")
		}
		out = append(out, k)
	}
	return out
}

// overwrite changes the bytes of the value and the labels, in place.
func overwrite(r model.Record) {
	for i := range r.Value {
		r.Value[i] = 'X'
	}
	for name := range r.Labels {
		r.Labels[name] = "mallory"
	}
}

// clock returns the case's clock, for a Store.
func (c *C) clock() expiry.Clock { return expiry.ClockFunc(func() time.Time { return c.now }) }

// storeOf returns a Store of T on the backend and the clock of the case.
func storeOf[T any](c *C, opts *expiry.StoreOptions) *expiry.Store[T] {
	c.Helper()
	return storeOn[T](c, c.b, opts)
}

func storeOn[T any](c *C, b driver.ModelExpirySupport, opts *expiry.StoreOptions) *expiry.Store[T] {
	c.Helper()
	var o expiry.StoreOptions
	if opts != nil {
		o = *opts
	}
	if o.Clock == nil {
		o.Clock = c.clock()
	}
	if c.h.above != nil {
		b = c.h.above(b)
	}
	s, err := expiry.NewStore[T](b, &o)
	c.ok(err, "NewStore")
	return s
}
