package drivertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/model"
)

// samples are values of the forms.
var samples = map[backends.Form]string{
	backends.FormText: "x", backends.FormNames: "sid,principal", backends.FormNumber: "1", backends.FormSwitch: "true", backends.FormDuration: "2h", backends.FormMode: "0750",
}

// TakesParams opens the URL once with each documented parameter, and once with
// all that set Options: the backend takes them, and declares the labels. It
// refuses the same parameter twice, unless it may be repeated, and an empty
// number, switch or duration. Values are those of parameters that do not take
// any value of their form; after an & follow parameters that it needs. No server needs to answer. What is opened and the
// errors do not print hunter2, which is the URL's password.
func TakesParams(t *testing.T, rawURL string, values map[string]string) {
	t.Helper()
	const secret = "hunter2"
	base, err := backends.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	open := func(more url.Values) error {
		u := *base
		query := u.Query()
		for name, list := range more {
			query[name] = append(query[name], list...)
		}
		u.RawQuery = query.Encode()
		b, err := backends.Open(t.Context(), u.String())
		if err != nil {
			NotPrinted(t, err, secret)
			return err
		}
		NotPrinted(t, b, secret)
		if want := []string{"principal", "sid"}; more.Has("labels") && !slices.Equal(b.Describe().Labels, want) {
			t.Errorf("labels %v, want %v", b.Describe().Labels, want)
		}
		if n, want := b.Describe().MaxValue, more.Get("max_value"); want != "" && fmt.Sprint(n) != want {
			t.Errorf("values of %d bytes, want %s", n, want)
		}
		return b.Close()
	}
	if s := backends.Redact(rawURL); strings.Contains(s, secret) {
		t.Errorf("Redact prints the password: %s", s)
	}
	unescapedPasswords(t, rawURL, secret)
	all := url.Values{}
	params := backends.ParamsOf(base.Scheme)
	if len(params) == 0 {
		t.Errorf("the scheme %s documents no parameters", base.Scheme)
	}
	for _, p := range params {
		if p.Name == "" {
			continue
		}
		value, ok := values[p.Name]
		if !ok {
			value = samples[p.Form]
		}
		value, companions, _ := strings.Cut(value, "&")
		more, err := url.ParseQuery(companions)
		if err != nil {
			t.Fatal(err)
		}
		if p.Field != "" {
			all.Set(p.Name, value)
		} else if p.Doc == "" {
			t.Errorf("the parameter %s has no documentation", p.Name)
		}
		if !base.Query().Has(p.Name) {
			more.Set(p.Name, value)
			if err := open(more); err != nil {
				t.Errorf("%s=%s: %v", p.Name, value, err)
			}
		}
		if err := open(url.Values{p.Name: {value, value}}); !p.Repeated && !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s twice: %v, want %v", p.Name, err, model.ErrInvalid)
		}
		if p.Field != "" && p.Form != backends.FormText && p.Form != backends.FormNames {
			if err := open(url.Values{p.Name: {""}}); !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%s without a value: %v, want %v", p.Name, err, model.ErrInvalid)
			}
		}
	}
	if err := open(all); err != nil {
		t.Errorf("%v: %v", all, err)
	}
	if err := open(url.Values{"nosuch": {secret}}); !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), `"nosuch"`) || !strings.Contains(err.Error(), "labels") {
		t.Errorf("an unknown parameter: %v, want %v with its name and the known ones", err, model.ErrInvalid)
	}
}

// unescapedPasswords opens the URL with passwords that have signs of URLs in
// them. Some read as another URL. No error and no redacted URL has the secret in
// its text.
func unescapedPasswords(t *testing.T, rawURL, secret string) {
	t.Helper()
	const signs = "?#/@:&=%;,[ x\n"
	for _, a := range signs {
		for _, b := range signs {
			u := strings.Replace(rawURL, ":"+secret+"@", ":1"+string(a)+secret+string(b)+"@", 1)
			opened, err := backends.Open(t.Context(), u)
			if err == nil {
				_ = opened.Close()
			}
			for _, text := range []string{fmt.Sprint(err), backends.Redact(u)} {
				if u != rawURL && strings.Contains(text, secret) {
					t.Errorf("%q: %s", u, text)
				}
			}
		}
	}
}

// NotPrinted prints the value in every usual way, by itself and as a part of
// another: the secret is not in the text.
func NotPrinted(t *testing.T, v any, secret string) {
	t.Helper()
	type part struct{ hidden any }
	texts := map[string]string{"part": fmt.Sprintf("%v %+v %#v", part{v}, part{v}, []any{v})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts[verb] = fmt.Sprintf(verb, v)
	}
	if data, err := json.Marshal(v); err == nil {
		texts["json"] = string(data)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, "part", part{v})
	texts["slog"] = log.String()
	for how, text := range texts {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%s prints the secret: %s", how, text)
		}
	}
}
