package containers

import (
	urls "net/url"
	"regexp"
	"testing"
)

var s3SecondSpec = spec{
	server: "s3-second",
	title:  "the second opinion on S3",
	port:   "9000/tcp",
	env:    map[string]string{"ROOT_ACCESS_KEY": minioUser, "ROOT_SECRET_KEY": minioPassword},
	url: func(addr string) string {
		return (&urls.URL{Scheme: "http", User: urls.UserPassword(minioUser, minioPassword), Host: addr}).String()
	},
	addr:       httpAddr,
	probe:      probeMinIO, // accepts any server that answers with S3's headers
	logVersion: versitygwVersion,
}

// S3Second returns versitygw, which speaks the S3 protocol and shares no code
// with MinIO. Its URL has the form of MinIO's.
func S3Second(t testing.TB) Server {
	t.Helper()
	return s3SecondSpec.serve(t)
}

var versitygwBanner = regexp.MustCompile(`Version ([0-9][^ ,]*),`)

func versitygwVersion(log string) string {
	if match := versitygwBanner.FindStringSubmatch(log); match != nil {
		return match[1]
	}
	return ""
}
