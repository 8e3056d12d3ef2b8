// Package backends opens a backend by its URL. A program imports the backends
// that it may open, for their registration:
//
//	import (
//		"github.com/sojourn-go/sojourn/backends"
//		_ "github.com/sojourn-go/sojourn/backends/file"
//		_ "github.com/sojourn-go/sojourn/backends/redis"
//	)
//
//	b, err := backends.Open(ctx, "redis://localhost:6379/0?name=carts")
//
// A program that always uses one backend does not need this package: it calls
// that backend's New.
//
// The parameters of a URL set the fields of the backend's Options, such as
// labels=principal,sid and grace_ttl=90m, and what the backend needs besides,
// such as a region. docs/urls.md lists them for each backend. A parameter that
// is unknown or given twice is an error. [Params] is what backends read them
// with.
//
// In a user's name, password or parameter the signs / ? # @ & % are written %2F
// %3F %23 %40 %26 %25. Package config reads URLs, and passwords apart from
// them, from the environment and from files. [Redact] returns a URL for
// logs.
//
// The client of an opened backend is the result of its method Client:
//
//	var b *redis.Backend
//	if store.As(&b) {
//		err := b.Client().Ping(ctx).Err()
//	}
//
// It stays the backend's own: Close of the backend closes it.
package backends

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DefaultName is the store's name if the URL gives none.
const DefaultName = "sojourn"

// Opener opens a backend by its URL. Closing the backend also closes what the
// Opener opened, such as a client. Its errors do not quote the URL, which may
// have a password.
type Opener func(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error)

var registry = struct {
	mu      sync.Mutex
	openers map[string]Opener
	params  map[string][]Param
	twice   map[string]bool
}{openers: map[string]Opener{}, params: map[string][]Param{}, twice: map[string]bool{}}

// Register makes Open use the opener for URLs of the scheme. Backends call it
// when they are imported. A scheme that is registered twice can no longer be
// opened. The parameters document the URLs and let Redact print them: see
// Params.List.
func Register(scheme string, open Opener, params ...Param) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if _, taken := registry.openers[scheme]; taken {
		registry.twice[scheme] = true
	}
	registry.openers[scheme] = open
	registry.params[scheme] = params
}

// ParamsOf returns the query parameters of a scheme's URLs.
func ParamsOf(scheme string) []Param {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return slices.Clone(registry.params[scheme])
}

// Schemes returns the registered schemes, sorted.
func Schemes() []string {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return slices.Sorted(maps.Keys(registry.openers))
}

// Open opens the backend that the URL's scheme names. The backend's package
// documents the rest of the URL. Open returns ErrInvalid for a malformed URL, a
// scheme that no imported package registered, or a URL that the backend refuses.
func Open(ctx context.Context, rawURL string) (driver.ModelExpirySupport, error) {
	fail := func(detail string) error {
		return &model.Error{Op: "Open", Err: model.NewError(model.ErrInvalid, detail, nil)}
	}
	if scheme := schemeOfAddress(rawURL); scheme != "" {
		return nil, fail("it is an address and not a URL; did you mean " + scheme + "://…?")
	}
	u, err := Parse(rawURL)
	if err != nil {
		return nil, &model.Error{Op: "Open", Err: err}
	}
	if u.Scheme == "" {
		return nil, fail("the URL has no scheme, such as redis: in redis://…; known are " + known())
	}
	registry.mu.Lock()
	open, twice := registry.openers[u.Scheme], registry.twice[u.Scheme]
	registry.mu.Unlock()
	switch {
	case open == nil:
		return nil, fail(notRegistered(u.Scheme))
	case twice:
		return nil, fail(fmt.Sprintf("two backends are registered for the scheme %q", u.Scheme))
	}
	b, err := open(ctx, u)
	if err != nil {
		return nil, &model.Error{Op: "Open", Backend: u.Scheme, Err: err}
	}
	return b, nil
}

func known() string {
	s := Schemes()
	if len(s) == 0 {
		return "none: import a backend, such as " + module + "file"
	}
	return strings.Join(s, ", ")
}

// module is the path of the backends' packages.
const module = "github.com/sojourn-go/sojourn/backends/"

// packages are the names of the packages that register a scheme, for the message
// to a program that has not imported one.
var packages = map[string]string{
	"dynamodb": "dynamodb", "elasticsearch": "elasticsearch", "elasticsearch+https": "elasticsearch", "file": "file", "memory": "memory",
	"bbolt": "bbolt", "mongodb": "mongo", "mongodb+srv": "mongo", "postgres": "postgres", "postgresql": "postgres", "redis": "redis", "redis+cluster": "redis", "redis+sentinel": "redis", "redis+unix": "redis",
	"rediss": "redis", "rediss+cluster": "redis", "rediss+sentinel": "redis", "s3": "s3", "sqlite": "sqlite",
}

// notRegistered says what to do about a scheme that no imported package has
// registered.
func notRegistered(scheme string) string {
	if pkg, ok := packages[scheme]; ok {
		return fmt.Sprintf("the scheme %q needs its package: import _ %q; known are %s", scheme, module+pkg, known())
	}
	all := slices.Concat(Schemes(), slices.Sorted(maps.Keys(packages)))
	return fmt.Sprintf("no backend is registered for the scheme %q%s; known are %s", scheme, didYouMean(scheme, all), known())
}

// ports are the usual ports of servers, with the scheme of their URLs.
var ports = map[string]string{"6379": "redis", "26379": "redis+sentinel", "27017": "mongodb", "5432": "postgres", "9200": "elasticsearch"}

// schemeOfAddress returns the scheme that is missing before host:port, or an
// empty string for another text.
func schemeOfAddress(text string) string {
	address, _, _ := strings.Cut(text, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(address, "@?#") {
		return ""
	}
	return ports[port]
}

// didYouMean returns a question with the name that is spelt most alike, or
// nothing.
func didYouMean(name string, names []string) string {
	best, least := "", 3 // more changes make another name
	for _, other := range names {
		if n := edits(name, other); n < least && n < len(other) {
			best, least = other, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// edits returns how many bytes are to be added, removed or replaced to make b of
// a. Two neighbours that changed places count as one.
func edits(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
