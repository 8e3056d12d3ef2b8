package elasticsearch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// shelf answers to searches in the order of the field id, as Elastic's page
// "Paginate search results" has it. All documents but the first with an id have
// another _id, as those of another program.
type shelf struct {
	t       testing.TB
	docs    []model.Record
	refuses func(size int) bool // a search of that size, as a circuit breaker does
	meet    func()              // at each search
}

func (s *shelf) Perform(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	if requestName(r, body) == "_refresh" {
		return answer(http.StatusOK, refreshed), nil
	}
	var q struct {
		Size  int      `json:"size"`
		After []string `json:"search_after"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	s.meet()
	if s.refuses(q.Size) {
		return answer(http.StatusTooManyRequests, tooMuch), nil
	}
	text, n, last := "", 0, ""
	for i := range s.docs {
		id := s.docs[i].ID
		name := id
		if id == last {
			name = fmt.Sprint(id, "-", i)
		}
		last = id
		if n == q.Size || len(q.After) > 0 && id <= q.After[0] {
			continue
		}
		n++
		text += fmt.Sprintf(`,{"_index":"carts@0123456789abcdef","_id":%q,"_seq_no":1,"_primary_term":1,"sort":[%q],"_source":%s}`, name, id, docSource(s.t, s.docs[i]))
	}
	return answer(http.StatusOK, `{"hits":{"hits":[`+text[min(1, len(text)):]+`]}}`), nil
}

// shelved returns n documents with the id "b" between those with "a" and "c".
func shelved(n int) (docs []model.Record) {
	docs = append(docs, drivertest.Record("a", "", time.Minute))
	for range n {
		docs = append(docs, drivertest.Record("b", "", time.Minute))
	}
	return append(docs, drivertest.Record("c", "", time.Minute))
}

// TestEarlierSearchesCount has a page that searches again: after a refusal, or for
// more documents with one id. The records expire during the first search.
func TestEarlierSearchesCount(t *testing.T) {
	for name, refused := range map[string]bool{"refused": true, "of one id": false} {
		for takes, want := range map[time.Duration]int{time.Minute - time.Millisecond: 1, time.Minute: 0} {
			t.Run(fmt.Sprint(name, " ", takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var watch stopwatch
					searches := 0
					s := &shelf{t: t, docs: shelved(4)[1:], meet: func() {
						if searches++; searches == 1 {
							watch.pass(takes)
						}
					}}
					s.refuses = func(int) bool { return refused && searches == 1 }
					b := watch.of(newBackend(t, clientFunc(s.Perform), "carts", nil))
					p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 2, KeysOnly: true})
					if must(t, err); len(p.Records) != want || searches < 2 {
						t.Errorf("%d records by %d searches, want %d", len(p.Records), searches, want)
					}
				})
			})
		}
	}
}
