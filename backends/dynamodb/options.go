package dynamodb

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of a field means its default.
type Options struct {
	// Labels declares the names of the labels that records may have. Nil means
	// "principal". An empty slice means no labels. The maximum is 32: a
	// transaction has at most 100 items, and changing a label takes two.
	Labels []string
	// GraceTTL is the time after its expiry at which DynamoDB may delete a
	// record. A program whose clock is behind by less than GraceTTL loses no
	// live records to it. Zero means one hour. With a negative value the table
	// has no TTL, and only DeleteExpired removes records.
	GraceTTL time.Duration
	// Queryable stores a native copy of each JSON value in the attribute
	// "json", for your own queries and exports. The backend never reads the
	// copy. It leaves the copy out if DynamoDB cannot represent the value: see
	// the package comment.
	Queryable bool
	// Partitions is the number of partitions of the index by expiry, at most
	// 256. Each takes about 1,000 new, moved or removed expiries a second, and
	// one request of every sweep. Zero means 16. The number is fixed when
	// CreateStorage creates the table: all nodes give the same.
	Partitions int

	// The following fields are for CreateStorage and StoragePlan.

	// DeletionProtection protects the table from deletion, also by
	// DeleteStorage. It is switched on in a table that exists, and never off.
	DeletionProtection bool
	// PointInTimeRecovery keeps continuous backups of the table. It is switched
	// on in a table that exists, and never off.
	PointInTimeRecovery bool
	// KMSKey is the key that encrypts a new table: its id, ARN or alias, such as
	// alias/aws/dynamodb. Empty means the key that AWS owns. CreateStorage
	// refuses a table that exists with another key. Only KMS knows the key of an
	// alias, so CreateStorage accepts the key of any alias of the same account
	// and region, and Check returns it as unknown. An id or ARN is compared.
	KMSKey string
	// Tags are the tags of a new table, each as key=value.
	Tags []string
	// AllowReplicas accepts a table with replicas in other regions, of either
	// version of global tables. Writes reach
	// the other replicas late, and the last writer wins. It is safe if
	// all programs use one region, and the replicas are only for its loss.
	AllowReplicas bool
}

const (
	defaultGraceTTL   = time.Hour
	maxLabels         = 32
	defaultPartitions = 16
	maxPartitions     = 256
	maxTags           = 50  // docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
	maxTagKey         = 128 // characters
	maxTagValue       = 256 // characters
)

func (o *Options) withDefaults() (out Options, err error) {
	if o != nil {
		out = *o
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, maxLabels); err != nil {
		return out, err
	}
	switch {
	case out.GraceTTL == 0:
		out.GraceTTL = defaultGraceTTL
	case out.GraceTTL > 0 && out.GraceTTL < time.Second:
		out.GraceTTL = time.Second // the TTL attribute counts seconds
	}
	switch {
	case out.Partitions == 0:
		out.Partitions = defaultPartitions
	case out.Partitions < 0 || out.Partitions > maxPartitions:
		return out, model.NewError(model.ErrInvalid, "Options.Partitions is "+strconv.Itoa(out.Partitions)+", not from 1 to "+strconv.Itoa(maxPartitions), nil)
	}
	out.Tags = slices.Clone(out.Tags)
	return out, checkTags(out.Tags)
}

// checkTags returns ErrInvalid for tags that AWS does not allow.
func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return model.NewError(model.ErrInvalid, "Options.Tags has more than "+strconv.Itoa(maxTags)+" tags", nil)
	}
	keys := map[string]bool{}
	for _, tag := range tags {
		key, value, ok := strings.Cut(tag, "=")
		if keys[key] {
			return model.NewError(model.ErrInvalid, "Options.Tags has the key "+strconv.Quote(key)+" twice", nil)
		}
		keys[key] = true
		if !ok || key == "" || len([]rune(key)) > maxTagKey || len([]rune(value)) > maxTagValue || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return model.NewError(model.ErrInvalid, "a tag of Options.Tags has the form key=value, with a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256", nil)
		}
	}
	return nil
}

// checkTable returns ErrInvalid if DynamoDB does not allow the table's name.
func checkTable(table string) error {
	name := tableName(table)
	ok := len(name) >= 3 && len(name) <= 255
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "a table's name has 3 to 255 of a-z A-Z 0-9 _ - ., and an ARN the form arn:aws:dynamodb:REGION:ACCOUNT:table/NAME", nil)
	}
	return nil
}

// tableName returns the name in the ARN of a table, and any other text as it is.
func tableName(table string) string {
	if _, name, ok := cutARN(table); ok {
		return name
	}
	return table
}

// cutARN returns the region and the name in the ARN of a table.
func cutARN(arn string) (region, name string, ok bool) {
	const fields = 6
	parts := strings.SplitN(arn, ":", fields)
	if len(parts) != fields || parts[0] != "arn" || parts[1] == "" || parts[2] != "dynamodb" || parts[3] == "" || parts[4] == "" {
		return "", "", false
	}
	name, ok = strings.CutPrefix(parts[5], "table/")
	return parts[3], name, ok
}
