package conformance

import (
	"bytes"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// ring returns a keyring with made-up secrets. The first key is active.
func (c *C) ring(ids ...string) *expiry.Keyring {
	c.Helper()
	keys := make([]expiry.SealKey, len(ids))
	for i, id := range ids {
		keys[i] = expiry.SealKey{ID: id, Secret: bytes.Repeat([]byte{id[0]}, 32)}
	}
	k, err := expiry.NewKeyring(keys[0], keys[1:]...)
	c.ok(err, "NewKeyring")
	return k
}

func sealCases() []Case {
	const secret = "hunter2-secret"
	return group("Seal",
		that("IsOpenedWholeAndStoredUnreadable", "R63 R13 R62", needLabels, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: c.ring("a"), TTL: time.Hour})
			labels := &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}}
			_, err := s.Create(c.ctx(), "a", doc{Name: secret, N: 1}, labels)
			c.ok(err, "create")
			_, err = s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			c.ok(err, "mutate")
			_, err = s.UpdatePartial(c.ctx(), "a", map[string]any{"n": 3}, nil)
			c.ok(err, "partial update")
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value != (doc{secret, 3}) || got.Labels["principal"] != "ann" {
				c.fail("the opened value is %v with the labels %v", got.Value, got.Labels)
			}
			n := 0
			for it, err := range s.All(c.ctx(), &expiry.ListOptions{Label: "principal", Value: "ann"}) {
				c.ok(err, "list")
				if n++; it.Value != got.Value {
					c.fail("the listed value is %v, want %v", it.Value, got.Value)
				}
			}
			if raw := c.get("a"); n != 1 || strings.Contains(string(raw.Value), secret) {
				c.fail("%d records are listed and the stored value is %q, want 1 record and no readable value", n, clip(raw.Value))
			}
		}),
		that("OfAnotherKeyIsCorrupt", "R64 R62 R99", needNothing, func(c *C) {
			_, err := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: c.ring("a")}).Create(c.ctx(), "a", doc{Name: secret}, nil)
			c.ok(err, "create")
			before := c.get("a")
			for what, opts := range map[string]*expiry.StoreOptions{
				"another key": {Purpose: "test", Seal: c.ring("b")}, "another secret under the key's id": {Purpose: "test", Seal: c.forged()}, "no key": nil,
			} {
				s := storeOf[doc](c, opts)
				_, get := s.Get(c.ctx(), "a")
				c.is(get, model.ErrCorrupt, "get with %s", what)
				_, mutate := s.Mutate(c.ctx(), "a", func(*doc) error { return nil }, nil)
				c.is(mutate, model.ErrCorrupt, "mutate with %s", what)
				_, take := s.Take(c.ctx(), "a")
				c.is(take, model.ErrCorrupt, "take with %s", what)
				_, update := s.Update(c.ctx(), "a", doc{N: 2}, nil)
				c.is(update, model.ErrCorrupt, "update with %s", what)
				for _, err := range []error{get, mutate, take, update} {
					if strings.Contains(err.Error(), secret) {
						c.fail("got the error %v, want one without the value", err)
					}
				}
			}
			if now := c.get("a"); now.Revision != before.Revision {
				c.fail("an update replaced a value that its store cannot open")
			}
		}),
		that("OfARotatedKeyIsOpenedUntilTheKeyIsRemoved", "R63 R64", needNothing, func(c *C) {
			ring := c.ring("a")
			s := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: ring})
			for _, id := range []string{"old", "renewed"} {
				_, err := s.Create(c.ctx(), id, doc{N: 1}, nil)
				c.ok(err, "create")
			}
			c.ok(ring.Add(expiry.SealKey{ID: "b", Secret: bytes.Repeat([]byte{'b'}, 32)}), "add a key")
			c.ok(ring.Use("b"), "use it")
			_, err := s.Mutate(c.ctx(), "renewed", func(d *doc) error { d.N++; return nil }, nil)
			c.ok(err, "mutate of a value that an older key sealed")
			_, err = s.Get(c.ctx(), "old")
			c.ok(err, "get of a value that an older key sealed")
			c.ok(ring.Remove("a"), "remove the old key")
			_, err = s.Get(c.ctx(), "old")
			c.is(err, model.ErrCorrupt, "get of a value that a removed key sealed")
			_, err = s.Get(c.ctx(), "renewed")
			c.ok(err, "get of a value that was sealed again")
		}),
		that("IsBoundToItsRecord", "R64", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: c.ring("a")})
			for i, id := range []string{"ann", "bob"} {
				_, err := s.Create(c.ctx(), id, doc{N: i}, nil)
				c.ok(err, "create")
			}
			ann, bob := c.get("ann"), c.get("bob")
			for _, swap := range []model.Record{
				{ID: "ann", Revision: model.NewRevision(), Value: bob.Value, Encoding: bob.Encoding},
				{ID: "bob", Revision: bob.Revision, Value: ann.Value, Encoding: ann.Encoding},
				{ID: "carol", Revision: model.NewRevision(), Value: ann.Value, Encoding: ann.Encoding},
			} {
				_, err := c.write(swap, driver.IfAny, model.Record{})
				c.ok(err, "a value put under another id")
				_, err = s.Get(c.ctx(), swap.ID)
				c.is(err, model.ErrCorrupt, "get of %q with another record's value", swap.ID)
			}
		}),
		that("IsBoundToItsPurpose", "R64", needNothing, func(c *C) {
			// Somebody who can write to the server copies a value to another store
			// under the same id.
			ring := c.ring("a")
			profiles := storeOf[doc](c, &expiry.StoreOptions{Purpose: "profiles", Seal: ring})
			_, err := profiles.Create(c.ctx(), "ann", doc{N: 1}, nil)
			c.ok(err, "create")
			for _, other := range []string{"roles", "profile", "profilesa"} {
				_, err = storeOf[doc](c, &expiry.StoreOptions{Purpose: other, Seal: ring}).Get(c.ctx(), "ann")
				c.is(err, model.ErrCorrupt, "get by a store of the purpose %q", other)
			}
		}),
		that("ThatIsBrokenOrMissingIsCorrupt", "R64", needNothing, func(c *C) {
			ring := c.ring("a")
			s := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: ring})
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			whole := c.get("a")
			for i := 0; i < len(whole.Value); i += 16 { // every 16th byte
				bad := whole.Clone()
				bad.Revision = model.NewRevision()
				bad.Value[i] ^= 1
				_, err := c.write(bad, driver.IfAny, model.Record{})
				c.ok(err, "upsert")
				_, err = s.Get(c.ctx(), "a")
				c.is(err, model.ErrCorrupt, "get with byte %d changed", i)
			}
			plain := c.put(c.rec("plain", `{"n":7}`, time.Hour))
			_, err = s.Get(c.ctx(), "plain")
			c.is(err, model.ErrCorrupt, "get of a value that is not sealed")
			moving := storeOf[doc](c, &expiry.StoreOptions{Purpose: "test", Seal: ring, OpenUnsealed: true})
			it, err := moving.Get(c.ctx(), "plain")
			c.ok(err, "get of a value that is not sealed, with OpenUnsealed")
			if it.Value.N != 7 || it.Revision != plain.Revision {
				c.fail("the opened item is %v, want the value 7 at %v", it, plain.Revision)
			}
		}),
	)
}

// forged returns a keyring with another secret under the id "a".
func (c *C) forged() *expiry.Keyring {
	c.Helper()
	k, err := expiry.NewKeyring(expiry.SealKey{ID: "a", Secret: bytes.Repeat([]byte{'x'}, 32)})
	c.ok(err, "NewKeyring")
	return k
}
