package elasticsearch

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// environment has nothing of this machine's.
func environment(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_URL"} {
		t.Setenv(name, "")
	}
}

func TestURLOpensAStore(t *testing.T) {
	environment(t)
	name := indexName()
	b, err := backends.Open(t.Context(), "elasticsearch"+strings.TrimPrefix(containers.Elasticsearch(t).URL, "http")+"/"+name)
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
		t.Errorf("get from another index: %v", err)
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
		"elasticsearch:", "elasticsearch:carts", "elasticsearch:///carts", "elasticsearch://h/a/b", "elasticsearch://h/Carts", "elasticsearch://h/carts@x",
		"elasticsearch://ann@h/carts", "elasticsearch://:hunter2@h/carts", "elasticsearch://ann:hunter2@h/carts?nosuch=1", "elasticsearch+https://ann:hunter2@h/carts#x",
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

// TestURLCredentials sends those of the URL, else those of the environment.
func TestURLCredentials(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:hunter2"))
	for _, test := range []struct {
		name, user, want string
		env              map[string]string
	}{
		{"none", "", "", nil},
		{"of the URL", "ann:hunter2@", basic, map[string]string{"ELASTICSEARCH_API_KEY": "key"}},
		{"a key", "", "APIKey key", map[string]string{"ELASTICSEARCH_API_KEY": "key", "ELASTICSEARCH_USERNAME": "bob"}},
		{"a user", "", basic, map[string]string{"ELASTICSEARCH_USERNAME": "ann", "ELASTICSEARCH_PASSWORD": "hunter2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			environment(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			got := make(chan string, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r.Header.Get("Authorization")
				w.WriteHeader(http.StatusForbidden)
			}))
			t.Cleanup(s.Close)
			b, err := backends.Open(t.Context(), "elasticsearch://"+test.user+s.Listener.Addr().String()+"/carts")
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrUnavailable)
			if have := <-got; have != test.want || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("authorization %q, want %q; %v", have, test.want, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestURLDefaults(t *testing.T) {
	environment(t)
	for rawURL, want := range map[string]string{
		"elasticsearch://h": "http://h:9200 sojourn", "elasticsearch+https://h/carts": "https://h:443 carts", "elasticsearch+https://[::1]:9243/a-b.c_1": "https://[::1]:9243 a-b.c_1",
	} {
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		e := b.(*Backend)
		if got := addressOf(t, e) + " " + e.name; got != want {
			t.Errorf("%q is %s, want %s", rawURL, got, want)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
