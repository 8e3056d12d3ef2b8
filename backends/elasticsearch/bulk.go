package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// getBatch is how many documents one _mget reads.
	getBatch = 100
	// bulkItems and bulkBytes are where a _bulk is sent and the next one begun.
	bulkItems = 500
	bulkBytes = 8 << 20
)

// found is a document as reads answer it.
type found struct {
	Index  string            `json:"_index"`
	ID     string            `json:"_id"`
	Found  bool              `json:"found"`
	Seq    int64             `json:"_seq_no"`
	Term   int64             `json:"_primary_term"`
	Source json.RawMessage   `json:"_source"`
	Sort   []json.RawMessage `json:"sort"`
	Error  *cause            `json:"error"`
}

// stored is what is under an id: the record and its version, or why there is
// none.
type stored struct {
	rec model.Record
	at  position
	err error // ErrNotFound where nothing is stored
}

// stored decodes a document that is there.
func (b *Backend) stored(f *found, head bool) stored {
	rec, err := decode(f.ID, f.Source, head)
	if err != nil {
		return stored{err: err}
	}
	s := stored{rec: rec, at: position{b.epochOf(f.Index), f.Seq, f.Term}}
	s.rec.ServerVersion = s.at.hint(&s.rec)
	return s
}

// leaveOut are the fields that a read leaves out.
func (b *Backend) leaveOut(head bool) []string {
	switch {
	case head:
		return []string{fieldValue, fieldBytes, fieldJSON}
	case b.queryable:
		return []string{fieldJSON}
	}
	return nil
}

// mget reads documents by id, in real time: one answer for each, in order.
func (b *Backend) mget(ctx context.Context, ids []string, head bool) ([]stored, error) {
	path := "/" + b.name + "/_mget"
	for i, field := range b.leaveOut(head) {
		if i == 0 {
			path += "?_source_excludes="
		} else {
			path += ","
		}
		path += field
	}
	body, err := marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	a, err := b.do(ctx, http.MethodPost, path, typeJSON, body, nil)
	if err != nil {
		return nil, readFault(ctx, err)
	}
	if a.status != http.StatusOK {
		return nil, b.answered(a.status, causeOf(a.body), false)
	}
	var res struct {
		Docs []found `json:"docs"`
	}
	if json.Unmarshal(a.body, &res) != nil || len(res.Docs) != len(ids) {
		return nil, model.NewError(model.ErrUnavailable, "", errStrange)
	}
	out := make([]stored, len(ids))
	for i, id := range ids {
		switch f := &res.Docs[i]; {
		case f.Error != nil:
			out[i].err = b.answered(http.StatusInternalServerError, *f.Error, false)
			if f.Error.Type == typeNoIndex {
				return nil, out[i].err // of all of them
			}
		case f.ID != id:
			return nil, model.NewError(model.ErrUnavailable, "", errStrange)
		case !f.Found:
			out[i].err = model.ErrNotFound
		default:
			out[i] = b.stored(f, head)
		}
	}
	return out, nil
}

// marshal encodes without the escapes that are for browsers.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return buf.Bytes(), err
}

// GetMany reads records, 100 with each _mget.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	fail := func(from int, err error) []driver.BatchResult {
		for i := range out[from:] {
			out[from+i] = driver.BatchResult{Err: err}
		}
		return out
	}
	for from := 0; from < len(gets); from += getBatch {
		if err := b.enter(ctx); err != nil {
			return fail(from, err)
		}
		batch := gets[from:min(from+getBatch, len(gets))]
		docs, err := b.mget(ctx, driverkit.IDs(batch), false)
		if err != nil {
			return fail(from, err)
		}
		for i, s := range docs {
			out[from+i] = driver.BatchResult{Record: s.rec, Err: s.err}
			if s.err == nil && s.rec.Expired(now) {
				out[from+i] = driver.BatchResult{Err: model.ErrNotFound}
			}
		}
	}
	return out
}

// WriteMany carries out the operations together: one _mget for those that must
// look first, and one _bulk for up to 500, each with its own condition.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	tasks := make([]*task, len(ops))
	for i, op := range ops {
		if op.Write != nil {
			tasks[i] = b.writeTask(now, op.Write)
		} else {
			tasks[i] = deleteTask(now, op.Delete.ID, op.Delete.Cond, &op.Delete.Known)
		}
	}
	b.run(ctx, now, tasks)
	out := make([]driver.BatchResult, len(ops))
	for i, t := range tasks {
		out[i] = driver.BatchResult{Record: t.rec, Err: t.err}
	}
	return out
}

// action is one item of a _bulk.
type action struct {
	verb   string    // index, create, update or delete
	id     string    // of the document
	at     *position // the version that it must have; nil: any, or none under create
	source any       // nil for a delete
}

// header is an action's first line.
type header struct {
	Index string `json:"_index,omitempty"`
	ID    string `json:"_id"`
	Seq   *int64 `json:"if_seq_no,omitempty"`
	Term  *int64 `json:"if_primary_term,omitempty"`
}

// result is what became of an action.
type result struct {
	Index  string `json:"_index"`
	ID     string `json:"_id"`
	Seq    int64  `json:"_seq_no"`
	Term   int64  `json:"_primary_term"`
	Status int    `json:"status"`
	Error  *cause `json:"error"`

	fault error // of the whole request; the rest is empty then
}

func (r *result) ok() bool {
	return r.fault == nil && r.Error == nil && (r.Status == http.StatusOK || r.Status == http.StatusCreated)
}

// conflict reports whether the document was not at the version that the action
// names, or was there under create.
func (r *result) conflict() bool {
	return r.fault == nil && (r.Status == http.StatusConflict || r.Status == http.StatusNotFound)
}

// noIndex reports whether the name that the action goes to is no alias.
func (r *result) noIndex() bool { return r.Error != nil && r.Error.Type == typeNoIndex }

func (b *Backend) position(r *result) position { return position{b.epochOf(r.Index), r.Seq, r.Term} }

// bulk sends the actions, each once, and returns what became of each, in order.
// What was not sent when the context ended has the context's error.
func (b *Backend) bulk(ctx context.Context, actions []action) []result {
	out := make([]result, len(actions))
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	from := 0
	for i, a := range actions {
		h := header{ID: a.id}
		if a.at != nil {
			h.Index, h.Seq, h.Term = b.epochAlias(a.at.epoch), &a.at.seq, &a.at.term
		}
		err := e.Encode(map[string]header{a.verb: h})
		if err == nil && a.source != nil {
			err = e.Encode(a.source)
		}
		if err != nil { // nothing of what records are made of
			body.Reset()
			setFault(out[from:], model.NewError(model.ErrInvalid, "the record cannot be encoded", err))
			return out
		}
		if i+1 == len(actions) || i+1-from >= bulkItems || body.Len() >= bulkBytes {
			b.bulkOnce(ctx, body.Bytes(), out[from:i+1])
			from = i + 1
			body = bytes.Buffer{} // the client may still hold the other's bytes
		}
	}
	return out
}

func setFault(out []result, err error) {
	for i := range out {
		out[i].fault = err
	}
}

// bulkOnce sends one _bulk. It names aliases only: the server must not make an
// index of that name where there is none.
func (b *Backend) bulkOnce(ctx context.Context, body []byte, out []result) {
	if err := b.enter(ctx); err != nil {
		setFault(out, err)
		return
	}
	m := &mark{}
	a, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_bulk?require_alias=true", typeNDJSON, body, m)
	if err != nil {
		setFault(out, writeFault(ctx, err, m))
		return
	}
	if a.status != http.StatusOK {
		setFault(out, b.answered(a.status, causeOf(a.body), true))
		return
	}
	var res struct {
		Items []map[string]result `json:"items"`
	}
	if json.Unmarshal(a.body, &res) != nil || len(res.Items) != len(out) {
		setFault(out, model.NewError(model.ErrUnknown, "", errStrange))
		return
	}
	for i, item := range res.Items {
		out[i].fault = model.NewError(model.ErrUnknown, "", errStrange)
		for _, r := range item { // one verb
			out[i] = r
		}
	}
}

// itemFault is the error of an action that failed for another reason than its
// condition.
func (b *Backend) itemFault(r *result) error {
	if r.fault != nil {
		return r.fault
	}
	var c cause
	if r.Error != nil {
		c = *r.Error
	}
	return b.answered(r.Status, c, true)
}
