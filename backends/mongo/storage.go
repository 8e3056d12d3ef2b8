package mongo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// ownDocument matches the documents that this package wrote, in any version of
// their format, and foreignDocument matches all others.
var (
	ownDocument     = bson.D{{Key: fieldFormat, Value: bson.D{{Key: "$gte", Value: formatVersion}}}}
	foreignDocument = bson.D{{Key: fieldFormat, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gte", Value: formatVersion}}}}}}
)

// lookStep is the number of documents that CreateStorage looks at in a
// collection that already has all indexes.
const lookStep = 1000

// index is what this package needs to know of an index.
type index struct {
	name string
	keys string // as keysOf returns them
	ttl  int64  // seconds after which the server expires documents, -1 if it does not
	odd  string // an option that no index of this package has, such as "unique"
	part string // the field of a partial filter that this package makes
}

// keysOf returns the keys of an index as text.
func keysOf(keys bson.D) string {
	text := make([]string, len(keys))
	for i, k := range keys {
		text[i] = fmt.Sprintf("%s:%v", k.Key, k.Value)
	}
	return strings.Join(text, " ")
}

// indexes returns the indexes of the collection.
func (b *Backend) indexes(ctx context.Context) ([]index, error) {
	cur, err := b.coll.Indexes().List(ctx)
	if err != nil {
		return nil, readError(ctx, err)
	}
	found, err := readAll(ctx, cur)
	if err != nil {
		return nil, err
	}
	have := make([]index, len(found))
	for i, raw := range found {
		have[i] = indexOf(raw)
	}
	return have, nil
}

func indexOf(raw bson.Raw) index {
	x := index{ttl: -1}
	x.name, _ = raw.Lookup("name").StringValueOK()
	definition, _ := raw.Lookup("key").DocumentOK()
	elements, _ := definition.Elements()
	keys := make(bson.D, len(elements))
	for i, e := range elements {
		keys[i] = bson.E{Key: e.Key(), Value: e.Value().String()}
		if order, ok := e.Value().AsInt64OK(); ok {
			keys[i].Value = order
		}
	}
	x.keys = keysOf(keys)
	if ttl, ok := raw.Lookup("expireAfterSeconds").AsInt64OK(); ok {
		x.ttl = ttl
	}
	for _, option := range []string{"unique", "sparse", "hidden"} {
		if set, _ := raw.Lookup(option).BooleanOK(); set {
			x.odd = option
		}
	}
	if locale, _ := raw.Lookup("collation", "locale").StringValueOK(); locale != "" && locale != "simple" {
		x.odd = "collation"
	}
	if filter, ok := raw.Lookup("partialFilterExpression").DocumentOK(); ok {
		x.odd, x.part = oddFilter(filter, x.odd)
	}
	return x
}

// oddFilter returns the field of a partial filter in the form of hasField. For
// another filter it returns the name of the option.
func oddFilter(filter bson.Raw, before string) (odd, field string) {
	elements, err := filter.Elements()
	if err == nil && len(elements) == 1 {
		if exists, _ := filter.Lookup(elements[0].Key(), "$exists").BooleanOK(); exists {
			return before, elements[0].Key()
		}
	}
	return "partialFilterExpression", ""
}

// named returns the index with the name, or nil.
func named(have []index, name string) *index {
	for i := range have {
		if have[i].name == name {
			return &have[i]
		}
	}
	return nil
}

// own returns the indexes that CreateStorage makes, expiry first.
func (b *Backend) own() []index {
	want := []index{{name: expiryIndex, keys: keysOf(expiryKeys)}}
	for _, label := range b.gate.Labels() {
		want = append(want, index{name: labelIndex(label), keys: keysOf(labelKeys(label)), part: labelField(label)})
	}
	return want
}

// inPlaceOf says what is wrong with an index that has the name or the keys of
// one of ours, or returns nothing.
func (x *index) inPlaceOf(want *index) string {
	what := "the index " + strconv.Quote(x.name) + " on " + strconv.Quote(x.keys)
	switch {
	case x.name == want.name && x.keys != want.keys:
		return what + ", not on " + strconv.Quote(want.keys)
	case x.name != want.name && x.keys == want.keys:
		return what + ", which has not the name " + strconv.Quote(want.name)
	case x.name != want.name:
		return ""
	case x.odd != "":
		return what + " with the option " + x.odd
	case x.part != "" && x.part != want.part:
		return what + " with the option partialFilterExpression"
	case x.ttl >= 0 && want.name != expiryIndex:
		return what + " with the option expireAfterSeconds"
	}
	return ""
}

// ours reports whether CreateStorage made the index, with whatever labels.
func (x *index) ours() bool {
	want := index{name: expiryIndex, keys: keysOf(expiryKeys)}
	if label, ok := strings.CutPrefix(x.name, labelIndex("")); ok {
		want = index{name: x.name, keys: keysOf(labelKeys(label)), part: labelField(label)}
	}
	return x.name == want.name && x.inPlaceOf(&want) == ""
}

// serverMade reports whether the index comes with the collection: the one on
// _id, and a hashed one by which a collection is sharded.
func (x *index) serverMade() bool {
	return strings.HasPrefix(x.keys, fieldID+":") && !strings.Contains(x.keys, " ")
}

// foreign returns the ErrCorrupt for a collection with something that this
// package did not make.
func (b *Backend) foreign(what, then string) error {
	return driverkit.Corrupt("the collection " + strconv.Quote(b.coll.Name()) + " has what another program made: " + what + "; " + then)
}

// checkIndexes returns ErrCorrupt if another program's index is in the place
// of ours, and whether all of ours are there.
func (b *Backend) checkIndexes(have []index) (complete bool, err error) {
	complete = true
	for _, want := range b.own() {
		complete = complete && named(have, want.name) != nil
		for i := range have {
			if what := have[i].inPlaceOf(&want); what != "" {
				return false, b.foreign(what, "remove the index or give the store a collection of its own")
			}
		}
	}
	return complete, nil
}

// look returns a description of a document that this package did not write, or
// nothing. A limit above zero bounds the documents that the server looks at.
func (b *Backend) look(ctx context.Context, limit int) (string, error) {
	var stages []bson.D
	if limit > 0 {
		stages = append(stages, bson.D{{Key: "$limit", Value: int64(limit)}})
	}
	stages = append(stages, bson.D{{Key: "$match", Value: foreignDocument}}, bson.D{{Key: "$limit", Value: int64(1)}})
	cur, err := b.coll.Aggregate(ctx, stages)
	if err != nil {
		return "", readError(ctx, err)
	}
	found, err := readAll(ctx, cur)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return fieldsOf(found[0]), nil
}

// maxFields bounds the names in a description of a document.
const maxFields = 8

// fieldsOf describes a document by the names of its fields, without a value.
func fieldsOf(doc bson.Raw) string {
	elements, _ := doc.Elements()
	var names []string
	for _, e := range elements {
		if len(names) == maxFields {
			names = append(names, "…")
			break
		}
		names = append(names, strconv.Quote(e.Key()))
	}
	return "a document with the fields " + strings.Join(names, ", ")
}

// kindError turns the error of checkSpec into the ErrCorrupt of a place that
// another program made.
func (b *Backend) kindError(err error) error {
	var odd *unfitError
	if errors.As(err, &odd) {
		return b.foreign(odd.why, "give the store a collection of its own")
	}
	return err
}

// CreateStorage creates the collection and its missing indexes. If the server
// refuses an index that expires documents, CreateStorage creates a plain one
// and warns in Options.Logger: then only DeleteExpired removes records.
// StoragePlan returns the same steps as text.
//
// It returns ErrCorrupt and changes nothing if the collection holds a document
// of another program, or an index with the name or the keys of one of the
// store's. So it does for a view, a capped collection and one with a collation.
// It looks at all documents before it creates an index. If no index is missing,
// it looks at the first thousand.
//
// Before it uses a collection that lacks an index, it makes the checks of Check,
// and returns ErrUnsupported if one of them is unsafe.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	ctx, cancel := patient(withoutSession(ctx))
	defer cancel()
	exists, err := b.checkCollection(ctx)
	if err != nil {
		return b.kindError(err)
	}
	if !exists {
		err := b.coll.Database().CreateCollection(ctx, b.coll.Name())
		exists = codeOf(err) == codeNamespaceTaken // by another program or node, meanwhile
		if err != nil && !exists {
			return readError(ctx, err)
		}
	}
	have, err := b.indexes(ctx)
	if err != nil {
		return err
	}
	complete, err := b.checkIndexes(have)
	if err != nil {
		return err
	}
	if exists {
		if err := b.checkDocuments(ctx, complete); err != nil {
			return err
		}
	}
	if !complete {
		if err := b.checkNew(ctx); err != nil {
			return err
		}
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

// patient returns a context with a deadline far away, unless it has one: an index
// over many documents takes longer than the time limit of a client.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, maxPatience)
}

const maxPatience = 24 * time.Hour

// checkNew makes the checks that do not need the indexes.
func (b *Backend) checkNew(ctx context.Context) error {
	checks, err := b.checkServer(ctx, true)
	if err != nil {
		return err
	}
	tried, err := b.try(ctx)
	if err != nil {
		return err
	}
	return append(checks, tried...).Err()
}

// checkDocuments returns ErrCorrupt if a document is not ours: the index on the
// expiry would remove it.
func (b *Backend) checkDocuments(ctx context.Context, complete bool) error {
	limit := 0
	if complete {
		limit = lookStep
	}
	what, err := b.look(ctx, limit)
	if err != nil {
		return err
	}
	if what != "" {
		return b.foreign(what, "give the store a collection of its own")
	}
	return nil
}

// DeleteStorage drops the collection. If that holds a document or an index that
// this package did not make, DeleteStorage removes only the records and the
// store's indexes, leaves the collection and returns ErrCorrupt with what it
// found. It leaves a view, a capped collection and one with a collation alone.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	ctx, cancel := patient(withoutSession(ctx))
	defer cancel()
	exists, err := b.checkCollection(ctx)
	switch {
	case err != nil:
		return b.kindError(err)
	case !exists:
		b.found.Store(false)
		return nil
	}
	have, err := b.indexes(ctx)
	if err != nil {
		return err
	}
	what, err := b.look(ctx, 0)
	if err != nil {
		return err
	}
	for i := range have {
		if what == "" && !have[i].ours() && !have[i].serverMade() {
			what = "the index " + strconv.Quote(have[i].name) + " on " + strconv.Quote(have[i].keys)
		}
	}
	if what == "" {
		err = b.coll.Drop(ctx)
	} else {
		err = b.removeOwn(ctx, have)
	}
	if err != nil {
		return readError(ctx, err)
	}
	b.found.Store(false)
	if what != "" {
		return b.foreign(what, "the records and their indexes are removed, and the collection stays")
	}
	return nil
}

// removeOwn removes the indexes and documents that this package made. The
// index that expires documents goes first.
func (b *Backend) removeOwn(ctx context.Context, have []index) error {
	for i := range have {
		if !have[i].ours() {
			continue
		}
		if err := b.coll.Indexes().DropOne(ctx, have[i].name); err != nil && codeOf(err) != codeIndexMissing {
			return err
		}
	}
	_, err := b.coll.DeleteMany(ctx, ownDocument)
	return err
}
