package mongo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// proxy stands between a client and the server and records the commands. Each
// command waits for its answer, so it is one round trip.
type proxy struct {
	*faultnet.TCPProxy
	mu   sync.Mutex
	sent []bson.Raw
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{}
	p.TCPProxy = faultnet.NewTCPProxy(t, faultnet.Protocol{
		ReadAnswer: readMessage,
		ReadRequest: func(in *bufio.Reader) (raw []byte, names []string, err error) {
			if raw, err = readMessage(in); err != nil {
				return nil, nil, err
			}
			if body := command(raw); body != nil && !ownCommand(body.Index(0).Key()) {
				names = []string{body.Index(0).Key()}
			}
			return raw, names, nil
		},
		Sent: func(raw []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sent = append(p.sent, slices.Clone(command(raw)))
		},
	})
	return p
}

// through returns the options of a client of the server behind the proxy.
func (p *proxy) through(t testing.TB, server containers.Server) *options.ClientOptions {
	t.Helper()
	addr, err := p.Addr(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return options.Client().ApplyURI(server.URL).SetHosts([]string{addr}).SetDirect(true)
}

// take returns the commands since the last call.
func (p *proxy) take() (names []string, sent []bson.Raw) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, p.sent = p.sent, nil
	return p.Requests(), sent
}

// readMessage reads one message of MongoDB's wire protocol.
func readMessage(in *bufio.Reader) ([]byte, error) {
	size, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, binary.LittleEndian.Uint32(size))
	_, err = io.ReadFull(in, raw)
	return raw, err
}

const opMsg = 2013

// command returns the body of a message, or nil for the handshake's old form.
func command(raw []byte) bson.Raw {
	if binary.LittleEndian.Uint32(raw[12:]) != opMsg || raw[20] != 0 {
		return nil
	}
	body := bson.Raw(raw[21:])
	return body[:binary.LittleEndian.Uint32(body)]
}

// ownCommand reports whether the driver sends the command by itself:
// handshakes, heartbeats and the end of sessions.
func ownCommand(name string) bool {
	return slices.Contains([]string{"hello", "isMaster", "ismaster", "saslStart", "saslContinue", "endSessions"}, name)
}

// proxied returns a backend behind a proxy that has found its collection. Its
// client has the driver's defaults, which change may alter.
func proxied(t testing.TB, change func(*options.ClientOptions)) (*Backend, *proxy) {
	t.Helper()
	p := newProxy(t)
	o := p.through(t, containers.MongoDB(t))
	if change != nil {
		change(o)
	}
	b := openOn(t, connect(t, o), nil)
	drivertest.Gone(t, b, "none")
	p.take()
	return b, p
}

func noRetries(o *options.ClientOptions) { o.SetRetryWrites(false).SetRetryReads(false) }

func openNoRetries(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) {
	t.Helper()
	return proxied(t, noRetries)
}

func isDelete(name string) bool { return name == "delete" }

// upsert writes the record with an upsert.
func upsert(ctx context.Context, b *Backend, r model.Record) error {
	_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: driver.IfAny})
	return err
}

// The driver's retries are off in these tests.
func TestLostAnswers(t *testing.T) {
	drivertest.LostWrites(t, drivertest.Lost{
		Open: openNoRetries, Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.CutRequest},
	})
}

func TestLostReads(t *testing.T) {
	b, p := proxied(t, noRetries)
	drivertest.SeedCalls(t, b)
	create := drivertest.Call{Name: "create storage", Do: driver.CreateStorage}
	drivertest.LostReads(t, b, nil, p, append(drivertest.Reads(), create), faultnet.LoseAnswer)
}

func TestLostSweep(t *testing.T) {
	b, p := proxied(t, noRetries)
	drivertest.LostSweep(t, b, p, isDelete)
	if got := strings.Join(p.Requests(), " "); got != "update find delete find delete" {
		t.Errorf("sent %q, want one delete in each of two sweeps", got)
	}
}

func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, noRetries)
	drivertest.OwnSuccess(t, b, p, nil, faultnet.CutRequest)
}

// inReplicaSet reports whether the server is a member of a replica set. The
// driver retries writes only on such servers.
func inReplicaSet(t testing.TB, b *Backend) bool {
	t.Helper()
	var hello struct {
		Set string `bson:"setName"`
	}
	_ = b.coll.Database().RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	return hello.Set != ""
}

// kinds names one write of each kind.
func kinds() []string {
	return []string{"create labelled", "upsert", "update", "compare-and-set", "touch", "delete known"}
}

// retrying returns a write that is ready to run with the driver's retries.
func retrying(t *testing.T, name string) (*Backend, *proxy, drivertest.Call) {
	t.Helper()
	b, p := proxied(t, nil)
	c := drivertest.Pick(t, drivertest.Writes(drivertest.SeedCalls(t, b)), name)[0]
	p.take()
	return b, p, c
}

// TestRetriedWrites loses an answer with the driver's retries on. A replica set
// gets the write twice with the same number and applies it once. A standalone
// server gets it once.
func TestRetriedWrites(t *testing.T) {
	for _, name := range kinds() {
		t.Run(name, func(t *testing.T) {
			b, p, c := retrying(t, name)
			p.Next(faultnet.LoseAnswer)
			err := c.Do(t.Context(), b)
			commands, sent := p.take()
			if !inReplicaSet(t, b) {
				drivertest.WantKind(t, err, model.ErrUnknown)
				if len(commands) != 1 {
					t.Fatalf("sent %v, want one command", commands)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Done(t, b)
			if len(sent) != 2 || commands[0] != commands[1] {
				t.Fatalf("sent %v, want one command twice", commands)
			}
			for _, key := range []string{"lsid", "txnNumber"} {
				if first, second := sent[0].Lookup(key), sent[1].Lookup(key); first.IsZero() || !first.Equal(second) {
					t.Errorf("%s is %v, then %v; want the same", key, first, second)
				}
			}
		})
	}
}

// TestRetriedWritesLostTwice loses the answers to both attempts.
func TestRetriedWritesLostTwice(t *testing.T) {
	for _, name := range kinds() {
		t.Run(name, func(t *testing.T) {
			b, p, c := retrying(t, name)
			p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Times: 2})
			drivertest.WantKind(t, c.Do(t.Context(), b), model.ErrUnknown)
			p.Next(faultnet.Pass)
			if commands, _ := p.take(); len(commands) > 2 {
				t.Fatalf("sent %v, want two commands at most", commands)
			}
			c.Done(t, b)
		})
	}
}

// TestRetryKeepsLaterWrite deletes the record between a write whose answer is
// lost and the driver's second attempt, which must not bring it back.
func TestRetryKeepsLaterWrite(t *testing.T) {
	b, p := proxied(t, nil)
	if !inReplicaSet(t, b) {
		t.Skip("the driver does not retry on a standalone server")
	}
	other := newBackend(t, connect(t, clientOptions(t)).Database(databaseName), b.coll.Name(), nil)
	drivertest.SeedCalls(t, b)
	p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Then: func() {
		if err := other.Delete(context.WithoutCancel(t.Context()), drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil {
			t.Error(err)
		}
	}})
	if err := upsert(t.Context(), b, drivertest.Record("id", "bob", time.Hour)); err != nil {
		t.Fatal(err)
	}
	drivertest.Gone(t, b, "id")
}

// TestLostBatch loses the answer of a bulk command, and then of one of many
// single deletes. That breaks the connections of the others, and those that
// were not sent are sent again.
func TestLostBatch(t *testing.T) {
	b, p := proxied(t, noRetries)
	write := func(id string, c driver.Condition) driver.BatchOp {
		return driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "", 0), Cond: c}}
	}
	p.Next(faultnet.LoseAnswer)
	out := b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{write("x", driver.IfAbsent), write("y", driver.IfAny), write("z", 0)})
	drivertest.WantKind(t, out[0].Err, model.ErrUnknown)
	drivertest.WantKind(t, out[1].Err, model.ErrUnknown)
	drivertest.WantKind(t, out[2].Err, model.ErrInvalid)

	const n = 40
	var ops []driver.BatchOp
	for i := range n {
		r := drivertest.Record(fmt.Sprint(i), "", 0)
		drivertest.Seed(t, b, r)
		ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: r.ID, Cond: driver.IfPresent}})
	}
	p.take()
	p.Next(faultnet.LoseAnswer)
	unknown := 0
	for _, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		if o.Err != nil {
			drivertest.WantKind(t, o.Err, model.ErrUnknown)
			unknown++
		}
	}
	if commands, _ := p.take(); unknown != 1 || len(commands) != n {
		t.Errorf("%d are unknown after %d commands, want 1 after %d", unknown, len(commands), n)
	}
}

// TestInvalidBatch mixes invalid operations with an ended context: the request
// is checked first, and nothing is sent.
func TestInvalidBatch(t *testing.T) {
	b, p := proxied(t, nil)
	foreign := drivertest.Record("encoding", "", 0)
	foreign.Encoding = "\xff"
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	out := b.WriteMany(ended, drivertest.Now, []driver.BatchOp{
		{Delete: &driver.Delete{ID: "x", Cond: driver.IfPresent}},
		{Write: &driver.Write{Record: foreign, Cond: driver.IfAny}},
		{Delete: &driver.Delete{ID: "y", Cond: driver.IfAny}},
	})
	if err := out[0].Err; !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Errorf("a valid delete: %v, want %v alone", err, context.Canceled)
	}
	for i, what := range []string{"an encoding that is not UTF-8", "a delete with IfAny"} {
		if err := out[i+1].Err; model.Kind(err) != model.ErrInvalid {
			t.Errorf("%s: %v, want %v", what, err, model.ErrInvalid)
		}
	}
	if err := upsert(ended, b, foreign); model.Kind(err) != model.ErrInvalid {
		t.Errorf("a write with an encoding that is not UTF-8: %v, want %v", err, model.ErrInvalid)
	}
	if commands, _ := p.take(); len(commands) != 0 {
		t.Errorf("sent %v, want nothing", commands)
	}
}

// TestLostReason fails the condition of a create and loses the answer that
// tells why: nothing was applied.
func TestLostReason(t *testing.T) {
	b, p := proxied(t, noRetries)
	base := drivertest.SeedCalls(t, b)
	p.Set(faultnet.Plan{Then: func() { p.Next(faultnet.LoseAnswer) }})
	_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "bob", 0), Cond: driver.IfAbsent})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
}

func TestEndedContexts(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.EndedContexts(t, b, p)
}

// TestContextEndsUnderWay ends the context after a write was sent, and while a
// write waits for a free connection.
func TestContextEndsUnderWay(t *testing.T) {
	b, p := proxied(t, func(o *options.ClientOptions) { o.SetMaxPoolSize(1) })
	next := drivertest.Record("id", "bob", 2*time.Hour)
	underWay, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.Set(faultnet.Plan{Fault: faultnet.HoldAnswer, Then: cancel})
	err := upsert(underWay, b, next)
	drivertest.WantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("after sending: %v, want also %v", err, context.Canceled)
	}
	drivertest.Holds(t, b, "id", next.Revision, next.ExpiresAt)

	busy, release := context.WithCancel(t.Context())
	defer release()
	sent := make(chan struct{})
	p.Set(faultnet.Plan{Fault: faultnet.HoldAnswer, Then: func() { close(sent) }})
	var first sync.WaitGroup
	first.Go(func() { _ = upsert(busy, b, next) }) // holds the only connection
	<-sent
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := upsert(waiting, b, next); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("without a connection: %v, want %v alone", err, context.DeadlineExceeded)
	}
	release()
	first.Wait()
}

// TestNoServer connects to a closed port, and uses a disconnected client:
// nothing is sent.
func TestNoServer(t *testing.T) {
	c := connect(t, options.Client().ApplyURI("mongodb://ann:hunter2@"+drivertest.NoServer(t)+"/?directConnection=true").
		SetServerSelectionTimeout(50*time.Millisecond))
	b := newBackend(t, c.Database(databaseName), "none", nil)
	b.found.Store(true) // so that the first call is the write
	next := drivertest.Record("id", "", 0)
	drivertest.WantKind(t, upsert(t.Context(), b, next), model.ErrUnavailable)
	_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatal("the message has the password")
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := upsert(short, b, next); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("during server selection: %v, want %v alone", err, context.DeadlineExceeded)
	}
	if err := c.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	drivertest.WantKind(t, upsert(t.Context(), b, next), model.ErrUnavailable)
}

// TestServerGoesAway closes the last connection and refuses new ones: nothing
// is sent.
func TestServerGoesAway(t *testing.T) {
	b, p := proxied(t, func(o *options.ClientOptions) { noRetries(o); o.SetServerSelectionTimeout(200 * time.Millisecond) })
	p.Refuse()
	p.Next(faultnet.LoseAnswer)
	_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"}) // the last connection
	drivertest.WantKind(t, err, model.ErrUnavailable)
	p.take()
	drivertest.WantKind(t, upsert(t.Context(), b, drivertest.Record("id", "", 0)), model.ErrUnavailable)
	if commands, _ := p.take(); len(commands) != 0 {
		t.Fatalf("sent %v, want nothing", commands)
	}
}
