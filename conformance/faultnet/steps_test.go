package faultnet_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
)

// stepTests are what goes wrong with four requests in a row.
var stepTests = map[string]struct {
	at      faultnet.Break
	answers string // of the requests, and Y for one that was answered
	done    int64  // requests that the server carried out
	reached bool
}{
	"a request is lost":             {faultnet.Break{Step: 2}, "ynyy", 3, true},
	"an answer is lost":             {faultnet.Break{Step: 2, Answer: true}, "ynyy", 4, true},
	"an end before a request":       {faultnet.Break{Step: 2, Ends: true}, "ynnn", 1, true},
	"an end before an answer":       {faultnet.Break{Step: 2, Answer: true, Ends: true}, "ynnn", 2, true},
	"an end at once":                {faultnet.Break{Ends: true}, "nnnn", 0, true},
	"nothing at once":               {faultnet.Break{}, "yyyy", 4, true},
	"a request that nobody makes":   {faultnet.Break{Step: 5}, "yyyy", 4, false},
	"an end that nobody lives to":   {faultnet.Break{Step: 5, Ends: true}, "yyyy", 4, false},
	"the last request is a step":    {faultnet.Break{Step: 4}, "yyyn", 3, true},
	"the first request is the step": {faultnet.Break{Step: 1, Answer: true}, "nyyy", 4, true},
}

func TestStepsOfARoundTripper(t *testing.T) {
	for name, test := range stepTests {
		t.Run(name, func(t *testing.T) {
			var done atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
				done.Add(1)
			}))
			t.Cleanup(server.Close)
			s := &faultnet.Steps{}
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			ask := func() bool {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("put"))
				if err != nil {
					t.Fatal(err)
				}
				res, err := s.RoundTripper(transport).RoundTrip(r)
				if err != nil {
					return false
				}
				defer func() { _ = res.Body.Close() }()
				text, err := io.ReadAll(res.Body)
				return err == nil && string(text) == "put"
			}
			if !ask() {
				t.Fatal("a request before Break is not answered")
			}
			done.Store(0)
			judgeSteps(t, s, ask, &done, test.at, test.answers, test.done, test.reached)
		})
	}
}

func TestStepsOfConnections(t *testing.T) {
	for name, test := range stepTests {
		t.Run(name, func(t *testing.T) {
			addr, done := lineServer(t)
			s := &faultnet.Steps{Skip: func(request []byte) bool { return strings.HasPrefix(string(request), "hello") }}
			c := connect(t, s, addr)
			ask := func() bool { // with another connection after an error
				got, err := ask(c, "put")
				if err == nil {
					return got == "put\n"
				}
				if conn, err := s.DialContext(t.Context(), "tcp", addr); err == nil {
					_ = conn.Close()
					c = connect(t, s, addr)
				} else if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("got %v, want %v", err, syscall.ECONNREFUSED)
				}
				return false
			}
			if !ask() {
				t.Fatal("a request before Break is not answered")
			}
			done.Store(0)
			judgeSteps(t, s, ask, done, test.at, test.answers, test.done, test.reached)
		})
	}
}

func judgeSteps(t *testing.T, s *faultnet.Steps, ask func() bool, done *atomic.Int64, at faultnet.Break, answers string, want int64, wantReached bool) {
	t.Helper()
	mend := s.Break(at)
	got := ""
	for range answers {
		if ask() {
			got += "y"
		} else {
			got += "n"
		}
	}
	if n := done.Load(); got != answers || n != want {
		t.Errorf("the answers are %s and the server carried out %d requests, want %s and %d", got, n, answers, want)
	}
	if reached := mend(); reached != wantReached {
		t.Errorf("the step was reached: %v, want %v", reached, wantReached)
	}
	if alive := !at.Ends || !wantReached; ask() != alive {
		t.Errorf("the client goes on: %v, want %v", !alive, alive)
	}
}

// TestStepsLeaveHandshakes has requests of the client library beside a break.
func TestStepsLeaveHandshakes(t *testing.T) {
	addr, done := lineServer(t)
	s := &faultnet.Steps{Skip: func(request []byte) bool { return strings.HasPrefix(string(request), "hello") }}
	c := connect(t, s, addr)
	mend := s.Break(faultnet.Break{Step: 1})
	if got, err := ask(c, "hello"); got != "hello\n" {
		t.Fatalf("the handshake got %q, %v", got, err)
	}
	if mend() {
		t.Error("the handshake was the step")
	}
	mend = s.Break(faultnet.Break{Step: 1})
	if _, err := ask(c, "put"); err == nil || done.Load() != 1 || !mend() {
		t.Errorf("got %v after %d requests", err, done.Load())
	}
}

// TestStepsEndConnections has a connection open at the end of its client.
func TestStepsEndConnections(t *testing.T) {
	addr, done := lineServer(t)
	s := &faultnet.Steps{}
	idle, busy := connect(t, s, addr), connect(t, s, addr)
	s.Break(faultnet.Break{Step: 1, Answer: true, Ends: true})
	if _, err := ask(busy, "put"); err == nil {
		t.Error("the last request was answered")
	}
	if _, err := idle.ReadByte(); err == nil {
		t.Error("the other connection is open")
	}
	if n := done.Load(); n != 1 {
		t.Errorf("the server carried out %d requests, want 1", n)
	}
}
