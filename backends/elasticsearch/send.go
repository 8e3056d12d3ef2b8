package elasticsearch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// action is one item of a _bulk.
type action struct {
	verb    string      // index, create, update or delete
	id      string      // of the document
	version *docVersion // the version that the document must have; nil means no such condition
	source  func() any  // nil for a delete; made only when it is sent
	task    *task       // what the action decides; nil if that does not depend on the time
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
// names, is gone, or exists already under create.
func (r *itemResult) conflict() bool {
	return r.err == nil && !r.noIndex() && (r.Status == http.StatusConflict || r.Status == http.StatusNotFound)
}

// noIndex reports whether no alias has the name that the action is sent to.
func (r *itemResult) noIndex() bool { return r.Error != nil && r.Error.decides() == typeNoIndex }

func (b *Backend) version(r *itemResult) docVersion {
	return docVersion{b.epochOf(r.Index), r.Seq, r.Term}
}

// bulk sends the actions, each once, and returns their results in order. An
// action that was not sent when the context ended has the context's error. One
// that was not sent because its request was too late has errLapsed.
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
			b.sendBulk(ctx, next, actions[from:i], out[from:i])
			from, next = i, bulkBody{} // the client may still hold the bytes of the last one
		}
		next.add(item)
	}
	if len(actions) > 0 {
		b.sendBulk(ctx, next, actions[from:], out[from:])
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
func (b *Backend) sendBulk(ctx context.Context, body bulkBody, actions []action, out []itemResult) {
	if err := b.gate.Enter(ctx); err != nil {
		failAll(out, err)
		return
	}
	margin, ok := b.begin(actions)
	if !ok {
		failAll(out, errLapsed)
		return
	}
	p := b.progress()
	p.margin = margin
	r, err := b.do(ctx, http.MethodPost, "/"+b.name+"/_bulk?require_alias=true", typeNDJSON, body.data, p)
	if actions[0].task != nil {
		actions[0].task.call.end(tasksOf(actions), p.wait())
	}
	switch {
	case p.lapsed.Load():
		failAll(out, errLapsed)
		return
	case err != nil:
		failAll(out, b.writeError(ctx, p, err))
		return
	}
	if r.status != http.StatusOK {
		c := causeOf(r.body)
		if len(out) > 1 && (r.status == http.StatusRequestEntityTooLarge || c.decides() == typeBreaker) {
			first, second := body.halves() // nothing was applied
			n := len(first.ends)
			b.sendBulk(ctx, first, actions[:n], out[:n])
			b.sendBulk(ctx, second, actions[n:], out[n:])
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

// begin begins a request with the actions. It returns how long that may wait for a
// connection, or zero for any time. It reports false if it is too late already: a
// record that an action is based on expired while the call waited.
func (b *Backend) begin(actions []action) (margin time.Duration, ok bool) {
	if actions[0].task == nil {
		return 0, true
	}
	actions[0].task.call.begin(tasksOf(actions))
	for i := range actions {
		t := actions[i].task
		if t.lapsed() {
			return 0, false
		}
		if left := t.left(); left > 0 && (margin == 0 || left < margin) {
			margin = left
		}
	}
	return margin, true
}

func tasksOf(actions []action) []*task {
	out := make([]*task, len(actions))
	for i := range actions {
		out[i] = actions[i].task
	}
	return out
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

// progress records how far a request came, and how long it waited for a
// connection. It prevents the client from sending a write again after bytes may
// have left: the client asks for the body first, after errors and after statuses,
// and progress refuses it.
type progress struct {
	repeats bool             // a read, which the client may send again
	clock   driverkit.Waited // only its stopwatch is used
	margin  time.Duration    // a write that waits for that time is too late; zero: none is

	req    *http.Request
	asked  atomic.Bool // net/http has asked for a connection
	got    atomic.Bool // it has a connection: bytes may have left
	read   atomic.Bool // the body was read, by net/http or another transport
	denied atomic.Bool // the client tried to send the write again
	left   atomic.Bool // the call ended and the client did not
	lapsed atomic.Bool // the write was too late and is not sent

	// The client's last request for a connection is that for this request. Those
	// before it may be for credentials, or for nodes that could not be reached.
	began, waited, failed atomic.Int64
	waits                 atomic.Bool // for a connection
}

// watch returns the request to send.
func (p *progress) watch(req *http.Request) *http.Request {
	p.req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) {
			at := int64(p.clock.Read())
			if p.waits.Swap(true) {
				p.failed.Add(at - p.began.Load())
			}
			p.began.Store(at)
			p.waited.Store(p.failed.Load())
			if !p.asked.Swap(true) && !p.repeats {
				p.guard()
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			p.waits.Store(false)
			if !info.WasIdle { // else it was there
				p.waited.Store(p.failed.Load() + int64(p.clock.Read()) - p.began.Load())
			}
			p.got.Store(true)
		},
	}))
	if p.repeats {
		return p.req
	}
	body := p.req.GetBody
	p.req.GetBody = func() (io.ReadCloser, error) {
		if !p.asked.Load() { // the transport is not net/http and reports nothing
			return p.deny()
		}
		return p.watched(body()) // net/http asks, and has written nothing yet
	}
	p.req.Body = &watchedBody{p.req.Body, p}
	return p.req
}

// guard replaces the function that the client calls for the body. It runs in
// the first attempt. By then net/http has copied the request, and a client that
// compresses bodies has set its own function.
func (p *progress) guard() {
	body := p.req.GetBody
	p.req.GetBody = func() (io.ReadCloser, error) {
		if p.got.Load() {
			return p.deny()
		}
		return p.watched(body()) // no node was reached: the client may try another
	}
}

func (p *progress) watched(body io.ReadCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return &watchedBody{body, p}, nil
}

func (p *progress) deny() (io.ReadCloser, error) {
	p.denied.Store(true)
	return nil, errSentOnce
}

// wait returns how long the request waited for its connection.
func (p *progress) wait() time.Duration { return time.Duration(p.waited.Load()) }

// watchedBody records whether it was read. If the write is too late, it has no
// bytes: a server does not carry out a request that lacks its body.
type watchedBody struct {
	io.ReadCloser
	p *progress
}

func (w *watchedBody) Read(to []byte) (int, error) {
	w.p.read.Store(true)
	if w.p.margin > 0 && w.p.got.Load() && w.p.wait() >= w.p.margin {
		w.p.lapsed.Store(true)
	}
	if w.p.lapsed.Load() {
		return 0, errLapsed
	}
	return w.ReadCloser.Read(to)
}

// sent reports whether bytes may have left this process.
func (p *progress) sent(err error) bool {
	switch {
	case p.left.Load(): // it may still send
		return true
	case driverkit.IsDial(err):
		return false
	case p.asked.Load():
		return p.got.Load()
	}
	return p.read.Load()
}
