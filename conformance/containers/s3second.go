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
	probe:      probeMinIO, // which takes any server that answers in S3's manner
	logVersion: versitygwVersion,
}

// S3Second returns a server that speaks S3's protocol and shares no code with MinIO: versitygw. Its URL
// is as that of MinIO.
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
