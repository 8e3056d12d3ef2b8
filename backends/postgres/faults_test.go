package postgres

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// scanOne returns a function that scans a row of one column.
func scanOne(to any) func(pgx.Rows) error { return func(rows pgx.Rows) error { return rows.Scan(to) } }

// messages yields the messages that a client wrote, by their kind and body. The
// first message of a connection has no kind.
func messages(raw []byte, each func(kind byte, body []byte)) {
	for len(raw) >= 5 {
		if raw[0] == 0 {
			return
		}
		size := int(binary.BigEndian.Uint32(raw[1:])) + 1
		if size > len(raw) {
			each(raw[0], nil)
			return
		}
		each(raw[0], raw[5:size])
		raw = raw[size:]
	}
}

// prepares reports whether a request executes nothing: the start of a session,
// the preparation of a statement, and the request to cancel.
func prepares(raw []byte) bool {
	executes := false
	messages(raw, func(kind byte, _ []byte) { executes = executes || kind == 'E' || kind == 'Q' })
	return !executes
}

// newFront returns a proxy that can stall and knows nothing of the protocol.
func newFront(t testing.TB) *faultnet.TCPProxy {
	t.Helper()
	return faultnet.NewTCPProxy(t, faultnet.Protocol{
		ReadRequest: func(in *bufio.Reader) ([]byte, []string, error) {
			if _, err := in.Peek(1); err != nil {
				return nil, nil, err
			}
			raw := make([]byte, in.Buffered())
			_, err := io.ReadFull(in, raw)
			return raw, nil, err
		},
		Done: func(string) {},
	})
}

// through makes the pool connect through the proxy, and with the dialer if that
// is not nil.
func through(t testing.TB, c *pgxpool.Config, front *faultnet.TCPProxy, lossy *faultnet.Dialer) *pgxpool.Config {
	t.Helper()
	addr, err := front.Addr(containers.Postgres(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	dial := new(net.Dialer).DialContext
	if lossy != nil {
		dial = lossy.DialContext
	}
	c.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, addr) }
	return c
}

// proxy stands between a client and the server and records the statements.
type proxy struct {
	*faultnet.TCPProxy
	mu       sync.Mutex
	prepared map[string]string // the verb of a prepared statement
}

// verbs are the statements, by what their texts have. The first one counts.
var verbs = []string{"INSERT", "UPDATE", "DELETE", "SELECT"}

func verb(sql string) string {
	for _, v := range verbs {
		if strings.Contains(strings.ReplaceAll(sql, "FOR UPDATE", ""), v+" ") {
			return strings.ToLower(v)
		}
	}
	return strings.ToLower(sql)
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{prepared: map[string]string{}}
	p.TCPProxy = faultnet.NewTCPProxy(t, faultnet.Protocol{ReadAnswer: readAnswer, ReadRequest: p.readRequest})
	return p
}

// readMessage reads one message, with or without a kind.
func readMessage(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(5)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[1:])) + 1
	if head[0] == 0 { // the first message of a connection
		size = int(binary.BigEndian.Uint32(head))
	}
	raw := make([]byte, size)
	_, err = io.ReadFull(in, raw)
	return raw, err
}

// readAnswer reads up to the message after which the client may go on.
func readAnswer(in *bufio.Reader) ([]byte, error) {
	var all []byte
	for {
		raw, err := readMessage(in)
		if err != nil {
			return nil, err
		}
		all = append(all, raw...)
		if raw[0] == 'Z' {
			return all, nil
		}
	}
}

// readRequest reads up to the message after which the client waits. Its name is
// what it executes: nothing if it only prepares.
func (p *proxy) readRequest(in *bufio.Reader) (all []byte, names []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.mu.Unlock()
		raw, err := readMessage(in)
		p.mu.Lock()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, raw...)
		if raw[0] == 0 || raw[0] == 'X' || raw[0] == 'p' {
			return all, nil, nil
		}
		switch fields := bytes.Split(raw[5:], []byte{0}); raw[0] {
		case 'P':
			p.prepared[string(fields[0])] = verb(string(fields[1]))
		case 'B':
			names = append(names, p.prepared[string(fields[1])])
		case 'Q':
			return all, []string{verb(string(fields[0]))}, nil
		case 'S':
			if len(names) > 1 {
				names = []string{fmt.Sprintf("batch of %d", len(names))}
			}
			return all, names, nil
		}
	}
}

// proxied returns a backend behind a proxy, with one connection on which all
// statements of the calls are prepared.
func proxied(t testing.TB) (*Backend, *proxy) {
	t.Helper()
	p := newProxy(t)
	c := through(t, poolConfig(t), p.TCPProxy, nil)
	c.MaxConns = 1
	b := openOn(t, connect(t, c), nil)
	base := drivertest.SeedCalls(t, b)
	for _, call := range append(drivertest.Writes(base), drivertest.Reads()...) {
		_ = call.Do(t.Context(), b)
	}
	exec(t, b.db, "DELETE FROM "+b.place.name())
	p.Requests()
	return b, p
}

func openProxied(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) {
	t.Helper()
	return proxied(t)
}

func TestLostAnswers(t *testing.T) {
	drivertest.LostWrites(t, drivertest.Lost{
		Open: openProxied, Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.CutRequest, faultnet.CutAnswer},
	})
}

func TestLostReads(t *testing.T) {
	b, p := proxied(t)
	drivertest.SeedCalls(t, b)
	create := drivertest.Call{Name: "create storage", Do: driver.CreateStorage}
	reads := slices.DeleteFunc(drivertest.Reads(), func(c drivertest.Call) bool { return c.Name == "sweep of nothing" }) // it is a DELETE
	drivertest.LostReads(t, b, nil, p, append(reads, create), faultnet.LoseAnswer)
}

func TestLostSweep(t *testing.T) {
	b, p := proxied(t)
	drivertest.LostSweep(t, b, p, func(name string) bool { return name == "delete" })
}

func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t)
	isWrite := func(name string) bool { return slices.Contains([]string{"insert", "update", "delete"}, name) }
	drivertest.OwnSuccess(t, b, p, isWrite, faultnet.CutRequest)
}
