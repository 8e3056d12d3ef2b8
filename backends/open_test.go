package backends_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/memory" // registers memory:
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestOpen(t *testing.T) {
	b, err := backends.Open(t.Context(), "memory:")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Describe().Backend; got != "memory" {
		t.Errorf("opened %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	nothing := func(context.Context, *url.URL) (driver.ModelExpirySupport, error) {
		return nil, errors.New("never called")
	}
	backends.Register("twice", nothing)
	backends.Register("twice", nothing)
	for rawURL, word := range map[string]string{
		"":                         "no scheme",
		"carts":                    "no scheme",
		"nosuch://user:hunter2@h/": `"nosuch"; known are`,
		"%zz://user:hunter2@h":     "cannot be parsed",
		"nosuch://user:hunter2@%z": "cannot be parsed",
		"twice:":                   "two backends",
		"memory:?nane=x":           `unknown parameter "nane"; known are: labels`,
		"memory:x":                 "the form is memory:?labels=names",
	} {
		_, err := backends.Open(t.Context(), rawURL)
		if !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %q in it", rawURL, err, word)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the password: %v", rawURL, err)
		}
	}
}
