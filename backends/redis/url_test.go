package redis

import (
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestURLOpensAStore(t *testing.T) {
	b := drivertest.OpenURL(t, containers.Redis(t).URL+"?name="+url.QueryEscape(drivertest.Name()), open(t, nil))
	if err := b.(*Backend).client.Ping(t.Context()).Err(); err == nil {
		t.Error("the client that the URL opened is still open after Close")
	}
}

func TestURLRefuses(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"redis:", "redis:localhost", "redis:///0", "redis://u:hunter2@h/notanumber", "redis://u:hunter2@h:1/0?nosuch=1",
		"redis://u:hunter2@h/0?name=a%7Bb", "rediss://u:hunter2@h/x/y", "redis://u:hunter2@h:1?addr=x&nosuch=1")
}

func TestURLOfACluster(t *testing.T) {
	b, err := backends.Open(t.Context(), "redis://127.0.0.1:1?addr=127.0.0.1:2&name=x")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
