package containers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHTTPAddr(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:8000":                     "127.0.0.1:8000",
		"https://dynamodb.eu-west-1.amazonaws.com":  "dynamodb.eu-west-1.amazonaws.com:443",
		"http://key:secret@[::1]/":                  "[::1]:80",
		"redis://127.0.0.1:6379":                    "",
		"127.0.0.1:8000":                            "",
		"http://":                                   "",
		"http://key:secret%zz@127.0.0.1:9000/place": "",
	} {
		got, err := httpAddr(url)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("httpAddr(%q) = %q, %v; want %q", url, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "key:secret") {
			t.Errorf("httpAddr(%q): %v shows the secret", url, err)
		}
	}
}

func TestAnErrorDoesNotShowTheURL(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	addr := server.Listener.Addr().String()
	server.Close()
	for _, url := range []string{"http://key:secret@" + addr, "http://key:secret@" + addr + "%zz"} {
		if _, err := get(t.Context(), url); err == nil || strings.Contains(err.Error(), "key:") {
			t.Errorf("got %v, want an error without the key", err)
		}
	}
}

// serving returns the URL of a server that answers each path with a status and a body.
func serving(t *testing.T, header http.Header, paths map[string]answer) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		for key := range header {
			writer.Header().Set(key, header.Get(key))
		}
		known, found := paths[request.URL.Path]
		if !found {
			known.status = http.StatusNotFound
		}
		writer.WriteHeader(known.status)
		_, _ = writer.Write(known.body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestServersThatSpeakHTTP(t *testing.T) {
	const node = `{"nodes":{"aQ":{"version":"8.17.2"}}}`
	metrics := "# HELP\nminio_software_version_info{commit=\"7aac\",server=\"a:9000\",version=\"2026-02-12T20:18:48Z\"} 1\n"
	for _, test := range []struct {
		name          string
		probe         *spec
		header        http.Header
		paths         map[string]answer
		want, version string // "" if the probe must fail
	}{
		{
			"DynamoDB Local", &dynamodbSpec, nil,
			map[string]answer{"/": {status: 400, body: []byte(`{"__type":"com.amazonaws.dynamodb#MissingAuthenticationToken"}`)}},
			"DynamoDB Local", "",
		},
		{
			"DynamoDB", &dynamodbSpec, nil, map[string]answer{"/": {status: 200, body: []byte("healthy: dynamodb.x ")}},
			"DynamoDB", "",
		},
		{"another server", &dynamodbSpec, nil, map[string]answer{"/": {status: 200, body: []byte("hello")}}, "", ""},
		{
			"MinIO", &minioSpec, http.Header{"Server": {"MinIO"}}, map[string]answer{
				"/minio/health/cluster": {status: 200}, "/minio/v2/metrics/node": {status: 200, body: []byte(metrics)},
			}, "MinIO", "2026-02-12T20:18:48Z",
		},
		{
			"MinIO with closed metrics", &minioSpec, http.Header{"Server": {"MinIO"}}, map[string]answer{
				"/minio/health/cluster": {status: 200}, "/minio/v2/metrics/node": {status: 403},
			}, "MinIO", "",
		},
		{
			"MinIO that starts", &minioSpec, http.Header{"Server": {"MinIO"}},
			map[string]answer{"/minio/health/cluster": {status: 503}}, "", "",
		},
		{
			"S3", &minioSpec, http.Header{"Server": {"AmazonS3"}, "X-Amz-Request-Id": {"1"}},
			map[string]answer{"/minio/health/cluster": {status: 403}}, "AmazonS3", "",
		},
		{
			"Elasticsearch", &elasticsearchSpec, http.Header{"X-Elastic-Product": {"Elasticsearch"}}, map[string]answer{
				"/_cluster/health": {status: 200}, "/_nodes/_local": {status: 200, body: []byte(node)},
			}, "Elasticsearch", "8.17.2",
		},
		{
			"a fork", &elasticsearchSpec, nil, map[string]answer{
				"/_cluster/health": {status: 200}, "/_nodes/_local": {status: 200, body: []byte(node)},
			}, "a fork of Elasticsearch", "8.17.2",
		},
		{
			"Elasticsearch that starts", &elasticsearchSpec, nil,
			map[string]answer{"/_cluster/health": {status: 408}, "/_nodes/_local": {status: 200, body: []byte(node)}}, "", "",
		},
		{
			"Elasticsearch without nodes", &elasticsearchSpec, nil, map[string]answer{
				"/_cluster/health": {status: 200}, "/_nodes/_local": {status: 200, body: []byte("{}")},
			}, "", "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, version, err := test.probe.probe(t.Context(), serving(t, test.header, test.paths))
			if (err == nil) != (test.want != "") || err == nil && (name != test.want || version != test.version) {
				t.Errorf("got %q %q, %v; want %q %q", name, version, err, test.want, test.version)
			}
		})
	}
}

func TestDynamoDBVersion(t *testing.T) {
	for log, want := range map[string]string{
		"Initializing DynamoDB Local with the following configuration:\nPort:\t8000\nVersion:\t2.6.1\nDbPath:\tnull\n": "2.6.1",
		"": "",
	} {
		if got := dynamodbVersion(log); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
