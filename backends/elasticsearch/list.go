package elasticsearch

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// clause is a part of a query, as Elasticsearch has it.
type clause = map[string]any

// current leaves out what is no record of this format.
var current = clause{"term": clause{fieldFormat: formatVersion}}

// listed leaves out documents that have no place in a listing.
var listed = clause{"exists": clause{"field": fieldID}}

func dueAt(at time.Time) clause {
	return clause{"range": clause{fieldExpires: clause{"lte": at.UnixMilli()}}}
}

// bears is the records with a label's value; none for every record.
func bears(label, value string) []clause {
	if label == "" {
		return nil
	}
	return []clause{{"term": clause{fieldLabels + "." + label: value}}}
}

// query is a search.
type query struct {
	filter, not []clause
	sort        []string
	after       []json.RawMessage // the sort values that the last page ended with
	size        int
	head        bool // without values
}

// body is the search as the server takes it: without a size it counts.
func (q *query) body(leaveOut []string) clause {
	match := clause{"filter": q.filter}
	if len(q.not) > 0 {
		match["must_not"] = q.not
	}
	body := clause{"query": clause{"bool": match}, "size": q.size, "track_total_hits": q.size == 0}
	if q.size == 0 {
		return body
	}
	body["sort"], body["seq_no_primary_term"] = q.sort, true
	if len(leaveOut) > 0 {
		body["_source"] = clause{"excludes": leaveOut}
	}
	if len(q.after) > 0 {
		body["search_after"] = q.after
	}
	return body
}

// searched is a search's answer.
type searched struct {
	TimedOut bool `json:"timed_out"`
	Hits     struct {
		Total struct {
			Value int `json:"value"`
		} `json:"total"`
		Hits []found `json:"hits"`
	} `json:"hits"`
}

func (b *Backend) search(ctx context.Context, q *query) ([]found, error) {
	res, err := b.searchAll(ctx, q)
	if err != nil {
		return nil, err
	}
	return res.Hits.Hits, nil
}

// searchAll fails rather than leave out what a shard could not answer.
func (b *Backend) searchAll(ctx context.Context, q *query) (*searched, error) {
	body, err := marshal(q.body(b.leaveOut(q.head)))
	if err != nil {
		return nil, err
	}
	a, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_search?allow_partial_search_results=false", typeJSON, body, nil)
	if err != nil {
		return nil, readFault(ctx, err)
	}
	if a.status != http.StatusOK {
		return nil, b.answered(a.status, causeOf(a.body), false)
	}
	var res searched
	if json.Unmarshal(a.body, &res) != nil || res.TimedOut {
		return nil, model.NewError(model.ErrUnavailable, "", errStrange)
	}
	return &res, nil
}

// refresh makes all acknowledged writes visible to searches. Calls at a time
// share one, but only one that began after they did: what was acknowledged
// before a call is in its refresh.
func (b *Backend) refresh(ctx context.Context) error {
	return b.refreshes.do(ctx, func(ctx context.Context) error {
		a, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_refresh", typeJSON, nil, nil)
		if err != nil {
			return readFault(ctx, err)
		}
		if a.status != http.StatusOK {
			return b.answered(a.status, causeOf(a.body), false)
		}
		var res struct {
			Shards struct {
				Failed int `json:"failed"`
			} `json:"_shards"`
		}
		if json.Unmarshal(a.body, &res) != nil {
			return model.NewError(model.ErrUnavailable, "", errStrange)
		}
		if res.Shards.Failed > 0 {
			return model.NewError(model.ErrUnavailable, "a shard cannot refresh", nil)
		}
		return nil
	})
}

// refresher lets calls share refreshes.
type refresher struct {
	mu      sync.Mutex
	running *refreshing // has begun: too early for a new call
	next    *refreshing // begins when the running one has ended
}

// refreshing is one refresh. The mutex guards all but the channel.
type refreshing struct {
	done  chan struct{}
	ended bool
	err   error
	void  bool // its call was cancelled, which says nothing to the others
}

// do returns the outcome of a refresh that begins after the call does. One of
// those who wait for it carries it out.
func (r *refresher) do(ctx context.Context, refresh func(context.Context) error) error {
	var mine *refreshing
	for {
		r.mu.Lock()
		if mine != nil && mine.ended && !mine.void {
			err := mine.err
			r.mu.Unlock()
			return err
		}
		if mine == nil || mine.ended {
			if r.next == nil {
				r.next = &refreshing{done: make(chan struct{})}
			}
			mine = r.next
		}
		if r.running == nil { // what has neither ended nor begun is the next
			r.running, r.next = mine, nil
			r.mu.Unlock()
			return r.carryOut(ctx, mine, refresh)
		}
		running := r.running
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-running.done:
		}
	}
}

func (r *refresher) carryOut(ctx context.Context, mine *refreshing, refresh func(context.Context) error) error {
	err := refresh(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	mine.ended, mine.err, mine.void = true, err, err != nil && ctx.Err() != nil
	r.running = nil
	close(mine.done)
	return err
}

// maxPage bounds what one search answers with.
const maxPage = 1000

// Page lists live records in the order of their ids: a refresh, which
// concurrent calls share, and one search.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if err := b.checkLabel(q.Label); err != nil {
		return driver.Page{}, err
	}
	if q.Limit < 1 {
		return driver.Page{}, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	after, err := b.parseToken(&q)
	if err != nil {
		return driver.Page{}, err
	}
	if err := b.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	if err := b.refresh(ctx); err != nil {
		return driver.Page{}, err
	}
	size := min(q.Limit, maxPage)
	hits, err := b.search(ctx, &query{
		filter: append(bears(q.Label, q.Value), listed), not: []clause{dueAt(now)},
		sort: []string{fieldID}, after: after, size: size + 1, head: q.KeysOnly, // one more says whether there is more
	})
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	if len(hits) > size {
		hits = hits[:size]
		if page.Next, err = b.token(&q, hits[size-1].Sort); err != nil {
			return driver.Page{}, err
		}
	}
	for i := range hits {
		switch s := b.stored(&hits[i], q.KeysOnly); {
		case s.err != nil:
			page.Corrupt = append(page.Corrupt, hits[i].ID)
		case !s.rec.Expired(now):
			page.Records = append(page.Records, s.rec)
		}
	}
	return page, nil
}

// Count counts live records: a refresh, which concurrent calls share, and one
// search without hits.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.checkLabel(q.Label); err != nil {
		return 0, err
	}
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	if err := b.refresh(ctx); err != nil {
		return 0, err
	}
	res, err := b.searchAll(ctx, &query{filter: append(bears(q.Label, q.Value), current), not: []clause{dueAt(now)}})
	if err != nil {
		return 0, err
	}
	return res.Hits.Total.Value, nil
}

func (b *Backend) checkLabel(label string) error {
	if label != "" && !slices.Contains(b.labels, label) {
		return model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	return nil
}

// Tokens hold a version, the id that a page ended with, and a checksum over
// that and what the listing is of.
const tokenVersion = 1

func (b *Backend) token(q *driver.Query, sort []json.RawMessage) (string, error) {
	var id string
	if len(sort) != 1 || json.Unmarshal(sort[0], &id) != nil || id == "" {
		return "", model.NewError(model.ErrUnavailable, "", errStrange)
	}
	raw := append([]byte{tokenVersion}, id...)
	raw = binary.BigEndian.AppendUint32(raw, b.tokenSum(q, raw))
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

func (b *Backend) tokenSum(q *driver.Query, raw []byte) uint32 {
	sum := crc32.NewIEEE()
	for _, part := range []string{b.name, q.Label, q.Value} {
		_, _ = sum.Write(append([]byte(part), 0))
	}
	_, _ = sum.Write(raw)
	return sum.Sum32()
}

// parseToken is where to go on from; nil for the beginning.
func (b *Backend) parseToken(q *driver.Query) ([]json.RawMessage, error) {
	if q.After == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < 6 || raw[0] != tokenVersion || binary.BigEndian.Uint32(raw[len(raw)-4:]) != b.tokenSum(q, raw[:len(raw)-4]) {
		return nil, model.NewError(model.ErrInvalid, "no page token of this listing", nil)
	}
	id, err := marshal(string(raw[1 : len(raw)-4]))
	return []json.RawMessage{id}, err
}
