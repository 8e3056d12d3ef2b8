package memory_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestURL(t *testing.T) {
	other, err := memory.New(nil, "other", nil)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.OpenURL(t, "memory:", other)
	drivertest.TakesParams(t, "memory:", nil)
	drivertest.RefuseURLs(t, "hunter2", "memory://:hunter2@", "memory:hunter2", "memory://hunter2", "memory:/hunter2", "memory:?x=hunter2")
}
