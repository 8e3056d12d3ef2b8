package backends_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/model"
)

func TestParseSeveralHosts(t *testing.T) {
	for rawURL, want := range map[string]string{
		"x://h":                         "h",
		"x://h1:1,h2:2/db":              "h1:1,h2:2",
		"x://h1:1,h2?a=b,c":             "h1:1,h2",
		"x://u:p,@h1:1,[::1],h2#f":      "h1:1,[::1],h2",
		"x://u:p@[::1]:1,[::2]:2/p@q,r": "[::1]:1,[::2]:2",
		"x:/a,b":                        "",
	} {
		u, err := backends.Parse(rawURL)
		if err != nil || u.Host != want {
			t.Errorf("%q: host %v, %v, want %q", rawURL, u, err, want)
			continue
		}
		if again, err := backends.Parse(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%q becomes %q and then %v, %v", rawURL, u, again, err)
		}
	}
	for _, rawURL := range []string{"x://h1:a,h2", "x://h1,h2:hunter2", "x://h1, h2", "x://[::1,h2", "x://h1,h2\x00", "%://h1,h2", "x://u:%zz@h1,h2"} {
		u, err := backends.Parse(rawURL)
		if !errors.Is(err, model.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, %v, want %v", rawURL, u, err, model.ErrInvalid)
		}
	}
}

func TestHosts(t *testing.T) {
	got, err := backends.Hosts(&url.URL{Host: "h1:7,[::1],[::2]:9"}, []string{"h2", "h3:65535"}, "5")
	if want := "h1:7 [::1]:5 [::2]:9 h2:5 h3:65535"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	for _, bad := range []string{"", ",h", "h:", "h:0", "h:65536", "h:x", "h:-1", ":7", "u@h", "h/x", "::1", "[::1]x", "h:1:2"} {
		if got, err := backends.Hosts(&url.URL{Host: bad}, nil, "5"); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v, %v, want %v", bad, got, err, model.ErrInvalid)
		}
		if got, err := backends.Hosts(&url.URL{Host: "h"}, []string{bad}, "5"); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("addr=%q: %v, %v, want %v", bad, got, err, model.ErrInvalid)
		}
	}
}

func TestRedact(t *testing.T) {
	backends.Register("redacted", nil, backends.Param{Name: "labels"}, backends.Param{Name: "key", Secret: true}, backends.Param{Name: "appName", AnyCase: true})
	for rawURL, want := range map[string]string{
		"redacted://ann:hunter2@h1,h2:1/x?labels=a,b&key=hunter2": "redacted://ann:xxxxx@h1,h2:1/x?key=xxxxx&labels=a%2Cb",
		"redacted://ann:hunter2@h?token=hunter2&APPNAME=x":        "redacted://ann:xxxxx@h?APPNAME=x&token=xxxxx",
		"redacted://h?key=hunter2&key=hunter2":                    "redacted://h?key=xxxxx&key=xxxxx",
		"redacted://h?labels=http%3A%2F%2Fu%3Ahunter2%40h":        "redacted://h?labels=xxxxx",
		"nosuch:./data?name=carts":                                "nosuch:./data?name=xxxxx",
		"nosuch://ann:hunter2@h":                                  "nosuch://ann:xxxxx@h",
		"redacted://ann:12?hunter2@h":                             "redacted:xxxxx",
		"redacted://ann:12#hunter2@h":                             "redacted:xxxxx",
		"redacted://ann:12/hunter2@h":                             "redacted:xxxxx",
		"redacted://ann@h?a;hunter2":                              "redacted:xxxxx",
		"redacted://ann:hunter2@%z":                               "xxxxx",
		"redacted:ann:hunter2@h":                                  "redacted:xxxxx",
		"redacted:/ann:hunter2@h/1":                               "redacted:xxxxx",
		"redacted:///ann:hunter2@h":                               "redacted:xxxxx",
		"redacted:///data/at@home?labels=a":                       "redacted:///data/at@home?labels=a",
		"hunter2":                                                 "xxxxx",
		"":                                                        "xxxxx",
	} {
		if got := backends.Redact(rawURL); got != want {
			t.Errorf("%q: got %q, want %q", rawURL, got, want)
		}
	}
}

func TestFile(t *testing.T) {
	for rawURL, want := range map[string]string{
		"x:data": "data", "x:./a%20b?y=1": "./a b", "x:/var/lib": "/var/lib", "x:///var/lib": "/var/lib",
		"x:": "", "x://": "", "x://host/data": "", "x://ann:hunter2@/data": "", "x:%zz": "",
	} {
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := backends.File(u, "x:FILE?y=1")
		if got != want || (err == nil) != (want != "") || err != nil && (!errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), "x:FILE?y=1") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %q, %v, want %q", rawURL, got, err, want)
		}
	}
}
