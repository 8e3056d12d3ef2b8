package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// query is a search.
type query struct {
	filter []clause
	sort   []string
	after  []json.RawMessage // the sort values of the last document before
	size   int               // zero: count only
	read   part
	live   time.Time // the records that are live then, or if zero, also the others
}

// body returns the request's body, for a call that has waited.
func (q *query) body(excludes []string, w *driverkit.Waited) clause {
	match := clause{"filter": q.filter}
	if !q.live.IsZero() {
		match["must_not"] = expiredAt(w.Now(q.live))
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

// oneCopy has the same copy of a shard answer all reads of all programs. A write
// that is not acknowledged yet is on some copies only: a read of one could return
// it, and a later read of another the record before. Elasticsearch chooses a copy
// by any text that does not begin with an underscore, and by the shard, and another
// one if that copy is gone.
const oneCopy = "preference=sojourn"

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

// search returns the documents that a search finds. It asks for fewer if that was
// too much for the server, and sets q.size.
func (b *Backend) search(ctx context.Context, w *driverkit.Waited, q *query) ([]foundDoc, error) {
	q.size = b.searches.most(q.size)
	before, began := *w, w.Read()
	for try := 1; ; try++ {
		res, err := b.searchAll(ctx, w, q)
		again := b.searches.learn(ctx, q.size, err) && q.size > minSearch
		switch {
		case err == nil:
			return res.Hits.Hits, nil
		case !again:
			return nil, err
		}
		q.size = max(minSearch, q.size/2)
		if err := driverkit.Pause(ctx, try); err != nil {
			return nil, err
		}
		*w = *before.Since(began)
	}
}

// minSearch is the smallest size of a search: a document, and one that tells
// whether there are more.
const minSearch = 2

// portion is how many documents a request may ask for. It shrinks when that is
// too much for the server, for later calls too: a call whose time is over cannot
// try again itself. It grows again by an eighth with each success.
type portion struct{ n atomic.Int64 } // zero: no limit

// most returns how many documents to ask for, of those that are wanted.
func (p *portion) most(want int) int {
	if n := int(p.n.Load()); n > 0 {
		return min(want, n)
	}
	return want
}

// learn takes the outcome of a request for that number of documents. It reports whether
// the call should ask for half as many at once. It should not after the time of a
// call or request is over, since the server may be stuck.
func (p *portion) learn(ctx context.Context, asked int, err error) (again bool) {
	switch n := int(p.n.Load()); {
	case err == nil:
		if n > 0 && asked >= n {
			more := n + n/8 + 1
			if more > maxPage {
				more = 0
			}
			p.n.CompareAndSwap(int64(n), int64(more))
		}
	case isTooMuch(err), errors.Is(err, errLimit), errors.Is(ctx.Err(), context.DeadlineExceeded):
		if n == 0 || asked <= n { // else another call has learned it
			p.n.CompareAndSwap(int64(n), int64(max(minSearch, asked/2)))
		}
		return isTooMuch(err)
	}
	return false
}

// searchAll returns ErrUnavailable if a shard cannot answer.
func (b *Backend) searchAll(ctx context.Context, w *driverkit.Waited, q *query) (*searchReply, error) {
	body, err := marshal(q.body(b.excludes(q.read), w))
	if err != nil {
		return nil, err
	}
	var res searchReply
	if err := b.read(ctx, w, "/_search?allow_partial_search_results=false&"+oneCopy, body, &res, func(body []byte) error {
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
		return nil, model.NewError(model.ErrUnavailable, "the search timed out on the server: see search.default_search_timeout of the cluster", tooMuchError{errTimedOut})
	}
	return &res, nil
}

// refresh makes all acknowledged writes visible to searches. Concurrent calls
// share a refresh, but only one that starts after they do.
func (b *Backend) refresh(ctx context.Context, w *driverkit.Waited) error {
	return b.refreshes.do(ctx, w, func(ctx context.Context) error {
		var res struct {
			Shards struct {
				Failed int `json:"failed"`
			} `json:"_shards"`
		}
		if err := b.read(ctx, w, "/_refresh", nil, &res, nil); err != nil {
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
// the calls that wait for it carries it out. W counts the wait for those of others.
func (r *refresher) do(ctx context.Context, w *driverkit.Waited, refresh func(context.Context) error) error {
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
		if err := w.During(func() error { return running.wait(ctx) }); err != nil {
			return err
		}
	}
}

// wait waits for the end of the refresh.
func (r *refreshing) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return nil
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
