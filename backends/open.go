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
	u, err := Parse(rawURL)
	if err != nil {
		return nil, &model.Error{Op: "Open", Err: err}
	}
	if u.Scheme == "" {
		return nil, fail("the URL has no scheme; known are " + known())
	}
	registry.mu.Lock()
	open, twice := registry.openers[u.Scheme], registry.twice[u.Scheme]
	registry.mu.Unlock()
	switch {
	case open == nil:
		return nil, fail(fmt.Sprintf("no backend is registered for the scheme %q; known are %s", u.Scheme, known()))
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
		return "none: import a backend, such as backends/file"
	}
	return strings.Join(s, ", ")
}
