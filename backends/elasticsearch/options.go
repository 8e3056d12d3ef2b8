package elasticsearch

import (
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels declares the names of the labels that records may bear, at most
	// 32. Nil means "principal". An empty slice means no labels. A new name
	// needs no change to the index.
	Labels []string
	// MaxValue is the largest value in bytes, at most 32 MiB, because the
	// server limits the length of a string. Zero means 4 MiB. All nodes of a
	// store should use the same limit.
	MaxValue int
	// Shards is the number of primary shards of an index that CreateStorage
	// creates, at most 1024. Zero means the server's default, which is one.
	// Leave it zero if the service does not allow this setting, as Elastic's
	// serverless projects.
	Shards int
	// Replicas is the number of copies of each primary shard, for an index
	// that CreateStorage creates. Zero means the server's default, which is
	// one. A negative number means no copies.
	Replicas int
	// RequestTimeout is how long one request to the server may take, with what
	// the client does to send it again. Zero means one minute, and a negative
	// time no limit. A read that takes longer is ErrUnavailable, a write that
	// was sent ErrUnknown. A context may end a call earlier.
	RequestTimeout time.Duration
	// Queryable stores a native copy of each JSON object in the field "json",
	// for people's own queries. The backend never reads the copy. It leaves the
	// copy out if Elasticsearch cannot hold it: see the package comment.
	Queryable bool
}

const (
	defaultMaxValue = 4 << 20
	limitMaxValue   = 32 << 20
	maxLabels       = 32
	maxShards       = 1024

	defaultRequestTimeout = time.Minute // the server itself waits up to 30 s for its master
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
	case out.MaxValue < 0 || out.MaxValue > limitMaxValue:
		return out, model.NewError(model.ErrInvalid, "Options.MaxValue must be 0 to "+strconv.Itoa(limitMaxValue)+" bytes", nil)
	}
	if out.RequestTimeout == 0 {
		out.RequestTimeout = defaultRequestTimeout
	}
	if out.Shards < 0 || out.Shards > maxShards {
		return out, model.NewError(model.ErrInvalid, "Options.Shards must be 0 to "+strconv.Itoa(maxShards), nil)
	}
	return out, nil
}

// maxName leaves room for what follows the store's name in the names of its
// index and alias.
const maxName = 200

// checkName accepts the names that Elasticsearch accepts for an index, without
// the characters that this package appends.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && alphanumeric(name[0])
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = alphanumeric(c) || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "the index name must have 1 to "+strconv.Itoa(maxName)+" characters of a-z 0-9 - _ . and start with a letter or digit", nil)
	}
	return nil
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Client returns the client that the backend uses: the one that New was given,
// or the one that the backend opened from a URL. Close closes the connections
// of the latter. Package esapi of go-elasticsearch sends its requests with it too.
func (b *Backend) Client() Client { return b.client }
