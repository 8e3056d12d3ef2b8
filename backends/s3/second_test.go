//go:build second

package s3

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
)

func init() { serverOf = containers.S3Second }

// These tests run on a second server that shares no code with the first one.
func TestSecondConformance(t *testing.T) { conformance.Run(t, harness(t, false)) }
func TestSecondSessions(t *testing.T)    { sessions.Run(t, harness(t, false)) }
