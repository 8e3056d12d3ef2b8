package dynamodb

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may bear, at most 32: a
	// transaction has at most 100 items, and changing all labels of a record
	// takes two for each. Nil: "principal". Empty: none.
	Labels []string
	// GraceTTL is how much later than its expiry DynamoDB may reap a record by
	// itself. Clocks that differ by less than it cannot make a record vanish
	// early. Zero: one hour. Negative: DynamoDB reaps nothing, only
	// DeleteExpired removes records.
	GraceTTL time.Duration
	// Queryable keeps a native copy of each JSON value beside it, in the
	// attribute "json", for people's own queries and exports. It is never read
	// back, and left out where DynamoDB cannot hold it: see the package
	// comment. Default: no copy.
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
		out.GraceTTL = time.Second // the attribute counts seconds
	}
	return out, nil
}

// checkTable accepts what DynamoDB accepts as a table's name.
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
