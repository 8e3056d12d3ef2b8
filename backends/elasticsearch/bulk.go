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
	lacks   bool          // the value is long and was not read
	waited  time.Duration // what the read waited for in this process
	size    int           // of the value in bytes; -1: it was not read, and the document is older than its field
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
	path := "/_mget?" + oneCopy
	if fields := b.excludes(read); len(fields) > 0 {
		path += "&_source_excludes=" + strings.Join(fields, ",")
	}
	body, err := marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	var res struct {
		Docs []foundDoc `json:"docs"`
	}
	w := b.waited()
	if err := b.read(ctx, w, path, body, &res, func(body []byte) error {
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
		out[i].waited = waitedOf(w)
	}
	return out, nil
}

// waitedMore returns the results of a request that had to wait for its turn.
func waitedMore(docs []stored, turn time.Duration) []stored {
	for i := range docs {
		docs[i].waited += turn
	}
	return docs
}

// mgetShorter is mget in halves, for a server that is short of memory.
func (b *Backend) mgetShorter(ctx context.Context, ids []string, read part) ([]stored, error) {
	var out []stored
	n := b.gets.most(len(ids))
	clock := b.waited()
	for began, requests, try := clock.Read(), 0, 0; len(out) < len(ids); requests++ {
		turn := time.Duration(0)
		if requests > 0 {
			turn = clock.Read() - began
		}
		part := ids[len(out):min(len(out)+n, len(ids))]
		docs, err := b.mget(ctx, part, read)
		again := b.gets.learn(ctx, len(part), err) && n > 1
		switch {
		case err == nil:
			out = append(out, waitedMore(docs, turn)...)
		case !again:
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
	total, clock := 0, b.waited()
	for began, requests := clock.Read(), 0; filled < len(docs); {
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
			turn := time.Duration(0)
			if requests++; requests > 1 {
				turn = clock.Read() - began
			}
			read, err := b.mgetShorter(ctx, want, whole)
			if err != nil {
				return filled, err
			}
			for i, at := range lacking {
				turn := turn + docs[at].waited
				docs[at] = read[i]
				docs[at].waited += turn
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
	clock := b.waited()
	began := clock.Read()
	for from := 0; ok && from < len(gets); from += getBatch {
		ids := driverkit.IDs(gets[from:min(from+getBatch, len(gets))])
		read := short
		if len(ids) == 1 {
			read = whole
		}
		turn := time.Duration(0)
		if from > 0 {
			turn = clock.Read() - began
		}
		docs, err := b.mgetShorter(ctx, ids, read)
		waitedMore(docs, turn)
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

// expired reports whether the record has expired, as of the time of a call that
// waited for it.
func (s *stored) expired(now time.Time) bool {
	return s.rec.Expired(now.Add(s.waited.Truncate(time.Millisecond)))
}

// live returns the record if it is live, else an error.
func (s *stored) live(now time.Time) (model.Record, error) {
	if s.err != nil {
		return model.Record{}, s.err
	}
	if s.expired(now) {
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
	b.run(ctx, now, tasks...)
	for i, n := range valid {
		out[n] = driver.BatchResult{Record: tasks[i].rec, Err: tasks[i].err}
	}
	return out
}

// call is what the tasks of a call share.
type call struct {
	now      time.Time
	clock    driverkit.Waited // only its stopwatch is used
	requests int              // how many have begun
}

// turn is what a task has waited for. While a request is under way, the tasks
// that have no part in it wait.
type turn struct {
	waited  driverkit.Waited
	request int           // the last request that it had a part in, or no part: its turn was counted
	ended   time.Duration // when that ended, by the stopwatch
}

// begin begins a request for the tasks. A task that had to wait for others counts
// that.
func (c *call) begin(tasks []*task) {
	at := c.clock.Read()
	for _, t := range tasks {
		t.count(c, at)
	}
	c.requests++
}

// count counts the wait until now if there was a request of other tasks.
func (t *task) count(c *call, at time.Duration) {
	if t.request < c.requests {
		t.waited.Add(at - t.ended)
	}
}

// end ends a request for the tasks. It waited that time for its connection.
func (c *call) end(tasks []*task, waited time.Duration) {
	at := c.clock.Read()
	for _, t := range tasks {
		t.waited.Add(waited)
		t.request, t.ended = c.requests, at
	}
}

// pause waits before another attempt.
func (c *call) pause(ctx context.Context, tasks []*task, attempt int) error {
	began := c.clock.Read()
	err := driverkit.Pause(ctx, attempt)
	took := c.clock.Read() - began
	for _, t := range tasks {
		t.count(c, began)
	}
	c.end(tasks, took)
	return err
}
