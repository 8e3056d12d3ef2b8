package jsonform_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/jsonform"
)

type (
	base     struct{ ID string }
	embeds   struct{ base }
	points   struct{ *base }
	itself   *itself
	textOnly int
	textName string
	textKey  int
	locked   struct {
		sync.Mutex
		N int
	}
	decodes struct{ *base }
	first   struct{ Name string }
	second  struct{ Name string }
	both    struct {
		first
		second
		Age int `json:"age"`
	}
	outer struct {
		first
		second
		Name string
	}
)

func (textOnly) MarshalText() ([]byte, error) { return []byte("red"), nil }
func (textName) MarshalText() ([]byte, error) { return []byte("red"), nil }
func (*textKey) MarshalText() ([]byte, error) { return []byte("red"), nil }
func (*textKey) UnmarshalText([]byte) error   { return nil }
func (*decodes) UnmarshalJSON([]byte) error   { return nil }

func TestCheckTypeRefusesWhatDoesNotComeBack(t *testing.T) {
	for name, typ := range map[string]reflect.Type{
		"embedded pointer of an unexported name": reflect.TypeFor[points](),
		"field that is an interface":             reflect.TypeFor[struct{ S fmt.Stringer }](),
		"field that is an error":                 reflect.TypeFor[struct{ Err error }](),
		"interface of a marshaler":               reflect.TypeFor[[]json.Marshaler](),
		"text that nothing reads":                reflect.TypeFor[struct{ C textOnly }](),
		"pointer to a text that nothing reads":   reflect.TypeFor[[]*textOnly](),
		"key that nothing reads":                 reflect.TypeFor[map[textOnly]int](),
		"key whose method needs a pointer":       reflect.TypeFor[map[textKey]int](),
		"field without an exported field":        reflect.TypeFor[struct{ N atomic.Int64 }](),
		"sync.Map":                               reflect.TypeFor[struct{ M sync.Map }](),
		"pointer to itself":                      reflect.TypeFor[itself](),
	} {
		if jsonform.CheckType(typ) == nil {
			t.Errorf("%s: %v is taken", name, typ)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[embeds](), reflect.TypeFor[*locked](), reflect.TypeFor[struct{ Mu sync.RWMutex }](), reflect.TypeFor[decodes](),
		reflect.TypeFor[textName](), reflect.TypeFor[map[textName]time.Time](), reflect.TypeFor[struct {
			Skip error `json:"-"`
			At   *time.Time
			In   struct{}
		}](), reflect.TypeFor[map[int]any](), reflect.TypeFor[textKey](),
	} {
		if err := jsonform.CheckType(typ); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
}

func TestFieldsAreThoseThatJSONDecodes(t *testing.T) {
	for typ, want := range map[reflect.Type][]string{
		reflect.TypeFor[both]():    {"age"}, // Name is ambiguous: encoding/json ignores it
		reflect.TypeFor[outer]():   {"Name"},
		reflect.TypeFor[*embeds](): {"ID"},
	} {
		if got, open := jsonform.Fields(typ); open || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v, want %v", typ, got, open, want)
		}
	}
	if _, open := jsonform.Fields(reflect.TypeFor[itself]()); !open {
		t.Error("a pointer to itself has fields")
	}
}
