package drivertest_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func open(t testing.TB) *memory.Backend {
	t.Helper()
	b, err := memory.New(nil, drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCallsAreTrue carries every call out: it works, and its own check says so.
func TestCallsAreTrue(t *testing.T) {
	for i, c := range append(drivertest.Writes(model.Record{}), drivertest.Reads()...) {
		t.Run(c.Name, func(t *testing.T) {
			b := open(t)
			base := drivertest.SeedCalls(t, b)
			c := append(drivertest.Writes(base), drivertest.Reads()...)[i]
			if err := c.Do(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if c.Done != nil {
				c.Done(t, b)
			}
		})
	}
}

// TestNoServer has connections refused at once, each time.
func TestNoServer(t *testing.T) {
	addr := drivertest.NoServer(t)
	for range 3 {
		if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, %v; want %v", c, err, syscall.ECONNREFUSED)
		}
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		_ = l.Close()
		t.Error("another program can listen there")
	}
}

func TestEndedContexts(t *testing.T) { drivertest.EndedContexts(t, open(t), nil) }

func TestOpenURL(t *testing.T) {
	drivertest.OpenURL(t, "memory:", open(t))
	drivertest.RefuseURLs(t, "hunter2", "nosuch://ann:hunter2@h/x")
}

func TestNewErrors(t *testing.T) {
	_, noName := memory.New(nil, "", nil)
	_, badLabel := memory.New(nil, "x", &memory.Options{Labels: []string{"A"}})
	drivertest.NewErrors(t, "memory", map[string]error{"no name": noName, "bad label": badLabel})
	if errors.Is(noName, model.ErrNotFound) {
		t.Error("the error matches two sentinels")
	}
}
