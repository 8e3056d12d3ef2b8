package elasticsearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// decodeSource decodes the source of a document, as a part of a reply.
func decodeSource(id string, data []byte) (model.Record, error) {
	docs := make([]foundDoc, 1)
	if json.Unmarshal(data, &docs[0].Source) != nil {
		_ = isolate(docs, []onlySource{{data}})
	}
	return docs[0].Source.record(id, whole)
}

func FuzzCodec(f *testing.F) {
	f.Add("id", []byte(`{"a":1}`), "json", "ann", int64(1))
	f.Add("\u2028/..", []byte{0xff, 0}, "", "", int64(0))
	f.Add("x", []byte{}, "gob", "a#b", int64(253402300799999))
	f.Add("x", []byte("\x00\x01<&>\u2028"), "gob", "a", int64(7))
	b := &Backend{queryable: true}
	f.Fuzz(func(t *testing.T, id string, value []byte, encoding, principal string, ms int64) {
		if !utf8.ValidString(id) || !utf8.ValidString(encoding) || !utf8.ValidString(principal) {
			return // package expiry refuses them
		}
		r := model.Record{ID: id, Revision: model.NewRevision(), Value: value, Encoding: encoding}
		if ms != 0 {
			r.ExpiresAt = time.UnixMilli(ms % 253402300800000).UTC()
		}
		if principal != "" {
			r.Labels = map[string]string{"principal": principal}
		}
		source, err := marshal(b.encode(&r))
		if err != nil {
			t.Fatal(err)
		}
		if len(source) > len(value)*7/3+len(id)*6+len(encoding)*6+len(principal)*6+600 {
			t.Errorf("%d bytes became %d", len(value), len(source))
		}
		got, err := decodeSource(id, source)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Value, value) || got.Revision != r.Revision || !got.ExpiresAt.Equal(r.ExpiresAt) || got.Encoding != encoding || got.Labels["principal"] != principal {
			t.Fatalf("%+v became %+v", r, got)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	const rev = `"00000000000000000000000000000001"`
	for source, want := range map[string]string{
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x"}`:                                "",
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"","bytes":"","expires":null,"labels":{}}`:          "",
		`{"id":"a","format":2,"revision":` + rev + `,"encoding":"json","value":"x"}`:                                driverkit.WhyNewer,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","size":1,"value":"x"}`:                       "",
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","size":2,"value":"x"}`:                       driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","size":9999}`:                                driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","long_value":"x"}`:               driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","long_bytes":"eA=="}`:                        "",
		`{"id":"b","format":1,"revision":` + rev + `,"encoding":"json","value":"x"}`:                                driverkit.WhyOtherID,
		`{"id":"a","revision":` + rev + `,"encoding":"json","value":"x"}`:                                           driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":"1","encoding":"json","value":"x"}`:                                        driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"value":"x"}`:                                                  driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json"}`:                                            driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","bytes":"eA=="}`:                 driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","bytes":"?"}`:                                driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","expires":"soon"}`:               driverkit.WhyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","labels":{"principal":["ann"]}}`: driverkit.WhyForeign,
		``: driverkit.WhyForeign, `{}`: driverkit.WhyForeign, `[]`: driverkit.WhyForeign, `null`: driverkit.WhyForeign,
	} {
		_, err := decodeSource("a", []byte(source))
		if want == "" && err != nil || want != "" && (!errors.Is(err, model.ErrCorrupt) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}

func TestServerVersions(t *testing.T) {
	r := drivertest.Record("id", "ann", time.Hour)
	v := docVersion{"0123456789abcdef", 7, 2}
	r.ServerVersion = v.serverVersion(&r)
	if got, ok := versionOf(&r); !ok || got != v {
		t.Errorf("%q means %+v, want %+v", r.ServerVersion, got, v)
	}
	head := r.Head()
	if _, ok := versionOf(&head); !ok {
		t.Error("the server version is refused without the value")
	}
	for name, change := range map[string]func(r *model.Record){
		"another id":       func(r *model.Record) { r.ID = "other" },
		"another revision": func(r *model.Record) { r.Revision[0]++ },
		"another expiry":   func(r *model.Record) { r.ExpiresAt = r.ExpiresAt.Add(time.Millisecond) },
		"no expiry":        func(r *model.Record) { r.ExpiresAt = time.Time{} },
		"another label":    func(r *model.Record) { r.Labels["principal"] = "bob" },
		"no labels":        func(r *model.Record) { r.Labels = nil },
		"another encoding": func(r *model.Record) { r.Encoding = "gob" },
		"another number":   func(r *model.Record) { r.ServerVersion = strings.Replace(r.ServerVersion, ".7.", ".8.", 1) },
		"another epoch":    func(r *model.Record) { r.ServerVersion = "f" + r.ServerVersion[1:] },
		"another checksum": func(r *model.Record) { r.ServerVersion += "0" },
		"no version":       func(r *model.Record) { r.ServerVersion = "" },
		"other parts":      func(r *model.Record) { r.ServerVersion = "a.b.c.d" },
	} {
		other := r.Clone()
		change(&other)
		if _, ok := versionOf(&other); ok {
			t.Errorf("the server version is accepted with %s", name)
		}
	}
	if got := (docVersion{"", 1, 1}).serverVersion(&r); got != "" {
		t.Errorf("the server version without an epoch is %q", got)
	}
}

func TestNativeCopy(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for value, ok := range map[string]bool{
		`{"a":[1,"x",true,null,{"b":{}}],"c":""}`: true, ` {} `: true, `{"a":1,"b":{"a":2}}`: true, deep(copyDepth): true, deep(copyDepth + 1): false,
		`1`: false, `"text"`: false, `[]`: false, `null`: false, ``: false, `{`: false, `{"a"`: false, `{"a":}`: false, `{} {}`: false, `nope`: false,
		`{"":1}`: false, `{"a":1,"a":1}`: false, `{"a":{"b":1,"b":2}}`: false, `{"\u0000":1}`: false, `{"a":"\u0000"}`: false,
		`{"a":` + strings.Repeat("1", copyNumber) + `}`: true, `{"a":` + strings.Repeat("1", copyNumber+1) + `}`: false,
		`{"` + strings.Repeat("x", copyPath) + `":1}`: false, `{"a":[` + strings.Repeat("1,", copyMembers) + `1]}`: false,
		`{"a":"` + strings.Repeat("x", copySize) + `"}`: false,
	} {
		if got := nativeCopy([]byte(value)); (got != nil) != ok {
			t.Errorf("%.60q is copied: %v, want %v", value, got != nil, ok)
		}
	}
}
