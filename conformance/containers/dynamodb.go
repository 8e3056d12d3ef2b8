package containers

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

var dynamodbSpec = spec{
	server: "dynamodb",
	title:  "DynamoDB",
	port:   "8000/tcp",
	// -sharedDb: all regions and access keys share the tables.
	cmd:        []string{"-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"},
	wait:       2 * time.Minute,
	url:        httpURL,
	addr:       httpAddr,
	probe:      probeDynamoDB,
	logVersion: dynamodbVersion,
}

// DynamoDB returns the DynamoDB Local of this test process, or the server at
// SOJOURN_DYNAMODB_URL. URL is the endpoint for a client. DynamoDB Local
// accepts any region, and any access key and secret of letters and digits. Its
// tables are in memory.
func DynamoDB(t testing.TB) Server {
	t.Helper()
	return dynamodbSpec.serve(t)
}

// probeDynamoDB sends a request without a signature. Amazon's service answers
// that it is healthy, DynamoDB Local that a key is missing. Neither states a
// version.
func probeDynamoDB(ctx context.Context, url string) (name, version string, err error) {
	got, err := get(ctx, url)
	switch {
	case err != nil:
		return "", "", err
	case got.status == http.StatusOK && bytes.HasPrefix(got.body, []byte("healthy:")):
		return "DynamoDB", "", nil
	case got.status == http.StatusBadRequest && bytes.Contains(got.body, []byte("MissingAuthenticationToken")):
		return "DynamoDB Local", "", nil
	}
	return "", "", got.unexpected("DynamoDB")
}

// dynamodbVersion reads the version from the start of DynamoDB Local's log,
// the only place that states it.
func dynamodbVersion(log string) string {
	for line := range strings.Lines(log) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "Version" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
