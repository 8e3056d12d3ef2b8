package redis

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestURLOpensAStore(t *testing.T) {
	name := storeName()
	b, err := backends.Open(t.Context(), containers.Redis(t).URL+"?name="+url.QueryEscape(name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: record("a", "ann", time.Hour), Cond: driver.IfAbsent}); err != nil {
		t.Error(err)
	}
	if _, err := open(t, nil).Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
		t.Errorf("get from another name: %v", err)
	}
	if err := driver.DeleteStorage(t.Context(), b); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.(*Backend).client.Ping(t.Context()).Err(); err == nil {
		t.Error("the client that the URL made is open after Close")
	}
}

func TestURLRefuses(t *testing.T) {
	for _, rawURL := range []string{
		"redis:", "redis:localhost", "redis:///0", "redis://u:hunter2@h/notanumber", "redis://u:hunter2@h:1/0?nosuch=1",
		"redis://u:hunter2@h/0?name=a%7Bb", "rediss://u:hunter2@h/x/y", "redis://u:hunter2@h:1?addr=x&nosuch=1",
	} {
		_, err := backends.Open(t.Context(), rawURL)
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the password: %v", rawURL, err)
		}
	}
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
