package mongo

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestURLOpensAStore(t *testing.T) {
	u, err := url.Parse(containers.MongoDB(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + databaseName
	query := u.Query()
	query.Set("collection", storeName())
	u.RawQuery = query.Encode()
	b, err := backends.Open(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: record("a", "ann", time.Hour), Cond: driver.IfAbsent}); err != nil {
		t.Error(err)
	}
	if _, err := open(t, nil).Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
		t.Errorf("get from another collection: %v", err)
	}
	if err := driver.DeleteStorage(t.Context(), b); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.(*Backend).coll.Database().Client().Ping(t.Context(), nil); err == nil {
		t.Error("the client that the URL made is connected after Close")
	}
}

func TestURLRefuses(t *testing.T) {
	for _, rawURL := range []string{
		"mongodb:", "mongodb:localhost", "mongodb:///db", "mongodb://u:hunter2@h", "mongodb://u:hunter2@h/", "mongodb://u:hunter2@h/db?nosuch=1",
		"mongodb://u:hunter2@h/db?collection=a%24b", "mongodb://u:hunter2@h/db?w=0", "mongodb://u:hunter2@h/db?tls=maybe",
		"mongodb://u:hunter2@h/db?directConnection=true&loadBalanced=true", "mongodb+srv://u:hunter2@h:1/db",
	} {
		_, err := backends.Open(t.Context(), rawURL)
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the password: %v", rawURL, err)
		}
	}
}

func TestURLWithoutACollection(t *testing.T) {
	b, err := backends.Open(t.Context(), "mongodb://127.0.0.1:1,127.0.0.1:2/db?replicaSet=rs&readPreference=secondary")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.(*Backend).coll.Name(); got != backends.DefaultName {
		t.Errorf("collection %q", got)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
