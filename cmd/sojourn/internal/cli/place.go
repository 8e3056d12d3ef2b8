package cli

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/bbolt"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/dynamodb"      // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/elasticsearch" // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/file"          // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/memory"        // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/mongo"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/postgres"      // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/redis"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/s3"            // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/sqlite"        // registers its URLs
	"github.com/sojourn-go/sojourn/cmd/sojourn/internal/foreign"
	"github.com/sojourn-go/sojourn/config"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// place is a store as the user named it.
type place struct {
	cfg  *config.Config
	name string // for messages, without secrets
	// foreign is a store of another library, which migrate alone reads.
	foreign bool
}

// find reads the place that a text names: a URL without secrets, or env:PREFIX.
// An empty text means the environment with the prefix.
func (a *app) find(text, prefix string) (*place, error) {
	p, err := a.source(text, prefix)
	if err == nil && p.foreign {
		return nil, usage("the URL names the sessions of another library, which only migrate reads, as FROM")
	}
	return p, err
}

// source is find, and finds stores of other libraries too.
func (a *app) source(text, prefix string) (*place, error) {
	getenv := a.Getenv
	if own, ok := strings.CutPrefix(text, "env:"); ok {
		if own == "" {
			return nil, usage("env: needs the beginning of the variables' names, such as env:OLD_")
		}
		text, prefix = "", own
	}
	if text != "" {
		if err := checkPublic(text, prefix); err != nil {
			return nil, err
		}
		getenv = func(name string) string {
			switch name {
			case prefix + "URL":
				return text
			case prefix + "URL_FILE":
				return ""
			}
			return a.Getenv(name)
		}
	}
	cfg, err := config.Read(&config.Options{Prefix: prefix, Getenv: getenv})
	if err != nil {
		if text == "" && getenv(prefix+"URL") == "" && getenv(prefix+"URL_FILE") == "" {
			return nil, usage("no store is named: give its URL, or set " + prefix + "URL")
		}
		return nil, err
	}
	p := &place{cfg: cfg}
	_, err = cfg.Edit(func(u *url.URL) { p.name, p.foreign = backends.Redact(u.String()), foreign.Is(u.Scheme) })
	return p, err
}

// checkPublic refuses a URL with a secret: other users of the machine read
// command lines, and shells keep them.
func checkPublic(text, prefix string) error {
	u, err := backends.Parse(text)
	if err != nil {
		return err
	}
	_, secret := u.User.Password()
	query, err := url.ParseQuery(u.RawQuery)
	secret = secret || err != nil || strings.HasSuffix(backends.Redact(text), ":xxxxx")
	for _, param := range backends.ParamsOf(u.Scheme) {
		for name := range query {
			secret = secret || param.Secret && strings.EqualFold(name, param.Name)
		}
	}
	if secret {
		return usage("the URL has a password or another secret, which does not belong on a command line: put the URL into " +
			prefix + "URL or a file named by " + prefix + "URL_FILE, or the password alone into " + prefix + "PASSWORD or " + prefix + "PASSWORD_FILE")
	}
	return nil
}

// defaultPrefix begins the names of the variables.
const defaultPrefix = config.DefaultPrefix

// open opens the store of --url or of the environment.
func (a *app) open(ctx context.Context) (driver.ModelExpirySupport, *place, error) {
	p, err := a.find(a.place, defaultPrefix)
	if err != nil {
		return nil, nil, err
	}
	b, err := p.cfg.Open(ctx)
	return b, p, err
}

// withBackend makes a command of a function that uses the opened backend.
func (a *app) withBackend(do func(c *cobra.Command, b driver.ModelExpirySupport, p *place, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		b, p, err := a.open(c.Context())
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }()
		return do(c, b, p, args)
	}
}

// storeOf returns a store for what concerns no values.
func storeOf(b driver.ModelExpirySupport) (*expiry.Store[[]byte], error) {
	return expiry.NewStore[[]byte](b, &expiry.StoreOptions{Codec: expiry.Bytes(), Grace: -1})
}

// argument returns the URL that stands as an argument, or that of --url.
func (a *app) argument(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return a.place
}
