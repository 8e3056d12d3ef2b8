package sessionhttp

import "strings"

// forwardedHops returns the "for" of each element of a Forwarded header, or "" for
// an element without one. It returns false if the line is malformed or has an
// element with two of them: then nothing in it is sure, since a client may have
// written its beginning.
//
// RFC 7239, section 4: elements with commas between them, each of pairs with
// semicolons between them. A value is a token or a quoted string.
func forwardedHops(line string) ([]string, bool) {
	var hops []string
	node, given := "", false
	for p := (pairs{line}); ; {
		name, value, end, ok := p.next()
		if !ok {
			return nil, false
		}
		if strings.EqualFold(name, "for") {
			if given {
				return nil, false
			}
			node, given = value, true
		}
		if end == ';' {
			continue
		}
		if hops = append(hops, node); len(hops) > maxHops {
			hops = hops[1:]
		}
		if node, given = "", false; end == 0 {
			return hops, true
		}
	}
}

// pairs reads the pairs of a Forwarded header.
type pairs struct{ rest string }

// next returns the next pair and the character behind it: a comma, a semicolon,
// or zero at the end.
func (p *pairs) next() (name, value string, end byte, ok bool) {
	p.rest = strings.TrimLeft(p.rest, " \t")
	i := strings.IndexAny(p.rest, "=,;\"")
	if i <= 0 || p.rest[i] != '=' {
		return "", "", 0, false
	}
	name, p.rest = p.rest[:i], p.rest[i+1:]
	if strings.HasPrefix(p.rest, `"`) {
		value, ok = p.quoted()
	} else {
		i = strings.IndexAny(p.rest, ",; \t\"")
		if i < 0 {
			i = len(p.rest)
		}
		value, p.rest, ok = p.rest[:i], p.rest[i:], i > 0
	}
	p.rest = strings.TrimLeft(p.rest, " \t")
	if !ok || p.rest == "" {
		return name, value, 0, ok
	}
	end, p.rest = p.rest[0], p.rest[1:]
	return name, value, end, end == ',' || end == ';'
}

// quoted reads a quoted string.
func (p *pairs) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
		}
		b.WriteByte(c)
	}
	return "", false
}
