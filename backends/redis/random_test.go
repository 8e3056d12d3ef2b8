//go:build random

package redis

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance/sessions"
)

// make test-random runs it.
func TestRandomSequences(t *testing.T) { sessions.RunRandom(t, harness(t, bucketCount)) }
