package redis

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may bear, at most 50.
	// Nil means "principal". Empty means no labels.
	Labels []string
	// Buckets is the number of parts that the store is divided into, 1 to 1024. Zero
	// means 16. CreateStorage stores it, and nodes with another number refuse to work
	// on the store. A cluster of more than 16 masters uses all of them only with more
	// buckets. A bucket for each 100 records saves memory, as the package says.
	Buckets int
	// GraceTTL is how long after its expiry the server itself removes a record.
	// Clocks that differ by less cannot remove a record early. Zero means one
	// hour. A negative value means that only DeleteExpired removes records.
	GraceTTL time.Duration
	// MaxValue is the largest value in bytes. A larger one is ErrTooLarge. Zero
	// means 512 MB less 128 KB, which the server's default proto-max-bulk-len
	// allows and which is also the maximum. Lower it if the server's limit is
	// lower.
	MaxValue int
	// TrustClient makes New accept a client of a kind that it does not know, such
	// as a wrapper of your own. You vouch for it: each call waits for its answer,
	// writes are sent once, and reads come from the master and from no cache. One
	// of a cluster's client needs its method ForEachMaster for a rebuild by SCAN.
	// Kinds that are known to be wrong are refused all the same.
	TrustClient bool
	// AllowEviction makes CreateStorage warn, and not refuse, if the server may
	// evict keys (a maxmemory-policy other than noeviction). Records may then
	// vanish before they expire. With an allkeys policy, indexes may vanish too:
	// listings, counts and sweeps return ErrUnavailable from then on, until
	// CreateStorage rebuilds the indexes.
	AllowEviction bool
	// SeparateCalls gives each call a round trip of its own. By default calls of
	// many goroutines share pipelines, whose context belongs to no caller. Set it if
	// hooks of the client need the context of each call.
	SeparateCalls bool
	// Logger gets the warnings of CreateStorage. Nil means slog.Default.
	Logger *slog.Logger
}

const (
	defaultGraceTTL = time.Hour
	maxName         = 128
	maxValue        = 512<<20 - maxHead
)

func (o *Options) withDefaults() (out Options, err error) {
	if o != nil {
		out = *o
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, 0); err != nil {
		return out, err
	}
	switch {
	case out.Buckets == 0:
		out.Buckets = defaultBuckets
	case out.Buckets < 0 || out.Buckets > maxBuckets:
		return out, model.NewError(model.ErrInvalid, "Options.Buckets is not 1 to "+strconv.Itoa(maxBuckets), nil)
	}
	switch {
	case out.GraceTTL == 0:
		out.GraceTTL = defaultGraceTTL
	case out.GraceTTL > 0 && out.GraceTTL < time.Millisecond:
		out.GraceTTL = time.Millisecond
	}
	if out.MaxValue, err = driverkit.MaxValue(out.MaxValue, maxValue, maxValue); err != nil {
		return out, err
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, nil
}

// checkName returns ErrInvalid for a name that cannot begin a key. The braces of
// the hash tag end the name, so that two stores have no key in common.
func checkName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "{}\x00") {
		return model.NewError(model.ErrInvalid, "the store's name is not 1 to 128 bytes of UTF-8 without braces and NUL", nil)
	}
	return nil
}

// checkClient returns ErrInvalid for a client that is not known to be right: its
// reads may miss an acknowledged write, or a call may not wait for its answer.
// With trust, the caller vouches for a client of an unknown kind.
func checkClient(client goredis.UniversalClient, trust bool) error {
	refuse := func(why string) error { return model.NewError(model.ErrInvalid, why, nil) }
	switch c := client.(type) {
	case nil:
		return refuse("the client is nil")
	case *goredis.Client: // of one server, or of the master that sentinels name
		if c == nil {
			return refuse("the client is nil")
		}
		if o := c.Options(); o.ClientSideCacheConfig != nil || o.ClientSideCache != nil {
			return refuse("the client caches reads, which may then miss an acknowledged write")
		}
	case *goredis.ClusterClient:
		if c == nil {
			return refuse("the client is nil")
		}
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return refuse("the client reads from replicas, which may miss an acknowledged write")
		}
	case *goredis.Ring:
		return refuse("a Ring moves keys to another server when one fails; use Redis Cluster")
	case *goredis.AutoPipeliner:
		return refuse("an AutoPipeliner may return before the answer and hides the client under it; pass the client that made it")
	default:
		if !trust {
			return refuse(fmt.Sprintf("the client is a %T, which is not known to wait for answers and to read from the master; "+
				"pass a *redis.Client or a *redis.ClusterClient, or vouch for it with Options.TrustClient", client))
		}
	}
	return nil
}

// Client returns the client that the backend uses: the one that New was given,
// or the one that the backend opened from a URL. Close closes the latter.
func (b *Backend) Client() goredis.UniversalClient { return b.client }
