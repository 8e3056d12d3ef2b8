package elasticsearch

import (
	"bytes"
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

const tooMuch = `{"error":{"root_cause":[],"type":"search_phase_execution_exception","reason":"","caused_by":{"type":"circuit_breaking_exception",` +
	`"reason":"[parent] Data too large, data for [<http_request>] would be [1026005142/978.4mb], which is larger than the limit of [1020054732/972.7mb]"}},"status":429}`

// TestShortOfMemory has a node whose circuit breaker refuses more than two records
// at a time, as Elastic's page "Circuit breaker errors" has it: reads are made
// again in halves. A node that refuses every request is ErrUnavailable.
func TestShortOfMemory(t *testing.T) {
	size := func(body []byte) int {
		var asked struct {
			IDs  []string `json:"ids"`
			Size int      `json:"size"`
		}
		_ = json.Unmarshal(body, &asked)
		return max(len(asked.IDs), asked.Size)
	}
	for name, most := range map[string]int{"two at a time": 2, "none": 0} {
		t.Run(name, func(t *testing.T) {
			h := &holder{value: `"` + strings.Repeat("v", 9000) + `"`}
			refused := 0
			b := newBackend(t, clientFunc(func(r *http.Request) (*http.Response, error) {
				body, err := bodyOf(r)
				if err != nil {
					return nil, err
				}
				if name := requestName(r, body); name != "_refresh" && size(body) > most {
					refused++
					if refused%2 > 0 && name == "_mget" { // a shard's own refusal
						one := `{"_index":"carts","error":{"type":"circuit_breaking_exception","reason":""}}`
						return answer(http.StatusOK, `{"docs":[`+strings.TrimSuffix(strings.Repeat(one+",", size(body)), ",")+`]}`), nil
					}
					return answer(http.StatusTooManyRequests, tooMuch), nil
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				return h.Perform(r)
			}), "carts", nil)
			p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
			if swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 6}); most > 0 && (err != nil || swept.Removed != 6 || !swept.More) {
				t.Errorf("%+v, %v", swept, err)
			}
			out := b.GetMany(t.Context(), drivertest.Now, driver.Gets("a", "b", "c", "d", "e"))
			if most == 0 {
				drivertest.WantKind(t, err, model.ErrUnavailable)
				drivertest.WantKind(t, out[4].Err, model.ErrUnavailable)
				if !strings.Contains(err.Error(), "heap") || !strings.Contains(err.Error(), "[parent] Data too large") {
					t.Errorf("%v does not say why", err)
				}
				return
			}
			if err != nil || len(p.Records) != 1 || p.Next == "" || refused == 0 {
				t.Errorf("%d records, next %q, %v", len(p.Records), p.Next, err)
			}
			for _, o := range out {
				if o.Err != nil || len(o.Record.Value) != 9000 {
					t.Errorf("%d bytes, %v", len(o.Record.Value), o.Err)
				}
			}
		})
	}
}

// TestRecordsThatChangeUnderAPage changes long records between the search for a
// page and the read of their values. The page has the new ones, and leaves out
// those that no longer belong to the listing.
func TestRecordsThatChangeUnderAPage(t *testing.T) {
	long := func(id, principal string, expires time.Duration) model.Record {
		r := drivertest.Record(id, principal, expires)
		r.Value = []byte(strings.Repeat(id, 10_000))
		return r
	}
	doc := func(r model.Record, read part) string {
		b := &Backend{}
		source := b.encode(&r)
		if read == short {
			source.LongValue = nil
		}
		text, err := marshal(source)
		must(t, err)
		return fmt.Sprintf(`{"_index":"carts@0123456789abcdef","_id":%q,"found":true,"_seq_no":1,"_primary_term":1,"sort":[%[1]q],"_source":%s}`, r.ID, text)
	}
	var before, after []string
	fresh := long("e", "ann", time.Hour)
	for _, r := range []model.Record{long("a", "ann", time.Hour), long("b", "ann", time.Hour), long("c", "ann", time.Hour), long("d", "ann", time.Hour), long("e", "ann", time.Hour)} {
		before = append(before, doc(r, short))
	}
	corrupt := strings.Replace(doc(long("d", "ann", time.Hour), whole), `"format":1`, `"format":"x"`, 1)
	after = append(after, doc(long("a", "bob", time.Hour), whole), `{"_index":"carts@0123456789abcdef","_id":"b","found":false}`, doc(long("c", "ann", -time.Hour), whole), corrupt, doc(fresh, whole))
	b, _ := fake(t,
		canned{200, `{"_shards":{"failed":0}}`},
		canned{200, `{"hits":{"hits":[` + strings.Join(before, ",") + `]}}`},
		canned{200, `{"docs":[` + strings.Join(after, ",") + `]}`})
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 10})
	if err != nil || len(p.Records) != 1 || p.Records[0].Revision != fresh.Revision || !bytes.Equal(p.Records[0].Value, fresh.Value) || fmt.Sprint(p.Corrupt) != "[d]" || p.Next != "" {
		t.Errorf("%d records, corrupt %v, next %q, %v", len(p.Records), p.Corrupt, p.Next, err)
	}
}
