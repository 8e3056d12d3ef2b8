package dynamodb

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

// environment has credentials, and nothing of this machine's.
func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_DYNAMODB": "",
	} {
		t.Setenv(name, value)
	}
}

func TestURLOpensAStore(t *testing.T) {
	environment(t)
	table := tableName()
	b, err := backends.Open(t.Context(), "dynamodb://"+table+"?region=eu-west-1&endpoint="+url.QueryEscape(containers.DynamoDB(t).URL))
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: record("a", "ann", time.Hour), Cond: driver.IfAbsent}); err != nil {
		t.Error(err)
	}
	if _, err := open(t, nil).Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
		t.Errorf("get from another table: %v", err)
	}
	if err := driver.DeleteStorage(t.Context(), b); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrClosed) {
		t.Errorf("get after Close: %v", err)
	}
}

func TestURLRefuses(t *testing.T) {
	environment(t)
	for _, rawURL := range []string{
		"dynamodb:", "dynamodb:carts", "dynamodb:///carts", "dynamodb://carts", "dynamodb://carts/x?region=r", "dynamodb://ab?region=r",
		"dynamodb://key:hunter2@carts?region=r", "dynamodb://carts?region=r&nosuch=1", "dynamodb://carts?region=r#x",
		"dynamodb://carts?region=r&endpoint=localhost", "dynamodb://carts?region=r&endpoint=http://key:hunter2@h", "dynamodb://carts?region=r&endpoint=%25zz",
	} {
		_, err := backends.Open(t.Context(), rawURL)
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the secret: %v", rawURL, err)
		}
	}
}

func TestURLTakesTheRegionFromTheEnvironment(t *testing.T) {
	environment(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	b, err := backends.Open(t.Context(), "dynamodb://My_Carts.2-x")
	if err != nil {
		t.Fatal(err)
	}
	d := b.(*Backend)
	if d.table != "My_Carts.2-x" || d.client.Options().Region != "eu-central-1" {
		t.Errorf("table %q in %q", d.table, d.client.Options().Region)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
