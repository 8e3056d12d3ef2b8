package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Check looks at the server and the collection: the server's version, state and
// clock, the indexes in force, and whether concurrent conditional writes and
// sorted listings are right. For the latter it stores a few expired documents in
// the collection, with ids of their own, and removes them again.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	ctx = withoutSession(ctx)
	checks, err := b.checkServer(ctx)
	if err != nil {
		return nil, err
	}
	place := driver.Finding{Name: "collection", Seen: "it exists", Need: "a collection of the store's own"}
	exists, err := b.checkCollection(ctx)
	var odd *unfitError
	switch {
	case errors.As(err, &odd):
		place.Level, place.Seen, place.Fix = driver.CheckUnsafe, odd.why, "give the store a collection of its own"
		return append(checks, place), nil
	case err != nil:
		return nil, err
	case !exists:
		place.Level, place.Seen, place.Fix = driver.CheckUnsafe, "none", "call CreateStorage"
		return append(checks, place), nil
	}
	have, err := b.indexes(ctx)
	if err != nil {
		return nil, err
	}
	checks = append(append(checks, place), b.checkInForce(have)...)
	tried, err := b.try(ctx)
	return append(checks, tried...), err
}

const (
	wire6           = 17 // the wire version of MongoDB 6.0
	commandNotFound = 59 // the code of an error
)

// checkServer asks the server what it is and what time it has.
func (b *Backend) checkServer(ctx context.Context) (driver.Checks, error) {
	before := time.Now()
	primary := "isWritablePrimary"
	raw, err := b.coll.Database().RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Raw()
	if codeOf(err) == commandNotFound { // before 5.0, and some compatible servers
		primary = "ismaster"
		raw, err = b.coll.Database().RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Raw()
	}
	if err != nil {
		return nil, readError(ctx, err)
	}
	after := time.Now()
	wire, _ := raw.Lookup("maxWireVersion").AsInt64OK()
	version := driver.Finding{Name: "version", Seen: "wire version " + strconv.FormatInt(wire, 10), Need: "MongoDB 6 or later: wire version " + strconv.Itoa(wire6)}
	if wire < wire6 {
		version.Level, version.Fix = driver.CheckWarning, "use a newer server, or run the suite on this one"
	}
	state := driver.Finding{Name: "state", Seen: "a primary, a router or a server of its own", Need: "a server that takes writes"}
	writable, told := raw.Lookup(primary).BooleanOK()
	if told && !writable {
		state.Level, state.Seen, state.Fix = driver.CheckUnsafe, "a secondary", "connect to the replica set and not to one member"
	}
	clock := driver.Finding{Name: "clock", Seen: "no time", Need: "a clock that is ahead of this one by less than Options.GraceTTL"}
	switch at, ok := raw.Lookup("localTime").TimeOK(); {
	case !ok:
		clock.Level, clock.Fix = driver.CheckUnknown, "compare the clocks"
	default:
		// The least that the server's clock can be ahead.
		ahead := at.Sub(after).Truncate(time.Millisecond)
		clock.Seen = "a clock that is ahead by " + max(ahead, 0).String()
		if at.Before(before) {
			clock.Seen = "a clock that is behind by " + before.Sub(at).Truncate(time.Millisecond).String()
		}
		if b.grace >= 0 && ahead >= time.Duration(b.grace)*time.Second {
			clock.Level = driver.CheckUnsafe
			clock.Fix = "set the clocks, or a longer Options.GraceTTL: the server removes live records"
		}
	}
	return driver.Checks{version, state, clock}, nil
}

// checkInForce compares the indexes with what the options say.
func (b *Backend) checkInForce(have []index) driver.Checks {
	all := driver.Finding{Name: "indexes", Seen: "all", Need: "the index on the expiry and one for each label"}
	var lacking, wrong []string
	for _, want := range b.own() {
		if named(have, want.name) == nil {
			lacking = append(lacking, strconv.Quote(want.name))
		}
		for i := range have {
			if what := have[i].inPlaceOf(&want); what != "" {
				wrong = append(wrong, what)
			}
		}
	}
	switch {
	case len(wrong) > 0:
		all.Level, all.Seen, all.Fix = driver.CheckUnsafe, strings.Join(wrong, ", "), "remove the index and call CreateStorage"
	case len(lacking) > 0:
		all.Level, all.Seen, all.Fix = driver.CheckUnsafe, "no index "+strings.Join(lacking, ", "), "call CreateStorage"
	}
	ttl := driver.Finding{Name: "removal by the server", Need: "documents that expire " + seconds(int64(b.grace)), Seen: seconds(-1)}
	if x := named(have, expiryIndex); x != nil {
		ttl.Seen = seconds(x.ttl)
		switch {
		case x.ttl == int64(b.grace):
		case x.ttl >= 0 && (b.grace < 0 || x.ttl < int64(b.grace)):
			ttl.Level, ttl.Fix = driver.CheckUnsafe, "call CreateStorage, as a user who may collMod and dropIndex"
		default:
			ttl.Level, ttl.Fix = driver.CheckWarning, "run an expiry.Sweeper, or call CreateStorage as a user who may collMod"
		}
	}
	return driver.Checks{all, ttl}
}

func seconds(n int64) string {
	if n < 0 {
		return "never"
	}
	return fmt.Sprintf("%d seconds after their expiry", n)
}

// contenders is how many writers try the same condition at the same time.
const contenders = 16

// try carries out conditional writes concurrently, and a listing, on documents
// that have expired long ago.
func (b *Backend) try(ctx context.Context) (driver.Checks, error) {
	prefix := "\x01check " + model.NewRevision().String() + " "
	ids := []string{prefix + "B", prefix + "a", prefix + "a\x01", prefix + "ä"} // in the order of their bytes
	long := time.UnixMilli(1)
	doc := func(id string) model.Record {
		return model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: long, Value: []byte("{}"), Encoding: "json"}
	}
	first := doc(ids[0])
	defer func() {
		ctx := ctx
		if ctx.Err() != nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cursorPatience)
			defer cancel()
		}
		_, _ = b.coll.DeleteMany(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: ids}}}})
	}()
	race := func(do func(n int) error) (won int, err error) {
		var wins atomic.Int64
		errs := make([]error, contenders)
		driverkit.Parallel(contenders, contenders, func(n int) {
			if errs[n] = do(n); errs[n] == nil {
				wins.Add(1)
			}
		})
		for _, err := range errs {
			if err != nil && !errors.Is(err, model.ErrExists) && !errors.Is(err, model.ErrConflict) && !errors.Is(err, model.ErrNotFound) {
				return 0, err
			}
		}
		return int(wins.Load()), nil
	}
	early := time.UnixMilli(0) // at which the documents are live
	created, err := race(func(n int) error {
		r := doc(ids[0])
		if n == 0 {
			r = first
		}
		_, err := b.create(ctx, early, &driver.Write{Record: r, Cond: driver.IfAbsent})
		return err
	})
	if err != nil {
		return nil, err
	}
	known, err := b.read(ctx, ids[0], headOnly)
	if err != nil {
		return nil, err
	}
	replaced, err := race(func(int) error {
		w := driver.Write{Record: doc(ids[0]), Cond: driver.IfMatch, Known: known}
		_, err := b.replace(ctx, early, &w)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids[1:] {
		r := doc(id)
		if _, err := b.upsert(ctx, &driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
			return nil, err
		}
	}
	cur, err := b.coll.Find(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$gt", Value: prefix}, {Key: "$lt", Value: prefix + "\U0010FFFF"}}}},
		options.Find().SetProjection(headOnly.fields).SetSort(idKeys).SetHint(idKeys))
	if err != nil {
		return nil, readError(ctx, err)
	}
	found, err := readAll(ctx, cur)
	if err != nil {
		return nil, err
	}
	listed := make([]string, len(found))
	for i, raw := range found {
		listed[i] = storedID(raw)
	}
	const fix = "use MongoDB, or a server that passes the suite"
	writes := driver.Finding{Name: "conditional writes", Seen: "one of 16 succeeded", Need: "one of 16 concurrent writes under one condition succeeds"}
	if created != 1 || replaced != 1 {
		writes.Level, writes.Fix = driver.CheckUnsafe, fix
		writes.Seen = fmt.Sprintf("%d of 16 creates and %d of 16 compare-and-sets succeeded", created, replaced)
	}
	order := driver.Finding{Name: "listings", Seen: "in the order of bytes", Need: "ids in the order of their bytes, each once"}
	if !slices.Equal(listed, ids) {
		order.Level, order.Seen, order.Fix = driver.CheckUnsafe, fmt.Sprintf("%d of %d ids, or another order", len(listed), len(ids)), fix
	}
	return driver.Checks{writes, order}, nil
}
