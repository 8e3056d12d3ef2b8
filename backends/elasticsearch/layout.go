package elasticsearch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// A store is three names: its own is an alias, which finds the index; the
// index has a random epoch in its name; and an alias with that epoch is where
// conditional writes go, since a version means something in one index only.
// No store's name has an @.
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

// epochOf is the epoch of an index of this store; empty where it is another's.
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

// fields are the mapping of a document. Strings that are only ever read back
// have no index and no column, so that they may be of any length. Labels and
// the native copy are flattened: whatever they hold, the mapping stays.
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

// mappings are those of an index.
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

// definition is an index that the store needs. The alias has a write index, of
// which Elasticsearch allows one: of many who create the store one succeeds.
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

// StoragePlan returns the request that CreateStorage would send, as the
// console of Kibana takes it, for those who make indices by other means. The
// epoch in it is random: each plan is good for one index. It does no I/O.
func (b *Backend) StoragePlan() string {
	epoch := newEpoch()
	body, _ := json.MarshalIndent(b.definition(epoch), "", "  ") //nolint:errchkjson // strings and numbers
	return fmt.Sprintf("PUT /%s\n%s\n", b.indexName(epoch), body)
}

// there is an index as the server has it.
type there struct {
	Aliases  map[string]json.RawMessage `json:"aliases"`
	Mappings struct {
		Dynamic    json.RawMessage            `json:"dynamic"`
		Meta       map[string]json.RawMessage `json:"_meta"`
		Properties map[string]field           `json:"properties"`
	} `json:"mappings"`
}

// find returns the store's index and its name; nil where there is none.
// ErrCorrupt for what is under the store's name and no store's.
func (b *Backend) find(ctx context.Context) (string, *there, error) {
	a, err := b.do(ctx, http.MethodGet, "/"+b.name, typeJSON, nil, nil)
	if err != nil {
		return "", nil, readFault(ctx, err)
	}
	if c := causeOf(a.body); a.status == http.StatusNotFound && c.Type == typeNoIndex {
		return "", nil, nil
	}
	if a.status != http.StatusOK {
		return "", nil, b.answered(a.status, causeOf(a.body), false)
	}
	var all map[string]*there
	if json.Unmarshal(a.body, &all) != nil {
		return "", nil, b.foreign()
	}
	for index, t := range all {
		if len(all) == 1 && t != nil {
			return index, t, b.checkMapping(index, t)
		}
	}
	return "", nil, b.foreign()
}

func (b *Backend) foreign() error {
	return model.NewError(model.ErrCorrupt, "what is there under the name "+b.name+" has another mapping than this version's, or other names: StoragePlan says what is needed", nil)
}

// checkMapping refuses an index that is no store's.
func (b *Backend) checkMapping(index string, t *there) error {
	var m meta
	if json.Unmarshal(t.Mappings.Meta[metaKey], &m) != nil || m.Format < 1 || b.epochOf(index) == "" || m.Epoch != b.epochOf(index) {
		return b.foreign()
	}
	if m.Format > formatVersion {
		return model.NewError(model.ErrCorrupt, "the index "+index+" has a newer format than this version can read", nil)
	}
	want := fields()
	if string(t.Mappings.Dynamic) != `"strict"` || len(t.Mappings.Properties) != len(want) {
		return b.foreign()
	}
	for name, f := range want {
		if !f.same(t.Mappings.Properties[name]) {
			return b.foreign()
		}
	}
	return nil
}

func (f field) same(have field) bool {
	is := func(p *bool) bool { return p == nil || *p }
	return f.Type == have.Type && f.Format == have.Format && f.IgnoreAbove == have.IgnoreAbove &&
		is(f.Index) == is(have.Index) && is(f.DocValues) == is(have.DocValues)
}

// CreateStorage makes the index with its two aliases, in one step. An index
// that is there is kept as it is; where it lacks the alias for conditional
// writes, it gets it. ErrCorrupt for an index with another mapping.
func (b *Backend) CreateStorage(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := b.enter(ctx); err != nil {
			return err
		}
		index, t, err := b.find(ctx)
		if err != nil {
			return err
		}
		if t != nil {
			if _, ok := t.Aliases[b.epochAlias(b.epochOf(index))]; ok {
				return nil
			}
			return b.change(ctx, http.MethodPut, "/"+index+"/_alias/"+b.epochAlias(b.epochOf(index)), nil)
		}
		epoch := newEpoch()
		err = b.change(ctx, http.MethodPut, "/"+b.indexName(epoch), b.definition(epoch))
		if err == nil || attempt > 0 || ctx.Err() != nil {
			return err
		}
		// Another process may have made it in the same moment: look once more.
	}
}

// DeleteStorage deletes the index with all its records. It does nothing where
// there is none, and refuses an index that is no store's.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	index, t, err := b.find(ctx)
	if err != nil || t == nil {
		return err
	}
	return b.change(ctx, http.MethodDelete, "/"+index, nil)
}

// change is a change to indices. Each is idempotent, so that the client may
// send it again: an index is named by its random epoch, or is there no more.
func (b *Backend) change(ctx context.Context, method, path string, body any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = marshal(body); err != nil {
			return err
		}
	}
	a, err := b.do(ctx, method, path, typeJSON, content, nil)
	if err != nil {
		if driverkit.IsDial(err) {
			return readFault(ctx, err)
		}
		return model.NewError(model.ErrUnknown, "", driverkit.WithContext(ctx, err))
	}
	c := causeOf(a.body)
	switch {
	case a.status == http.StatusOK, method == http.MethodDelete && c.Type == typeNoIndex:
		return nil
	case slices.Contains([]string{"invalid_alias_name_exception", "invalid_index_name_exception"}, c.Type):
		return model.NewError(model.ErrUnavailable, c.Type+": the name "+strconv.Quote(b.name)+" is taken by an index, or refused", c.native(a.status))
	}
	return b.answered(a.status, c, true)
}
