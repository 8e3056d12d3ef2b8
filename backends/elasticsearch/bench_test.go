package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) { conformance.Benchmarks(b, harness(b)) }

// floorOps is the number of calls of each side in a round.
const floorOps = 10

// hand sends the requests that the backend sends, written by hand with the
// client library.
type hand struct {
	c           *es.Client
	name, value string
	versions    map[string]foundDoc // by id
}

// finish reads a reply and decodes it into v.
func finish(body io.ReadCloser, v any) error {
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func (h *hand) source(id string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"format":1,"revision":%q,"expires":%d,"labels":{"principal":"ann"},"encoding":"json","value":%q}`,
		id, model.NewRevision().String(), at.UnixMilli(), h.value)
}

func (h *hand) bulk(ctx context.Context, action, source string) error {
	body := action + "\n"
	if source != "" {
		body += source + "\n"
	}
	res, err := h.c.Bulk(strings.NewReader(body), h.c.Bulk.WithContext(ctx), h.c.Bulk.WithIndex(h.name), h.c.Bulk.WithRequireAlias(true))
	if err != nil {
		return err
	}
	var out struct {
		Items []map[string]foundDoc `json:"items"`
	}
	if err := finish(res.Body, &out); err != nil {
		return err
	}
	for _, item := range out.Items {
		for _, f := range item {
			if f.Error != nil {
				return fmt.Errorf("%s: %s", f.Error.Type, f.Error.Reason)
			}
		}
	}
	return nil
}

// at returns the condition on the version that a record was seeded with.
func (h *hand) at(id string) string {
	f := h.versions[id]
	return fmt.Sprintf(`"_index":%q,"_id":%q,"if_seq_no":%d,"if_primary_term":%d`, f.Index+aliasTail, id, f.Seq, f.Term)
}

func (h *hand) get(ctx context.Context, id string) error {
	res, err := h.c.Mget(strings.NewReader(fmt.Sprintf(`{"ids":[%q]}`, id)), h.c.Mget.WithContext(ctx), h.c.Mget.WithIndex(h.name))
	if err != nil {
		return err
	}
	var out struct {
		Docs []struct {
			foundDoc
			Source document `json:"_source"`
		} `json:"docs"`
	}
	return finish(res.Body, &out)
}

func (h *hand) page(ctx context.Context) error {
	res, err := h.c.Indices.Refresh(h.c.Indices.Refresh.WithContext(ctx), h.c.Indices.Refresh.WithIndex(h.name))
	if err != nil {
		return err
	}
	var all any
	if err := finish(res.Body, &all); err != nil {
		return err
	}
	body := fmt.Sprintf(`{"query":{"bool":{"filter":[{"term":{"labels.principal":"ann"}},{"exists":{"field":"id"}}],"must_not":[{"range":{"expires":{"lte":%d}}}]}},`+
		`"size":101,"track_total_hits":false,"sort":["id"],"seq_no_primary_term":true}`, drivertest.Now.UnixMilli())
	res, err = h.c.Search(h.c.Search.WithContext(ctx), h.c.Search.WithIndex(h.name), h.c.Search.WithBody(strings.NewReader(body)), h.c.Search.WithAllowPartialSearchResults(false))
	if err != nil {
		return err
	}
	var out struct {
		Hits struct {
			Hits []struct {
				foundDoc
				Source document `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	return finish(res.Body, &out)
}

// BenchmarkFloor compares each operation with the same requests written by
// hand: one client, a record of 1 KB with an expiry and a label.
func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	value := strings.Repeat("v", 1<<10)
	hour, later := drivertest.Now.Add(time.Hour), drivertest.Now.Add(2*time.Hour)
	var store *Backend
	var known map[string]model.Record
	rec := func(id string) model.Record {
		return model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: hour, Labels: map[string]string{"principal": "ann"}, Encoding: "json", Value: []byte(value)}
	}
	write := func(id string, c driver.Condition) error {
		_, err := store.Write(ctx, drivertest.Now, driver.Write{Record: rec(id), Cond: c, Known: known[id]})
		return err
	}
	const seeded = floorOps * (ratio.Rounds + 1)
	for _, op := range []struct {
		name   string
		seeded int // the records of each side
		hand   func(h *hand, id string) error
		ours   func(id string) error
	}{
		{"get", seeded, func(h *hand, id string) error { return h.get(ctx, id) }, func(id string) error {
			_, err := store.Get(ctx, drivertest.Now, driver.Get{ID: id})
			return err
		}},
		{"create", 0, func(h *hand, id string) error {
			return h.bulk(ctx, fmt.Sprintf(`{"create":{"_id":%q}}`, id), h.source(id, hour))
		}, func(id string) error { return write(id, driver.IfAbsent) }},
		{"upsert", seeded, func(h *hand, id string) error {
			return h.bulk(ctx, fmt.Sprintf(`{"index":{"_id":%q}}`, id), h.source(id, hour))
		}, func(id string) error { return write(id, driver.IfAny) }},
		{"compare-and-set", seeded, func(h *hand, id string) error {
			return h.bulk(ctx, `{"index":{`+h.at(id)+`}}`, h.source(id, hour))
		}, func(id string) error { return write(id, driver.IfMatch) }},
		{"touch", seeded, func(h *hand, id string) error {
			return h.bulk(ctx, `{"update":{`+h.at(id)+`}}`, fmt.Sprintf(`{"doc":{"expires":%d}}`, later.UnixMilli()))
		}, func(id string) error {
			_, err := store.Touch(ctx, drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: later, Known: known[id]})
			return err
		}},
		{"delete", seeded, func(h *hand, id string) error { return h.bulk(ctx, `{"delete":{`+h.at(id)+`}}`, "") }, func(id string) error {
			return store.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfMatch, Known: known[id]})
		}},
		{"page-by-label", 30, func(h *hand, _ string) error { return h.page(ctx) }, func(string) error {
			_, err := store.Page(ctx, drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 100})
			return err
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			store = open(b, nil)
			h := &hand{c: store.client.(*es.Client), name: store.name, value: value, versions: map[string]foundDoc{}}
			known = map[string]model.Record{}
			id := func(side string, i int) string { return fmt.Sprintf("%s-%08d", side, i) }
			var ids []string
			for _, side := range []string{"hand", "again", "ours"} {
				for i := range op.seeded {
					ids = append(ids, id(side, i))
					drivertest.Seed(b, store, rec(id(side, i)))
				}
			}
			for i, o := range store.GetMany(ctx, drivertest.Now, driver.Gets(ids...)) {
				if o.Err != nil {
					b.Fatal(o.Err)
				}
				v, _ := versionOf(&o.Record)
				known[ids[i]], h.versions[ids[i]] = o.Record, foundDoc{Index: store.indexName(v.epoch), Seq: v.seq, Term: v.term}
			}
			ratio.Report(b, floorOps,
				ratio.Side{Name: "by-hand", Do: func(i int) error { return op.hand(h, id("hand", i)) }},
				ratio.Side{Name: "again", Do: func(i int) error { return op.hand(h, id("again", i)) }},
				ratio.Side{Name: "backend", Do: func(i int) error { return op.ours(id("ours", i)) }})
		})
	}
}
