package elasticsearch

import (
	"strconv"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may bear, at most 32. Nil:
	// "principal". Empty: none. The index need not be changed for a new one.
	Labels []string
	// MaxValue is the largest value in bytes, at most 32 MiB: the server parses
	// no longer strings, and takes no request of more than 100 MB. All nodes of
	// a store should agree on it. Zero: 4 MiB.
	MaxValue int
	// Shards is the number of primary shards of an index that CreateStorage
	// makes. Zero: the server's default, which is one. Leave it so where the
	// service allows no such setting, as Elastic's serverless projects.
	Shards int
	// Replicas is the number of copies of each shard beside its primary, of an
	// index that CreateStorage makes. Zero: the server's default, which is one.
	// Negative: none.
	Replicas int
	// Queryable keeps a native copy of each JSON object beside it, in the field
	// "json", for people's own queries. It is never read back, and left out
	// where Elasticsearch cannot hold it: see the package comment. Default: no
	// copy.
	Queryable bool
}

const (
	defaultMaxValue = 4 << 20
	mostMaxValue    = 32 << 20
	maxLabels       = 32
	maxShards       = 1024
)

func (o *Options) withDefaults() (out Options, err error) {
	if o != nil {
		out = *o
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, maxLabels); err != nil {
		return out, err
	}
	switch {
	case out.MaxValue == 0:
		out.MaxValue = defaultMaxValue
	case out.MaxValue < 0 || out.MaxValue > mostMaxValue:
		return out, model.NewError(model.ErrInvalid, "Options.MaxValue has 1 to "+strconv.Itoa(mostMaxValue)+" bytes", nil)
	}
	if out.Shards < 0 || out.Shards > maxShards {
		return out, model.NewError(model.ErrInvalid, "Options.Shards is 0 to "+strconv.Itoa(maxShards), nil)
	}
	return out, nil
}

// maxName leaves room for what follows a store's name in the names that
// Elasticsearch has for it.
const maxName = 200

// checkName accepts what Elasticsearch accepts as a name of an index, without
// the characters that this package puts after it.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && alphanumeric(name[0])
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = alphanumeric(c) || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "an index's name has 1 to "+strconv.Itoa(maxName)+" of a-z 0-9 - _ . and starts with a letter or digit", nil)
	}
	return nil
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
