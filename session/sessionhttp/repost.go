package sessionhttp

import (
	"crypto/rand"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// RepostOptions configures Repost. The zero value of every field is its default.
type RepostOptions struct {
	// MaxBytes bounds the form. Zero means 256 KiB.
	MaxBytes int64
	// Text and Button are what the page says if the browser runs no scripts.
	// Empty means a text in English.
	Text, Button string
	// Lang is the language of the texts. Empty means en.
	Lang string
}

// Repost returns a handler for the addresses to which other sites send people
// with a form or a redirect: the answer of an identity provider, or of a payment.
// A browser leaves out the session's cookie there, so the handler would see a
// stranger, and session.ErrCrossSite if it wrote something. Repost answers with a
// page that sends the same form from this site. That request has the cookie, and
// next gets it.
//
// Mount it outside of Wrap, which refuses forms of other sites, and on those
// addresses alone:
//
//	app := m.Wrap(mux)
//	outer.Handle("POST /callback", m.Repost(nil, app))
//	outer.Handle("/", app)
//
// The second request looks like one of this site. So Wrap, RequireCSRF and
// SameSite do not protect next there: it must check by itself that the session
// asked for this form, for example by the state of OpenID Connect.
//
// The page never has an address in it: the form goes to the address that the
// browser shows. A form must be application/x-www-form-urlencoded (else 415), of
// UTF-8 (else 400), and within MaxBytes (else 413). A GET is loaded again. That
// matters for SameSite=Strict, since Lax sends the cookie with links.
func (m *Middleware) Repost(opts *RepostOptions, next http.Handler) http.Handler {
	var o RepostOptions
	if opts != nil {
		o = *opts
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 10
	}
	if o.Text == "" {
		o.Text = "Please press the button to go on."
	}
	if o.Button == "" {
		o.Button = "Continue"
	}
	if o.Lang == "" {
		o.Lang = "en"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := m.formOf(r)
		if k == nil || !withoutCookie(k, r) {
			next.ServeHTTP(w, r)
			return
		}
		page := repostPage{RepostOptions: o, Nonce: rand.Text()}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			page.Again = true
		case http.MethodPost:
			fields, code := readForm(w, r, o.MaxBytes)
			if code != http.StatusOK {
				w.Header().Set("Cache-Control", noStore)
				http.Error(w, "This form cannot be sent again from this site.", code)
				return
			}
			page.Fields = fields
		default:
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", noStore)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+page.Nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // else the origin of the second form is "null"
		_ = repostTemplate.Execute(w, page)
	})
}

// field is a field of a form. Forms keep their order.
type field struct{ Name, Value string }

type repostPage struct {
	RepostOptions
	Nonce  string
	Again  bool
	Fields []field
}

// The prototype's submit works even if a field is named "submit".
var repostTemplate = template.Must(template.New("repost").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{{if .Again}}<meta http-equiv="refresh" content="0">
{{end}}<title>{{.Button}}</title>
</head>
<body>
<p>{{.Text}}</p>
{{if .Again}}<p><a href="">{{.Button}}</a></p>
{{else}}<form method="post" accept-charset="utf-8">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<button>{{.Button}}</button>
</form>
<script nonce="{{.Nonce}}">HTMLFormElement.prototype.submit.call(document.forms[0]);</script>
{{end}}</body>
</html>
`))

// readForm returns the fields of a form in their order, and the status of an
// answer that refuses it. The fields must survive a page in UTF-8.
func readForm(w http.ResponseWriter, r *http.Request, limit int64) ([]field, int) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, http.StatusUnsupportedMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
		return nil, http.StatusRequestEntityTooLarge
	} else if err != nil {
		return nil, http.StatusBadRequest
	}
	var out []field
	for pair := range strings.SplitSeq(string(body), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		f := field{}
		var bad [2]error
		f.Name, bad[0] = url.QueryUnescape(name)
		f.Value, bad[1] = url.QueryUnescape(value)
		all := f.Name + f.Value
		if bad != [2]error{} || f.Name == "" || strings.EqualFold(f.Name, "_charset_") || !utf8.ValidString(all) || strings.ContainsRune(all, 0) {
			return nil, http.StatusBadRequest
		}
		out = append(out, f)
	}
	return out, http.StatusOK
}
