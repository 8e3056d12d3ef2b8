package mongo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/model"
)

// The keys of the indexes. Listings name their index, so that the server uses
// no other.
var (
	idKeys     = bson.D{{Key: fieldID, Value: 1}}
	expiryKeys = bson.D{{Key: fieldExpiry, Value: 1}}
)

func labelField(label string) string { return fieldLabels + "." + label }

func labelKeys(label string) bson.D {
	return bson.D{{Key: labelField(label), Value: 1}, {Key: fieldID, Value: 1}}
}

// Names of the indexes.
const expiryIndex = "sojourn expiry"

func labelIndex(label string) string { return "sojourn label " + label }

// find returns ErrUnavailable if the collection does not exist, and remembers
// that it does. A write would create the collection without its indexes, and
// with a misspelt name.
func (b *Backend) find(ctx context.Context) error {
	exists, err := b.checkCollection(ctx)
	switch {
	case codeOf(err) == codeUnauthorized:
		// The user may write but not list collections: trust the name.
	case err != nil:
		return err
	case !exists:
		return model.NewError(model.ErrUnavailable, "the database "+strconv.Quote(b.coll.Database().Name())+
			" has no collection "+strconv.Quote(b.coll.Name())+": call CreateStorage", nil)
	}
	b.found.Store(true)
	return nil
}

// checkCollection reports whether the collection exists, and returns
// ErrUnavailable if it cannot hold records.
func (b *Backend) checkCollection(ctx context.Context) (exists bool, err error) {
	specs, err := b.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	if err != nil {
		return false, readError(ctx, err)
	}
	for i := range specs {
		if specs[i].Name == b.coll.Name() { // some servers ignore the filter
			return true, checkSpec(&specs[i])
		}
	}
	return false, nil
}

// checkSpec returns ErrUnavailable for a collection that cannot hold records: a
// collation makes distinct ids equal, and a capped collection drops the oldest.
func checkSpec(spec *mongodriver.CollectionSpecification) error {
	var why string
	locale, _ := spec.Options.Lookup("collation", "locale").StringValueOK()
	capped, _ := spec.Options.Lookup("capped").BooleanOK()
	switch {
	case spec.Type != "" && spec.Type != "collection":
		why = "it is a " + spec.Type
	case locale != "" && locale != "simple":
		why = "it has a collation"
	case capped:
		why = "it is capped"
	default:
		return nil
	}
	return model.NewError(model.ErrUnavailable, "the collection cannot hold records: "+why, &unfitError{why})
}

// unfitError says why a collection cannot hold records.
type unfitError struct{ why string }

func (e *unfitError) Error() string { return e.why }

// unsupportedCodes are the codes with which servers refuse a kind of index that
// they do not have.
var unsupportedCodes = []int{2, 9, 59, 67, 115, 238}

func (b *Backend) createLabelIndexes(ctx context.Context, have []index) error {
	var partial, plain []mongodriver.IndexModel
	for _, label := range b.gate.Labels() {
		if named(have, labelIndex(label)) != nil {
			continue
		}
		o := func() *options.IndexOptionsBuilder { return options.Index().SetName(labelIndex(label)) }
		partial = append(partial, mongodriver.IndexModel{Keys: labelKeys(label), Options: o().SetPartialFilterExpression(hasField(labelField(label)))})
		plain = append(plain, mongodriver.IndexModel{Keys: labelKeys(label), Options: o()})
	}
	if len(partial) == 0 {
		return nil
	}
	_, err := b.coll.Indexes().CreateMany(ctx, partial)
	if slices.Contains(unsupportedCodes, codeOf(err)) {
		_, err = b.coll.Indexes().CreateMany(ctx, plain)
	}
	if err != nil {
		return readError(ctx, err)
	}
	return nil
}

// hasField matches documents with the field.
func hasField(field string) bson.D {
	return bson.D{{Key: field, Value: bson.D{{Key: "$exists", Value: true}}}}
}

func (b *Backend) createExpiryIndex(ctx context.Context, have []index) error {
	old := named(have, expiryIndex)
	exists, want := old != nil, int64(b.grace)
	if exists && old.ttl == want {
		return nil
	}
	view := b.coll.Indexes()
	if exists && want >= 0 {
		err := b.coll.Database().RunCommand(ctx, bson.D{
			{Key: "collMod", Value: b.coll.Name()},
			{Key: "index", Value: bson.D{{Key: "name", Value: old.name}, {Key: "expireAfterSeconds", Value: want}}},
		}).Err()
		switch code := codeOf(err); {
		case err != nil && code == 0:
			return readError(ctx, err)
		case err != nil: // the old index still serves listings and sweeps
			b.logger.WarnContext(ctx, "the server cannot change when the index expires documents; the index stays as it is",
				"collection", b.coll.Name(), "index", old.name, "code", code)
		}
		return nil
	}
	if exists {
		if err := view.DropOne(ctx, old.name); err != nil {
			return readError(ctx, err)
		}
	}
	if want >= 0 {
		_, err := view.CreateOne(ctx, mongodriver.IndexModel{
			Keys: expiryKeys, Options: options.Index().SetName(expiryIndex).SetExpireAfterSeconds(b.grace),
		})
		if err == nil {
			return nil
		}
		if !slices.Contains(unsupportedCodes, codeOf(err)) {
			return readError(ctx, err)
		}
		b.logger.WarnContext(ctx, "the server refuses an index that expires documents; run an expiry.Sweeper",
			"collection", b.coll.Name(), "code", codeOf(err))
	}
	if _, err := view.CreateOne(ctx, mongodriver.IndexModel{Keys: expiryKeys, Options: options.Index().SetName(expiryIndex)}); err != nil {
		return readError(ctx, err)
	}
	return nil
}

// StoragePlan returns the commands for mongosh that create the same storage as
// CreateStorage, for programs that lack the permission.
func (b *Backend) StoragePlan() string {
	name := strings.ReplaceAll(strconv.QuoteToGraphic(b.coll.Name()), `\a`, `\x07`) // JavaScript has no \a
	var s strings.Builder
	fmt.Fprintf(&s, "db.createCollection(%s)\n", name)
	ttl := ""
	if b.grace >= 0 {
		ttl = fmt.Sprintf(", expireAfterSeconds: %d", b.grace)
	}
	fmt.Fprintf(&s, "db.getCollection(%s).createIndex({%q: 1}, {name: %q%s})\n", name, fieldExpiry, expiryIndex, ttl)
	for _, label := range b.gate.Labels() {
		field := labelField(label)
		fmt.Fprintf(&s, "db.getCollection(%s).createIndex({%q: 1, %q: 1}, {name: %q, partialFilterExpression: {%q: {$exists: true}}})\n",
			name, field, fieldID, labelIndex(label), field)
	}
	return s.String()
}
