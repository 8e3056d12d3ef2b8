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

// The keys of the indexes. Listings name them as hints, so that no server
// plans otherwise.
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

// find makes sure, once, that there is a collection of records. A write would
// make one behind the user's back, without indexes and in the wrong place where
// a name is misspelt.
func (b *Backend) find(ctx context.Context) error {
	there, err := b.look(ctx)
	switch {
	case codeOf(err) == codeUnauthorized:
		// The user may write but not look; then it is up to them.
	case err != nil:
		return err
	case !there:
		return b.missing()
	}
	b.found.Store(true)
	return nil
}

// look asks for the collection, and refuses one that is no place for records.
func (b *Backend) look(ctx context.Context) (there bool, err error) {
	specs, err := b.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	if err != nil {
		return false, readFault(ctx, err)
	}
	for i := range specs {
		if specs[i].Name == b.coll.Name() { // not every server heeds the filter
			return true, checkCollection(&specs[i])
		}
	}
	return false, nil
}

func (b *Backend) missing() error {
	return model.NewError(model.ErrUnavailable, "there is no collection "+strconv.Quote(b.coll.Name())+
		" in the database "+strconv.Quote(b.coll.Database().Name())+": CreateStorage makes it", nil)
}

// checkCollection refuses what is no place for records: ids would not be
// distinct under a collation, and a capped collection drops the oldest.
func checkCollection(spec *mongodriver.CollectionSpecification) error {
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
	return model.NewError(model.ErrUnavailable, "the collection cannot hold records: "+why, nil)
}

// CreateStorage makes the collection and those of its indexes that are
// missing. Without MongoDB's own expiry, where the server refuses it, the index
// on the expiry is a plain one, and Options.Logger gets a warning: then only
// DeleteExpired removes records. StoragePlan prints what is made.
func (b *Backend) CreateStorage(ctx context.Context) error {
	ctx, err := b.begin(ctx)
	if err != nil {
		return err
	}
	there, err := b.look(ctx)
	if err != nil {
		return err
	}
	if !there {
		if err := b.coll.Database().CreateCollection(ctx, b.coll.Name()); err != nil && codeOf(err) != codeNamespaceTaken {
			return readFault(ctx, err)
		}
	}
	have, err := b.indexes(ctx)
	if err != nil {
		return err
	}
	if err := b.createLabelIndexes(ctx, have); err != nil {
		return err
	}
	if err := b.createExpiryIndex(ctx, have); err != nil {
		return err
	}
	b.found.Store(true)
	return nil
}

// index is what is known of an index: its name, and the seconds of MongoDB's
// own expiry, -1 for none.
type index struct {
	name string
	ttl  int64
}

// keysOf is the text by which indexes are compared.
func keysOf(keys bson.D) string {
	var s strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&s, "%s:%v ", k.Key, k.Value)
	}
	return s.String()
}

// indexes lists what there is, by keys.
func (b *Backend) indexes(ctx context.Context) (map[string]index, error) {
	cur, err := b.coll.Indexes().List(ctx)
	if err != nil {
		return nil, readFault(ctx, err)
	}
	found, err := drain(ctx, cur)
	if err != nil {
		return nil, err
	}
	have := make(map[string]index, len(found))
	for _, raw := range found {
		elements, _ := raw.Lookup("key").Document().Elements()
		keys := make(bson.D, len(elements))
		for i, e := range elements {
			order, _ := e.Value().AsInt64OK()
			keys[i] = bson.E{Key: e.Key(), Value: order}
		}
		name, _ := raw.Lookup("name").StringValueOK()
		ttl, ok := raw.Lookup("expireAfterSeconds").AsInt64OK()
		if !ok {
			ttl = -1
		}
		have[keysOf(keys)] = index{name: name, ttl: ttl}
	}
	return have, nil
}

// lacking are the codes with which servers that lack a kind of index say so.
var lacking = []int{2, 9, 59, 67, 115, 238}

func (b *Backend) createLabelIndexes(ctx context.Context, have map[string]index) error {
	var partial, plain []mongodriver.IndexModel
	for _, label := range b.labels {
		if _, ok := have[keysOf(labelKeys(label))]; ok {
			continue
		}
		o := func() *options.IndexOptionsBuilder { return options.Index().SetName(labelIndex(label)) }
		partial = append(partial, mongodriver.IndexModel{Keys: labelKeys(label), Options: o().SetPartialFilterExpression(bearing(label))})
		plain = append(plain, mongodriver.IndexModel{Keys: labelKeys(label), Options: o()})
	}
	if len(partial) == 0 {
		return nil
	}
	_, err := b.coll.Indexes().CreateMany(ctx, partial)
	if slices.Contains(lacking, codeOf(err)) {
		_, err = b.coll.Indexes().CreateMany(ctx, plain)
	}
	if err != nil {
		return readFault(ctx, err)
	}
	return nil
}

// bearing keeps records without the label out of its index.
func bearing(label string) bson.D {
	return bson.D{{Key: labelField(label), Value: bson.D{{Key: "$exists", Value: true}}}}
}

func (b *Backend) createExpiryIndex(ctx context.Context, have map[string]index) error {
	old, there := have[keysOf(expiryKeys)]
	want := int64(b.grace)
	if there && old.ttl == want {
		return nil
	}
	view := b.coll.Indexes()
	if there && want >= 0 {
		err := b.coll.Database().RunCommand(ctx, bson.D{
			{Key: "collMod", Value: b.coll.Name()},
			{Key: "index", Value: bson.D{{Key: "name", Value: old.name}, {Key: "expireAfterSeconds", Value: want}}},
		}).Err()
		switch code := codeOf(err); {
		case err != nil && code == 0:
			return readFault(ctx, err)
		case err != nil: // listings and sweeps need the index as it is
			b.logger.WarnContext(ctx, "the server does not change when it expires documents; the index stays as it was",
				"collection", b.coll.Name(), "index", old.name, "code", code)
		}
		return nil
	}
	if there {
		if err := view.DropOne(ctx, old.name); err != nil {
			return readFault(ctx, err)
		}
	}
	if want >= 0 {
		_, err := view.CreateOne(ctx, mongodriver.IndexModel{
			Keys: expiryKeys, Options: options.Index().SetName(expiryIndex).SetExpireAfterSeconds(b.grace),
		})
		if err == nil {
			return nil
		}
		if !slices.Contains(lacking, codeOf(err)) {
			return readFault(ctx, err)
		}
		b.logger.WarnContext(ctx, "the server refuses an index that expires documents; run a Sweeper",
			"collection", b.coll.Name(), "code", codeOf(err))
	}
	if _, err := view.CreateOne(ctx, mongodriver.IndexModel{Keys: expiryKeys, Options: options.Index().SetName(expiryIndex)}); err != nil {
		return readFault(ctx, err)
	}
	return nil
}

// StoragePlan returns the commands for mongosh that make what CreateStorage
// makes, for those who let no program do so.
func (b *Backend) StoragePlan() string {
	name := strings.ReplaceAll(strconv.QuoteToGraphic(b.coll.Name()), `\a`, `\x07`) // as JavaScript writes it
	var s strings.Builder
	fmt.Fprintf(&s, "db.createCollection(%s)\n", name)
	ttl := ""
	if b.grace >= 0 {
		ttl = fmt.Sprintf(", expireAfterSeconds: %d", b.grace)
	}
	fmt.Fprintf(&s, "db.getCollection(%s).createIndex({%q: 1}, {name: %q%s})\n", name, fieldExpiry, expiryIndex, ttl)
	for _, label := range b.labels {
		field := labelField(label)
		fmt.Fprintf(&s, "db.getCollection(%s).createIndex({%q: 1, %q: 1}, {name: %q, partialFilterExpression: {%q: {$exists: true}}})\n",
			name, field, fieldID, labelIndex(label), field)
	}
	return s.String()
}

// DeleteStorage drops the collection, with all that is in it.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	ctx, err := b.begin(ctx)
	if err != nil {
		return err
	}
	if err := b.coll.Drop(ctx); err != nil {
		return readFault(ctx, err)
	}
	b.found.Store(false)
	return nil
}
