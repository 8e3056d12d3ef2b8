package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// clause is a part of a query in Elasticsearch's query language.
type clause = map[string]any

// ofFormat matches the documents that this version can read.
var ofFormat = clause{"term": clause{fieldFormat: formatVersion}}

// listed matches the documents that have a place in a listing.
var listed = clause{"exists": clause{"field": fieldID}}

func expiredAt(at time.Time) clause {
	return clause{"range": clause{fieldExpires: clause{"lte": at.UnixMilli()}}}
}

// matching returns the clauses for a query's records and one more.
func matching(q *driver.Query, more clause) []clause {
	if q.Label == "" {
		return []clause{more}
	}
	return []clause{{"term": clause{fieldLabels + "." + q.Label: q.Value}}, more}
}

// query is a search.
type query struct {
	filter, not []clause
	sort        []string
	after       []json.RawMessage // the sort values of the last document before
	size        int               // zero: count only
	read        part
}

// body returns the request's body.
func (q *query) body(excludes []string) clause {
	match := clause{"filter": q.filter}
	if len(q.not) > 0 {
		match["must_not"] = q.not
	}
	body := clause{"query": clause{"bool": match}, "size": q.size, "track_total_hits": q.size == 0}
	if q.size == 0 {
		return body
	}
	body["sort"], body["seq_no_primary_term"] = q.sort, true
	if len(excludes) > 0 {
		body["_source"] = clause{"excludes": excludes}
	}
	if len(q.after) > 0 {
		body["search_after"] = q.after
	}
	return body
}

// searchReply is the reply to a search.
type searchReply struct {
	TimedOut bool `json:"timed_out"`
	Hits     struct {
		Total struct {
			Value int `json:"value"`
		} `json:"total"`
		Hits []foundDoc `json:"hits"`
	} `json:"hits"`
}

// search returns the documents that a search finds. If the server is short of
// memory, it asks for half as many, and sets q.size.
func (b *Backend) search(ctx context.Context, q *query) ([]foundDoc, error) {
	for try := 1; ; try++ {
		res, err := b.searchAll(ctx, q)
		switch {
		case err == nil:
			return res.Hits.Hits, nil
		case !isBreaker(err) || q.size <= minSearch:
			return nil, err
		}
		q.size = max(minSearch, q.size/2)
		if err := driverkit.Pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// minSearch is the smallest size of a search: a document, and one that tells
// whether there are more.
const minSearch = 2

// searchAll returns ErrUnavailable if a shard cannot answer.
func (b *Backend) searchAll(ctx context.Context, q *query) (*searchReply, error) {
	body, err := marshal(q.body(b.excludes(q.read)))
	if err != nil {
		return nil, err
	}
	var res searchReply
	if err := b.read(ctx, "/_search?allow_partial_search_results=false", body, &res, func(body []byte) error {
		var raw struct {
			Hits struct {
				Hits []onlySource `json:"hits"`
			} `json:"hits"`
		}
		if err := decodeReply(body, &raw); err != nil {
			return err
		}
		return isolate(res.Hits.Hits, raw.Hits.Hits)
	}); err != nil {
		return nil, err
	}
	if res.TimedOut {
		return nil, model.NewError(model.ErrUnavailable, "the search timed out on the server", nil)
	}
	return &res, nil
}

// refresh makes all acknowledged writes visible to searches. Concurrent calls
// share a refresh, but only one that starts after they do.
func (b *Backend) refresh(ctx context.Context) error {
	return b.refreshes.do(ctx, func(ctx context.Context) error {
		var res struct {
			Shards struct {
				Failed int `json:"failed"`
			} `json:"_shards"`
		}
		if err := b.read(ctx, "/_refresh", nil, &res, nil); err != nil {
			return err
		}
		if res.Shards.Failed > 0 {
			return model.NewError(model.ErrUnavailable, "a shard cannot refresh", nil)
		}
		return nil
	})
}

// refresher lets concurrent calls share refreshes.
type refresher struct {
	mu      sync.Mutex
	running *refreshing // started: too early for a new call
	next    *refreshing // starts after the running one
}

// refreshing is one refresh. The mutex guards its fields except the channel.
type refreshing struct {
	done      chan struct{}
	ended     bool
	err       error
	cancelled bool // by its caller: the waiting calls need another one
}

// do returns the result of a refresh that starts after the call of do. One of
// the calls that wait for it carries it out.
func (r *refresher) do(ctx context.Context, refresh func(context.Context) error) error {
	var mine *refreshing
	for {
		r.mu.Lock()
		if mine != nil && mine.ended && !mine.cancelled {
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
		if r.running == nil { // mine has not started, so it is the next one
			r.running, r.next = mine, nil
			r.mu.Unlock()
			return r.run(ctx, mine, refresh)
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

func (r *refresher) run(ctx context.Context, mine *refreshing, refresh func(context.Context) error) error {
	err := refresh(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	mine.ended, mine.err, mine.cancelled = true, err, err != nil && ctx.Err() != nil
	r.running = nil
	close(mine.done)
	return err
}

// maxPage is the maximum number of records that a page has.
const maxPage = 1000

// place is the position of a page's token: the last id of the page before, and
// the number of documents that its bytes allowed, or zero. An id has no NUL.
type place struct {
	id   string
	fits int
}

func (p place) String() string {
	if p.fits == 0 {
		return p.id
	}
	return p.id + "\x00" + strconv.Itoa(p.fits)
}

func placeOf(position string) place {
	id, fits, _ := strings.Cut(position, "\x00")
	n, _ := strconv.Atoi(fits) // the token's checksum covers it
	return place{id, n}
}

// size returns the number of documents that a search for the page asks for. The
// server reads long values from its disk even if it does not send them. So it is
// asked for twice as many as fitted into the page before.
func (p place) size(q *driver.Query) int {
	size := min(q.Limit, maxPage)
	if p.fits > 0 && !q.KeysOnly {
		size = min(size, 2*p.fits)
	}
	return size
}

// Page lists live records in the order of their ids: one refresh, which
// concurrent calls share, one search, and an _mget for each 8 MB of values that
// are longer than 8 KB. The position of its token is the last id of the page.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	from := placeOf(position)
	search := &query{
		filter: matching(&q, listed), not: []clause{expiredAt(now)},
		sort: []string{fieldID}, size: from.size(&q) + 1, read: short, // the extra one tells whether there are more
	}
	if q.KeysOnly {
		search.read = noMore
	}
	if from.id != "" {
		after, err := marshal(from.id)
		if err != nil {
			return driver.Page{}, err
		}
		search.after = []json.RawMessage{after}
	}
	if err := b.refresh(ctx); err != nil {
		return driver.Page{}, err
	}
	docs, err := b.search(ctx, search)
	if err != nil {
		return driver.Page{}, err
	}
	next := place{fits: 2 * from.fits}
	if next.fits >= maxPage {
		next.fits = 0
	}
	more := len(docs) >= search.size
	return b.page(ctx, now, &q, docs[:min(len(docs), search.size-1)], more, next)
}

// page returns the page of the documents that a search has found, and says
// whether others follow. Next is what its token has unless the bytes end it.
func (b *Backend) page(ctx context.Context, now time.Time, q *driver.Query, docs []foundDoc, more bool, next place) (driver.Page, error) {
	read, ids, found := short, make([]string, len(docs)), make([]stored, len(docs))
	if q.KeysOnly {
		read = noMore
	}
	for i := range docs {
		ids[i], found[i] = docs[i].ID, b.decode(&docs[i], read)
	}
	n := len(docs)
	if !q.KeysOnly {
		var err error
		if n, err = b.fill(ctx, ids, found, driver.PageBytes); err != nil {
			return driver.Page{}, err
		}
	}
	var page driver.Page
	var size driverkit.PageSize
	for i := range found[:n] {
		switch s := &found[i]; {
		case errors.Is(s.err, model.ErrCorrupt):
			page.Corrupt = append(page.Corrupt, ids[i])
		case errors.Is(s.err, model.ErrNotFound): // removed since the search
		case s.err != nil:
			return driver.Page{}, s.err
		case !s.rec.Expired(now) && q.Bears(&s.rec): // it may have changed since the search
			page.Records = append(page.Records, s.rec)
			if size.Add(&s.rec) {
				next.fits = n
			}
		}
	}
	if more || n < len(docs) {
		last, err := sortedID(&docs[n-1])
		if err != nil {
			return driver.Page{}, err
		}
		next.id = last
		page.Next = b.gate.Token(q, next.String())
	}
	return page, nil
}

// sortedID returns the id that a listing sorted the document by. A corrupt
// document may have another one than its _id.
func sortedID(d *foundDoc) (string, error) {
	var id string
	if len(d.Sort) != 1 || json.Unmarshal(d.Sort[0], &id) != nil || id == "" {
		return "", badRead()
	}
	return id, nil
}

// Count counts live records: one refresh, which concurrent calls share, and one
// search that returns no records.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	if err := b.refresh(ctx); err != nil {
		return 0, err
	}
	res, err := b.searchAll(ctx, &query{filter: matching(&q, ofFormat), not: []clause{expiredAt(now)}})
	if err != nil {
		return 0, err
	}
	return res.Hits.Total.Value, nil
}
