package backends_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/model"
)

type options struct {
	Labels    []string
	GraceTTL  time.Duration
	MaxValue  int
	NoSync    bool
	Title     string
	Logger    *slog.Logger
	Mode      fs.FileMode
	invisible int
}

// parse parses a query with the options and a few more parameters bound.
func parse(t *testing.T, query string) (options, url.Values, error) {
	t.Helper()
	u, err := url.Parse("x://ann:hunter2@h" + query)
	if err != nil {
		t.Fatal(err)
	}
	o := options{Title: "before", invisible: 1}
	passed := url.Values{}
	var addrs []string
	var p backends.Params
	p.Options(&o)
	p.Texts(&addrs, "addr", "")
	p.Pass(passed, backends.Param{Name: "appName", AnyCase: true})
	p.Pass(passed, backends.Param{Name: "pool", Min: -1, Max: 9})
	err = p.Parse(u)
	if len(addrs) > 0 {
		passed["addrs"] = addrs
	}
	return o, passed, err
}

func TestParse(t *testing.T) {
	o, passed, err := parse(t, "?labels=principal,sid&grace_ttl=-1s&max_value=7&no_sync=true&title=&mode=0640&addr=a&addr=b&APPNAME=x&pool=-1")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Labels, []string{"principal", "sid"}) || o.GraceTTL != -time.Second || o.MaxValue != 7 || !o.NoSync || o.Mode != 0o640 || o.Title != "" {
		t.Errorf("got %+v", o)
	}
	if got := passed.Encode(); got != "addrs=a&addrs=b&appName=x&pool=-1" {
		t.Errorf("passed %s", got)
	}
	if o, _, err = parse(t, ""); err != nil || o.Labels != nil || o.Title != "before" {
		t.Errorf("without parameters: %+v, %v", o, err)
	}
	if o, _, err = parse(t, "?labels="); err != nil || o.Labels == nil || len(o.Labels) > 0 {
		t.Errorf("no labels: %#v, %v", o.Labels, err)
	}
}

func TestParseRefuses(t *testing.T) {
	const known = "known are: labels, grace_ttl, max_value, no_sync, title, mode, addr, appName, pool"
	for query, word := range map[string]string{
		"?nosuch=hunter2":                    `unknown parameter "nosuch"; ` + known,
		"?Labels=a":                          `"labels" is given in other upper and lower case`,
		"?title=a&hunter2=b":                 "a parameter that is not known (write %26 for an & in a password); " + known,
		"?hunter2=":                          "unknown parameter without a value",
		"?noSuch=a":                          "a parameter that is not known",
		"?" + strings.Repeat("n", 33) + "=a": "a parameter that is not known",
		"?logger=x":                          `unknown parameter "logger"`,
		"?invisible=1":                       `unknown parameter "invisible"`,
		"?=x":                                "a parameter that is not known",
		"?labels=a&hunter2":                  "unknown parameter without a value",
		"?labels=hunter2&labels=hunter2":     `"labels" is given twice; ` + known,
		"?appName=hunter2&appname=hunter2":   `"appName" is given twice`,
		"?grace_ttl=hunter2":                 `"grace_ttl" is no duration`,
		"?grace_ttl=5":                       `"grace_ttl" is no duration`,
		"?max_value=hunter2":                 `"max_value" is no whole number`,
		"?max_value=99999999999999999999":    `"max_value" is no whole number`,
		"?no_sync=":                          `"no_sync" is no switch`,
		"?mode=8":                            `"mode" is no mode: octal`,
		"?mode=1777":                         `"mode" is no mode`,
		"?pool=10":                           `"pool" is no number from -1 to 9`,
		"?pool=-2":                           `"pool" is no number from -1 to 9`,
		"?labels=%zz":                        "cannot be parsed",
		"?labels=a;b=hunter2":                "cannot be parsed",
		"#hunter2":                           "looks like a password",
		"?hunter2@h":                         "looks like a password",
		"/hunter2@h":                         "looks like a password",
	} {
		_, _, err := parse(t, query)
		if !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q and no secret in it", query, err, word)
		}
	}
}

func TestMistakesInBindings(t *testing.T) {
	for name, bind := range map[string]func(p *backends.Params){
		"no pointer":   func(p *backends.Params) { p.Options(options{}) },
		"nil":          func(p *backends.Params) { p.Options((*options)(nil)) },
		"no struct":    func(p *backends.Params) { p.Options(new(int)) },
		"nothing":      func(p *backends.Params) { p.Options(nil) },
		"a name twice": func(p *backends.Params) { p.Options(&options{}); p.Text(new(string), "title", "") },
	} {
		var p backends.Params
		bind(&p)
		if err := p.Parse(&url.URL{}); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, model.ErrInvalid)
		}
	}
}

func TestList(t *testing.T) {
	var p backends.Params
	p.Options(&options{})
	p.Secret(new(string), "key", "The key.")
	var got []string
	for _, param := range p.List() {
		got = append(got, param.Name+":"+param.Field+":"+string(param.Form))
		if param.Secret != (param.Name == "key") {
			t.Errorf("%s: secret %v", param.Name, param.Secret)
		}
	}
	if want := "labels:Labels:names grace_ttl:GraceTTL:duration max_value:MaxValue:number no_sync:NoSync:switch title:Title:text :Logger: mode:Mode:mode key::text"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

func TestNameHasADefault(t *testing.T) {
	for query, want := range map[string]string{"": "sojourn", "?table=": "sojourn", "?table=carts": "carts"} {
		var p backends.Params
		var name string
		p.Name(&name, "table", "The table.")
		if err := p.Parse(&url.URL{Scheme: "x", RawQuery: strings.TrimPrefix(query, "?")}); err != nil || name != want {
			t.Errorf("%q: %q, %v, want %q", query, name, err, want)
		}
		if got := p.List()[0]; got.Name != "table" || got.Form != backends.FormText || got.Doc != "The table. The default is sojourn." {
			t.Errorf("%+v", got)
		}
	}
}
