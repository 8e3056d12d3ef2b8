package containers

import (
	"cmp"
	"context"
	"net/http"
	urls "net/url"
	"regexp"
	"strings"
	"testing"
)

// minioUser and minioPassword are not secret: the container listens on this machine only.
const (
	minioUser     = "minioadmin"
	minioPassword = "minioadmin"
)

var minioSpec = spec{
	server: "minio",
	title:  "MinIO",
	port:   "9000/tcp",
	cmd:    []string{"server", "/data"},
	data:   []string{"/data"},
	env: map[string]string{
		"MINIO_ROOT_USER":     minioUser,
		"MINIO_ROOT_PASSWORD": minioPassword,
		"MINIO_BROWSER":       "off",
		"MINIO_UPDATE":        "off", // no search for newer releases
		// The metrics state the version. Everything else that does needs a signature.
		"MINIO_PROMETHEUS_AUTH_TYPE": "public",
	},
	url: func(addr string) string {
		return (&urls.URL{Scheme: "http", User: urls.UserPassword(minioUser, minioPassword), Host: addr}).String()
	},
	addr:  httpAddr,
	probe: probeMinIO,
}

// MinIO returns the MinIO server of this test process, or another server of
// the S3 protocol. URL holds the access key and the secret:
// "http://KEY:SECRET@127.0.0.1:32768". [url.Parse] splits it.
func MinIO(t testing.TB) Server {
	t.Helper()
	return minioSpec.serve(t)
}

// probeMinIO asks MinIO whether it can write. Another server of the S3
// protocol does not know this request. It is ready if it answers with S3's
// headers.
func probeMinIO(ctx context.Context, url string) (name, version string, err error) {
	base, err := urls.Parse(url)
	if err != nil {
		return "", "", &finalError{withoutURL(err)}
	}
	base.User = nil // the server expects a signature, not a password
	health, err := get(ctx, base.JoinPath("minio/health/cluster").String())
	if err != nil {
		return "", "", err
	}
	server := health.header.Get("Server")
	switch {
	case !strings.HasPrefix(server, "MinIO") && health.header.Get("X-Amz-Request-Id") != "":
		return cmp.Or(server, "S3"), "", nil
	case health.status != http.StatusOK:
		return "", "", health.unexpected("MinIO's health check")
	}
	metrics, err := get(ctx, base.JoinPath("minio/v2/metrics/node").String())
	if err != nil {
		return "", "", err
	}
	return "MinIO", minioVersion(metrics.body), nil
}

var minioVersionMetric = regexp.MustCompile(`minio_software_version_info\{[^}]*\bversion="([^"]*)"`)

func minioVersion(metrics []byte) string {
	if match := minioVersionMetric.FindSubmatch(metrics); match != nil {
		return string(match[1])
	}
	return ""
}
