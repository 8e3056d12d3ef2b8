package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// DefaultPrefix begins the names of the variables if Options.Prefix is empty.
const DefaultPrefix = "SOJOURN_"

// Options says where Read finds what. The zero value of every field is its
// default.
type Options struct {
	// Prefix begins the names of the variables. Empty means DefaultPrefix.
	Prefix string
	// DefaultURL is the backend's URL if the environment has none. If it is
	// empty too, Read returns ErrInvalid.
	DefaultURL string
	// RequireSeal makes Read return ErrInvalid if there is no seal key. Without
	// it, a misspelt variable means that values are stored unsealed.
	RequireSeal bool
	// Getenv returns the value of a variable. Nil means os.Getenv.
	Getenv func(name string) string
}

// Config is what Read has found. It prints without its secrets. The zero value
// has no URL.
type Config struct {
	// url returns the URL with its password. Printers that do not ask for
	// methods follow fields and pointers, but not functions.
	url  func() string
	from string // names the URL's variable in errors
	keys *expiry.Keyring
}

// Read reads the configuration. Nil options are the defaults. It returns
// ErrInvalid for values that are missing, given twice or malformed, and for
// files that cannot be read. It does not open the backend.
func Read(opts *Options) (*Config, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	c, err := o.read()
	if err != nil {
		return nil, &model.Error{Op: "Read", Err: err}
	}
	return c, nil
}

func (o *Options) read() (*Config, error) {
	rawURL, from, err := o.value("URL")
	if err != nil {
		return nil, err
	}
	if rawURL == "" {
		rawURL, from = o.DefaultURL, "Options.DefaultURL"
	}
	if rawURL == "" {
		return nil, invalid("neither "+o.Prefix+"URL nor "+o.Prefix+"URL_FILE is set", nil)
	}
	password, source, err := o.value("PASSWORD")
	if err != nil {
		return nil, err
	}
	if password != "" {
		if rawURL, err = withPassword(rawURL, password, from, source); err != nil {
			return nil, err
		}
	}
	c := &Config{url: func() string { return rawURL }, from: from}
	keys, source, err := o.value("SEAL_KEY")
	switch {
	case err != nil:
		return nil, err
	case keys != "":
		if c.keys, err = ParseKeyring(keys); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
	case o.RequireSeal:
		return nil, invalid("neither "+o.Prefix+"SEAL_KEY nor "+o.Prefix+"SEAL_KEY_FILE is set", nil)
	}
	return c, nil
}

// value returns the value of a variable or of the file that its sibling names,
// and where it was found. It is empty if both are missing.
func (o *Options) value(name string) (value, source string, err error) {
	name = o.Prefix + name
	value, file := o.Getenv(name), o.Getenv(name+"_FILE")
	switch {
	case value != "" && file != "":
		return "", "", invalid(name+" and "+name+"_FILE are both set: set one of them", nil)
	case file != "":
		value, err = readFile(file)
		if err != nil {
			return "", "", invalid(name+"_FILE: "+err.Error(), err)
		}
		return value, "the file " + file, nil
	default:
		return value, name, nil
	}
}

// maxFile is more than any of the values needs.
const maxFile = 1 << 20

// readFile returns the content of a file without one line break at its end. Its
// errors name the file.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	text, ended := strings.CutSuffix(string(data), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	switch {
	case len(data) > maxFile:
		return "", errors.New("the file " + name + " is larger than 1 MiB")
	case text == "":
		return "", errors.New("the file " + name + " is empty")
	}
	return text, nil
}

// withPassword puts the password into the URL.
func withPassword(rawURL, password, from, source string) (string, error) {
	u, err := backends.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	if _, has := u.User.Password(); has {
		return "", invalid("the URL of "+from+" has a password, and so has "+source+": remove one of them", nil)
	}
	if u.Opaque != "" || u.Scheme == "" {
		return "", invalid("the URL of "+from+" takes no password, but "+source+" has one", nil)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// Open opens the backend: see backends.Open.
func (c Config) Open(ctx context.Context) (expiry.ModelExpirySupport, error) {
	if c.url == nil {
		return nil, &model.Error{Op: "Open", Err: invalid("the Config is empty: Read makes one", nil)}
	}
	b, err := backends.Open(ctx, c.url())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.from, err)
	}
	return b, nil
}

// Edit returns a Config with a URL that the function has changed, for example to
// open another store on the same server. The function sees the password. Edit
// returns ErrInvalid if the URL cannot be parsed.
func (c Config) Edit(change func(u *url.URL)) (*Config, error) {
	if c.url == nil {
		return nil, &model.Error{Op: "Edit", Err: invalid("the Config is empty: Read makes one", nil)}
	}
	u, err := backends.Parse(c.url())
	if err != nil {
		return nil, &model.Error{Op: "Edit", Err: fmt.Errorf("%s: %w", c.from, err)}
	}
	change(u)
	text := u.String()
	c.url = func() string { return text }
	return &c, nil
}

// Keyring returns the keys for StoreOptions.Seal and session.Options. It is nil
// if the environment has none.
func (c Config) Keyring() *expiry.Keyring { return c.keys }

// String returns the URL without its secrets, and the ids of the seal keys.
func (c Config) String() string {
	if c.url == nil {
		return "config(empty)"
	}
	if c.keys == nil {
		return "config(" + backends.Redact(c.url()) + ", no seal key)"
	}
	return fmt.Sprintf("config(%s, %v)", backends.Redact(c.url()), c.keys)
}

// Format prints String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns String, also for JSON.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func invalid(detail string, cause error) error {
	return model.NewError(model.ErrInvalid, detail, cause)
}
