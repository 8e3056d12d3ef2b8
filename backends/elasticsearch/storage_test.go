package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
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
	t.Parallel()
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

// TestChecks has a new index: all is right but for the copies, which a test's
// index may lack. A check leaves no document.
func TestChecks(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	for range 2 {
		checks, err := b.Check(t.Context())
		if err != nil || checks.Err() != nil {
			t.Fatal(err, checks.Err())
		}
		for _, f := range checks {
			if f.Level != driver.CheckRight && f.Name != "copies" || f.Seen == "" || f.Need == "" || (f.Fix == "") != (f.Level == driver.CheckRight) {
				t.Errorf("%+v", f)
			}
		}
		for _, name := range []string{"translog durability", "conditional creates", "conditional writes", "conditional deletes", "reads by id", "order of listings"} {
			drivertest.Finding(t, checks, name)
		}
	}
	must(t, b.refresh(t.Context(), b.waited()))
	if text := request(t, b.client, http.MethodPost, "/"+b.name+"/_count", `{}`); !strings.Contains(text, `"count":1,`) {
		t.Errorf("the check left documents: %s", text)
	}
	missing := newBackend(t, b.client, drivertest.Name(), nil)
	_, err := missing.Check(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "CreateStorage") {
		t.Error(err)
	}
}

// TestSettingsInForce changes the settings of an index that CreateStorage has made.
// Both CreateStorage and Check say what weakens a promise. A block is a warning.
func TestSettingsInForce(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	for setting, test := range map[string]struct {
		value, name string
		level       driver.CheckLevel
	}{
		"index.translog.durability":           {`"async"`, "translog durability", driver.CheckUnsafe},
		"index.final_pipeline":                {`"theirs"`, "final pipeline", driver.CheckUnsafe},
		"index.max_result_window":             {`100`, "size of pages", driver.CheckUnsafe},
		"index.number_of_replicas":            {`0`, "copies", driver.CheckWarning},
		"index.blocks.write":                  {`true`, "write block", driver.CheckWarning},
		"index.blocks.read_only_allow_delete": {`true`, "disk block", driver.CheckWarning},
	} {
		t.Run(setting, func(t *testing.T) {
			set := func(value string) {
				t.Helper()
				request(t, b.client, http.MethodPut, "/"+b.name+"/_settings", `{"`+setting+`":`+value+`}`)
			}
			set(test.value)
			checks, err := b.Check(t.Context())
			created := b.CreateStorage(t.Context())
			set("null")
			if f := drivertest.Finding(t, checks, test.name); err != nil || f.Level != test.level || !strings.Contains(f.Seen, setting) || f.Fix == "" {
				t.Errorf("%+v, %v", f, err)
			}
			if test.level == driver.CheckUnsafe {
				drivertest.WantKind(t, created, model.ErrUnsupported)
				for _, word := range []string{setting, test.name, "needed", "PUT /" + b.name} {
					if !strings.Contains(created.Error(), word) {
						t.Errorf("%v lacks %q", created, word)
					}
				}
			} else if created != nil {
				t.Errorf("CreateStorage: %v", created)
			}
		})
	}
	must(t, b.CreateStorage(t.Context()))
}

// TestSettingsOfOtherPlans has settings that the container's server does not know,
// in the form in which Elastic's pages on lifecycle management, index modes and
// synthetic source show them.
func TestSettingsOfOtherPlans(t *testing.T) {
	b := &Backend{name: "carts"}
	for text, name := range map[string]string{
		`{"index.lifecycle.name":"logs"}`: "lifecycle policy", `{"index.mode":"logsdb"}`: "index mode", `{"index.mapping.source.mode":"synthetic"}`: "document source",
		`{"index.mapping.ignore_above":"100"}`: "length of ids", `{"index.auto_expand_replicas":"0-1","index.number_of_replicas":"1"}`: "copies",
		`{"index.mode":"standard","index.default_pipeline":"_none","index.translog.durability":"REQUEST","index.mapping.ignore_above":"2147483647","index.number_of_replicas":"1"}`: "",
	} {
		index := storedIndex{}
		must(t, json.Unmarshal([]byte(text), &index.Settings))
		for _, f := range b.judgeIndex("carts@0123456789abcdef", &index) {
			if (f.Level != driver.CheckRight) != (f.Name == name) {
				t.Errorf("%s: %+v", text, f)
			}
		}
	}
}

// TestTemplateIsNamed has two templates that match: the message names the one with
// the higher priority, and without the right to see templates none.
func TestTemplateIsNamed(t *testing.T) {
	b := newBackend(t, client(t), drivertest.Name(), nil)
	template(t, b, `"template":{"settings":{"index.translog.durability":"async"}}`)
	err := b.CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrCorrupt)
	if !strings.Contains(err.Error(), `the index template "`+b.name+`"`) || !strings.Contains(err.Error(), "exclude "+b.name+"@*") {
		t.Error(err)
	}
	blind := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "template") {
			return answer(http.StatusForbidden, `{"error":{"type":"security_exception","reason":"hunter2"},"status":403}`), nil
		}
		return b.client.Perform(r)
	}), b.name, nil)
	if err := blind.CreateStorage(t.Context()); !strings.Contains(err.Error(), "an index template for "+b.name) {
		t.Error(err)
	}
}

// TestOlderIndex has an index and documents from before the fields size, long_value
// and long_bytes. Writes say what to do, CreateStorage adds the fields, and the
// documents are read.
func TestOlderIndex(t *testing.T) {
	b := newBackend(t, client(t), drivertest.Name(), nil)
	epoch := newEpoch()
	d := b.definition(epoch)
	for _, f := range addedFields {
		delete(d.Mappings.Properties, f)
	}
	must(t, b.change(t.Context(), http.MethodPut, "/"+b.indexName(epoch), d))
	t.Cleanup(func() {
		if err := b.DeleteStorage(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	old := drivertest.Record("old", "ann", time.Hour)
	old.Value = []byte(strings.Repeat("v", 20_000))
	source := b.encode(&old)
	source.Value, source.LongValue, source.Size = source.LongValue, nil, nil
	if r := b.bulk(t.Context(), []action{{verb: "index", id: old.ID, source: func() any { return source }}})[0]; !r.ok() {
		t.Fatal(b.itemError(&r))
	}
	if err := create(t, b); err == nil || !strings.Contains(err.Error(), "CreateStorage") {
		t.Errorf("a write to an older index: %v", err)
	}
	must(t, b.CreateStorage(t.Context()))
	drivertest.Seed(t, b, drivertest.Record("new", "ann", time.Hour))
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
	if err != nil || len(p.Records) != 2 || len(p.Records[1].Value) != 20_000 {
		t.Fatalf("%d records, %v", len(p.Records), err)
	}
	for _, o := range b.GetMany(t.Context(), drivertest.Now, driver.Gets("old", "new")) {
		if o.Err != nil {
			t.Error(o.Err)
		}
	}
	if st, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "old"}); err != nil || st.Size != 20_000 {
		t.Errorf("%+v, %v", st, err)
	}
}

// broken changes what a server answers, as one that only resembles Elasticsearch
// may do.
func broken(t *testing.T, b *Backend, change func(path, body string) string) *Backend {
	t.Helper()
	return newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
		res, err := b.client.Perform(r)
		if err != nil {
			return res, err
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return answer(res.StatusCode, change(r.URL.Path, string(body))), err
	}), b.name, nil)
}

// TestUnfitServers has servers on which a promise does not hold. CreateStorage
// refuses them, says what it saw, and leaves no index.
func TestUnfitServers(t *testing.T) {
	accepts := func(verb string) func(path, body string) string {
		return func(path, body string) string {
			if strings.HasSuffix(path, "/_bulk") && strings.Contains(body, `"items":[{"`+verb+`"`) && strings.Contains(body, `"status":409`) {
				item := `{"items":[{"` + verb + `":{"_index":"` + strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/_bulk") + `","_seq_no":1,"_primary_term":1,"status":200}}]}`
				return item
			}
			return body
		}
	}
	for name, test := range map[string]struct {
		change func(path, body string) string
		words  []string
	}{
		"creates": {accepts("create"), []string{"conditional creates", "8 of 8 concurrent creates", "one of them"}},
		"writes":  {accepts("index"), []string{"conditional writes", "8 of 8 concurrent writes"}},
		"deletes": {accepts("delete"), []string{"conditional deletes", "old version"}},
		"order":   {func(path, body string) string { return strings.ReplaceAll(body, `\u0000probe`, `\u0000prob`) }, []string{"order of listings"}},
		"another order": {func(path, body string) string {
			if !strings.HasSuffix(path, "/_search") {
				return body
			}
			return strings.Replace(body, `/B"`, `/é"`, 1)
		}, []string{"order of listings", "of 3 documents"}},
		"stale reads": {func(path, body string) string {
			if !strings.HasSuffix(path, "/_mget") {
				return body
			}
			return strings.ReplaceAll(body, `"_seq_no":`, `"_seq_no":9`)
		}, []string{"reads by id", "something else"}},
	} {
		t.Run(name, func(t *testing.T) {
			direct := newBackend(t, client(t), drivertest.Name(), nil)
			b := broken(t, direct, test.change)
			err := b.CreateStorage(t.Context())
			drivertest.WantKind(t, err, model.ErrUnsupported)
			for _, word := range append(test.words, "found", "needed", "use Elasticsearch") {
				if !strings.Contains(drivertest.Causes(err), word) {
					t.Errorf("%s lacks %q", drivertest.Causes(err), word)
				}
			}
			if left := request(t, direct.client, http.MethodGet, "/"+b.name+"@*", ""); left != "{}" {
				t.Errorf("left %s", left)
				must(t, direct.DeleteStorage(t.Context()))
			}
		})
	}
}

// TestStorageRole has credentials that may create the index and neither read nor
// write records, as the second role of the package comment: what could not be
// tried is unknown, and no error.
func TestStorageRole(t *testing.T) {
	t.Parallel()
	direct := open(t, nil)
	b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/_bulk") {
			return answer(http.StatusForbidden, `{"error":{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ann]"},"status":403}`), nil
		}
		return direct.client.Perform(r)
	}), direct.name, nil)
	must(t, b.CreateStorage(t.Context()))
	checks, err := b.Check(t.Context())
	if f := drivertest.Finding(t, checks, "conditional writes"); err != nil || f.Level != driver.CheckUnknown || !strings.Contains(f.Seen, "indices:data/write/bulk") || strings.Contains(f.Seen, "ann") {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestUnassignedShard has a cluster in which no node can hold the shard: it answers
// so after index.write.wait_for_active_shards, as Elastic's page "Create index"
// says. CreateStorage does not report success.
func TestUnassignedShard(t *testing.T) {
	b, _ := fakeFunc(t, func(r *http.Request, _ int) canned {
		if r.Method == http.MethodGet {
			return canned{404, `{"error":{"type":"index_not_found_exception","reason":"no such index [carts]"},"status":404}`}
		}
		return canned{200, `{"acknowledged":true,"shards_acknowledged":false,"index":"carts@0"}`}
	})
	err := b.CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "primary shard") || !strings.Contains(err.Error(), "disk space") {
		t.Error(err)
	}
}

// TestStorageTrips counts the requests of CreateStorage and Check.
func TestStorageTrips(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	for name, do := range map[string]func() error{
		"create storage": func() error { return b.CreateStorage(t.Context()) },
		"check":          func() error { _, err := b.Check(t.Context()); return err },
		"from nothing": func() error {
			if err := b.DeleteStorage(t.Context()); err != nil {
				return err
			}
			wire.Requests()
			return b.CreateStorage(t.Context())
		},
	} {
		wire.Requests()
		err := do()
		want := map[string]int{"create storage": 25, "check": 26, "from nothing": 27}[name]
		if sent := wire.Requests(); err != nil || len(sent) != want {
			t.Errorf("%s: %d requests, %v; want %d", name, len(sent), err, want)
		}
	}
}
