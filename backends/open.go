// Package backends opens a backend from a URL. A program imports the backends
// that it wants to be able to open, for their effect alone:
//
//	import (
//		"github.com/sojourn-go/sojourn/backends"
//		_ "github.com/sojourn-go/sojourn/backends/file"
//		_ "github.com/sojourn-go/sojourn/backends/redis"
//	)
//
//	b, err := backends.Open(ctx, "redis://localhost:6379/0?name=carts")
//
// A program that knows its backend imports that package alone and calls its
// New: this registry is a convenience, never the only way.
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

// DefaultName is the store's name where a URL gives none.
const DefaultName = "sojourn"

// Opener makes a backend of a URL. What it makes besides, such as a client,
// is closed with the backend. Its errors do not quote the URL, which may hold
// a password.
type Opener func(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error)

var registry = struct {
	mu      sync.Mutex
	openers map[string]Opener
	twice   map[string]bool
}{openers: map[string]Opener{}, twice: map[string]bool{}}

// Register makes Open use the opener for URLs of the scheme. Backends call it
// when they are imported. A scheme that is registered twice can no longer be
// opened.
func Register(scheme string, open Opener) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if _, taken := registry.openers[scheme]; taken {
		registry.twice[scheme] = true
	}
	registry.openers[scheme] = open
}

// Schemes lists what Open can open, sorted.
func Schemes() []string {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return slices.Sorted(maps.Keys(registry.openers))
}

// Open makes the backend that the URL names: its scheme says which, the rest
// is the backend's own, see its package. A URL that is none, of a scheme that
// no import registered, or that the backend refuses is ErrInvalid.
func Open(ctx context.Context, rawURL string) (driver.ModelExpirySupport, error) {
	fail := func(detail string) error {
		return &model.Error{Op: "Open", Err: model.NewError(model.ErrInvalid, detail, nil)}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error quotes the URL.
		return nil, fail("the URL cannot be parsed")
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

// Only returns ErrInvalid for a URL with query parameters other than those
// named: a misspelt one must not be ignored in silence.
func Only(u *url.URL, names ...string) error {
	for key := range u.Query() {
		if !slices.Contains(names, key) {
			return model.NewError(model.ErrInvalid, fmt.Sprintf("unknown parameter %q; known are: %s", key, strings.Join(names, ", ")), nil)
		}
	}
	return nil
}

// Name is the URL's parameter "name", or DefaultName.
func Name(u *url.URL) string {
	if n := u.Query().Get("name"); n != "" {
		return n
	}
	return DefaultName
}
