//go:build second

package mongo

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
)

// What runs on two servers that share no code is what the protocol says.
func TestSecondConformance(t *testing.T) {
	conformance.Run(t, harness(t, containers.MongoDBSecond(t)))
}

func TestSecondSessions(t *testing.T) { sessions.Run(t, harness(t, containers.MongoDBSecond(t))) }
