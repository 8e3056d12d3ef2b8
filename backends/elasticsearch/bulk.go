package elasticsearch

import (
	"bytes"
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
	// bulkItems and bulkBytes are the limits of one _bulk: an action that
	// reaches one of them is its last.
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
	Source json.RawMessage   `json:"_source"`
	Sort   []json.RawMessage `json:"sort"`
	Error  *cause            `json:"error"`
}

// stored is the record with an id and its version, or the error of reading it:
// ErrNotFound if nothing is stored.
type stored struct {
	rec     model.Record
	version docVersion
	err     error
}

// decode decodes a document that was found.
func (b *Backend) decode(d *foundDoc, head bool) stored {
	rec, err := decode(d.ID, d.Source, head)
	if err != nil {
		return stored{err: err}
	}
	s := stored{rec: rec, version: docVersion{b.epochOf(d.Index), d.Seq, d.Term}}
	s.rec.ServerVersion = s.version.serverVersion(&s.rec)
	return s
}

// excludes returns the fields that a read leaves out.
func (b *Backend) excludes(head bool) []string {
	switch {
	case head:
		return []string{fieldValue, fieldBytes, fieldJSON}
	case b.queryable:
		return []string{fieldJSON}
	}
	return nil
}

// mget reads documents by id, in real time. It returns one result for each id,
// in order.
func (b *Backend) mget(ctx context.Context, ids []string, head bool) ([]stored, error) {
	path := "/_mget"
	if fields := b.excludes(head); len(fields) > 0 {
		path += "?_source_excludes=" + strings.Join(fields, ",")
	}
	body, err := marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	var res struct {
		Docs []foundDoc `json:"docs"`
	}
	if err := b.read(ctx, path, body, &res); err != nil {
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
			if d.Error.decides() == typeNoIndex {
				return nil, out[i].err // the same for every id
			}
		case d.ID != id:
			return nil, badRead()
		case !d.Found:
			out[i].err = model.ErrNotFound
		default:
			out[i] = b.decode(d, head)
		}
	}
	return out, nil
}

// GetMany reads records, 100 with each _mget.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	for from := 0; ok && from < len(gets); from += getBatch {
		batch := gets[from:min(from+getBatch, len(gets))]
		docs, err := b.mget(ctx, driverkit.IDs(batch), false)
		if err != nil {
			for i := range out[from:] {
				out[from+i].Err = err
			}
			break
		}
		for i := range docs {
			out[from+i].Record, out[from+i].Err = docs[i].live(now)
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
	source  any         // nil for a delete
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
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	from := 0
	for i, a := range actions {
		h := header{ID: a.id}
		if a.version != nil {
			h.Index, h.Seq, h.Term = b.epochAlias(a.version.epoch), &a.version.seq, &a.version.term
		}
		err := e.Encode(map[string]header{a.verb: h})
		if err == nil && a.source != nil {
			err = e.Encode(a.source)
		}
		if err != nil { // no record causes this
			failAll(out[from:], model.NewError(model.ErrInvalid, "the record cannot be encoded", err))
			return out
		}
		if i+1 == len(actions) || i+1-from >= bulkItems || body.Len() >= bulkBytes {
			b.sendBulk(ctx, body.Bytes(), out[from:i+1])
			from = i + 1
			body = bytes.Buffer{} // the client may still hold the bytes of the last one
		}
	}
	return out
}

func failAll(out []itemResult, err error) {
	for i := range out {
		out[i].err = err
	}
}

// sendBulk sends one _bulk. It requires aliases, so that the server does not
// create an index if the store has none.
func (b *Backend) sendBulk(ctx context.Context, body []byte, out []itemResult) {
	if err := b.gate.Enter(ctx); err != nil {
		failAll(out, err)
		return
	}
	p := &progress{}
	r, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_bulk?require_alias=true", typeNDJSON, body, p)
	if err != nil {
		failAll(out, p.writeError(ctx, err))
		return
	}
	if r.status != http.StatusOK {
		failAll(out, b.replyError(r.status, causeOf(r.body), true))
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
