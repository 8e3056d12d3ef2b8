package containers_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestPostgres(t *testing.T) { checkIdentity(t, containers.Postgres(t), "PostgreSQL") }
