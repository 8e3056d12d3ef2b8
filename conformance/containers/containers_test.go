package containers_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

func TestRedis(t *testing.T) {
	server := containers.Redis(t)

	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatalf("URL %q: %v", server.URL, err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	ctx := context.Background()
	if err := client.Set(ctx, "greeting", "hello", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, "greeting").Result()
	if err != nil || got != "hello" {
		t.Fatalf("Get returns %q, %v, want hello", got, err)
	}

	checkIdentity(t, server, "Redis", "Valkey")
}

func TestRedisIsSharedByAllTestsOfAProcess(t *testing.T) {
	first := containers.Redis(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if again := containers.Redis(t); again != first {
				t.Errorf("got the server %v, want %v", again, first)
			}
		})
	}
	group.Wait()
}

// checkIdentity checks the address, the name, the version and the text of a server.
func checkIdentity(t *testing.T, server containers.Server, names ...string) {
	t.Helper()
	if _, _, err := net.SplitHostPort(server.Addr); err != nil {
		t.Errorf("Addr: %v", err)
	}
	if !slices.Contains(names, server.Name) {
		t.Errorf("the name is %q, want one of %q", server.Name, names)
	}
	if strings.TrimLeft(server.Version, "0123456789") == server.Version {
		t.Errorf("the version is %q, want one that starts with a digit", server.Version)
	}
	want := server.Name + " " + server.Version + " (" + server.Origin + ")"
	if server.String() != want {
		t.Errorf("String returns %q, want %q", server.String(), want)
	}
}

func TestDynamoDB(t *testing.T) {
	server := containers.DynamoDB(t)
	checkIdentity(t, server, "DynamoDB Local")

	// DynamoDB Local does not check the signature.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+
		"Credential=any/20260101/any/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	if body := ask(t, request); !strings.Contains(body, "TableNames") {
		t.Errorf("ListTables returns %s, want TableNames", body)
	}
}

// ask sends the request, which must succeed, and returns the body of the answer.
func ask(t *testing.T, request *http.Request) string {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("status %d: %s, %v", response.StatusCode, body, err)
	}
	return string(body)
}

func TestMinIO(t *testing.T) {
	server := containers.MinIO(t)
	checkIdentity(t, server, "MinIO")

	endpoint, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if secret, given := endpoint.User.Password(); !given || secret == "" || endpoint.User.Username() == "" {
		t.Error("the URL has no access key or no secret")
	}
	if strings.Contains(server.String(), "@") {
		t.Error("String shows the secret")
	}
}

func TestElasticsearch(t *testing.T) {
	server := containers.Elasticsearch(t)
	checkIdentity(t, server, "Elasticsearch")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		server.URL+"/containers/_doc/greeting?refresh=true", strings.NewReader(`{"text":"hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if body := ask(t, request); !strings.Contains(body, `"_seq_no"`) {
		t.Errorf("the answer to a write is %s, want one with _seq_no", body)
	}
}
