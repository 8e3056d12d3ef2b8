package elasticsearch

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

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
	fieldSize     = "size"
	fieldValue    = "value"
	fieldBytes    = "bytes"
	fieldLongText = "long_value"
	fieldLongData = "long_bytes"
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

// checkEpoch returns ErrUnavailable if documents with this epoch cannot be
// written at a version: the index is not a store's, or the server does not have
// the alias of the epoch, which is lost.
func (b *Backend) checkEpoch(epoch, lost string) error {
	switch epoch {
	case "":
		return model.NewError(model.ErrUnavailable, "the alias "+b.name+" leads to an index that CreateStorage did not create: give the store an index as StoragePlan shows it", nil)
	case lost:
		return model.NewError(model.ErrUnavailable, "the index lacks the alias "+b.epochAlias(epoch)+": call CreateStorage", nil)
	}
	return nil
}

// field is the mapping of one field.
type field struct {
	Type        string `json:"type"`
	Format      string `json:"format,omitempty"`
	Index       *bool  `json:"index,omitempty"`
	DocValues   *bool  `json:"doc_values,omitempty"`
	IgnoreAbove int    `json:"ignore_above,omitempty"`

	// What an index template may add. A store needs the defaults.
	Normalizer      string          `json:"normalizer,omitempty"`
	NullValue       json.RawMessage `json:"null_value,omitempty"`
	IgnoreMalformed json.RawMessage `json:"ignore_malformed,omitempty"`
	DepthLimit      int             `json:"depth_limit,omitempty"`
}

// addedFields are those that indices lack from before them. CreateStorage adds
// them.
var addedFields = []string{fieldSize, fieldLongText, fieldLongData}

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
		fieldSize:     {Type: "integer", Index: no},
		fieldValue:    {Type: "keyword", Index: no, DocValues: no},
		fieldBytes:    {Type: "binary"},
		fieldLongText: {Type: "keyword", Index: no, DocValues: no},
		fieldLongData: {Type: "binary"},
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
