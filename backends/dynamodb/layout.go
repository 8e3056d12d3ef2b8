package dynamodb

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/model"
)

// The attributes of an item.
const (
	attrPK       = "pk"
	attrSK       = "sk"
	attrFormat   = "format"
	attrRevision = "revision"
	attrExpires  = "expires"
	attrTTL      = "ttl"
	attrDue      = "due"
	attrLabels   = "labels"
	attrEncoding = "encoding"
	attrValue    = "value"
	attrJSON     = "json"

	formatVersion = 1
	indexName     = "due"

	attrPartitions = "partitions" // of the item of settings
)

// The prefixes of partition keys, and the sort key of records.
const (
	recordPrefix = "r#"
	labelPrefix  = "l#"
	otherPrefix  = "m#" // settings, and the items of checks
	trialPrefix  = otherPrefix + "check#"
	recordSort   = "r"
)

// settingsKey returns the key of the item that says what is fixed at
// CreateStorage, if it is not the default.
func settingsKey() attributes { return itemKey(otherPrefix+"settings", "settings") }

func itemKey(pk, sk string) attributes { return attributes{attrPK: str(pk), attrSK: str(sk)} }

func recordKey(id string) attributes { return itemKey(recordPrefix+id, recordSort) }

// labelPK returns the partition key of a label value. A label name contains no
// #, so different labels have different keys.
func labelPK(name, value string) string { return labelPrefix + name + "#" + value }

func labelKey(name, value, id string) attributes { return itemKey(labelPK(name, value), id) }

// idOf returns the id of an item that has the key of a record.
func idOf(it attributes) (string, bool) {
	pk, ok1 := stringOf(it[attrPK])
	sk, ok2 := stringOf(it[attrSK])
	id, ok3 := strings.CutPrefix(pk, recordPrefix)
	return id, ok1 && ok2 && ok3 && id != "" && sk == recordSort
}

// isTrial reports whether an item has the key of a trial of the server.
func isTrial(it attributes) bool {
	pk, _ := stringOf(it[attrPK])
	return strings.HasPrefix(pk, trialPrefix)
}

// shardOf returns the id's shard of the index by expiry. The shards spread the
// index over partitions.
func (b *Backend) shardOf(id string) string {
	return shardName(int(crc32.ChecksumIEEE([]byte(id)) % uint32(b.shards)))
}

func shardName(n int) string { return strconv.Itoa(n) }

// tokenNow is the value of the time as of which a write decides.
const tokenNow = ":now"

// The parts of conditions. Every name has a #, because DynamoDB reserves many
// plain words.
const (
	condShape = "#format = :format AND attribute_type(#revision, :B) AND size(#revision) = :sixteen AND attribute_type(#labels, :M)" +
		" AND attribute_type(#encoding, :S) AND (attribute_type(#value, :S) OR attribute_type(#value, :B))"
	condLive    = "(attribute_not_exists(#expires) OR #expires > :now)"
	condExpired = "#expires <= :now"
	condAbsent  = "attribute_not_exists(#pk)"
)

// textLabels returns the condition that the declared labels are texts, with the names
// that it uses. It is for changes that keep the labels: others compare them. The
// condition is empty without declared labels.
func textLabels(labels []string) (cond string, names map[string]string) {
	names = make(map[string]string, len(labels))
	for i, label := range labels {
		token := "#label" + strings.Repeat(string(rune('A'+i%26)), i/26+1)
		names[token] = label
		if cond != "" {
			cond += " AND "
		}
		cond += "(attribute_not_exists(#labels." + token + ") OR attribute_type(#labels." + token + ", :S))"
	}
	return cond, names
}

// nameLabels gives the tokens of textLabels among the names their labels.
func (b *Backend) nameLabels(names map[string]string) {
	for token := range names {
		if label, ok := b.labelNames[token]; ok {
			names[token] = label
		}
	}
}

// fill returns the names and values that the expressions use. DynamoDB refuses
// unused ones.
func fill(values attributes, expressions ...string) (map[string]string, attributes) {
	names, used := map[string]string{}, attributes{}
	for _, e := range expressions {
		for i := 0; i < len(e); i++ {
			if e[i] != '#' && e[i] != ':' {
				continue
			}
			end := i + 1
			for end < len(e) && (e[end] >= 'a' && e[end] <= 'z' || e[end] >= 'A' && e[end] <= 'Z') {
				end++
			}
			switch token := e[i:end]; {
			case token[0] == '#':
				names[token] = token[1:]
			case values[token] != nil:
				used[token] = values[token]
			default:
				used[token] = constant(token)
			}
			i = end - 1
		}
	}
	if len(used) == 0 {
		used = nil
	}
	if len(names) == 0 {
		names = nil
	}
	return names, used
}

// constant returns a value that is the same in all expressions.
func constant(token string) types.AttributeValue {
	switch token {
	case ":format":
		return number(formatVersion)
	case ":sixteen":
		return number(int64(len(model.Revision{})))
	case ":records":
		return str(recordPrefix)
	}
	return str(token[1:]) // the names of types
}

// definition returns the definition of the store's table.
func (b *Backend) definition() *awsdynamodb.CreateTableInput {
	def := func(name string, t types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: t}
	}
	index := indexDefinition()
	in := &awsdynamodb.CreateTableInput{
		TableName:   &b.table,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			def(attrPK, types.ScalarAttributeTypeS), def(attrSK, types.ScalarAttributeTypeS),
			def(attrDue, types.ScalarAttributeTypeS), def(attrExpires, types.ScalarAttributeTypeN),
		},
		KeySchema: keySchema(attrPK, attrSK),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: index.IndexName, KeySchema: index.KeySchema, Projection: index.Projection,
		}},
	}
	if b.opts.DeletionProtection {
		in.DeletionProtectionEnabled = aws.Bool(true)
	}
	if b.opts.KMSKey != "" {
		in.SSESpecification = &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: &b.opts.KMSKey}
	}
	for _, tag := range b.opts.Tags {
		key, value, _ := strings.Cut(tag, "=")
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return in
}

func keySchema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
	}
}

// indexDefinition returns the definition of the index by expiry. The index
// contains the labels, so that a sweep can remove a record and its label items
// without a read.
func indexDefinition() types.CreateGlobalSecondaryIndexAction {
	return types.CreateGlobalSecondaryIndexAction{
		IndexName: aws.String(indexName), KeySchema: keySchema(attrDue, attrExpires),
		Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{attrLabels}},
	}
}

// StoragePlan returns the AWS CLI commands that create what CreateStorage
// creates, for programs that may not create tables. It does no I/O.
func (b *Backend) StoragePlan() string {
	d := b.definition()
	type key struct{ AttributeName, KeyType string }
	keys := func(schema []types.KeySchemaElement) (out []key) {
		for _, k := range schema {
			out = append(out, key{*k.AttributeName, string(k.KeyType)})
		}
		return out
	}
	index := d.GlobalSecondaryIndexes[0]
	indexJSON, _ := json.Marshal([]any{map[string]any{ //nolint:errchkjson // only strings
		"IndexName": *index.IndexName, "KeySchema": keys(index.KeySchema),
		"Projection": map[string]any{"ProjectionType": index.Projection.ProjectionType, "NonKeyAttributes": index.Projection.NonKeyAttributes},
	}})
	var s strings.Builder
	fmt.Fprintf(&s, "aws dynamodb create-table --table-name %s --billing-mode %s \\\n", b.table, d.BillingMode)
	s.WriteString("  --attribute-definitions")
	for _, a := range d.AttributeDefinitions {
		fmt.Fprintf(&s, " AttributeName=%s,AttributeType=%s", *a.AttributeName, a.AttributeType)
	}
	s.WriteString(" \\\n  --key-schema")
	for _, k := range keys(d.KeySchema) {
		fmt.Fprintf(&s, " AttributeName=%s,KeyType=%s", k.AttributeName, k.KeyType)
	}
	fmt.Fprintf(&s, " \\\n  --global-secondary-indexes '%s'", indexJSON)
	if b.opts.DeletionProtection {
		s.WriteString(" \\\n  --deletion-protection-enabled")
	}
	if b.opts.KMSKey != "" {
		fmt.Fprintf(&s, " \\\n  --sse-specification %s", quoted("Enabled=true,SSEType=KMS,KMSMasterKeyId="+b.opts.KMSKey))
	}
	if len(d.Tags) > 0 {
		s.WriteString(" \\\n  --tags")
		for _, tag := range d.Tags {
			s.WriteString(" " + quoted("Key="+*tag.Key+",Value="+*tag.Value))
		}
	}
	fmt.Fprintf(&s, "\naws dynamodb wait table-exists --table-name %s\n", b.table)
	if b.grace >= 0 {
		fmt.Fprintf(&s, "aws dynamodb update-time-to-live --table-name %s \\\n  --time-to-live-specification Enabled=true,AttributeName=%s\n", b.table, attrTTL)
	}
	if b.opts.PointInTimeRecovery {
		fmt.Fprintf(&s, "aws dynamodb update-continuous-backups --table-name %s \\\n  --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true\n", b.table)
	}
	if b.shards != defaultPartitions {
		fmt.Fprintf(&s, "aws dynamodb put-item --table-name %s --item '%s'\n", b.table, b.settingsJSON())
	}
	return s.String()
}

// settingsJSON returns the item of settings as the AWS CLI reads it.
func (b *Backend) settingsJSON() string {
	key := settingsKey()
	pk, _ := stringOf(key[attrPK])
	sk, _ := stringOf(key[attrSK])
	return fmt.Sprintf(`{%q:{"S":%q},%q:{"S":%q},%q:{"N":"%d"}}`, attrPK, pk, attrSK, sk, attrPartitions, b.shards)
}

// quoted returns a word of a shell command.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// checkSchema returns ErrCorrupt if the table or its index has other keys than
// a store's.
func (b *Backend) checkSchema(t *types.TableDescription) error {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range t.AttributeDefinitions {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	ok := sameKeys(t.KeySchema, keySchema(attrPK, attrSK)) &&
		kinds[attrPK] == types.ScalarAttributeTypeS && kinds[attrSK] == types.ScalarAttributeTypeS
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == indexName {
			ok = ok && sameKeys(index.KeySchema, keySchema(attrDue, attrExpires)) &&
				kinds[attrDue] == types.ScalarAttributeTypeS && kinds[attrExpires] == types.ScalarAttributeTypeN
		}
	}
	if !ok {
		return model.NewError(model.ErrCorrupt, "the table "+b.table+" has other keys than this version uses: StoragePlan prints the commands for a table that fits", nil)
	}
	return nil
}

func sameKeys(have, want []types.KeySchemaElement) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range want {
		if aws.ToString(have[i].AttributeName) != *want[i].AttributeName || have[i].KeyType != want[i].KeyType {
			return false
		}
	}
	return true
}

func hasIndex(t *types.TableDescription) bool {
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == indexName {
			return true
		}
	}
	return false
}

func active(t *types.TableDescription) bool {
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == indexName && index.IndexStatus != types.IndexStatusActive {
			return false
		}
	}
	return t.TableStatus == types.TableStatusActive
}
