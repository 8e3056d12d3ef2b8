package file

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/model"
)

func TestURL(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for rawURL, want := range map[string]string{
		"file:data":                 filepath.Join(here, "data", "sojourn"),
		"file:./data?name=carts":    filepath.Join(here, "data", "carts"),
		"file:a%20b":                filepath.Join(here, "a b", "sojourn"),
		"file:/var/lib/app":         "/var/lib/app/sojourn",
		"file:///var/lib/app?name=": "/var/lib/app/sojourn",
	} {
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			t.Errorf("%q: %v", rawURL, err)
			continue
		}
		if want, err = filepath.Abs(filepath.FromSlash(want)); err != nil {
			t.Fatal(err)
		}
		if got := b.(*Backend).path; got != want {
			t.Errorf("%q is at %s, want %s", rawURL, got, want)
		}
	}
	for _, rawURL := range []string{"file:", "file://host/dir", "file:data?nane=x", "file:data?name=../x", "file:%zz"} {
		if _, err := backends.Open(t.Context(), rawURL); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
	}
}
