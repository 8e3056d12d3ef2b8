package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// storedIndex is an index as the server returns it.
type storedIndex struct {
	Aliases  map[string]json.RawMessage `json:"aliases"`
	Mappings struct {
		Dynamic    json.RawMessage            `json:"dynamic"`
		Meta       map[string]json.RawMessage `json:"_meta"`
		Source     json.RawMessage            `json:"_source"`
		Routing    json.RawMessage            `json:"_routing"`
		Properties map[string]field           `json:"properties"`
	} `json:"mappings"`
	Settings struct {
		Index struct {
			DefaultPipeline string `json:"default_pipeline"`
			FinalPipeline   string `json:"final_pipeline"`
			Translog        struct {
				Durability string `json:"durability"`
			} `json:"translog"`
		} `json:"index"`
	} `json:"settings"`
}

// indices returns the indices that the store's name leads to, none if the
// server does not know the name.
func (b *Backend) indices(ctx context.Context) (map[string]*storedIndex, error) {
	r, err := b.do(ctx, http.MethodGet, "/"+b.name, typeJSON, nil, nil)
	if err != nil {
		return nil, readError(ctx, err)
	}
	if c := causeOf(r.body); r.status == http.StatusNotFound && c.Type == typeNoIndex {
		return nil, nil
	}
	if r.status != http.StatusOK {
		return nil, b.replyError(r.status, causeOf(r.body), false)
	}
	var all map[string]*storedIndex
	if json.Unmarshal(r.body, &all) != nil {
		return nil, b.foreign("an index that cannot be read")
	}
	maps.DeleteFunc(all, func(_ string, index *storedIndex) bool { return index == nil })
	return all, nil
}

// find returns the name of the store's index, and the index. It returns nil if
// there is no index, and ErrCorrupt if the store's name leads to another index.
func (b *Backend) find(ctx context.Context) (string, *storedIndex, error) {
	all, err := b.indices(ctx)
	if err != nil {
		return "", nil, err
	}
	own := ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := b.checkIndex(name, all[name]); err != nil {
			return name, all[name], err
		}
		if own != "" {
			return "", nil, b.foreign("both the index " + own + " and the index " + name)
		}
		own = name
	}
	return own, all[own], nil
}

// foreign returns the ErrCorrupt for a name that leads to what CreateStorage did
// not create.
func (b *Backend) foreign(what string) error {
	return driverkit.Corrupt("the name " + b.name + " leads to " + what + ": another program made it; give the store another name, or an index as StoragePlan shows it")
}

// checkIndex returns ErrCorrupt, with the reason, if the index is not a store's.
// It may have more fields: an index template adds some.
func (b *Backend) checkIndex(name string, index *storedIndex) error {
	var m meta
	var why string
	switch {
	case json.Unmarshal(index.Mappings.Meta[metaKey], &m) != nil, m.Format < 1, b.epochOf(name) == "", m.Epoch != b.epochOf(name):
		why = "which has not the mark of a store"
	case m.Format > formatVersion:
		return driverkit.Corrupt("the index " + name + " has a newer format than this version reads")
	case string(index.Mappings.Dynamic) != `"strict"`:
		why = "whose mapping is not strict"
	case index.Mappings.Source != nil:
		why = "whose mapping changes _source"
	case index.Mappings.Routing != nil:
		why = "whose mapping changes _routing"
	}
	want := fields()
	for _, f := range slices.Sorted(maps.Keys(want)) {
		if have := index.Mappings.Properties[f]; why == "" && !want[f].same(have) {
			why = "whose field " + f + " has another mapping"
		}
	}
	if why != "" {
		return b.foreign("the index " + name + ", " + why)
	}
	return nil
}

func (f field) same(have field) bool {
	is := func(p *bool) bool { return p == nil || *p }
	return f.Type == have.Type && f.Format == have.Format && f.IgnoreAbove == have.IgnoreAbove &&
		is(f.Index) == is(have.Index) && is(f.DocValues) == is(have.DocValues)
}

// CreateStorage creates the index and its two aliases in one step. An existing
// index stays as it is. If it lacks the alias for conditional writes,
// CreateStorage creates that alias.
//
// It returns ErrCorrupt if the store's name leads to another index, and if an
// index template changes the new index so that it cannot hold a store: then
// CreateStorage removes it.
func (b *Backend) CreateStorage(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := b.gate.Enter(ctx); err != nil {
			return err
		}
		name, index, err := b.find(ctx)
		if err != nil {
			return err
		}
		if index != nil {
			alias := b.epochAlias(b.epochOf(name))
			if _, ok := index.Aliases[alias]; ok {
				return nil
			}
			return b.change(ctx, http.MethodPut, "/"+name+"/_alias/"+alias, nil)
		}
		epoch := newEpoch()
		err = b.change(ctx, http.MethodPut, "/"+b.indexName(epoch), b.definition(epoch))
		if err == nil {
			return b.checkCreated(ctx, epoch)
		}
		if attempt > 0 || ctx.Err() != nil {
			return err
		}
		// Another process may have created it at the same moment.
	}
}

// checkCreated reads the index that was just created. If an index template made
// it unfit, checkCreated removes it and returns ErrCorrupt.
func (b *Backend) checkCreated(ctx context.Context, epoch string) error {
	all, err := b.indices(ctx)
	if err != nil {
		return err
	}
	name := b.indexName(epoch)
	index := all[name]
	if index == nil { // another process has deleted it
		return nil
	}
	what := b.addedByTemplate(epoch, index)
	if err = b.checkIndex(name, index); err == nil && what == "" {
		return nil
	}
	if what == "" {
		what = "a mapping that the store cannot use"
	}
	text := "an index template for " + name + " adds " + what + ": exclude " + b.name + epochMark + "* from it"
	if removed := b.change(ctx, http.MethodDelete, "/"+name, nil); removed != nil {
		text += "; the index could not be removed"
	}
	return model.NewError(model.ErrCorrupt, text, err)
}

// addedByTemplate says what a new index has that CreateStorage did not ask for
// and that changes records, loses them, or shows them to others. It returns
// nothing if there is no such thing.
func (b *Backend) addedByTemplate(epoch string, index *storedIndex) string {
	set := index.Settings.Index
	for _, p := range []struct{ setting, value string }{
		{"default_pipeline", set.DefaultPipeline}, {"final_pipeline", set.FinalPipeline},
	} {
		if p.value != "" && p.value != "_none" {
			return "the " + p.setting + " " + strconv.Quote(p.value)
		}
	}
	if strings.EqualFold(set.Translog.Durability, "async") {
		return "the setting translog.durability async"
	}
	for _, name := range slices.Sorted(maps.Keys(index.Aliases)) {
		if name != b.name && name != b.epochAlias(epoch) {
			return "the alias " + strconv.Quote(name)
		}
	}
	return ""
}

// DeleteStorage deletes the index with all its records. It does nothing if there
// is no index. If the store's name also leads to another index, or only to one,
// DeleteStorage leaves that and returns ErrCorrupt with its name.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	all, err := b.indices(ctx)
	if err != nil {
		return err
	}
	var left error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := b.checkIndex(name, all[name]); err != nil {
			left = err
			continue
		}
		if err := b.change(ctx, http.MethodDelete, "/"+name, nil); err != nil {
			return err
		}
	}
	return left
}

// maxReason bounds the part of a server's text in an error.
const maxReason = 300

// change creates or deletes an index or an alias. It is idempotent, so that the
// client may send it again: the name has the random epoch.
func (b *Backend) change(ctx context.Context, method, path string, body any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = marshal(body); err != nil {
			return err
		}
	}
	r, err := b.do(ctx, method, path, typeJSON, content, nil)
	if err != nil {
		return driverkit.WriteError(ctx, err, !driverkit.IsDial(err), "")
	}
	c := causeOf(r.body)
	switch {
	case r.status == http.StatusOK, method == http.MethodDelete && c.Type == typeNoIndex:
		return nil
	case c.Type == "invalid_alias_name_exception", c.Type == "invalid_index_name_exception":
		return model.NewError(model.ErrUnavailable, c.Type+": the cluster refuses the name "+b.name+", or an index has it", c.native(r.status))
	case strings.Contains(c.Reason, "data streams only"):
		return model.NewError(model.ErrCorrupt, "an index template for "+b.name+epochMark+"* creates data streams only: exclude the name from it", c.native(r.status))
	case r.status == http.StatusBadRequest && c.Reason != "":
		// Unlike a record's, the request has nothing secret for the reason to
		// quote.
		return model.NewError(model.ErrUnavailable, fmt.Sprintf("%s: %.*s", c.Type, maxReason, c.Reason), c.native(r.status))
	}
	return b.replyError(r.status, c, true)
}
