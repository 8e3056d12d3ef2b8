//go:build second

package mongo

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
)

// These tests run on a second server that shares no code with the first, so
// that the backend depends on the protocol and not on one server.
func TestSecondConformance(t *testing.T) {
	conformance.Run(t, harness(t, containers.MongoDBSecond(t)))
}

func TestSecondSessions(t *testing.T) { sessions.Run(t, harness(t, containers.MongoDBSecond(t))) }
