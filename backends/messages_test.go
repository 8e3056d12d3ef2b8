package backends_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/dynamodb"      // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/elasticsearch" // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/file"          // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/mongo"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/redis"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/s3"            // registers its URLs
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// serve listens and answers each connection with the text, or never if it is
// empty.
func serve(t *testing.T, answer string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			if answer != "" {
				_, _ = c.Write([]byte(answer))
			}
		}
	}()
	return l.Addr().String()
}

// closed returns an address at which nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestMessages opens wrong URLs of all schemes. Each message says what is wrong,
// with what and what to do, and has no secret.
func TestMessages(t *testing.T) {
	regular := filepath.Join(t.TempDir(), "regular")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	regular = filepath.ToSlash(regular)
	for rawURL, words := range map[string]string{
		// No URL, or of no backend.
		"":                     "no scheme",
		"localhost":            "no scheme",
		"127.0.0.1:6379":       "did you mean redis://…?",
		"localhost:6379":       "did you mean redis://…?",
		"[::1]:27017":          "did you mean mongodb://…?",
		"es.local:9200/i":      "did you mean elasticsearch://…?",
		"127.0.0.1:1":          "cannot be parsed|scheme://user:password@host:port",
		"redsi://h":            `the scheme "redsi"; did you mean "redis"?`,
		"mongo://u:hunter2@":   `the scheme "mongo"; did you mean|known are`,
		"nosuch://u:hunter2@h": `no backend is registered for the scheme "nosuch"; known are dynamodb`,

		// Unknown parameters.
		"redis://u:hunter2@h?naem=hunter2":         `"naem"; did you mean "name"?; known are: name, labels`,
		"redis+cluster://u:hunter2@h?adr=h2":       `"adr"; did you mean "addr"?`,
		"redis+sentinel://u:hunter2@h?mastre=m":    `"mastre"; did you mean "master"?`,
		"redis+unix://u:hunter2@/s?lables=a":       `"lables"; did you mean "labels"?`,
		"rediss://u:hunter2@h?skip_verfy=true":     `"skip_verfy"; did you mean "skip_verify"?`,
		"mongodb://u:hunter2@h/db?colection=x":     `"colection"; did you mean "collection"?`,
		"mongodb+srv://u:hunter2@h/db?replicaset1": "unknown parameter without a value",
		"elasticsearch://u:hunter2@h?shard=1":      `"shard"; did you mean "shards"?`,
		"s3://bucket?regoin=x":                     `"regoin"; did you mean "region"?`,
		"dynamodb://table?endpont=x":               `"endpont"; did you mean "endpoint"?`,
		"memory:?label=hunter2":                    `"label"; did you mean "labels"?; known are: labels`,
		"memory:?x=1":                              `unknown parameter "x"; known are: labels`,
		"file:data?no_snyc=true":                   `"no_snyc"; did you mean "no_sync"?`,

		// Wrong values.
		"redis://u:hunter2@h?dial_timeout=1x":          `"dial_timeout" is no duration such as 90s`,
		"redis://u:hunter2@h?pool_fifo=maybe":          `"pool_fifo" is no switch`,
		"redis://u:hunter2@h?pool_size=x":              `"pool_size" is no number from 0 to`,
		"redis://u:hunter2@h?grace_ttl=5":              `"grace_ttl" is no duration`,
		"redis://u:hunter2@h?allow_eviction=maybe":     `"allow_eviction" is no switch`,
		"redis://u:hunter2@h/abc":                      "path is not the number of a database, such as /0",
		"redis+cluster://u:hunter2@h/3":                "has one database, 0",
		"redis+sentinel://u:hunter2@h":                 "lacks the parameter master",
		"redis://u:hunter2@h:99999":                    "a port from 1 to 65535",
		"redis:localhost":                              "redis://user:password@host:port/db?name=store",
		"mongodb://u:hunter2@h:99999/db":               "a port from 1 to 65535",
		"mongodb://u:hunter2@h":                        "no database|mongodb://user:password@host:port/database",
		"mongodb://u:hunter2@h/db?tls=hunter2":         `the value of the parameter "tls"`,
		"mongodb://u:hunter2@h/db?connecttimeoutms=1x": `the value of the parameter "connecttimeoutms"`,
		"mongodb://u:hunter2@h/db?w=0":                 "w=0 is not allowed",
		"mongodb+srv://u:hunter2@h:1/db":               "no SRV records",
		"elasticsearch://u:hunter2@h:99999":            "a port from 1 to 65535",
		"elasticsearch://h/BAD":                        "index name",
		"s3://bucket?path_style=x":                     `"path_style" is no switch`,
		"s3://b?region=eu-west-1":                      "bucket's name",
		"dynamodb://table/x?region=eu-west-1":          "dynamodb://table?region",
		"memory://h":                                   "memory:?labels=names",
		"memory:?labels=No":                            "a label's name must have",
		"file:":                                        "file:DIR?name=store",
		"file://host/data":                             "without a host",
		"file:" + regular:                              "the path names a file|folder",
		"file:" + regular + "/x":                       "the path names a file or leads through one",
		"file:data?no_sync=maybe":                      `"no_sync" is no switch: true or false`,
	} {
		b, err := backends.Open(t.Context(), rawURL)
		if err == nil {
			_ = b.Close()
			t.Errorf("%q was opened", rawURL)
			continue
		}
		drivertest.WantKind(t, err, model.ErrInvalid)
		says(t, rawURL, err, words)
	}
}

// says fails the test unless the message has all words, with | between them, and
// no secret.
func says(t *testing.T, rawURL string, err error, words string) {
	t.Helper()
	if err == nil {
		t.Errorf("%q: no error, want %q", rawURL, words)
		return
	}
	for _, word := range strings.Split(words, "|") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v\nwant %q in it", rawURL, err, word)
		}
	}
	drivertest.NotPrinted(t, err, "hunter2")
}

// TestMessagesOfServers opens URLs of servers that refuse connections, that are
// not known, or that do not answer as they should.
func TestMessagesOfServers(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	nobody, silent, plain := closed(t), serve(t, ""), serve(t, "-ERR unknown command\r\n")
	refused := nobody + " refuses connections: check that the server runs there"
	const unknown, quick = `the host "nosuch.invalid"`, "serverselectiontimeoutms=200"
	for rawURL, words := range map[string]string{
		"redis://u:hunter2@" + nobody:                                 refused,
		"rediss://u:hunter2@" + nobody:                                refused,
		"redis+cluster://u:hunter2@" + nobody:                         refused,
		"redis+sentinel://u:hunter2@" + nobody + "?master=m":          refused,
		"redis+unix://u:hunter2@/nosuch.sock":                         "cannot connect|/nosuch.sock",
		"redis://u:hunter2@nosuch.invalid":                            unknown,
		"rediss://u:hunter2@" + plain:                                 "the server does not speak TLS",
		"rediss://u:hunter2@" + silent:                                "deadline exceeded|to begin with TLS|redis and not rediss",
		"mongodb://u:hunter2@" + nobody + "/db?" + quick:              refused,
		"mongodb://u:hunter2@" + nobody + "/db":                       "deadline exceeded|" + refused,
		"mongodb://u:hunter2@nosuch.invalid/db?" + quick:              unknown,
		"mongodb://u:hunter2@" + plain + "/db?" + quick:               plain + " does not answer as",
		"mongodb://u:hunter2@" + plain + "/db?tls=true&" + quick:      "does not speak TLS",
		"elasticsearch://u:hunter2@" + nobody:                         refused,
		"elasticsearch+https://u:hunter2@" + plain:                    "does not speak TLS",
		"s3://bucket?region=eu-west-1&endpoint=http://" + nobody:      "refuses connections",
		"dynamodb://table?region=eu-west-1&endpoint=http://" + nobody: "refuses connections",
	} {
		t.Run(rawURL, func(t *testing.T) {
			b, err := backends.Open(t.Context(), rawURL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			says(t, rawURL, driver.Ping(ctx, b, drivertest.Now), words)
		})
	}
}

// TestMessageOfAPackage has a scheme whose package is not imported: the message
// names the import. The list agrees with what the packages register.
func TestMessageOfAPackage(t *testing.T) {
	for scheme, pkg := range backends.Packages() {
		if got, want := backends.NotRegistered(scheme), `import _ "github.com/sojourn-go/sojourn/backends/`+pkg+`"`; !strings.Contains(got, want) {
			t.Errorf("%s: %s", scheme, got)
		}
		if _, err := os.Stat(filepath.Join(pkg, "go.mod")); err == nil {
			continue // a module of its own, which this one cannot import
		}
		if !slices.Contains(backends.Schemes(), scheme) {
			t.Errorf("no package registers %q", scheme)
		}
	}
	for _, scheme := range backends.Schemes() {
		if backends.ParamsOf(scheme) != nil && backends.Packages()[scheme] == "" && scheme != "redacted" && scheme != "example" {
			t.Errorf("the list of packages lacks the scheme %q", scheme)
		}
	}
}
