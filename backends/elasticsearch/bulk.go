package elasticsearch

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// getBatch is the maximum number of documents that one _mget reads.
	getBatch = 100
	// batchBytes is the maximum size of the values that one request reads
	// together. A longer value is read alone. The reply, with the escapes of
	// JSON and the room for its growth, takes less than 32 MB.
	batchBytes = 8 << 20
	// bulkItems and bulkBytes are the limits of one _bulk. A larger action is
	// sent alone.
	bulkItems = 500
	bulkBytes = 8 << 20
)

// foundDoc is a document in the reply to an _mget or a search.
type foundDoc struct {
	Index  string            `json:"_index"`
	ID     string            `json:"_id"`
	Found  bool              `json:"found"`
	Seq    int64             `json:"_seq_no"`
	Term   int64             `json:"_primary_term"`
	Source source            `json:"_source"`
	Sort   []json.RawMessage `json:"sort"`
	Error  *cause            `json:"error"`
}

// stored is the record with an id and its version, or the error of reading it:
// ErrNotFound if nothing is stored.
type stored struct {
	rec     model.Record
	version docVersion
	err     error
	lacks   bool // the value is long and was not read
	size    int  // of the value in bytes; -1: it was not read, and the document is older than its field
}

// decode decodes a document that was found.
func (b *Backend) decode(d *foundDoc, read part) stored {
	rec, err := d.Source.record(d.ID, read)
	if err != nil {
		return stored{err: err}
	}
	s := stored{rec: rec, version: docVersion{b.epochOf(d.Index), d.Seq, d.Term}, size: len(rec.Value)}
	switch {
	case d.Source.Size != nil:
		s.size = max(0, *d.Source.Size)
	case read == noMore:
		s.size = -1
	}
	s.lacks = read == short && d.Source.lacks()
	s.rec.ServerVersion = s.version.serverVersion(&s.rec)
	return s
}

// excludes returns the fields that a read leaves out.
func (b *Backend) excludes(read part) []string {
	switch {
	case read == noMore:
		return []string{fieldValue, fieldBytes, fieldLongText, fieldLongData, fieldJSON}
	case read == short:
		return []string{fieldLongText, fieldLongData, fieldJSON}
	case b.queryable:
		return []string{fieldJSON}
	}
	return nil
}

// mget reads documents by id, in real time. It returns one result for each id,
// in order.
func (b *Backend) mget(ctx context.Context, ids []string, read part) ([]stored, error) {
	path := "/_mget"
	if fields := b.excludes(read); len(fields) > 0 {
		path += "?_source_excludes=" + strings.Join(fields, ",")
	}
	body, err := marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	var res struct {
		Docs []foundDoc `json:"docs"`
	}
	if err := b.read(ctx, path, body, &res, func(body []byte) error {
		var raw struct {
			Docs []onlySource `json:"docs"`
		}
		if err := decodeReply(body, &raw); err != nil {
			return err
		}
		return isolate(res.Docs, raw.Docs)
	}); err != nil {
		return nil, err
	}
	if len(res.Docs) != len(ids) {
		return nil, badRead()
	}
	out := make([]stored, len(ids))
	for i, id := range ids {
		switch d := &res.Docs[i]; {
		case d.Error != nil:
			out[i].err = b.replyError(http.StatusInternalServerError, *d.Error, false)
			if kind := d.Error.decides(); kind == typeNoIndex || kind == typeBreaker {
				return nil, out[i].err // the same for every id
			}
		case d.ID != id:
			return nil, badRead()
		case !d.Found:
			out[i].err = model.ErrNotFound
		default:
			out[i] = b.decode(d, read)
		}
	}
	return out, nil
}

// mgetShorter is mget in halves, for a server that is short of memory.
func (b *Backend) mgetShorter(ctx context.Context, ids []string, read part) ([]stored, error) {
	var out []stored
	n := len(ids)
	for try := 0; len(out) < len(ids); {
		docs, err := b.mget(ctx, ids[len(out):min(len(out)+n, len(ids))], read)
		switch {
		case err == nil:
			out = append(out, docs...)
		case !isBreaker(err) || n == 1:
			return nil, err
		default:
			n, try = (n+1)/2, try+1
			if err := driverkit.Pause(ctx, try); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// fill reads the long values that the results lack, batchBytes at a time. A
// document may have changed since: the result is then the new one. Fill stops
// after the results whose values reach limit, and returns how many it filled.
// No limit is zero.
func (b *Backend) fill(ctx context.Context, ids []string, docs []stored, limit int) (filled int, err error) {
	total := 0
	for filled < len(docs) {
		// The next batch: a run of results, of which those that lack a value
		// are read.
		var lacking []int
		var want []string
		end, batch, planned := filled, 0, total
		for ; end < len(docs); end++ {
			d := &docs[end]
			if d.lacks {
				if len(want) > 0 && (batch+d.size > batchBytes || len(want) == getBatch) {
					break
				}
				batch += d.size
				lacking, want = append(lacking, end), append(want, ids[end])
			}
			if planned += d.size; limit > 0 && planned >= limit {
				end++
				break
			}
		}
		if len(want) > 0 {
			if err := ctx.Err(); err != nil {
				return filled, err
			}
			read, err := b.mgetShorter(ctx, want, whole)
			if err != nil {
				return filled, err
			}
			for i, at := range lacking {
				docs[at] = read[i]
			}
		}
		for ; filled < end; filled++ {
			if total += len(docs[filled].rec.Value); limit > 0 && total >= limit {
				return filled + 1, nil
			}
		}
	}
	return filled, nil
}

// GetMany reads records, 100 with each _mget, and long values with further
// ones, 8 MB with each.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	for from := 0; ok && from < len(gets); from += getBatch {
		ids := driverkit.IDs(gets[from:min(from+getBatch, len(gets))])
		read := short
		if len(ids) == 1 {
			read = whole
		}
		docs, err := b.mgetShorter(ctx, ids, read)
		done := 0
		if err == nil {
			done, err = b.fill(ctx, ids, docs, 0)
		}
		for i := range done {
			out[from+i].Record, out[from+i].Err = docs[i].live(now)
		}
		if err != nil {
			for i := range out[from+done:] {
				out[from+done+i].Err = err
			}
			break
		}
	}
	return out
}

// live returns the record if it is live, else an error.
func (s *stored) live(now time.Time) (model.Record, error) {
	if s.err != nil {
		return model.Record{}, s.err
	}
	if s.rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return s.rec, nil
}

// WriteMany carries out the operations together, each under its own condition:
// one _mget for 100 of those that must read first, and one _bulk for up to 500.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	tasks := make([]*task, len(valid))
	for i, n := range valid {
		if ops[n].Write != nil {
			tasks[i] = newWriteTask(now, ops[n].Write)
		} else {
			tasks[i] = newDeleteTask(now, ops[n].Delete)
		}
	}
	b.run(ctx, now, tasks)
	for i, n := range valid {
		out[n] = driver.BatchResult{Record: tasks[i].rec, Err: tasks[i].err}
	}
	return out
}

// action is one item of a _bulk.
type action struct {
	verb    string      // index, create, update or delete
	id      string      // of the document
	version *docVersion // the version that the document must have; nil means no such condition
	source  func() any  // nil for a delete; made only when it is sent
}

// header is the first line of an action.
type header struct {
	Index string `json:"_index,omitempty"`
	ID    string `json:"_id"`
	Seq   *int64 `json:"if_seq_no,omitempty"`
	Term  *int64 `json:"if_primary_term,omitempty"`
}

// itemResult is the result of an action.
type itemResult struct {
	Index  string `json:"_index"`
	ID     string `json:"_id"`
	Seq    int64  `json:"_seq_no"`
	Term   int64  `json:"_primary_term"`
	Status int    `json:"status"`
	Error  *cause `json:"error"`

	err error // the error of the whole request; the other fields are zero then
}

func (r *itemResult) ok() bool {
	return r.err == nil && r.Error == nil && (r.Status == http.StatusOK || r.Status == http.StatusCreated)
}

// conflict reports whether the document has another version than the action
// names, or exists already under create.
func (r *itemResult) conflict() bool {
	return r.err == nil && (r.Status == http.StatusConflict || r.Status == http.StatusNotFound)
}

// noIndex reports whether no alias has the name that the action is sent to.
func (r *itemResult) noIndex() bool { return r.Error != nil && r.Error.decides() == typeNoIndex }

func (b *Backend) version(r *itemResult) docVersion {
	return docVersion{b.epochOf(r.Index), r.Seq, r.Term}
}

// bulk sends the actions, each once, and returns their results in order. An
// action that was not sent when the context ended has the context's error.
func (b *Backend) bulk(ctx context.Context, actions []action) []itemResult {
	out := make([]itemResult, len(actions))
	var next bulkBody
	from := 0
	for i := range actions {
		item, err := b.encodeAction(&actions[i])
		if err != nil { // no record causes this
			failAll(out[from:], model.NewError(model.ErrInvalid, "the record cannot be encoded", err))
			return out
		}
		if n := len(next.ends); n > 0 && (n >= bulkItems || len(next.data)+len(item) > bulkBytes) {
			b.sendBulk(ctx, next, out[from:i])
			from, next = i, bulkBody{} // the client may still hold the bytes of the last one
		}
		next.add(item)
	}
	if len(actions) > 0 {
		b.sendBulk(ctx, next, out[from:])
	}
	return out
}

// encodeAction returns the lines of an action.
func (b *Backend) encodeAction(a *action) ([]byte, error) {
	h := header{ID: a.id}
	if a.version != nil {
		h.Index, h.Seq, h.Term = b.epochAlias(a.version.epoch), &a.version.seq, &a.version.term
	}
	lines, err := marshal(map[string]header{a.verb: h})
	if err != nil || a.source == nil {
		return lines, err
	}
	source, err := marshal(a.source())
	if len(source) > bulkBytes/2 { // a copy less of a large one
		return append(append(make([]byte, 0, len(lines)+len(source)), lines...), source...), err
	}
	return append(lines, source...), err
}

// bulkBody is the body of a _bulk.
type bulkBody struct {
	data []byte
	ends []int // of each action in data
}

func (p *bulkBody) add(item []byte) {
	if p.data == nil {
		p.data = item
	} else {
		p.data = append(p.data, item...)
	}
	p.ends = append(p.ends, len(p.data))
}

// halves returns the body as two, of about the same number of actions.
func (p *bulkBody) halves() (first, second bulkBody) {
	n := len(p.ends) / 2
	at := p.ends[n-1]
	first = bulkBody{p.data[:at:at], p.ends[:n]}
	second.data = p.data[at:]
	for _, end := range p.ends[n:] {
		second.ends = append(second.ends, end-at)
	}
	return first, second
}

func failAll(out []itemResult, err error) {
	for i := range out {
		out[i].err = err
	}
}

// sendBulk sends one _bulk, or two halves of it if the server refuses its size.
// It requires aliases, so that the server does not create an index if the store
// has none.
func (b *Backend) sendBulk(ctx context.Context, body bulkBody, out []itemResult) {
	if err := b.gate.Enter(ctx); err != nil {
		failAll(out, err)
		return
	}
	p := &progress{}
	r, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_bulk?require_alias=true", typeNDJSON, body.data, p)
	if err != nil {
		failAll(out, b.writeError(ctx, p, err))
		return
	}
	if r.status != http.StatusOK {
		c := causeOf(r.body)
		if len(out) > 1 && (r.status == http.StatusRequestEntityTooLarge || c.decides() == typeBreaker) {
			first, second := body.halves() // nothing was applied
			b.sendBulk(ctx, first, out[:len(first.ends)])
			b.sendBulk(ctx, second, out[len(first.ends):])
			return
		}
		failAll(out, b.replyError(r.status, c, true))
		return
	}
	var res struct {
		Items []map[string]itemResult `json:"items"`
	}
	if json.Unmarshal(r.body, &res) != nil || len(res.Items) != len(out) {
		failAll(out, driverkit.BadReply())
		return
	}
	for i, item := range res.Items {
		if len(item) == 0 {
			out[i].err = driverkit.BadReply()
		}
		for _, r := range item { // it has one verb
			out[i] = r
		}
	}
}

// itemError returns the error of an action that failed for another reason than
// its condition.
func (b *Backend) itemError(r *itemResult) error {
	if r.err != nil {
		return r.err
	}
	var c cause
	if r.Error != nil {
		c = *r.Error
	}
	return b.replyError(r.Status, c, true)
}
