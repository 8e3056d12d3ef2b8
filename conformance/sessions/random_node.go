package sessions

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// newerNode is the backend of a node with a newer version of this module: what
// it writes has a version that no other node reads.
type newerNode struct {
	driverkit.Wrapper
	ids map[string]bool // written so
}

func newNewerNode(b driver.ModelExpirySupport) *newerNode {
	return &newerNode{driverkit.Wrap(b), map[string]bool{}}
}

// wrote reports whether the session's row is of the newer version.
func (n *newerNode) wrote(l *life) bool { return n != nil && l != nil && n.ids[l.handle] }

// A compact row begins with a mark and its version. That of the newer node ends
// with a field that this module does not know.
var (
	versionNow  = []byte{0xC1, 3}
	versionNext = []byte{0xC1, 99}
	newField    = []byte{63<<1 | 1, 3, 'n', 'e', 'w'}
)

func (n *newerNode) raise(rec *model.Record) {
	if rest, ok := bytes.CutPrefix(rec.Value, versionNow); ok {
		rec.Value = slices.Concat(versionNext, rest, newField)
	}
}

func (n *newerNode) lower(rec *model.Record) {
	if rest, ok := bytes.CutPrefix(rec.Value, versionNext); ok {
		rec.Value = slices.Concat(versionNow, bytes.TrimSuffix(rest, newField))
	}
}

// Get returns the row in the version of this module.
func (n *newerNode) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	rec, err := n.ModelExpirySupport.Get(ctx, now, g)
	n.lower(&rec)
	return rec, err
}

// GetMany is Get for each.
func (n *newerNode) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := driver.GetMany(ctx, n.ModelExpirySupport, now, gets)
	for i := range out {
		n.lower(&out[i].Record)
	}
	return out
}

// Write stores the row in the newer version.
func (n *newerNode) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	n.raise(&w.Record)
	rec, err := n.ModelExpirySupport.Write(ctx, now, w)
	if err == nil {
		n.ids[w.Record.ID] = true
	}
	n.lower(&rec)
	return rec, err
}

// WriteMany is Write for each.
func (n *newerNode) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	for i := range ops {
		if w := ops[i].Write; w != nil {
			next := *w
			n.raise(&next.Record)
			n.ids[w.Record.ID] = true
			ops[i].Write = &next
		}
	}
	out := driver.WriteMany(ctx, n.ModelExpirySupport, now, ops)
	for i := range out {
		n.lower(&out[i].Record)
	}
	return out
}

// Page lists in the version of this module.
func (n *newerNode) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	p, err := n.ModelExpirySupport.Page(ctx, now, q)
	for i := range p.Records {
		n.lower(&p.Records[i])
	}
	return p, err
}

// seen keeps the status of an answer.
type seen struct {
	http.ResponseWriter
	status int
}

func (s *seen) WriteHeader(code int) {
	if s.status == 0 {
		s.status = code
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *seen) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(p)
}
