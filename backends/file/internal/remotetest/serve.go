package remotetest

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"sync"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Backend has the interfaces of the file backend that the suite uses.
type Backend interface {
	driver.ModelExpirySupport
	driver.Counter
	driver.StorageManager
}

// Serve answers calls until in ends, each on a goroutine of its own. Open opens
// the backend of a store.
func Serve(in io.Reader, out io.Writer, open func(name string) (Backend, error)) error {
	s := &server{
		open: open, out: newSender(out), nodes: map[uint64]Backend{},
		cancels: map[uint64]context.CancelFunc{}, refusals: map[uint64]chan string{},
	}
	dec := gob.NewDecoder(in)
	for {
		var r request
		if err := dec.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		s.receive(&r)
	}
}

type server struct {
	open func(name string) (Backend, error)
	out  *sender

	mu       sync.Mutex
	nodes    map[uint64]Backend
	cancels  map[uint64]context.CancelFunc
	refusals map[uint64]chan string // by call: why its announcement was refused
}

// receive starts a call, or passes a message to a running call.
func (s *server) receive(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Op {
	case opCancel:
		if cancel := s.cancels[r.Seq]; cancel != nil {
			cancel()
		}
		return
	case opAnnounced:
		if c := s.refusals[r.Seq]; c != nil {
			c <- r.Refused
		}
		return
	case opOpen:
		b, err := s.open(r.Name)
		s.nodes[r.Node] = b
		_ = s.out.send(&answer{Seq: r.Seq, Err: pack(err)})
		return
	}
	b := s.nodes[r.Node]
	ctx, cancel := context.WithCancel(context.Background())
	if r.Ended.OutOfTime {
		ctx, cancel = context.WithTimeout(context.Background(), 0)
	} else if r.Ended.Canceled {
		cancel()
	}
	s.cancels[r.Seq] = cancel
	s.refusals[r.Seq] = make(chan string, 1)
	go func() {
		a := s.call(ctx, b, r)
		a.Seq = r.Seq
		cancel()
		s.mu.Lock()
		delete(s.cancels, r.Seq)
		delete(s.refusals, r.Seq)
		s.mu.Unlock()
		_ = s.out.send(a)
	}()
}

func (s *server) call(ctx context.Context, b Backend, r *request) *answer {
	var a answer
	var err error
	switch r.Op {
	case opGet:
		a.Record, err = b.Get(ctx, r.Now, r.Get)
	case opWrite:
		a.Record, err = b.Write(ctx, r.Now, r.Write)
	case opTouch:
		a.Record, err = b.Touch(ctx, r.Now, r.Touch)
	case opDelete:
		err = b.Delete(ctx, r.Now, r.Delete)
	case opPage:
		a.Page, err = b.Page(ctx, r.Now, r.Query)
	case opSweep:
		sweep := driver.Sweep{Before: r.Now, Limit: r.Limit}
		if r.Announces {
			sweep.OnExpire = s.announcer(r.Seq)
		}
		a.Swept, err = b.DeleteExpired(ctx, sweep)
	case opCount:
		a.Count, err = b.Count(ctx, r.Now, r.Query)
	case opCreateStorage:
		err = b.CreateStorage(ctx)
	case opDeleteStorage:
		err = b.DeleteStorage(ctx)
	case opDescribe:
		a.Desc = b.Describe()
	case opClose:
		err = b.Close()
	}
	a.Err = pack(err)
	return &a
}

// announcer returns the OnExpire of a sweep, which asks the client.
func (s *server) announcer(seq uint64) func(model.Record) error {
	s.mu.Lock()
	refused := s.refusals[seq]
	s.mu.Unlock()
	return func(r model.Record) error {
		if err := s.out.send(&answer{Seq: seq, Announces: true, Record: r}); err != nil {
			return err
		}
		if text := <-refused; text != "" {
			return errors.New(text)
		}
		return nil
	}
}
