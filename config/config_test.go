package config_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/sojourn-go/sojourn/backends/dynamodb" // registers dynamodb:
	_ "github.com/sojourn-go/sojourn/backends/file"     // registers file:
	_ "github.com/sojourn-go/sojourn/backends/memory"   // registers memory:
	"github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/config"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"

	goredis "github.com/redis/go-redis/v9"
)

const secret = "hunter2"

// key returns a line for a keyring, with a secret of 32 bytes.
func key(id string) string {
	return id + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(secret, 5)[:32]))
}

// read reads the configuration of these variables. A value that begins with an
// @ is written to a file, whose name becomes the value.
func read(t *testing.T, o config.Options, env map[string]string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	o.Getenv = func(name string) string {
		content, isFile := strings.CutPrefix(env[name], "@")
		if !isFile {
			return env[name]
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return config.Read(&o)
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name string
		o    config.Options
		env  map[string]string
		want string
	}{
		{"variable", config.Options{}, map[string]string{"SOJOURN_URL": "memory:?labels=sid"}, "config(memory:?labels=sid, no seal key)"},
		{"file", config.Options{}, map[string]string{"SOJOURN_URL_FILE": "@memory:\n"}, "config(memory:, no seal key)"},
		{"prefix", config.Options{Prefix: "CARTS_"}, map[string]string{"CARTS_URL": "memory:", "SOJOURN_URL": "file:x"}, "config(memory:, no seal key)"},
		{"default", config.Options{DefaultURL: "memory:"}, map[string]string{"SOJOURN_URL": ""}, "config(memory:, no seal key)"},
		{"keys", config.Options{RequireSeal: true}, map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY_FILE": "@" + key("b") + "\n" + key("a") + "\n"}, `config(memory:, keyring(b of ["a" "b"]))`},
		{"key", config.Options{}, map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key("a")}, `config(memory:, keyring(a of ["a"]))`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := read(t, c.o, c.env)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.String() != c.want || (cfg.Keyring() == nil) != strings.Contains(c.want, "no seal key") {
				t.Errorf("got %v, want %s", cfg, c.want)
			}
			b, err := cfg.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPasswords opens Redis with passwords of which no part reads as URL syntax.
func TestPasswords(t *testing.T) {
	const signs = " p/a?s#s@:%&,+é "
	for content, want := range map[string]string{
		secret: secret, secret + "\n": secret, secret + "\r\n": secret, secret + "\n\n": secret + "\n", secret + "\r": secret + "\r", signs: signs,
	} {
		for _, rawURL := range []string{"redis://ann@127.0.0.1:1/3", "redis+unix://ann@/nonexistent?db=3", "redis+sentinel://ann@h1:1,h2/3?master=m"} {
			cfg, err := read(t, config.Options{}, map[string]string{"SOJOURN_URL": rawURL, "SOJOURN_PASSWORD_FILE": "@" + content})
			if err != nil {
				t.Errorf("%s: %v", rawURL, err)
				continue
			}
			b, err := cfg.Open(t.Context())
			if err != nil {
				t.Errorf("%s: %v", rawURL, err)
				continue
			}
			o := b.(*redis.Backend).Client().(*goredis.Client).Options()
			if o.Username != "ann" || o.Password != want || o.DB != 3 {
				t.Errorf("%s: user %q, password %q, database %d, want %q", rawURL, o.Username, o.Password, o.DB, want)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		word string
	}{
		"nothing":         {nil, "neither SOJOURN_URL nor SOJOURN_URL_FILE is set"},
		"no seal":         {map[string]string{"SOJOURN_URL": "memory:"}, "neither SOJOURN_SEAL_KEY nor SOJOURN_SEAL_KEY_FILE is set"},
		"both":            {map[string]string{"SOJOURN_URL": "x://:hunter2@h", "SOJOURN_URL_FILE": "@x"}, "SOJOURN_URL and SOJOURN_URL_FILE are both set"},
		"no file":         {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_PASSWORD_FILE": "/nonexistent/pw"}, "SOJOURN_PASSWORD_FILE: open /nonexistent/pw: "},
		"a folder":        {map[string]string{"SOJOURN_URL_FILE": os.TempDir()}, "SOJOURN_URL_FILE: read " + os.TempDir()},
		"empty file":      {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_PASSWORD_FILE": "@\n"}, "SOJOURN_PASSWORD_FILE is empty"},
		"endless file":    {map[string]string{"SOJOURN_URL_FILE": "@" + strings.Repeat(secret, 1<<18)}, "is larger than 1 MiB"},
		"two passwords":   {map[string]string{"SOJOURN_URL": "redis://:hunter2@h", "SOJOURN_PASSWORD": secret}, "remove one of them"},
		"opaque":          {map[string]string{"SOJOURN_URL": "file:x", "SOJOURN_PASSWORD": secret}, "takes no password"},
		"no scheme":       {map[string]string{"SOJOURN_URL": "hunter2", "SOJOURN_PASSWORD": secret}, "takes no password"},
		"unparsable":      {map[string]string{"SOJOURN_URL": "redis://hunter2:x", "SOJOURN_PASSWORD": secret}, "SOJOURN_URL: invalid argument: the URL cannot be parsed"},
		"no key":          {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": "hunter2"}, "SOJOURN_SEAL_KEY: invalid argument: line 1 is not of the form"},
		"no key in file":  {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY_FILE": "@# none\n\n"}, "SOJOURN_SEAL_KEY_FILE: invalid argument: there is no line with a key"},
		"swapped":         {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": "hunter2hunter2:id"}, "the secret of line 1"},
		"a short secret":  {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key("a") + "\nb:aHVudGVyMg=="}, "the secret of line 2"},
		"no id":           {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key("")}, "the id of line 1"},
		"an id too long":  {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key(strings.Repeat("a", 65))}, "the id of line 1"},
		"the same id":     {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key("a") + "\n" + key("a")}, "line 2 has the id of an earlier line"},
		"broken base64":   {map[string]string{"SOJOURN_URL": "memory:", "SOJOURN_SEAL_KEY": key("a") + "!"}, "the secret of line 1"},
		"two lines in it": {map[string]string{"SOJOURN_URL_FILE": "@memory:\n\nhunter2", "SOJOURN_PASSWORD": secret}, "cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := read(t, config.Options{RequireSeal: true}, c.env)
			if !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), c.word) {
				t.Errorf("%v, %v, want %v with %q", cfg, err, model.ErrInvalid, c.word)
			}
			if err != nil {
				drivertest.NotPrinted(t, err.Error(), secret)
			}
		})
	}
}

// TestOpenRefuses gives a password to backends that take none.
func TestOpenRefuses(t *testing.T) {
	for _, rawURL := range []string{"memory:", "file:///nonexistent", "file:/nonexistent", "dynamodb://carts?region=r", "redis://ann@12/hunter2@h"} {
		cfg, err := read(t, config.Options{}, map[string]string{"SOJOURN_URL": rawURL, "SOJOURN_PASSWORD": secret})
		if err == nil {
			_, err = cfg.Open(t.Context())
		}
		if !errors.Is(err, model.ErrInvalid) || strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%s: %v, want %v", rawURL, err, model.ErrInvalid)
		}
	}
	if _, err := (config.Config{}).Open(t.Context()); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("an empty Config: %v, want %v", err, model.ErrInvalid)
	}
}

func TestConfigIsNotPrinted(t *testing.T) {
	cfg, err := read(t, config.Options{}, map[string]string{
		"SOJOURN_URL": "redis+sentinel://ann@h?master=m&sentinel_password=hunter2", "SOJOURN_PASSWORD": secret, "SOJOURN_SEAL_KEY": key("a"),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `config(redis+sentinel://ann:xxxxx@h?master=m&sentinel_password=xxxxx, keyring(a of ["a"]))`
	type exported struct {
		C config.Config `xml:"c"`
	}
	type hidden struct {
		c  config.Config
		cs []config.Config
	}
	for _, v := range []any{cfg, *cfg, exported{*cfg}, &exported{*cfg}, hidden{*cfg, []config.Config{*cfg}}, map[string]any{"c": cfg}, cfg.Keyring()} {
		drivertest.NotPrinted(t, v, secret)
		drivertest.NotPrinted(t, v, "aHVudGVyM") // in base64
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{cfg, *cfg} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s prints %s, want %s", verb, got, want)
			}
		}
	}
	data, err := xml.Marshal(exported{*cfg})
	if err != nil || !strings.Contains(string(data), "xxxxx") || strings.Contains(string(data), secret) {
		t.Errorf("XML is %s, %v", data, err)
	}
	if got := fmt.Sprint(config.Config{}, (*config.Config)(nil)); got != "config(empty) <nil>" {
		t.Errorf("empty ones print %s", got)
	}
}

func TestParseKeyring(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = 0xff // has + and / in base64
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		ring, err := config.ParseKeyring("# keys\r\n\r\n a:b c:" + encoding.EncodeToString(secret) + " \r\nold:" + encoding.EncodeToString(secret))
		if err != nil {
			t.Fatal(err)
		}
		if ring.Active() != "a:b c" || !ring.Has("old") {
			t.Errorf("got %v", ring)
		}
	}
}
