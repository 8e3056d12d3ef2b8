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

// noVersion is the version of a server that states none.
const noVersion = "of no stated version"

// answerLimit bounds what is read of an answer: a server's word on itself is short.
const answerLimit = 1 << 20

type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks a server that speaks HTTP. The connection is closed again: tests look for leaks.
func get(ctx context.Context, url string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // whoever runs the tests names the server
	if err != nil {
		return answer{}, &finalError{withoutURL(err)}
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	response, err := client.Do(request) //nolint:gosec // whoever runs the tests names the server
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

// unexpected is an answer that another server would give, or this one while it starts.
func (a answer) unexpected(what string) error {
	return fmt.Errorf("%s answers with status %d", what, a.status)
}

// withoutURL is the error without the URL that it cites, which may hold a password.
func withoutURL(err error) error {
	var with *urls.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

func httpURL(addr string) string { return "http://" + addr }

// httpAddr is the host and port of an http or https URL.
func httpAddr(url string) (string, error) {
	parsed, err := urls.Parse(url)
	if err != nil {
		return "", withoutURL(err)
	}
	port := parsed.Port()
	switch {
	case parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "":
		return "", errors.New("not an http or https URL with a host")
	case port == "" && parsed.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(parsed.Hostname(), port), nil
}
