package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
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
		filter: matching(&q, listed), live: now,
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
	w := b.waited()
	if err := b.refresh(ctx, w); err != nil {
		return driver.Page{}, err
	}
	docs, n, more, err := b.searchPage(ctx, w, search)
	if err != nil {
		return driver.Page{}, err
	}
	next := place{fits: 2 * from.fits}
	if next.fits >= maxPage {
		next.fits = 0
	}
	return b.page(ctx, w.Now(now), &q, docs, n, more, next)
}

// searchPage searches for the documents of a page, and again for more only if all
// that it has found have one id. It returns how many of them the page has, and
// whether the listing goes on after those.
func (b *Backend) searchPage(ctx context.Context, w *driverkit.Waited, search *query) (docs []foundDoc, n int, more bool, err error) {
	limit := search.size - 1
	before, began := *w, w.Read()
	for {
		had := len(docs)
		if docs, err = b.search(ctx, w, search); err != nil {
			return nil, 0, false, err
		}
		full := len(docs) == search.size // there may be more
		n = wholeID(docs, min(len(docs), search.size-1, limit))
		if n < len(docs) || !full || search.size > maxPage {
			return docs, n, full || n < len(docs), nil
		}
		if len(docs) <= had {
			return nil, 0, false, model.NewError(model.ErrUnavailable, "the server can only return fewer documents than have one id: is it short of memory?", nil)
		}
		search.size = min(2*search.size, maxPage+1)
		*w = *before.Since(began) // the next search waited for this one
	}
}

// wholeID returns the end of a page of about n documents that has all with its last
// id or none of them. Several have it only if another program wrote some.
func wholeID(docs []foundDoc, n int) int {
	tied := func(i int) bool {
		return i > 0 && i < len(docs) && len(docs[i].Sort) == 1 && len(docs[i-1].Sort) == 1 && bytes.Equal(docs[i].Sort[0], docs[i-1].Sort[0])
	}
	end := n
	for tied(end) {
		end--
	}
	if end > 0 {
		return end
	}
	for end = n; tied(end); {
		end++
	}
	return end
}

// page returns the page of the first n documents that a search has found. More says
// that the listing goes on after them. Next is what the token has unless the bytes
// end the page.
func (b *Backend) page(ctx context.Context, now time.Time, q *driver.Query, docs []foundDoc, n int, more bool, next place) (driver.Page, error) {
	docs = docs[:n]
	read, ids, found := short, make([]string, n), make([]stored, n)
	if q.KeysOnly {
		read = noMore
	}
	for i := range docs {
		ids[i], found[i] = docs[i].ID, b.decode(&docs[i], read)
	}
	if !q.KeysOnly {
		clock := b.waited()
		began := clock.Read()
		filled, err := b.fill(ctx, ids, found, driver.PageBytes)
		n = wholeID(docs, filled)
		if err == nil && n > filled {
			for i := range found[filled:n] { // they waited for those before
				if d := &found[filled+i]; d.lacks {
					d.waited += clock.Read() - began
				}
			}
			_, err = b.fill(ctx, ids[filled:n], found[filled:n], 0)
		}
		if err != nil {
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
		case !s.expired(now) && q.Bears(&s.rec): // it may have changed since the search
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
	w := b.waited()
	if err := b.refresh(ctx, w); err != nil {
		return 0, err
	}
	res, err := b.searchAll(ctx, w, &query{filter: matching(&q, ofFormat), live: now})
	if err != nil {
		return 0, err
	}
	return res.Hits.Total.Value, nil
}
