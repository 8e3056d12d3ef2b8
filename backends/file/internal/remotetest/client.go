package remotetest

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Client calls a Serve in another process.
type Client struct {
	out   *sender
	seq   atomic.Uint64
	calls atomic.Int64

	mu      sync.Mutex
	waiting map[uint64]chan *answer
	ended   error
}

// NewClient returns a client that writes requests to w and reads answers from r.
func NewClient(r io.Reader, w io.Writer) *Client {
	c := &Client{out: newSender(w), waiting: map[uint64]chan *answer{}}
	go c.receive(gob.NewDecoder(r))
	return c
}

// Calls returns the number of calls that the server has answered.
func (c *Client) Calls() int64 { return c.calls.Load() }

// receive passes answers to their calls until the server ends. Then all waiting
// and later calls return an error.
func (c *Client) receive(dec *gob.Decoder) {
	for {
		a := &answer{}
		if err := dec.Decode(a); err != nil {
			c.mu.Lock()
			c.ended = model.NewError(model.ErrUnknown, "the other process has ended", err)
			for _, w := range c.waiting {
				close(w)
			}
			clear(c.waiting)
			c.mu.Unlock()
			return
		}
		c.mu.Lock()
		w := c.waiting[a.Seq]
		if !a.Announces {
			delete(c.waiting, a.Seq)
		}
		c.mu.Unlock()
		if w != nil {
			w <- a
		}
	}
}

// call sends a request and waits for its answer. OnExpire gets the announcements
// of a sweep.
func (c *Client) call(ctx context.Context, r *request, onExpire func(model.Record) error) (*answer, error) {
	r.Seq, r.Ended = c.seq.Add(1), pack(ctx.Err())
	answers := make(chan *answer, 1)
	c.mu.Lock()
	err := c.ended
	c.waiting[r.Seq] = answers
	c.mu.Unlock()
	if err == nil {
		err = c.out.send(r)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.out.send(&request{Seq: r.Seq, Op: opCancel}) })
	defer stop()
	for a := range answers {
		if !a.Announces {
			c.calls.Add(1)
			return a, a.Err.unpack()
		}
		c.announce(r.Seq, a.Record, onExpire)
	}
	return nil, c.ended
}

// announce also answers if onExpire ends its goroutine, as a failing test does.
func (c *Client) announce(seq uint64, rec model.Record, onExpire func(model.Record) error) {
	refused := "the test has ended"
	defer func() { _ = c.out.send(&request{Seq: seq, Op: opAnnounced, Refused: refused}) }()
	if err := onExpire(rec); err != nil {
		refused = err.Error()
		return
	}
	refused = ""
}

// Node is a backend in the other process.
type Node struct {
	c  *Client
	id uint64
}

var _ Backend = (*Node)(nil)

// Open opens a backend in the other process.
func (c *Client) Open(name string) (*Node, error) {
	n := &Node{c: c, id: c.seq.Add(1)}
	_, err := c.call(context.Background(), &request{Op: opOpen, Node: n.id, Name: name}, nil)
	return n, err
}

// do makes a call. The answer is empty if none arrives.
func (n *Node) do(ctx context.Context, r request, onExpire func(model.Record) error) (*answer, error) {
	r.Node = n.id
	a, err := n.c.call(ctx, &r, onExpire)
	if a == nil {
		a = &answer{}
	}
	return a, err
}

// Get calls the other process.
func (n *Node) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	a, err := n.do(ctx, request{Op: opGet, Now: now, Get: g}, nil)
	return a.Record, err
}

// Write calls the other process.
func (n *Node) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	a, err := n.do(ctx, request{Op: opWrite, Now: now, Write: w}, nil)
	return a.Record, err
}

// Touch calls the other process.
func (n *Node) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	a, err := n.do(ctx, request{Op: opTouch, Now: now, Touch: t}, nil)
	return a.Record, err
}

// Delete calls the other process.
func (n *Node) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	_, err := n.do(ctx, request{Op: opDelete, Now: now, Delete: d}, nil)
	return err
}

// Page calls the other process.
func (n *Node) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	a, err := n.do(ctx, request{Op: opPage, Now: now, Query: q}, nil)
	return a.Page, err
}

// DeleteExpired calls the other process. OnExpire runs in this one.
func (n *Node) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	a, err := n.do(ctx, request{Op: opSweep, Now: s.Before, Limit: s.Limit, Announces: s.OnExpire != nil}, s.OnExpire)
	return a.Swept, err
}

// Count calls the other process.
func (n *Node) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	a, err := n.do(ctx, request{Op: opCount, Now: now, Query: q}, nil)
	return a.Count, err
}

// CreateStorage calls the other process.
func (n *Node) CreateStorage(ctx context.Context) error {
	return onlyErr(n.do(ctx, request{Op: opCreateStorage}, nil))
}

// DeleteStorage calls the other process.
func (n *Node) DeleteStorage(ctx context.Context) error {
	return onlyErr(n.do(ctx, request{Op: opDeleteStorage}, nil))
}

// Describe calls the other process.
func (n *Node) Describe() driver.Description {
	a, _ := n.do(context.Background(), request{Op: opDescribe}, nil)
	return a.Desc
}

// Close calls the other process.
func (n *Node) Close() error {
	return onlyErr(n.do(context.Background(), request{Op: opClose}, nil))
}

func onlyErr(_ *answer, err error) error { return err }

// Both is one backend in two processes. Its calls go to them in turn.
type Both struct {
	nodes [2]Backend
	turn  atomic.Uint64
}

// NewBoth returns a Both whose first call goes to far, the next to near, and so
// on.
func NewBoth(near, far Backend) *Both { return &Both{nodes: [2]Backend{near, far}} }

var _ Backend = (*Both)(nil)

func (b *Both) next() Backend { return b.nodes[b.turn.Add(1)%2] }

// Get forwards to the next process.
func (b *Both) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	return b.next().Get(ctx, now, g)
}

// Write forwards to the next process.
func (b *Both) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	return b.next().Write(ctx, now, w)
}

// Touch forwards to the next process.
func (b *Both) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	return b.next().Touch(ctx, now, t)
}

// Delete forwards to the next process.
func (b *Both) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return b.next().Delete(ctx, now, d)
}

// Page forwards to the next process.
func (b *Both) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	return b.next().Page(ctx, now, q)
}

// DeleteExpired forwards to the next process.
func (b *Both) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	return b.next().DeleteExpired(ctx, s)
}

// Count forwards to the next process.
func (b *Both) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	return b.next().Count(ctx, now, q)
}

// CreateStorage forwards to the next process.
func (b *Both) CreateStorage(ctx context.Context) error { return b.next().CreateStorage(ctx) }

// DeleteStorage forwards to the next process.
func (b *Both) DeleteStorage(ctx context.Context) error { return b.next().DeleteStorage(ctx) }

// Describe forwards to the next process.
func (b *Both) Describe() driver.Description { return b.next().Describe() }

// Close closes the backend in both processes.
func (b *Both) Close() error { return errors.Join(b.nodes[0].Close(), b.nodes[1].Close()) }
