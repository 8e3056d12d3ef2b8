package dynamodb

import (
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

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
}

const (
	defaultGraceTTL = time.Hour
	maxLabels       = 32
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
	return out, nil
}

// checkTable returns ErrInvalid if DynamoDB does not allow the table's name.
func checkTable(name string) error {
	ok := len(name) >= 3 && len(name) <= 255
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "a table's name has 3 to 255 of a-z A-Z 0-9 _ - .", nil)
	}
	return nil
}

// Client returns the client that the backend uses: the one that New was given,
// or the one that the backend opened from a URL. Close closes the connections
// of the latter.
func (b *Backend) Client() *awsdynamodb.Client { return b.client }
