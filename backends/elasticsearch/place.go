package elasticsearch

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// storedIndex is an index as the server returns it.
type storedIndex struct {
	Aliases  map[string]json.RawMessage `json:"aliases"`
	Mappings struct {
		Dynamic    json.RawMessage            `json:"dynamic"`
		Meta       map[string]json.RawMessage `json:"_meta"`
		Source     json.RawMessage            `json:"_source"`
		Routing    json.RawMessage            `json:"_routing"`
		Runtime    map[string]json.RawMessage `json:"runtime"`
		Properties map[string]field           `json:"properties"`
	} `json:"mappings"`
	Settings settings `json:"settings"`
}

// settings are an index's settings in force, by their full names.
type settings map[string]json.RawMessage

// get returns a setting as text, or nothing if the index has the default.
func (s settings) get(name string) string {
	var text string
	if json.Unmarshal(s["index."+name], &text) != nil {
		return string(s["index."+name]) // a list
	}
	return text
}

// indices returns the indices that the store's name leads to, none if the
// server does not know the name.
func (b *Backend) indices(ctx context.Context) (map[string]*storedIndex, error) {
	r, err := b.do(ctx, http.MethodGet, "/"+b.name+"?flat_settings=true", typeJSON, nil, nil)
	if err != nil {
		return nil, b.readError(ctx, err)
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
		have, ok := index.Mappings.Properties[f]
		_, shadowed := index.Mappings.Runtime[f]
		switch {
		case why != "", !ok && slices.Contains(addedFields, f):
		case shadowed:
			why = "whose field " + f + " is also a runtime field"
		case !want[f].same(have):
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
		is(f.Index) == is(have.Index) && is(f.DocValues) == is(have.DocValues) &&
		have.Normalizer == "" && have.NullValue == nil && (have.DepthLimit == 0 || have.DepthLimit > copyDepth) &&
		(have.IgnoreMalformed == nil || string(have.IgnoreMalformed) == "false")
}

// lacking returns the mapping of the fields that the index lacks from before
// them.
func (i *storedIndex) lacking() map[string]field {
	all, out := fields(), map[string]field{}
	for _, f := range addedFields {
		if _, ok := i.Mappings.Properties[f]; !ok {
			out[f] = all[f]
		}
	}
	return out
}
