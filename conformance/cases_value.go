package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

type base struct {
	Common string
	Shared int `json:"shared"`
}

// upper has unexported state and marshals as text.
type upper struct{ s string }

func (u upper) MarshalText() ([]byte, error)     { return []byte(strings.ToUpper(u.s)), nil }
func (u *upper) UnmarshalText(data []byte) error { u.s = strings.ToLower(string(data)); return nil }

// pair has unexported state and marshals as JSON.
type pair struct{ a, b int }

func (p pair) MarshalJSON() ([]byte, error) { return json.Marshal([2]int{p.a, p.b}) }
func (p *pair) UnmarshalJSON(data []byte) error {
	var x [2]int
	err := json.Unmarshal(data, &x)
	p.a, p.b = x[0], x[1]
	return err
}

type kinds struct {
	base
	Bool     bool
	Int      int
	I8       int8
	I64      int64
	U64      uint64
	F32      float32
	F64      float64
	String   string
	Bytes    []byte
	Array    [3]int
	Slice    []string
	Empty    []string
	Nil      []string
	Map      map[string]int
	IntMap   map[int]string
	Nested   map[string][]map[string]bool
	Ptr      *int
	NilPtr   *int
	Any      any
	Time     time.Time
	Duration time.Duration
	Addr     netip.Addr
	Prefix   netip.Prefix
	Big      *big.Int
	Raw      json.RawMessage
	Number   json.Number
	Upper    upper
	Pair     pair
	Renamed  string `json:"other-name"`
	Omitted  string `json:",omitempty"`
	Ignored  string `json:"-"`
	Quoted   int    `json:",string"`
	Dollar   string `json:"$set"`
	Dotted   string `json:"a.b"`
	ID       string `json:"_id"`
}

// invoice has values whose methods that encode need a pointer.
type invoice struct {
	Amount  big.Int
	List    []big.Int
	Pair    [2]big.Int
	Wrapped wrapped
}

type wrapped struct{ Inner big.Int }

func fullValue() kinds {
	n := 42
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	return kinds{
		base: base{Common: "c", Shared: -1},
		Bool: true, Int: math.MinInt32, I8: -128, I64: 1<<53 + 1, U64: math.MaxUint64,
		F32: 0.1, F64: math.SmallestNonzeroFloat64, String: "line\nbreak \" \\ \u2028 é 😀 \x7f",
		Bytes: []byte{0, 255, 128}, Array: [3]int{1, 2, 3}, Slice: []string{"", "a"}, Empty: []string{},
		Map: map[string]int{"a.b": 1, "$x": 2, "": 3}, IntMap: map[int]string{-1: "x"},
		Nested: map[string][]map[string]bool{"k": {{"t": true}, {}}},
		Ptr:    &n, Any: map[string]any{"list": []any{1.5, "x", nil, true}},
		Time:     time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("", 5*3600+1800)),
		Duration: time.Nanosecond, Addr: netip.MustParseAddr("fe80::1%eth0"), Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		Big: huge, Raw: json.RawMessage(`{"kept":1.10}`), Number: "12345678901234567890.123",
		Upper: upper{"abc"}, Pair: pair{1, 2}, Renamed: "r", Quoted: 7, Dollar: "d", Dotted: "e", ID: "own",
	}
}

func valueCases() []Case {
	return group("Value",
		that("OfEveryKindComesBackTheSame", "R63 R13", needNothing, func(c *C) {
			roundTrip(c, "struct", fullValue())
			roundTrip(c, "zero struct", kinds{Raw: json.RawMessage("null")})
			roundTrip(c, "bool", true)
			roundTrip(c, "int64", int64(math.MaxInt64))
			roundTrip(c, "uint64", uint64(math.MaxUint64))
			roundTrip(c, "float64", math.MaxFloat64)
			roundTrip(c, "string", "\x00\x01 \u2029 <script> & '")
			roundTrip(c, "empty string", "")
			roundTrip(c, "bytes", []byte{0, 1, 2, 255})
			roundTrip(c, "slice", []any{1.0, "a", nil})
			roundTrip(c, "map", map[string]any{"a": map[string]any{"b": []any{}}})
			roundTrip(c, "pointer to nil", (*int)(nil))
			roundTrip(c, "any nil", any(nil))
			roundTrip(c, "time", time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC))
			roundTrip(c, "address", netip.MustParseAddr("::ffff:1.2.3.4"))
			roundTrip(c, "text marshaler", upper{"x"})
			roundTrip(c, "JSON marshaler", pair{3, 4})
			roundTrip(c, "raw", json.RawMessage(`[1.10,{"b":1,"a":2}]`))
			n := *big.NewInt(math.MaxInt64)
			roundTrip(c, "method of the pointer", n)
			roundTrip(c, "method of the pointer, in a field", invoice{Amount: n, List: []big.Int{n}, Pair: [2]big.Int{n, n}, Wrapped: wrapped{n}})
			roundTrip(c, "method of the pointer, in a map of pointers", map[string]*big.Int{"a": &n})
			roundTrip(c, "deep", deep(100))
			roundTrip(c, "wide", wide(500))
		}),
		that("WithMethodsOfThePointerComesBackFromEveryWrite", "R63 R74", needNothing, func(c *C) {
			n := *big.NewInt(421337)
			for _, codec := range []expiry.Codec{expiry.JSON(), expiry.Gob()} {
				s := storeOf[invoice](c, &expiry.StoreOptions{Codec: codec})
				want := invoice{Amount: n, List: []big.Int{n}}
				holds := func(verb string, err error) {
					c.Helper()
					c.ok(err, "%s as %s", verb, codec.Name())
					it, err := s.Get(c.ctx(), codec.Name())
					c.ok(err, "get after %s as %s", verb, codec.Name())
					if it.Value.Amount.Cmp(&want.Amount) != 0 || len(it.Value.List) != len(want.List) {
						c.fail("%s as %s stored %v, want %v", verb, codec.Name(), &it.Value.Amount, &want.Amount)
					}
				}
				_, err := s.Create(c.ctx(), codec.Name(), want, nil)
				holds("create", err)
				_, err = s.Update(c.ctx(), codec.Name(), want, nil)
				holds("update", err)
				want.Amount = *big.NewInt(7)
				_, err = s.Mutate(c.ctx(), codec.Name(), func(v *invoice) error { v.Amount = want.Amount; return nil }, nil)
				holds("mutate", err)
				res, err := s.Bulk(c.ctx(), []expiry.Op[invoice]{{Kind: expiry.OpUpsert, ID: codec.Name(), Value: want}})
				c.ok(err, "bulk")
				holds("bulk", res.Err())
				if codec.Name() == "json" {
					want.Amount = *big.NewInt(8)
					_, err = s.UpdatePartial(c.ctx(), codec.Name(), map[string]any{"Amount": want.Amount}, nil)
					holds("partial update", err)
				}
			}
		}),
		that("IsKeptByAnUpdateOfTheExpiryAlone", "R63 R34", needNothing, func(c *C) {
			s := storeOf[kinds](c, nil)
			want := fullValue()
			_, err := s.Create(c.ctx(), "a", want, nil)
			c.ok(err, "create")
			_, err = s.Touch(c.ctx(), "a", expiry.After(time.Hour), nil)
			c.ok(err, "touch")
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if !reflect.DeepEqual(encodeJSON(got.Value), encodeJSON(want)) {
				c.fail("the value changed, want the same after a touch")
			}
		}),
		that("IsTheSameThroughAListing", "R63 R42", needPaging, func(c *C) {
			s := storeOf[kinds](c, nil)
			want := fullValue()
			_, err := s.Create(c.ctx(), "a", want, nil)
			c.ok(err, "create")
			for it, err := range s.All(c.ctx(), nil) {
				c.ok(err, "list")
				if encodeJSON(it.Value) != encodeJSON(want) {
					c.fail("the listed value is %s, want %s", encodeJSON(it.Value), encodeJSON(want))
				}
			}
		}),
	)
}

func roundTrip[T any](c *C, id string, want T) {
	c.Helper()
	s := storeOf[T](c, nil)
	_, err := s.Create(c.ctx(), id, want, nil)
	c.ok(err, "create %s", id)
	got, err := s.Get(c.ctx(), id)
	c.ok(err, "get %s", id)
	// The result of encoding/json is the definition.
	var ref T
	if err := json.Unmarshal([]byte(encodeJSON(&want)), &ref); err != nil {
		c.fail("%s: %v", id, err)
	}
	if !reflect.DeepEqual(got.Value, ref) {
		c.fail("%s came back as %s, want %s", id, clip([]byte(fmt.Sprintf("%#v", got.Value))), clip([]byte(fmt.Sprintf("%#v", ref))))
	}
}

func encodeJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(data)
}

func deep(n int) any {
	var v any = "bottom"
	for range n {
		v = map[string]any{"d": v}
	}
	return v
}

func wide(n int) map[string]int {
	m := make(map[string]int, n)
	for i := range n {
		m[fmt.Sprint("key", i)] = i
	}
	return m
}
