package row

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parser reads rows as Codec writes them: names in their order, without spaces.
// It accepts only what encoding/json accepts, and decodes it to the same row.
// It gives up at the first byte that it does not expect.
type parser struct {
	data []byte
	text string // data as a string
	at   int
	lost bool // the parser has given up
}

func parse(data []byte) parser { return parser{data: data, text: string(data)} }

// done reports whether the parser has read all of the data.
func (p *parser) done() bool { return !p.lost && p.at == len(p.text) }

func (p *parser) row(r *Row) {
	p.must(`{"v":`)
	r.Version = p.int()
	if p.take(`,"hash":`) {
		r.Hash = p.bytes()
	}
	if p.take(`,"hashKey":`) {
		r.HashKey = p.string()
	}
	if p.take(`,"prev":`) {
		r.Previous = p.bytes()
	}
	if p.take(`,"prevKey":`) {
		r.PreviousKey = p.string()
	}
	if p.take(`,"prevUntil":`) {
		r.PreviousUntil = Instant(p.int64())
	}
	if p.take(`,"retired":`) {
		r.Retired = p.bytes()
	}
	if p.take(`,"retiredKey":`) {
		r.RetiredKey = p.string()
	}
	if p.take(`,"retiredUntil":`) {
		r.RetiredUntil = Instant(p.int64())
	}
	if p.take(`,"salt":`) {
		r.Salt = p.bytes()
	}
	if p.take(`,"rotatedAt":`) {
		r.RotatedAt = Instant(p.int64())
	}
	if p.take(`,"createdAt":`) {
		r.CreatedAt = Instant(p.int64())
	}
	if p.take(`,"authenticatedAt":`) {
		r.AuthenticatedAt = Instant(p.int64())
	}
	if p.take(`,"writtenAt":`) {
		r.WrittenAt = Instant(p.int64())
	}
	if p.take(`,"absolute":`) {
		r.Absolute = Instant(p.int64())
	}
	if p.take(`,"idle":`) {
		r.Idle = p.int64()
	}
	if p.take(`,"life":`) {
		r.Life = p.int64()
	}
	if p.take(`,"notAfter":`) {
		r.NotAfter = Instant(p.int64())
	}
	if p.take(`,"parked":`) {
		r.Parked = Instant(p.int64())
	}
	if p.take(`,"views":`) {
		r.Views = p.int64()
	}
	if p.take(`,"principal":`) {
		r.Principal = p.string()
	}
	if p.take(`,"level":`) {
		r.Level = p.int()
	}
	if p.take(`,"elevated":`) {
		p.any(&r.Elevated)
	}
	if p.take(`,"actor":`) {
		p.any(&r.Actor)
	}
	if p.take(`,"sid":`) {
		r.SID = p.string()
	}
	if p.take(`,"labels":`) {
		p.any(&r.Labels)
	}
	if p.take(`,"client":`) {
		p.client(&r.Client)
	}
	if p.take(`,"name":`) {
		r.Name = p.string()
	}
	if p.take(`,"persist":`) {
		r.Persistence = p.int()
	}
	if p.take(`,"gone":`) {
		r.Gone = p.string()
	}
	if p.take(`,"data":`) {
		r.Data = p.values()
	}
	if p.take(`,"sealKey":`) {
		r.SealKey = p.string()
	}
	if p.take(`,"sealed":`) {
		r.Sealed = p.bytes()
	}
	if p.take(`,"macKey":`) {
		r.MACKey = p.string()
	}
	if p.take(`,"mac":`) {
		r.MAC = p.bytes()
	}
	p.must("}")
}

func (p *parser) client(c *Client) {
	p.must("{")
	if p.take(`"userAgent":`) {
		c.UserAgent = p.string()
		if !p.take(",") {
			p.must("}")
			return
		}
	}
	p.must(`"address":`)
	var err error
	if text := p.part(); text != "" {
		if c.Address, err = netip.ParseAddr(text); err != nil {
			p.lost = true
		}
	}
	p.must("}")
}

// take consumes text and returns true if the data continues with it.
func (p *parser) take(text string) bool {
	if !strings.HasPrefix(p.text[p.at:], text) {
		return false
	}
	p.at += len(text)
	return true
}

// must consumes text, or gives up.
func (p *parser) must(text string) {
	if !p.take(text) {
		p.lost = true
	}
}

// peek returns the next byte, or zero at the end.
func (p *parser) peek() byte {
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) int() int {
	n := p.int64()
	if int64(int(n)) != n {
		p.lost = true
	}
	return int(n)
}

func (p *parser) int64() int64 {
	n, err := strconv.ParseInt(p.number(), 10, 64)
	if err != nil {
		p.lost = true
	}
	return n
}

// number consumes a number and returns its text.
func (p *parser) number() string {
	from := p.at
	digits := true
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c >= '0' && c <= '9':
			continue
		case c == '-', c == '+', c == '.', c == 'e', c == 'E':
			digits = false
			continue
		}
		break
	}
	text := p.text[from:p.at]
	plain := digits && text != "" && (text[0] != '0' || text == "0")
	if !plain && !json.Valid(p.data[from:p.at]) {
		p.lost = true
	}
	return text
}

// quoted consumes a string and returns the bytes between the quotes. Plain
// reports whether they have no escapes. Escapes are not checked.
func (p *parser) quoted() (text string, plain bool) {
	p.must(`"`)
	plain = true
	for from := p.at; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[from : p.at-1], plain
		case c == '\\':
			plain = false
			p.at++
		case c < ' ':
			p.lost = true
		}
	}
	p.at = len(p.text)
	p.lost = true
	return "", false
}

// string returns a copy, so that keeping it does not keep the whole row in
// memory.
func (p *parser) string() string { return strings.Clone(p.part()) }

// part returns a string that may share memory with the row.
func (p *parser) part() string {
	from := p.at
	if text, plain := p.quoted(); plain && utf8.ValidString(text) {
		return text
	}
	var text string
	p.unmarshal(from, &text)
	return text
}

func (p *parser) bytes() []byte {
	text, _ := p.quoted()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		p.lost = true
	}
	return b
}

// any reads a rare field with encoding/json.
func (p *parser) any(v any) {
	from := p.at
	p.nested()
	p.unmarshal(from, v)
}

// unmarshal decodes the bytes consumed since from.
func (p *parser) unmarshal(from int, v any) {
	if p.lost || json.Unmarshal(p.data[from:p.at], v) != nil {
		p.lost = true
	}
}

// values reads an object. It checks its values without decoding them, and the
// values share memory with the data.
func (p *parser) values() Values {
	p.must("{")
	list := make(Values, 0, 8)
	if p.take("}") {
		return list
	}
	for !p.lost {
		v := Value{Key: p.part()}
		if n := len(list); n > 0 && v.Key <= list[n-1].Key {
			p.lost = true
		}
		p.must(":")
		from := p.at
		p.value()
		v.Raw = p.data[from:p.at:p.at]
		list = append(list, v)
		if p.take("}") {
			break
		}
		p.must(",")
	}
	return list
}

// value consumes and checks a value.
func (p *parser) value() {
	from := p.at
	switch c := p.peek(); {
	case c == '"':
		if _, plain := p.quoted(); !plain {
			p.check(from)
		}
	case c == '{', c == '[':
		p.nested()
		p.check(from)
	case c == '-', c >= '0' && c <= '9':
		p.number()
	case !p.take("true") && !p.take("false"):
		p.must("null")
	}
}

func (p *parser) check(from int) {
	if p.lost || !json.Valid(p.data[from:p.at]) {
		p.lost = true
	}
}

// nested consumes an object or array without checking it.
func (p *parser) nested() {
	for depth := 0; !p.lost; {
		switch p.peek() {
		case '"':
			p.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case 0:
			p.lost = true
			return
		}
		if p.at++; depth == 0 {
			return
		}
	}
}
