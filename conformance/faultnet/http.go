package faultnet

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
)

// HTTPOptions configures an HTTPProxy. The zero value of every field is its
// default.
type HTTPOptions struct {
	// Name names a request. Nil means its method.
	Name func(r *http.Request, body []byte) string
	// Fault overrides the plan for a request if it returns a fault.
	Fault func(r *http.Request) Fault
	// Answer sees every answer that is passed on and returns the body to pass
	// on. Nil means the answer's own.
	Answer func(name string, res *http.Response, body []byte) []byte
	// Plain removes the request's Accept-Encoding, so that Answer sees text.
	Plain bool
	// Transport sends requests to the server. A test can answer for the server
	// in it: an error closes the client's connection. Nil means the proxy's own.
	Transport http.RoundTripper
}

// HTTPProxy passes requests on to an HTTP server.
type HTTPProxy struct {
	Script
	url       string
	server    string
	opts      HTTPOptions
	transport *http.Transport
	stalls    atomic.Bool
	ended     chan struct{} // closed at the end of the test
}

// NewHTTPProxy starts a proxy in front of the server with that URL. It stops
// at the end of the test. Nil options are the defaults.
func NewHTTPProxy(t testing.TB, server string, opts *HTTPOptions) *HTTPProxy {
	t.Helper()
	p := &HTTPProxy{server: server, transport: http.DefaultTransport.(*http.Transport).Clone(), ended: make(chan struct{})}
	if opts != nil {
		p.opts = *opts
	}
	p.transport.MaxIdleConnsPerHost = 32
	s := httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.ended)
		s.Close()
		p.transport.CloseIdleConnections()
	})
	p.url = s.URL
	return p
}

// URL returns the proxy's own URL, for the client.
func (p *HTTPProxy) URL() string { return p.url }

// Stall answers no request from now on and keeps all connections open: so does a
// server that is stopped.
func (p *HTTPProxy) Stall() { p.stalls.Store(true) }

// ServeHTTP passes one request on, under the plan.
func (p *HTTPProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	name := r.Method
	if p.opts.Name != nil {
		name = p.opts.Name(r, body)
	}
	fault, then := p.meet([]string{name})
	if p.stalls.Load() {
		select {
		case <-p.ended:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	if p.opts.Fault != nil {
		if f := p.opts.Fault(r); f != Pass {
			fault = f
		}
	}
	if fault == LoseRequest || fault == CutRequest {
		panic(http.ErrAbortHandler)
	}
	res, answer, err := p.forward(r, body) //nolint:bodyclose // forward has read and closed it
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if then != nil {
		then()
	}
	switch fault {
	case LoseAnswer:
		panic(http.ErrAbortHandler)
	case HoldAnswer:
		<-r.Context().Done()
		return
	}
	p.answer(w, name, res, answer, fault)
}

// forward sends the request to the server and reads the whole answer.
func (p *HTTPProxy) forward(r *http.Request, body []byte) (*http.Response, []byte, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.server+r.URL.RequestURI(), bytes.NewReader(body)) //nolint:gosec // a proxy passes on what it is sent, to the server of the test
	if err != nil {
		return nil, nil, err
	}
	out.Header = r.Header.Clone()
	out.Header.Del("Connection") // it is about the client's connection
	if p.opts.Plain {
		out.Header.Del("Accept-Encoding")
	}
	var transport http.RoundTripper = p.transport
	if p.opts.Transport != nil {
		transport = p.opts.Transport
	}
	res, err := transport.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res, answer, err
}

func (p *HTTPProxy) answer(w http.ResponseWriter, name string, res *http.Response, answer []byte, fault Fault) {
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	if p.opts.Answer != nil {
		if own := p.opts.Answer(name, res, answer); !bytes.Equal(own, answer) {
			answer = own
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		}
	}
	w.WriteHeader(res.StatusCode)
	if fault == CutAnswer {
		_, _ = w.Write(answer[:len(answer)/2])    //nolint:gosec // the server's answer, to the client of the test
		_ = http.NewResponseController(w).Flush() // else a short answer is lost whole
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer) //nolint:gosec // as above
}
