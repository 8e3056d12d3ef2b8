package mongo

import (
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestURLOpensStore(t *testing.T) {
	u, err := url.Parse(containers.MongoDB(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + databaseName
	query := u.Query()
	query.Set("collection", drivertest.Name())
	u.RawQuery = query.Encode()
	b := drivertest.OpenURL(t, u.String(), open(t, nil)).(*Backend)
	if err := b.coll.Database().Client().Ping(t.Context(), nil); err == nil {
		t.Error("Close did not disconnect the client that the URL made")
	}
}

func TestURLErrors(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"mongodb:", "mongodb:localhost", "mongodb:///db", "mongodb://u:hunter2@h", "mongodb://u:hunter2@h/", "mongodb://u:hunter2@h/db?nosuch=1",
		"mongodb://u:hunter2@h/db?collection=a%24b", "mongodb://u:hunter2@h/db?w=0", "mongodb://u:hunter2@h/db?tls=maybe",
		"mongodb://u:hunter2@h/db?directConnection=true&loadBalanced=true", "mongodb+srv://u:hunter2@h:1/db")
}

func TestURLWithoutCollection(t *testing.T) {
	b, err := backends.Open(t.Context(), "mongodb://127.0.0.1:1,127.0.0.1:2/db?replicaSet=rs&readPreference=secondary")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.(*Backend).coll.Name(); got != backends.DefaultName {
		t.Errorf("the collection is %q, want %q", got, backends.DefaultName)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
