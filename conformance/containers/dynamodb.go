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
	// The same tables for every region and access key.
	cmd:        []string{"-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"},
	wait:       2 * time.Minute,
	url:        httpURL,
	addr:       httpAddr,
	probe:      probeDynamoDB,
	logVersion: dynamodbVersion,
}

// DynamoDB returns this test process's DynamoDB Local, or what SOJOURN_DYNAMODB_URL names. Its URL is
// the endpoint to give to a client. DynamoDB Local takes any region and, of letters and digits, any
// access key and secret; its tables are in memory.
func DynamoDB(t testing.TB) Server {
	t.Helper()
	return dynamodbSpec.serve(t)
}

// probeDynamoDB asks without a signature. Amazon's service answers that it is healthy, DynamoDB Local
// that a key is missing; neither states a version here.
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

// dynamodbVersion reads what DynamoDB Local logs when it starts, the only place where it says it.
func dynamodbVersion(log string) string {
	for line := range strings.Lines(log) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "Version" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
