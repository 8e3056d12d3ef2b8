package mongo

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func sample() model.Record {
	return model.Record{
		ID: "id", Revision: model.Revision{1, 2, 3, 15: 16}, ExpiresAt: time.UnixMilli(1893553445006).UTC(),
		Labels: map[string]string{"principal": "ann", "a": "ü"}, Value: []byte(`{"n":1}`), Encoding: "json",
	}
}

// labelled returns a Backend with those labels, for its codec alone.
func labelled(labels ...string) *Backend {
	return &Backend{gate: driverkit.NewGate(driver.Description{Labels: labels})}
}

// plainBackend returns a Backend with the labels of sample.
func plainBackend() *Backend { return labelled("a", "principal") }

func encoded(t testing.TB, b *Backend, rec *model.Record) bson.Raw {
	t.Helper()
	doc, _ := b.document(rec)
	raw, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGolden fixes the format, so that records of earlier versions stay readable.
func TestGolden(t *testing.T) {
	rec := sample()
	for _, test := range []struct {
		rec  model.Record
		want string
	}{
		{rec, `{"_id":"id","sojourn":{"$numberInt":"1"},"rev":{"$binary":{"base64":"AQIDAAAAAAAAAAAAAAAAEA==","subType":"00"}},` +
			`"exp":{"$date":{"$numberLong":"1893553445006"}},"lab":{"a":"ü","principal":"ann"},"enc":"json","val":"{\"n\":1}"}`},
		{model.Record{ID: "x", Value: []byte{255}}, `{"_id":"x","sojourn":{"$numberInt":"1"},"rev":{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAA==","subType":"00"}},` +
			`"exp":{"$date":{"$numberLong":"253402300799999"}},"ever":true,"enc":"","val":{"$binary":{"base64":"/w==","subType":"00"}}}`},
	} {
		got, err := bson.MarshalExtJSON(encoded(t, plainBackend(), &test.rec), true, false)
		if err != nil || string(got) != test.want {
			t.Fatalf("got  %s, %v\nwant %s", got, err, test.want)
		}
	}
}

func TestCodecRoundTrip(t *testing.T) {
	plain := sample()
	plain.Labels, plain.ExpiresAt, plain.Value, plain.Encoding = nil, time.Time{}, []byte{}, ""
	latest := sample()
	latest.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	latest.Labels["principal"] = strings.Repeat("x", model.MaxLabel)
	latest.Value = []byte("\x00\xff")
	nul := sample()
	nul.Value = []byte("a\x00b")
	for name, rec := range map[string]model.Record{"full": sample(), "empty": plain, "largest": latest, "text with NUL": nul} {
		t.Run(name, func(t *testing.T) {
			raw := encoded(t, plainBackend(), &rec)
			got, err := decode(raw)
			if err != nil || !reflect.DeepEqual(got, rec) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, rec)
			}
			clear(raw)
			if !bytes.Equal(got.Value, rec.Value) {
				t.Error("the value shares memory with the answer")
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	rec := sample()
	good, _ := plainBackend().document(&rec)
	without := func(field string) bson.D {
		var d bson.D
		for _, e := range good {
			if e.Key != field {
				d = append(d, e)
			}
		}
		return d
	}
	with := func(field string, value any) bson.D {
		return append(without(field), bson.E{Key: field, Value: value})
	}
	for name, doc := range map[string]bson.D{
		"empty": {}, "no id": without(fieldID), "no format": without(fieldFormat), "no revision": without(fieldRevision), "no expiry": without(fieldExpiry),
		"an id of another type": with(fieldID, 1), "a short revision": with(fieldRevision, bson.Binary{Data: []byte("x")}), "a revision of another type": with(fieldRevision, "x"),
		"a revision of another subtype": with(fieldRevision, bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}),
		"an expiry of another type":     with(fieldExpiry, 5), "never with another expiry": with(fieldForever, true), "ever of another type": with(fieldForever, 1),
		"labels of another type": with(fieldLabels, "x"), "a label of another type": with(fieldLabels, bson.D{{Key: "a", Value: 1}}),
		"no encoding": without(fieldEncoding), "an encoding of another type": with(fieldEncoding, 1), "a value of another type": with(fieldValue, bson.D{}),
		"a format of another type": with(fieldFormat, "1"), "format 0": with(fieldFormat, 0), "format 2": with(fieldFormat, 2),
	} {
		raw, err := bson.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		_, err = decode(raw)
		if !errors.Is(err, model.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if newer := strings.Contains(name, "format 2"); err != nil && newer != strings.Contains(err.Error(), driverkit.WhyNewer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	headless, err := bson.Marshal(without(fieldValue))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := headOnly.decode(headless); err != nil {
		t.Errorf("a head: %v", err)
	}
	if got, err := withValue.decode(headless); !errors.Is(err, model.ErrCorrupt) {
		t.Errorf("no value: %+v, %v", got, err)
	}
	if _, err := decode(encoded(t, plainBackend(), &rec)[:20]); !errors.Is(err, model.ErrCorrupt) {
		t.Errorf("truncated: %v", err)
	}
}

func TestNative(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[1.5,true,null,"x"],"n":{"$k":{"$numberInt":"1"}}}`: `{"v":{"b":{"$numberLong":"1"},"a":[{"$numberDouble":"1.5"},true,null,"x"],"n":{"＄k":{"＄numberInt":"1"}}}}`,
		`{"a":1,"a":2}`:            `{"v":{"a":{"$numberLong":"2"}}}`,
		`[]`:                       `{"v":[]}`,
		`{}`:                       `{"v":{}}`,
		` 9007199254740993 `:       `{"v":{"$numberLong":"9007199254740993"}}`,
		`18446744073709551615`:     `{"v":{"$numberDouble":"18446744073709552000.0"}}`,
		`null`:                     `{"v":null}`,
		`{"a.b":{"":1}}`:           `{"v":{"a.b":{"":{"$numberLong":"1"}}}}`,
		``:                         "",
		`{`:                        "",
		`[1`:                       "",
		`1 2`:                      "",
		`1e999`:                    "",
		`{"a\u0000b":1}`:           "",
		strings.Repeat("[", 1_000): "",
		strings.Repeat("[", 92) + strings.Repeat("]", 92): "",
	} {
		v, err := native([]byte(in))
		if want == "" {
			if err == nil {
				t.Errorf("%.40q became %v", in, v)
			}
			continue
		}
		got, err2 := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
		if err != nil || err2 != nil || !strings.EqualFold(string(got), want) && !strings.Contains(want, "numberDouble") {
			t.Errorf("%q became %s, %v, %v, want %s", in, got, err, err2, want)
		}
	}
}

// FuzzDecode decodes any bytes: the result is ErrCorrupt, or a record that
// encodes to the same record.
func FuzzDecode(f *testing.F) {
	rec := sample()
	raw := encoded(f, plainBackend(), &rec)
	f.Add([]byte(raw))
	f.Add([]byte(raw[:len(raw)/2]))
	f.Add([]byte{5, 0, 0, 0, 0})
	f.Add([]byte("\x0c\x00\x00\x00\x02_id\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := decode(data)
		if err != nil {
			if !errors.Is(err, model.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		var names []string
		for name := range rec.Labels {
			names = append(names, name)
		}
		doc, _ := labelled(names...).document(&rec)
		again, err := bson.Marshal(doc)
		if err != nil {
			return // label names that are not valid
		}
		if got, err := decode(again); err != nil || got.Revision != rec.Revision || !bytes.Equal(got.Value, rec.Value) || !got.ExpiresAt.Equal(rec.ExpiresAt) {
			t.Fatalf("%+v became %+v, %v", rec, got, err)
		}
	})
}

func FuzzNative(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,{"$b":null}]}`, `"x"`, `[[[]]]`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rec := model.Record{ID: "id", Value: data, Encoding: "json"}
		b := labelled()
		b.queryable = true
		doc, _ := b.document(&rec)
		raw, err := bson.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := bson.Raw(raw).Validate(); err != nil {
			t.Fatal(err)
		}
	})
}
