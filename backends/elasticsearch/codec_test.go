package elasticsearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/model"
)

func FuzzCodec(f *testing.F) {
	f.Add("id", []byte(`{"a":1}`), "json", "ann", int64(1))
	f.Add("\u2028/..", []byte{0xff, 0}, "", "", int64(0))
	f.Add("x", []byte{}, "gob", "a#b", int64(253402300799999))
	f.Add("x", []byte("\x00\x01<&>\u2028"), "gob", "a", int64(7))
	b := &Backend{queryable: true}
	f.Fuzz(func(t *testing.T, id string, value []byte, encoding, principal string, ms int64) {
		if !utf8.ValidString(id) || !utf8.ValidString(encoding) || !utf8.ValidString(principal) {
			return // the front refuses them
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
		got, err := decode(id, source, false)
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
		`{"id":"a","format":2,"revision":` + rev + `,"encoding":"json","value":"x"}`:                                whyNewer,
		`{"id":"b","format":1,"revision":` + rev + `,"encoding":"json","value":"x"}`:                                whyForeign,
		`{"id":"a","revision":` + rev + `,"encoding":"json","value":"x"}`:                                           whyForeign,
		`{"id":"a","format":1,"revision":"1","encoding":"json","value":"x"}`:                                        whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"value":"x"}`:                                                  whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json"}`:                                            whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","bytes":"eA=="}`:                 whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","bytes":"?"}`:                                whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","expires":"soon"}`:               whyForeign,
		`{"id":"a","format":1,"revision":` + rev + `,"encoding":"json","value":"x","labels":{"principal":["ann"]}}`: whyForeign,
		``: whyForeign, `{}`: whyForeign, `[]`: whyForeign, `null`: whyForeign,
	} {
		_, err := decode("a", json.RawMessage(source), false)
		if want == "" && err != nil || want != "" && (!errors.Is(err, model.ErrCorrupt) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestHints(t *testing.T) {
	r := record("id", "ann", time.Hour)
	p := position{"0123456789abcdef", 7, 2}
	r.ServerVersion = p.hint(&r)
	if got, ok := positionOf(&r); !ok || got != p {
		t.Errorf("%q is %+v", r.ServerVersion, got)
	}
	for name, change := range map[string]func(r *model.Record){
		"id":       func(r *model.Record) { r.ID = "other" },
		"revision": func(r *model.Record) { r.Revision[0]++ },
		"expiry":   func(r *model.Record) { r.ExpiresAt = r.ExpiresAt.Add(time.Millisecond) },
		"never":    func(r *model.Record) { r.ExpiresAt = time.Time{} },
		"label":    func(r *model.Record) { r.Labels = map[string]string{"principal": "bob"} },
		"none":     func(r *model.Record) { r.Labels = nil },
		"encoding": func(r *model.Record) { r.Encoding = "gob" },
		"position": func(r *model.Record) { r.ServerVersion = strings.Replace(r.ServerVersion, ".7.", ".8.", 1) },
		"epoch":    func(r *model.Record) { r.ServerVersion = "f" + r.ServerVersion[1:] },
		"sum":      func(r *model.Record) { r.ServerVersion += "0" },
		"empty":    func(r *model.Record) { r.ServerVersion = "" },
		"parts":    func(r *model.Record) { r.ServerVersion = "a.b.c.d" },
	} {
		other := r.Clone()
		if change(&other); true {
			if _, ok := positionOf(&other); ok {
				t.Errorf("another %s is taken", name)
			}
		}
	}
	value := r.Clone()
	value.Value = nil
	if _, ok := positionOf(&value); !ok {
		t.Error("a head's hint is refused")
	}
	if (position{"", 1, 1}).hint(&r) != "" {
		t.Error("a hint without an epoch")
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
			t.Errorf("%.60q: %v", value, got != nil)
		}
	}
}
