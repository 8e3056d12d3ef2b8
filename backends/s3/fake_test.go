package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// fake is a server of S3 in memory, as
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
// describes it, with faults that clones of S3 have had.
type fake struct {
	*httptest.Server
	quirks

	mu        sync.Mutex
	objects   map[string][]byte // by bucket/key
	lifecycle string            // the rules as they were put
	ops       []string
	headers   map[string]http.Header // of the last request of an operation
	answer    func(op, key string) *answer
	racing    chan struct{}
	racers    int
}

// quirks are what a server does otherwise than AWS.
type quirks struct {
	name             string // how it calls itself
	versioned        bool   // the bucket keeps versions
	suspended        bool   // the bucket has kept versions
	removes          func(key string, size int) (rule string)
	ignoreConditions bool                    // on writes
	racy             bool                    // it checks conditions before, and apart from, the write
	ignoreIfMatch    bool                    // on deletes
	ignoreStartAfter bool                    // in listings
	unsorted         bool                    // it lists in falling order
	rawKeys          bool                    // it ignores the encoding type
	silentEscape     bool                    // it escapes keys and does not say so
	hollow           bool                    // the first part of a listing has no keys
	most             int                     // keys in one answer of a listing; zero: as many as are asked for
	keepDeleted      bool                    // DeleteObjects does nothing
	keepRules        func(put string) string // what it keeps of lifecycle rules
}

// newFake starts a server of S3.
func newFake(t testing.TB, q quirks) *fake {
	t.Helper()
	if q.name == "" {
		q.name = "Fake"
	}
	f := &fake{quirks: q, objects: map[string][]byte{}, headers: map[string]http.Header{}, racing: make(chan struct{})}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// client returns a client of the server.
func (f *fake) client(t testing.TB, opts ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	return plainClient(t, f.URL, "key", "secret", opts...)
}

// open returns a backend on a new store of the server.
func (f *fake) open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	b := newBackend(t, f.client(t), "carts", "app", opts)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// fakeStore returns a backend on a store of a server as AWS is.
func fakeStore(t testing.TB, opts *Options) (*Backend, *fake) {
	t.Helper()
	f := newFake(t, quirks{name: awsName})
	b := f.open(t, opts)
	return b, f
}

// plant puts records without labels into the store that have expired a minute
// after Now.
func (f *fake) plant(b *Backend, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		r := drivertest.Record(fmt.Sprint("id", i), "", time.Minute)
		h := &head{id: r.ID, rev: r.Revision, expiresAt: r.ExpiresAt, stamp: newStamp()}
		h.setValue(r.Value, r.Encoding)
		h.due = h.stamp
		name := placeOf(r.ID).name
		f.objects[b.bucket+"/"+b.full(dueKey(r.ExpiresAt, name, h.stamp))] = nil
		f.objects[b.bucket+"/"+b.full(recordKey(name))] = append(h.encode(), r.Value...)
	}
}

// answers makes the server answer what own returns an answer for.
func (f *fake) answers(own func(op, key string) *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = own
}

// refuses makes the server refuse an operation on keys that contain a text.
func (f *fake) refuses(op, part string, status int, code string) {
	f.answers(func(got, key string) *answer {
		if got == op && strings.Contains(key, part) {
			return &answer{status: status, code: code}
		}
		return nil
	})
}

// requests returns the names of the requests since its last call.
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ops := f.ops
	f.ops = nil
	return ops
}

// keys returns the keys of all objects, sorted.
func (f *fake) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.objects))
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // S3 answers IncompleteBody, and nobody reads it
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	op := opOf(r)
	w.Header().Set("Server", f.name)
	f.mu.Lock()
	f.ops = append(f.ops, op)
	f.headers[op] = r.Header.Clone()
	own := f.answer
	f.mu.Unlock()
	if own != nil {
		if a := own(op, key); a != nil {
			f.reply(w, a)
			return
		}
	}
	query := r.URL.Query()
	switch {
	case query.Has("lifecycle"):
		f.serveRules(w, r.Method, string(body))
	case query.Has("versioning"):
		status := map[bool]string{true: "<Status>Enabled</Status>"}[f.versioned] + map[bool]string{true: "<Status>Suspended</Status>"}[f.suspended]
		_, _ = io.WriteString(w, "<VersioningConfiguration>"+status+"</VersioningConfiguration>")
	case query.Has("delete"):
		f.deleteObjects(w, body, key)
	case query.Get("list-type") == "2":
		f.list(w, key, query)
	case !strings.Contains(key, "/"):
		w.WriteHeader(http.StatusOK) // the bucket
	case r.Method == http.MethodPut:
		f.put(w, r, key, body)
	case r.Method == http.MethodDelete:
		f.delete(w, r, key)
	default:
		f.get(w, r, key)
	}
}

// reply sends an answer. Without a status it closes the connection.
func (f *fake) reply(w http.ResponseWriter, a *answer) {
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
	if a.code != "" {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>said hunter2</Message></Error>`, a.code)
	}
}

// allowed reports whether the conditions of a request hold.
func (f *fake) allowed(r *http.Request, key string) *answer {
	body, exists := f.objects[key]
	switch match := r.Header.Get("If-Match"); {
	case r.Header.Get("If-None-Match") == "*" && exists:
		return &answer{status: 412, code: codePrecondition}
	case match != "" && !exists:
		return &answer{status: 404, code: codeNoKey}
	case match != "" && match != etagOf(body):
		return &answer{status: 412, code: codePrecondition}
	}
	return nil
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	f.mu.Lock()
	a := f.allowed(r, key)
	conditional := r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != ""
	if f.racy && conditional && a == nil {
		f.race()
	}
	if a == nil || f.ignoreConditions {
		a = nil
		f.objects[key] = body
	}
	f.mu.Unlock()
	if a != nil {
		f.reply(w, a)
		return
	}
	w.Header().Set("ETag", etagOf(body))
	switch {
	case f.versioned:
		w.Header().Set("X-Amz-Version-Id", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo")
	case f.suspended:
		w.Header().Set("X-Amz-Version-Id", nullVersion)
	}
	if f.removes != nil {
		if rule := f.removes(key, len(body)); rule != "" {
			w.Header().Set("X-Amz-Expiration", `expiry-date="Fri, 21 Dec 2029 00:00:00 GMT", rule-id="`+url.QueryEscape(rule)+`"`)
		}
	}
}

// race holds a write until all contenders have passed their conditions.
func (f *fake) race() {
	at := f.racing
	if f.racers++; f.racers == contenders {
		f.racers, f.racing = 0, make(chan struct{})
		close(at)
		return
	}
	f.mu.Unlock()
	<-at
	f.mu.Lock()
}

func (f *fake) delete(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	a := f.allowed(r, key)
	if a == nil || f.ignoreIfMatch {
		a = &answer{status: 204}
		delete(f.objects, key)
	}
	f.mu.Unlock()
	f.reply(w, a)
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	body, exists := f.objects[key]
	f.mu.Unlock()
	if !exists {
		f.reply(w, &answer{status: 404, code: codeNoKey})
		return
	}
	w.Header().Set("ETag", etagOf(body))
	if last, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=0-"); ok {
		n, _ := strconv.Atoi(last)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", min(n, len(body)-1), len(body)))
		body = body[:min(n+1, len(body))]
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func (f *fake) deleteObjects(w http.ResponseWriter, body []byte, bucket string) {
	var in struct {
		Object []struct {
			Key string `xml:"Key"`
		} `xml:"Object"`
	}
	_ = xml.Unmarshal(body, &in)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range in.Object {
		if !f.keepDeleted {
			delete(f.objects, bucket+"/"+o.Key)
		}
	}
	_, _ = io.WriteString(w, "<DeleteResult></DeleteResult>")
}

func (f *fake) list(w http.ResponseWriter, bucket string, query url.Values) {
	prefix, after, delimiter := query.Get("prefix"), query.Get("start-after"), query.Get("delimiter")
	limit, _ := strconv.Atoi(query.Get("max-keys"))
	if limit == 0 {
		limit = maxKeys
	}
	if f.most > 0 {
		limit = min(limit, f.most)
	}
	if query.Has("continuation-token") {
		after, _ = url.PathUnescape(query.Get("continuation-token"))
	}
	if f.ignoreStartAfter {
		after = ""
	}
	encode := func(key string) string {
		var out strings.Builder
		_ = xml.EscapeText(&out, []byte(key)) // which replaces what XML does not have
		return out.String()
	}
	said := ""
	if query.Get("encoding-type") == "url" && !f.rawKeys {
		encode = func(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }
		if said = "<EncodingType>url</EncodingType>"; f.silentEscape {
			said = ""
		}
	}
	keys := f.keys()
	if f.unsorted {
		slices.Reverse(keys)
	}
	var out strings.Builder
	n, last, more, folders := 0, "", f.hollow && !query.Has("continuation-token"), map[string]bool{}
	for _, full := range keys {
		key, ok := strings.CutPrefix(full, bucket+"/")
		if !ok || !strings.HasPrefix(key, prefix) || key <= after || more {
			continue
		}
		if n == limit {
			more = true
			break
		}
		n++
		last = key
		if folder, _, ok := strings.Cut(key[len(prefix):], "/"); ok && delimiter != "" {
			if folder = prefix + folder + "/"; !folders[folder] {
				fmt.Fprintf(&out, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", encode(folder))
			}
			folders[folder] = true
			continue
		}
		f.mu.Lock()
		body := f.objects[full]
		f.mu.Unlock()
		fmt.Fprintf(&out, "<Contents><Key>%s</Key><ETag>%s</ETag><Size>%d</Size><LastModified>%s</LastModified></Contents>",
			encode(key), strings.ReplaceAll(etagOf(body), `"`, "&quot;"), len(body), time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if more && last == "" {
		last = after + "\x00"
	}
	if more {
		fmt.Fprintf(&out, "<NextContinuationToken>%s</NextContinuationToken>", url.PathEscape(last))
	}
	_, _ = fmt.Fprintf(w, "<ListBucketResult>%s<IsTruncated>%v</IsTruncated>%s</ListBucketResult>", said, more, out.String())
}

func (f *fake) serveRules(w http.ResponseWriter, method, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case method == http.MethodPut:
		if f.keepRules != nil {
			body = f.keepRules(body)
		}
		f.lifecycle = body
	case f.lifecycle == "":
		f.reply(w, &answer{status: 404, code: codeNoRules})
	default:
		_, _ = io.WriteString(w, f.lifecycle)
	}
}

// TestFake has the fake obey the rules that Check looks at.
func TestFake(t *testing.T) {
	b, f := fakeStore(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	wantIDs(t, bearers(t, b, "ann"), "id")
	remove(t, b, "id")
	if keys := f.keys(); len(keys) != 2 { // the marker and the entry by expiry
		t.Errorf("left %q", keys)
	}
}
