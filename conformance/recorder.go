package conformance

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is the testing.TB of Check. It collects what is logged. The
// embedded interface is nil. It provides the one method that only package
// testing can implement; all others are below.
type recorder struct {
	testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	log      strings.Builder
	failed   bool
	skipped  bool
	cleanups []func()
}

func newRecorder(ctx context.Context, name string) *recorder {
	r := &recorder{name: name}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

func (r *recorder) write(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.WriteString(strings.TrimRight(s, "\n") + "\n")
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// recoverPanic records a panic of the case as a failure.
func (r *recorder) recoverPanic() {
	if p := recover(); p != nil {
		r.Errorf("panic: %v", p)
	}
}

// runCleanups ends the case like package testing: it cancels the context, then
// calls the cleanups, last registered first.
func (r *recorder) runCleanups() {
	r.cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		func() {
			defer r.recoverPanic()
			f()
		}()
	}
}

func (r *recorder) Helper()                           {}
func (r *recorder) Attr(_, _ string)                  {}
func (r *recorder) Name() string                      { return r.name }
func (r *recorder) Context() context.Context          { return r.ctx }
func (r *recorder) Log(args ...any)                   { r.write(fmt.Sprintln(args...)) }
func (r *recorder) Logf(format string, args ...any)   { r.write(fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.Log(args...); r.Fail() }
func (r *recorder) Errorf(format string, args ...any) { r.Logf(format, args...); r.Fail() }
func (r *recorder) Fatal(args ...any)                 { r.Log(args...); r.FailNow() }
func (r *recorder) Fatalf(format string, args ...any) { r.Logf(format, args...); r.FailNow() }
func (r *recorder) Skip(args ...any)                  { r.Log(args...); r.SkipNow() }
func (r *recorder) Skipf(format string, args ...any)  { r.Logf(format, args...); r.SkipNow() }

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// SkipNow fails the case: a case must not skip itself.
func (r *recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	r.FailNow()
}

func (r *recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) TempDir() string {
	dir, err := os.MkdirTemp("", "sojourn-conformance-")
	if err != nil {
		r.Fatalf("TempDir: %v", err)
	}
	r.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			r.Errorf("TempDir: %v", err)
		}
	})
	return dir
}
