package elasticsearch

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

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
