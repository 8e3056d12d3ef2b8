package elasticsearch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// delay makes a request wait for a connection, by a stopwatch that stands still
// otherwise.
type delay struct {
	http.RoundTripper
	fresh http.RoundTripper
	watch stopwatch
	next  atomic.Int64 // the wait of the next request; zero: none
}

func (d *delay) RoundTrip(r *http.Request) (*http.Response, error) {
	wait := time.Duration(d.next.Swap(0))
	if wait == 0 {
		return d.RoundTripper.RoundTrip(r)
	}
	return d.fresh.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { d.watch.pass(wait) }, // before the backend's own
	})))
}

// harness opens each backend with a client of its own, whose transport can lose
// answers. The client retries by default. Each store is an index of its own.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	server := containers.Elasticsearch(t)
	own := client(t)
	var opened atomic.Int64
	shared, fresh := pool(t), pool(t)
	fresh.DisableKeepAlives = true // each request waits for a connection
	var delays sync.Map            // of a *Backend: *delay
	losing := roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := shared.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, "/_bulk") || !drivertest.Loses(r.Context()) {
			return res, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return nil, io.ErrUnexpectedEOF
	})
	return conformance.Harness{
		Cases: 550, // all but those on power cuts, which are the server's
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			var stalled atomic.Bool
			late := &delay{RoundTripper: losing, fresh: fresh}
			stalling := roundTripper(func(r *http.Request) (*http.Response, error) {
				if stalled.Load() {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return late.RoundTrip(r)
			})
			b := newBackend(t, clientOn(t, server.URL, stalling), name, &Options{Labels: []string{"principal", "state"}})
			// What CreateStorage tries takes three quarters of the time of a case: one in
			// ten stores does it, beside the calls of other cases.
			b.watch = late.watch.read // a new connection takes no time that the cases do not give it
			delays.Store(b, late)
			b.trusted = opened.Add(1)%10 != 0
			return drivertest.NewCallLoser(b).StalledBy(func() { stalled.Store(true) })
		},
		Interrupt: drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
			t.Helper()
			b := newBackend(t, clientOn(t, server.URL, through.RoundTripper(shared)), name, &Options{Labels: []string{"principal", "state"}})
			b.watch = drivertest.StandsStill
			b.trusted = !strings.Contains(t.Name(), "/CreateStorageBy")
			return b, nil
		}),
		Stall: drivertest.Stall,
		Delay: func(t testing.TB, wrapped driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			for {
				if late, ok := delays.Load(wrapped); ok {
					late.(*delay).next.Store(int64(d))
					return
				}
				wrapped = wrapped.(driver.Unwrapper).Unwrap()
			}
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			theirs := name + "-theirs"
			request(t, own, http.MethodPut, "/"+theirs, `{"aliases":{"`+name+`":{}}}`)
			request(t, own, http.MethodPost, "/"+theirs+"/_bulk?refresh", `{"index":{"_id":"1"}}`+"\n"+`{"total":12}`+"\n")
			t.Cleanup(func() {
				res, err := own.Indices.Delete([]string{theirs}, own.Indices.Delete.WithContext(context.WithoutCancel(t.Context())))
				if err == nil {
					_ = res.Body.Close()
				}
			})
			return func(t testing.TB) {
				t.Helper()
				if text := request(t, own, http.MethodGet, "/"+theirs+"/_doc/1", ""); !strings.Contains(text, `"total":12`) {
					t.Fatalf("another program's document is %s", text)
				}
			}
		},
		Server:   server.String(),
		LoseNext: drivertest.LoseNext,
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			return fieldsOf(t, newBackend(t, own, name, nil), id)
		},
		Left: func(t testing.TB, name string) int { return leftIn(t, newBackend(t, own, name, nil)) },
		// The document keeps its place in listings, by id, label and expiry.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			b := newBackend(t, own, name, nil)
			doc := sourceOf(t, own, name, id)
			for _, field := range []string{fieldFormat, fieldRevision, fieldEncoding, fieldValue} {
				delete(doc, field)
			}
			doc[fieldBytes] = base64.StdEncoding.EncodeToString(data)
			if r := b.bulk(t.Context(), []action{{verb: "index", id: id, source: func() any { return doc }}})[0]; !r.ok() {
				t.Fatal(b.itemError(&r))
			}
		},
	}
}

// looseFields are the fields that a read returns, with what of a record each one
// holds. The size finds a value of another length. Another value in a field comes
// from a request, and is what the document says.
var looseFields = map[string][]string{
	fieldID: nil, fieldFormat: nil, fieldRevision: {"revision"}, fieldExpires: {"expiry"}, fieldLabels: {"labels"}, fieldEncoding: {"encoding"}, fieldSize: nil,
	fieldValue: {"value"}, fieldBytes: {"value"}, fieldLongText: {"value"}, fieldLongData: {"value"},
}

// fieldsOf returns the fields of a document: texts, and else JSON.
func fieldsOf(t testing.TB, b *Backend, id string) (parts []conformance.Part) {
	t.Helper()
	for name, v := range sourceOf(t, b.client, b.name, id) {
		text, isText := v.(string)
		data := []byte(text)
		if f, ok := v.(float64); ok {
			data = strconv.AppendInt(nil, int64(f), 10)
		} else if !isText {
			data, _ = json.Marshal(v) //nolint:errchkjson // it was JSON
		}
		loose, known := looseFields[name]
		if !known {
			t.Fatalf("a record has the field %s", name)
		}
		parts = append(parts, conformance.Part{Name: "field " + name, Bytes: data, Loose: loose,
			Sized: name == fieldValue || name == fieldLongText, Unjudged: name == fieldSize || slices.Contains(loose, "value"),
			Put: func(t testing.TB, data []byte) bool {
				t.Helper()
				if isText && !utf8.Valid(data) || !isText && !json.Valid(data) {
					return false
				}
				doc := sourceOf(t, b.client, b.name, id)
				if doc[name] = any(string(data)); !isText {
					doc[name] = json.RawMessage(data)
				}
				r := b.bulk(t.Context(), []action{{verb: "index", id: id, source: func() any { return doc }}})[0]
				if !r.ok() && r.Status != http.StatusBadRequest {
					t.Fatal(b.itemError(&r))
				}
				return r.ok()
			}})
	}
	return parts
}

// leftIn counts the indices of a store with their aliases, its documents, the
// fields in them that are not null, and their labels.
func leftIn(t testing.TB, b *Backend) (n int) {
	t.Helper()
	var indices map[string]struct {
		Aliases map[string]any `json:"aliases"`
	}
	decode(t, request(t, b.client, http.MethodGet, "/"+b.name+"@*/_alias", ""), &indices)
	for index, i := range indices {
		n += 1 + len(i.Aliases)
		request(t, b.client, http.MethodPost, "/"+index+"/_refresh", "")
		var found struct {
			Hits struct {
				Hits []struct {
					Source map[string]any `json:"_source"`
				} `json:"hits"`
			} `json:"hits"`
		}
		decode(t, request(t, b.client, http.MethodGet, "/"+index+"/_search?size=1000", ""), &found)
		for _, hit := range found.Hits.Hits {
			n++
			for _, v := range hit.Source {
				labels, _ := v.(map[string]any)
				if n += len(labels); v != nil {
					n++
				}
			}
		}
	}
	return n
}

func decode(t testing.TB, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
