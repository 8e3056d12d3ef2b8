package elasticsearch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The fields of a document.
const (
	fieldID       = "id"
	fieldFormat   = "format"
	fieldRevision = "revision"
	fieldExpires  = "expires"
	fieldLabels   = "labels"
	fieldEncoding = "encoding"
	fieldValue    = "value"
	fieldBytes    = "bytes"
	fieldJSON     = "json"

	formatVersion = 1
	metaKey       = "sojourn"
)

// A store has three names. Its own name is an alias of the index. The name of the
// index has a random epoch. A second alias has that epoch too, and conditional
// writes go to it, because a version is valid in one index only. The name of a
// store never has an @.
const (
	epochSize = 8
	epochMark = "@"
	aliasTail = "@match"
)

func newEpoch() string {
	var e [epochSize]byte
	_, _ = rand.Read(e[:])
	return hex.EncodeToString(e[:])
}

func isEpoch(s string) bool {
	ok := len(s) == 2*epochSize
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
	}
	return ok
}

func (b *Backend) indexName(epoch string) string { return b.name + epochMark + epoch }

func (b *Backend) epochAlias(epoch string) string { return b.indexName(epoch) + aliasTail }

// epochOf returns the epoch of an index of this store. It is empty for another
// index.
func (b *Backend) epochOf(index string) string {
	epoch, ok := strings.CutPrefix(index, b.name+epochMark)
	if !ok || !isEpoch(epoch) {
		return ""
	}
	return epoch
}

// field is the mapping of one field.
type field struct {
	Type        string `json:"type"`
	Format      string `json:"format,omitempty"`
	Index       *bool  `json:"index,omitempty"`
	DocValues   *bool  `json:"doc_values,omitempty"`
	IgnoreAbove int    `json:"ignore_above,omitempty"`
}

// fields returns the mapping of a document. Strings that are only read back have
// no index and no doc values, so that they can have any length. Labels and the
// native copy are flattened, so that their content never changes the mapping.
func fields() map[string]field {
	no := new(bool)
	return map[string]field{
		fieldID:       {Type: "keyword"},
		fieldFormat:   {Type: "short"},
		fieldRevision: {Type: "keyword", Index: no, DocValues: no},
		fieldExpires:  {Type: "date", Format: "epoch_millis"},
		fieldLabels:   {Type: "flattened"},
		fieldEncoding: {Type: "keyword", Index: no, DocValues: no},
		fieldValue:    {Type: "keyword", Index: no, DocValues: no},
		fieldBytes:    {Type: "binary"},
		fieldJSON:     {Type: "flattened", IgnoreAbove: ignoreAbove},
	}
}

// mappings is the mapping of an index.
type mappings struct {
	Dynamic    string           `json:"dynamic"`
	Meta       map[string]meta  `json:"_meta"`
	Properties map[string]field `json:"properties"`
}

// meta marks an index as a store's.
type meta struct {
	Format int    `json:"format"`
	Epoch  string `json:"epoch"`
}

type alias struct {
	IsWriteIndex bool `json:"is_write_index,omitempty"`
}

// definition describes the index of a store. Its alias has a write index, and
// Elasticsearch allows only one, so that one of many concurrent creations
// succeeds.
type definition struct {
	Settings map[string]any   `json:"settings,omitempty"`
	Aliases  map[string]alias `json:"aliases"`
	Mappings mappings         `json:"mappings"`
}

func (b *Backend) definition(epoch string) *definition {
	d := &definition{
		Aliases: map[string]alias{b.name: {IsWriteIndex: true}, b.epochAlias(epoch): {}},
		Mappings: mappings{
			Dynamic: "strict", Meta: map[string]meta{metaKey: {formatVersion, epoch}}, Properties: fields(),
		},
	}
	index := map[string]any{}
	if b.shards > 0 {
		index["number_of_shards"] = b.shards
	}
	switch {
	case b.replicas > 0:
		index["number_of_replicas"] = b.replicas
	case b.replicas < 0:
		index["number_of_replicas"] = 0
	}
	if len(index) > 0 {
		d.Settings = map[string]any{"index": index}
	}
	return d
}

// StoragePlan returns the request that CreateStorage sends, in the form that the
// console of Kibana accepts. It is for stores whose index is created by other
// means. The epoch in it is random, so each plan is for one index. StoragePlan
// does no I/O.
func (b *Backend) StoragePlan() string {
	epoch := newEpoch()
	body, _ := json.MarshalIndent(b.definition(epoch), "", "  ") //nolint:errchkjson // strings and numbers
	return fmt.Sprintf("PUT /%s\n%s\n", b.indexName(epoch), body)
}

// storedIndex is an index as the server returns it.
type storedIndex struct {
	Aliases  map[string]json.RawMessage `json:"aliases"`
	Mappings struct {
		Dynamic    json.RawMessage            `json:"dynamic"`
		Meta       map[string]json.RawMessage `json:"_meta"`
		Properties map[string]field           `json:"properties"`
	} `json:"mappings"`
}

// find returns the name of the store's index, and the index. It returns nil if
// there is no index, and ErrCorrupt if the store's name leads to another index.
func (b *Backend) find(ctx context.Context) (string, *storedIndex, error) {
	r, err := b.do(ctx, http.MethodGet, "/"+b.name, typeJSON, nil, nil)
	if err != nil {
		return "", nil, readError(ctx, err)
	}
	if c := causeOf(r.body); r.status == http.StatusNotFound && c.Type == typeNoIndex {
		return "", nil, nil
	}
	if r.status != http.StatusOK {
		return "", nil, b.replyError(r.status, causeOf(r.body), false)
	}
	var all map[string]*storedIndex
	if json.Unmarshal(r.body, &all) != nil {
		return "", nil, b.foreignIndex()
	}
	for name, index := range all {
		if len(all) == 1 && index != nil {
			return name, index, b.checkIndex(name, index)
		}
	}
	return "", nil, b.foreignIndex()
}

func (b *Backend) foreignIndex() error {
	return driverkit.Corrupt("the name " + b.name + " leads to an index with another mapping or other names than StoragePlan shows")
}

// checkIndex returns ErrCorrupt if the index is not a store's.
func (b *Backend) checkIndex(name string, index *storedIndex) error {
	var m meta
	if json.Unmarshal(index.Mappings.Meta[metaKey], &m) != nil || m.Format < 1 || b.epochOf(name) == "" || m.Epoch != b.epochOf(name) {
		return b.foreignIndex()
	}
	if m.Format > formatVersion {
		return driverkit.Corrupt("the index " + name + " has a newer format than this version reads")
	}
	want := fields()
	if string(index.Mappings.Dynamic) != `"strict"` || len(index.Mappings.Properties) != len(want) {
		return b.foreignIndex()
	}
	for name, f := range want {
		if !f.same(index.Mappings.Properties[name]) {
			return b.foreignIndex()
		}
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
// CreateStorage creates that alias. It returns ErrCorrupt if the store's name
// leads to an index with another mapping.
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
		if err == nil || attempt > 0 || ctx.Err() != nil {
			return err
		}
		// Another process may have created it at the same moment.
	}
}

// DeleteStorage deletes the index with all its records. It does nothing if there
// is no index. It returns ErrCorrupt, and deletes nothing, if the store's name
// leads to another index.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	name, index, err := b.find(ctx)
	if err != nil || index == nil {
		return err
	}
	return b.change(ctx, http.MethodDelete, "/"+name, nil)
}

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
	}
	return b.replyError(r.status, c, true)
}
