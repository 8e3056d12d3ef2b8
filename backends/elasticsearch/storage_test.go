package elasticsearch

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// template creates an index template for the store's indices. It is removed at
// the end of the test.
func template(t testing.TB, b *Backend, body string) {
	t.Helper()
	path := "/_index_template/" + b.name
	request(t, b.client, http.MethodPut, path, fmt.Sprintf(`{"index_patterns":["%s@*"],"priority":900,%s}`, b.name, body))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		_, _ = b.do(ctx, http.MethodDelete, path, typeJSON, nil, nil)
	})
}

// TestTemplates has index templates that make a new index unfit: CreateStorage
// says so and leaves nothing.
func TestTemplates(t *testing.T) {
	c := client(t)
	for name, test := range map[string]struct{ template, found string }{
		"a pipeline":     {`"template":{"settings":{"index.default_pipeline":"theirs"}}`, "theirs"},
		"the last one":   {`"template":{"settings":{"index.final_pipeline":"theirs"}}`, "final_pipeline"},
		"durability":     {`"template":{"settings":{"index.translog.durability":"async"}}`, "durability"},
		"an alias":       {`"template":{"aliases":{"everything":{}}}`, "everything"},
		"without source": {`"template":{"mappings":{"_source":{"enabled":false}}}`, "_source"},
		"with routing":   {`"template":{"mappings":{"_routing":{"required":true}}}`, "_routing"},
		"a data stream":  {`"data_stream":{}`, "data streams"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, c, drivertest.Name(), nil)
			template(t, b, test.template)
			for range 2 {
				err := b.CreateStorage(t.Context())
				drivertest.WantKind(t, err, model.ErrCorrupt)
				if text := drivertest.Causes(err); !strings.Contains(text, test.found) || !strings.Contains(err.Error(), "template") {
					t.Fatalf("%s does not name %s", text, test.found)
				}
			}
			if left := request(t, c, http.MethodGet, "/"+b.name+"@*", ""); left != "{}" {
				t.Fatalf("left %s", left)
			}
			must(t, b.DeleteStorage(t.Context()))
		})
	}
}

// TestHarmlessTemplate has a template that adds a field, which no record uses.
func TestHarmlessTemplate(t *testing.T) {
	b := newBackend(t, client(t), drivertest.Name(), nil)
	template(t, b, `"template":{"mappings":{"properties":{"@timestamp":{"type":"date"}}}}`)
	for range 2 {
		must(t, b.CreateStorage(t.Context()))
	}
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	drivertest.Get(t, b, "id")
	must(t, b.DeleteStorage(t.Context()))
}

// TestSharedAlias has another program's index under the store's name, beside
// the store's own: DeleteStorage removes only its own.
func TestSharedAlias(t *testing.T) {
	b, ctx := open(t, nil), t.Context()
	theirs := b.name + "-theirs"
	request(t, b.client, http.MethodPut, "/"+theirs, `{"aliases":{"`+b.name+`":{}}}`)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, _ = b.do(ctx, http.MethodDelete, "/"+theirs, typeJSON, nil, nil)
	})
	request(t, b.client, http.MethodPost, "/"+theirs+"/_bulk?refresh", `{"index":{"_id":"1"}}`+"\n"+`{"total":12}`+"\n")
	drivertest.WantForeign(t, b.CreateStorage(ctx), theirs)
	for range 2 {
		drivertest.WantForeign(t, b.DeleteStorage(ctx), theirs)
	}
	if left := request(t, b.client, http.MethodGet, "/"+b.name+"@*", ""); left != "{}" {
		t.Fatalf("left %s", left)
	}
	if text := request(t, b.client, http.MethodGet, "/"+theirs+"/_doc/1", ""); !strings.Contains(text, `"total":12`) {
		t.Fatalf("their document: %s", text)
	}
	// The cleanup of open needs the name to be free.
	request(t, b.client, http.MethodDelete, "/"+theirs, "")
}
