package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Check looks at the server and the collection: the server's version, state and
// clock, the indexes in force, and whether concurrent conditional writes and
// sorted listings are right. For the latter it stores a few documents in the
// collection, which no sweep, listing or count meets, and removes them again.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	ctx = withoutSession(ctx)
	checks, err := b.checkServer(ctx, false)
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
		place.Level, place.Missing, place.Seen, place.Fix = driver.CheckUnsafe, true, "none", "call CreateStorage"
		return append(checks, place), nil
	}
	what, err := b.look(ctx, lookStep)
	if err != nil {
		return nil, err
	}
	if what != "" {
		place.Level, place.Seen, place.Fix = driver.CheckUnsafe, what, "give the store a collection of its own"
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

// checkServer asks the server what it is and what time it has. CreateStorage is
// starting, and refuses a clock only if the server removes records early by it.
func (b *Backend) checkServer(ctx context.Context, starting bool) (driver.Checks, error) {
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
	clock := driverkit.Clock{Sent: before, Got: after, Step: time.Millisecond, Removes: time.Duration(b.grace) * time.Second}
	if at, ok := raw.Lookup("localTime").TimeOK(); ok {
		clock.Server = at
	}
	one := clock.Finding()
	if starting && !clock.RemovesEarly() {
		one.Level = min(one.Level, driver.CheckWarning)
	}
	return driver.Checks{version, state, one}, nil
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

// trialFormat is the format of the documents of a trial. Sweeps do not meet them,
// because records have another format. Listings and counts do not, because the
// documents expired in 1970. The server removes them if a crash leaves some.
const trialFormat = int32(1 << 20)

// trialExpiry is the expiry of these documents, and fieldTrial the field with the
// time of the trial.
var trialExpiry = dateOf(time.UnixMilli(1))

const fieldTrial = "trial"

// trialsKept is how old documents of a trial are that the next one removes. A
// server without the index on the expiry does not remove them itself.
const trialsKept = time.Hour

// try carries out conditional writes concurrently, and a listing. The server's own
// removal may meet the documents, so try repeats what fails.
func (b *Backend) try(ctx context.Context) (driver.Checks, error) {
	var checks driver.Checks
	var err error
	for range 2 {
		t := trial{Backend: b, prefix: "\x01check " + model.NewRevision().String() + " ", at: time.Now()}
		if checks, err = t.run(ctx); err != nil || checks.Err() == nil {
			break
		}
	}
	return checks, err
}

// trial is a trial with documents of its own.
type trial struct {
	*Backend
	prefix string // of the ids
	at     time.Time
}

// names are what the ids end with, in the order of their bytes.
var names = []string{"B", "a", "a\x01", "ä"}

func (t *trial) document(name string) bson.D {
	rev := model.NewRevision()
	return bson.D{
		{Key: fieldID, Value: t.prefix + name},
		{Key: fieldFormat, Value: trialFormat},
		{Key: fieldRevision, Value: bson.Binary{Data: rev[:]}},
		{Key: fieldExpiry, Value: trialExpiry},
		{Key: fieldTrial, Value: dateOf(t.at)},
	}
}

// put replaces the document that the conditions match. With upsert it inserts one
// if there is none, which is a duplicate key if the id exists.
func (t *trial) put(ctx context.Context, name string, upsert bool, conditions ...bson.E) (won bool, err error) {
	filter := append(byID(t.prefix+name), conditions...)
	res, err := t.coll.ReplaceOne(ctx, filter, t.document(name), options.Replace().SetUpsert(upsert))
	switch {
	case idExists(err):
		return false, nil
	case err != nil:
		return false, writeError(ctx, err)
	}
	return res.MatchedCount+res.UpsertedCount > 0, nil
}

// clean removes the documents of the trial, and what earlier ones have left.
func (t *trial) clean(ctx context.Context) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cursorPatience)
		defer cancel()
	}
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = t.prefix + name
	}
	_, _ = t.coll.DeleteMany(ctx, bson.D{
		{Key: fieldExpiry, Value: trialExpiry},
		{Key: fieldFormat, Value: trialFormat},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: ids}}}},
			bson.D{{Key: fieldTrial, Value: bson.D{{Key: "$lt", Value: dateOf(t.at.Add(-trialsKept))}}}},
		}},
	})
}

func (t *trial) run(ctx context.Context) (driver.Checks, error) {
	defer t.clean(ctx)
	early := dateOf(time.UnixMilli(0)) // at which the documents are live
	first := names[0]
	created, err := driverkit.Race(contenders, func(int) (bool, error) {
		return t.put(ctx, first, true, bson.E{Key: fieldExpiry, Value: bson.D{{Key: "$lte", Value: early}}})
	})
	if err != nil {
		return nil, err
	}
	known, err := t.coll.FindOne(ctx, byID(t.prefix+first)).Raw()
	if err != nil && !errors.Is(err, mongodriver.ErrNoDocuments) {
		return nil, readError(ctx, err)
	}
	var replaced []int
	if err == nil {
		replaced, err = driverkit.Race(contenders, func(int) (bool, error) {
			return t.put(ctx, first, false, bson.E{Key: fieldExpiry, Value: bson.D{{Key: "$gt", Value: early}}},
				bson.E{Key: fieldRevision, Value: known.Lookup(fieldRevision)})
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range names[1:] {
		if _, err := t.put(ctx, name, true); err != nil {
			return nil, err
		}
	}
	cur, err := t.coll.Find(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$gt", Value: t.prefix}, {Key: "$lt", Value: t.prefix + "\U0010FFFF"}}}},
		options.Find().SetSort(idKeys).SetHint(idKeys))
	if err != nil {
		return nil, readError(ctx, err)
	}
	found, err := readAll(ctx, cur)
	if err != nil {
		return nil, err
	}
	listed := make([]string, len(found))
	for i, raw := range found {
		listed[i] = strings.TrimPrefix(storedID(raw), t.prefix)
	}
	const fix = "use MongoDB, or a server that passes the suite"
	writes := driver.Finding{Name: "conditional writes", Seen: "one of 16 succeeded", Need: "one of 16 concurrent writes under one condition succeeds"}
	if len(created) != 1 || len(replaced) != 1 {
		writes.Level, writes.Fix = driver.CheckUnsafe, fix
		writes.Seen = fmt.Sprintf("%d of 16 creates and %d of 16 compare-and-sets succeeded", len(created), len(replaced))
	}
	order := driver.Finding{Name: "listings", Seen: "in the order of bytes", Need: "ids in the order of their bytes, each once"}
	if !slices.Equal(listed, names) {
		order.Level, order.Seen, order.Fix = driver.CheckUnsafe, fmt.Sprintf("%d of %d ids, or another order", len(listed), len(names)), fix
	}
	return driver.Checks{writes, order}, nil
}
