package memory_test

import (
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	_ "github.com/sojourn-go/sojourn/backends/memory" // registers memory:
	"github.com/sojourn-go/sojourn/model"
)

func TestURL(t *testing.T) {
	for rawURL, ok := range map[string]bool{"memory:": true, "memory:x": false, "memory://host": false, "memory:/x": false, "memory:?x=1": false} {
		_, err := backends.Open(t.Context(), rawURL)
		if (err == nil) != ok || err != nil && !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
	}
}
