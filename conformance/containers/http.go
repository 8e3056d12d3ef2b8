package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	urls "net/url"
)

// noVersion is the version of a server that does not state one.
const noVersion = "of no stated version"

// answerLimit bounds the bytes that are read of an answer.
const answerLimit = 1 << 20

type answer struct {
	status int
	header http.Header
	body   []byte
}

// get sends a GET request and closes the connection, because tests check for leaks.
func get(ctx context.Context, url string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // the user who runs the tests names the server
	if err != nil {
		return answer{}, &finalError{withoutURL(err)}
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	response, err := client.Do(request) //nolint:gosec // the user who runs the tests names the server
	if err != nil {
		return answer{}, withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}, nil
}

// unexpected returns the error of an answer from another server, or from this one while it starts.
func (a answer) unexpected(what string) error {
	return fmt.Errorf("%s answers with the status %d", what, a.status)
}

// withoutURL returns the error without its URL, which may hold a password.
func withoutURL(err error) error {
	var with *urls.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

func httpURL(addr string) string { return "http://" + addr }

// httpAddr returns the host and port of an http or https URL.
func httpAddr(url string) (string, error) {
	parsed, err := urls.Parse(url)
	if err != nil {
		return "", withoutURL(err)
	}
	port := parsed.Port()
	switch {
	case parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "":
		return "", errors.New("the URL is not an http or https URL with a host")
	case port == "" && parsed.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(parsed.Hostname(), port), nil
}
