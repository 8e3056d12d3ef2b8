package adaptertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// answerCases are about whole answers.
func answerCases() []testCase {
	return []testCase{
		{"Set", set}, {"Unused", unused}, {"Redirect", redirect}, {"Error", failure}, {"Headers", headers}, {"Panic", panics},
		{"Abort", abort}, {"Timeout", timeout}, {"LargeUpload", largeUpload},
	}
}

// set: a value that a request stores is there for the next one of the same browser.
func set(w *world) error {
	url := w.serve()
	b, other := w.browser(url), w.browser(url)
	return steps(
		func() error { return b.visit("/next", http.StatusOK, "1") },
		func() error { return b.visit("/next", http.StatusOK, "2") },
		func() error { return other.visit("/next", http.StatusOK, "1") },
		func() error { return b.visit("/count", http.StatusOK, "2") },
	)
}

// unused: a request that does not use its session gets no cookie and makes no call
// of the store.
func unused(w *world) error {
	b := w.browser(w.serve(Route{Path: "/plain", Handle: func(e Exchange) error { return e.Text(http.StatusOK, "plain") }}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	w.kit.Backend.Calls()
	a, err := b.read(http.MethodGet, "/plain", nil)
	if err != nil {
		return err
	}
	if calls := w.kit.Backend.Calls(); calls != "none" || a.Header.Get("Vary") != "" {
		return fmt.Errorf("a request that does not use its session made the calls %s, and its answer has Vary: %q", calls, a.Header.Get("Vary"))
	}
	return errors.Join(a.want(http.StatusOK, "plain"), wantCookie(a.Response, 0))
}

// redirect: the answer that redirects has the cookie.
func redirect(w *world) error {
	b := w.browser(w.serve(Route{Path: "/go", Handle: func(e Exchange) error {
		if _, err := next(e.Context()); err != nil {
			return err
		}
		return e.Redirect(http.StatusSeeOther, "/count")
	}}))
	for i, method := range []string{http.MethodGet, http.MethodPost} {
		a, err := b.read(method, "/go", nil)
		if err != nil {
			return err
		}
		if a.StatusCode != http.StatusSeeOther || !strings.HasSuffix(a.Header.Get("Location"), "/count") {
			return fmt.Errorf("the redirect was answered with %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		if err := errors.Join(wantCookie(a.Response, 1-i), b.visit("/count", http.StatusOK, fmt.Sprint(i+1))); err != nil {
			return err
		}
	}
	return nil
}

// failure: the framework's answer to an error has the cookie, and what the handler
// stored before is stored.
func failure(w *world) error {
	fail := func(err func(Exchange) error) func(Exchange) error {
		return func(e Exchange) error {
			if _, err := next(e.Context()); err != nil {
				return err
			}
			return err(e)
		}
	}
	url := w.serve(
		Route{Path: "/refuse", Handle: fail(func(e Exchange) error { return e.Fail(http.StatusTeapot, "short and stout") })},
		Route{Path: "/break", Handle: fail(func(Exchange) error { return errors.New("broken") })})
	for path, status := range map[string]int{"/refuse": http.StatusTeapot, "/break": http.StatusInternalServerError} {
		b := w.browser(url)
		a, err := b.read(http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if err := errors.Join(a.want(status, ""), wantCookie(a.Response, 1), b.visit("/count", http.StatusOK, "1")); err != nil {
			return err
		}
	}
	return nil
}

// headers: those of the handler stay, and those of the session are added.
func headers(w *world) error {
	b := w.browser(w.serve(Route{Path: "/own", Handle: func(e Exchange) error {
		e.SetHeader("X-Own", "kept")
		e.SetHeader("Vary", "Accept")
		e.SetHeader("Set-Cookie", "own=1; Path=/")
		if _, err := next(e.Context()); err != nil {
			return err
		}
		return e.Text(http.StatusCreated, "made")
	}}))
	a, err := b.read(http.MethodGet, "/own", nil)
	if err != nil {
		return err
	}
	vary := strings.Join(a.Header.Values("Vary"), ", ")
	if a.Header.Get("X-Own") != "kept" || !strings.Contains(vary, "Accept") || !strings.Contains(vary, "Cookie") ||
		a.Header.Get("Cache-Control") != "private, no-store" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		return fmt.Errorf("the answer has the headers %v", a.Header)
	}
	return errors.Join(a.want(http.StatusCreated, "made"), wantCookie(a.Response, 2))
}

// panics: after a panic the recovery's answer arrives with the cookie and with that
// of the handler, and the session is stored.
func panics(w *world) error {
	b := w.browser(w.serve(Route{Path: "/fall", Handle: func(e Exchange) error {
		e.SetHeader("Set-Cookie", "own=1; Path=/")
		if _, err := next(e.Context()); err != nil {
			return err
		}
		panic("on purpose")
	}}))
	for i := range 2 {
		a, err := b.read(http.MethodGet, "/fall", nil)
		if err != nil {
			return err
		}
		if err := errors.Join(a.want(http.StatusInternalServerError, ""), wantCookie(a.Response, 2-i),
			b.visit("/count", http.StatusOK, fmt.Sprint(i+1))); err != nil {
			return err
		}
	}
	return nil
}

// abort: a connection that the handler cuts stays cut, and the session is stored.
func abort(w *world) error {
	b := w.browser(w.serve(Route{Path: "/cut", Handle: func(e Exchange) error {
		if _, err := next(e.Context()); err != nil {
			return err
		}
		return e.Abort()
	}}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	stored := make(chan struct{})
	var once sync.Once
	w.kit.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		err := next()
		if op == sessiontest.OpWrite && err == nil {
			once.Do(func() { close(stored) })
		}
		return err
	})
	// A client sends a GET again if its old connection is cut, but not a POST.
	b.CloseIdleConnections()
	if a, err := b.read(http.MethodPost, "/cut", strings.NewReader("x")); err == nil {
		return fmt.Errorf("the connection was cut, and %d %q arrived", a.StatusCode, a.text)
	}
	// A handler can cut the connection before the session is stored, as in fiber.
	return errors.Join(w.await(stored, "the session was stored"), b.visit("/count", http.StatusOK, "2"))
}

// timeout: if the framework's limit ends the handler's context, what was stored
// before is stored, the answer has the cookie, and the session goes on. On a busy
// machine the limit can pass before the handler has begun: the next one is longer.
func timeout(w *world) error {
	for limit := time.Millisecond; ; limit *= 2 {
		if late, err := w.endsAfter(limit); !late {
			return err
		}
	}
}

// endsAfter has a handler that counts and then waits for its limit. It reports
// whether the limit passed before the handler had counted.
func (w *world) endsAfter(limit time.Duration) (late bool, err error) {
	ended, counted := make(chan struct{}), make(chan bool, 1)
	b := w.browser(w.serve(Route{Path: "/slow", Timeout: limit, Handle: func(e Exchange) error {
		defer close(ended)
		ctx := e.Context()
		_, err := next(ctx)
		counted <- ctx.Err() != nil
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-w.ctx.Done():
		}
		return ctx.Err()
	}}))
	a, err := b.read(http.MethodGet, "/slow", nil)
	if err != nil {
		return false, err
	}
	if a.StatusCode < http.StatusBadRequest {
		return false, fmt.Errorf("the limit was reached, and the answer is %d %q", a.StatusCode, a.text)
	}
	select {
	case late := <-counted:
		if late {
			return true, nil
		}
	case <-w.ctx.Done():
		return false, errors.New("this did not happen in time: the handler was called")
	}
	return false, errors.Join(wantCookie(a.Response, 1), w.await(ended, "the context of the handler ended"),
		b.visit("/count", http.StatusOK, "1"), b.visit("/next", http.StatusOK, "2"))
}

// largeUpload: the body arrives whole.
func largeUpload(w *world) error {
	b := w.browser(w.serve(Route{Path: "/upload", Handle: func(e Exchange) error {
		if _, err := next(e.Context()); err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, e.Body())
		if err != nil {
			return err
		}
		return e.Text(http.StatusOK, fmt.Sprintf("%d bytes, %x", n, h.Sum(nil)))
	}}))
	const size = 8<<20 + 1
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(body) // its error is always nil
	want := fmt.Sprintf("%d bytes, %x", size, sha256.Sum256(body))
	for i, reader := range []io.Reader{strings.NewReader(string(body)), io.MultiReader(strings.NewReader(string(body)))} { // the second is chunked
		a, err := b.read(http.MethodPost, "/upload", reader)
		if err != nil {
			return err
		}
		if err := errors.Join(a.want(http.StatusOK, want), wantCookie(a.Response, 1-i)); err != nil {
			return err
		}
	}
	return b.visit("/count", http.StatusOK, "2")
}
