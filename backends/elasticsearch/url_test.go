package elasticsearch

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// clearEnvironment removes the credentials of the environment.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_URL"} {
		t.Setenv(name, "")
	}
}

func TestOpenURL(t *testing.T) {
	clearEnvironment(t)
	address := strings.TrimPrefix(containers.Elasticsearch(t).URL, "http")
	drivertest.OpenURL(t, "elasticsearch"+address+"/"+drivertest.Name(), open(t, nil))
}

func TestRefuseURLs(t *testing.T) {
	clearEnvironment(t)
	drivertest.RefuseURLs(t, "hunter2",
		"elasticsearch:", "elasticsearch:carts", "elasticsearch:///carts", "elasticsearch://h/a/b", "elasticsearch://h/Carts", "elasticsearch://h/carts@x",
		"elasticsearch://ann@h/carts", "elasticsearch://:hunter2@h/carts", "elasticsearch://ann:hunter2@h/carts?nosuch=1", "elasticsearch+https://ann:hunter2@h/carts#x")
}

// TestURLCredentials sends the credentials of the URL, else of the environment.
func TestURLCredentials(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:hunter2"))
	for _, test := range []struct {
		name, user, want string
		env              map[string]string
	}{
		{"none", "", "", nil},
		{"URL", "ann:hunter2@", basic, map[string]string{"ELASTICSEARCH_API_KEY": "key"}},
		{"key", "", "APIKey key", map[string]string{"ELASTICSEARCH_API_KEY": "key", "ELASTICSEARCH_USERNAME": "bob"}},
		{"user", "", basic, map[string]string{"ELASTICSEARCH_USERNAME": "ann", "ELASTICSEARCH_PASSWORD": "hunter2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			clearEnvironment(t)
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
			_, err = b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if have := <-got; have != test.want || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("authorization %q, want %q; %v", have, test.want, err)
			}
			must(t, b.Close())
		})
	}
}

func TestURLDefaults(t *testing.T) {
	clearEnvironment(t)
	for rawURL, want := range map[string]string{
		"elasticsearch://h": "http://h:9200 sojourn", "elasticsearch+https://h/carts": "https://h:443 carts", "elasticsearch+https://[::1]:9243/a-b.c_1": "https://[::1]:9243 a-b.c_1",
	} {
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		e := b.(*Backend)
		if got := addressOf(t, e) + " " + e.name; got != want {
			t.Errorf("%q opens %s, want %s", rawURL, got, want)
		}
		must(t, b.Close())
	}
}

func TestURLTakesParams(t *testing.T) {
	clearEnvironment(t)
	drivertest.TakesParams(t, "elasticsearch://h1:1,h2?api_key=hunter2", map[string]string{"addr": "h3"})
	drivertest.RefuseURLs(t, "hunter2", "elasticsearch://ann:hunter2@h1,,h2", "elasticsearch://ann:hunter2@h1?addr=h2/x", "elasticsearch://ann:hunter2@h?api_key=hunter2")
	b, err := backends.Open(t.Context(), "elasticsearch://h?shards=3&replicas=-1&queryable=true")
	if err != nil {
		t.Fatal(err)
	}
	if e := b.(*Backend); e.shards != 3 || e.replicas != -1 || !e.queryable {
		t.Errorf("%d shards, %d replicas, queryable %v", e.shards, e.replicas, e.queryable)
	}
	must(t, b.Close())
}

// TestURLOfSeveralHosts opens a store on nodes of which the first does not
// answer.
func TestURLOfSeveralHosts(t *testing.T) {
	clearEnvironment(t)
	nodes, err := backends.Open(t.Context(), "elasticsearch://h1:7,[::1],h2/carts?addr=h3&addr=h4:8")
	must(t, err)
	all := fmt.Sprint(nodes.(*Backend).Client().(interface{ URLs() []*url.URL }).URLs())
	if want := "[http://h1:7 http://[::1]:9200 http://h2:9200 http://h3:9200 http://h4:8]"; all != want {
		t.Errorf("the nodes are %s, want %s", all, want)
	}
	must(t, nodes.Close())
	u, err := url.Parse(containers.Elasticsearch(t).URL)
	must(t, err)
	for _, form := range []string{"elasticsearch://%s,%s/%s", "elasticsearch://%s/%[3]s?addr=%[2]s"} {
		drivertest.OpenURL(t, fmt.Sprintf(form, "127.0.0.1:1", u.Host, drivertest.Name()), open(t, nil))
	}
}
