package sessiontest

import (
	"strconv"
	"strings"
	"time"
)

// The numbers of sections and steps in this package are those of
// draft-ietf-httpbis-rfc6265bis-22, which takes the place of RFC 6265.
const (
	maxCookie    = 4096                 // 5.6: bytes of name and value
	maxAttribute = 1024                 // 5.6: bytes of an attribute's value
	maxCookieAge = 400 * 24 * time.Hour // 5.5
)

// received is a Set-Cookie line as section 5.6 reads it.
type received struct {
	name, value string
	domain      string
	path        string // empty: the default path
	hasPath     bool
	expiresAt   time.Time // zero: until the browser ends
	secure      bool
	httpOnly    bool
	sameSite    SameSite
	partitioned bool
}

// SameSite is a cookie's rule for requests that other sites cause.
type SameSite uint8

// The rules. Without an attribute, or with an unknown one, the rule is
// SameSiteDefault, which browsers treat as Lax.
const (
	SameSiteDefault SameSite = iota
	SameSiteNone
	SameSiteLax
	SameSiteStrict
)

// String returns the attribute's value, or "Default".
func (s SameSite) String() string {
	switch s {
	case SameSiteNone:
		return "None"
	case SameSiteLax:
		return "Lax"
	case SameSiteStrict:
		return "Strict"
	}
	return "Default"
}

// parseSetCookie reads a Set-Cookie line. It returns false for a line that
// browsers ignore.
func parseSetCookie(line string, now time.Time) (received, bool) {
	var c received
	if hasControls(line) || hasInnerTab(line) {
		return c, false
	}
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		name, value = "", pair
	}
	c.name, c.value = trimWSP(name), trimWSP(value)
	if len(c.name)+len(c.value) > maxCookie || c.name == "" && c.value == "" {
		return c, false
	}
	if c.name == "" && strings.Contains(c.value, "=") {
		return c, false // as Chromium: see Browser
	}
	var maxAge, expires time.Time
	for av := range strings.SplitSeq(rest, ";") {
		key, value, _ := strings.Cut(av, "=")
		key, value = strings.ToLower(trimWSP(key)), trimWSP(value)
		if len(value) > maxAttribute {
			continue
		}
		switch key {
		case "expires":
			expires, _ = parseCookieDate(value)
		case "max-age":
			maxAge, _ = parseMaxAge(value, now)
		case "domain":
			c.domain = strings.ToLower(strings.TrimPrefix(value, "."))
		case "path":
			c.hasPath, c.path = true, ""
			if strings.HasPrefix(value, "/") {
				c.path = value
			}
		case "secure":
			c.secure = true
		case "httponly":
			c.httpOnly = true
		case "partitioned":
			c.partitioned = true
		case "samesite":
			c.sameSite = parseSameSite(value)
		}
	}
	c.expiresAt = expires
	if !maxAge.IsZero() {
		c.expiresAt = maxAge
	}
	if limit := now.Add(maxCookieAge); c.expiresAt.After(limit) {
		c.expiresAt = limit
	}
	return c, true
}

// hasControls finds the control characters of step 1 of section 5.6. A tab is
// not among them.
func hasControls(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// hasInnerTab finds a tab within a name or a value, which Chromium refuses.
func hasInnerTab(line string) bool {
	for part := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(part, "=")
		if strings.Contains(trimWSP(name)+trimWSP(value), "\t") {
			return true
		}
	}
	return false
}

// trimWSP removes spaces and tabs, and nothing else.
func trimWSP(s string) string { return strings.Trim(s, " \t") }

func parseSameSite(value string) SameSite {
	switch strings.ToLower(value) {
	case "none":
		return SameSiteNone
	case "strict":
		return SameSiteStrict
	case "lax":
		return SameSiteLax
	}
	return SameSiteDefault
}

// parseMaxAge follows section 5.6.2, and takes a plus sign as Chromium does.
func parseMaxAge(value string, now time.Time) (time.Time, bool) {
	negative := strings.HasPrefix(value, "-")
	digits := value
	if negative || strings.HasPrefix(value, "+") {
		digits = value[1:]
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(digits, 10, 64)
	limit := int64(maxCookieAge / time.Second)
	switch {
	case negative, err == nil && seconds == 0:
		return time.Unix(0, 0), true
	case err != nil, seconds > limit:
		seconds = limit
	}
	return now.Add(time.Duration(seconds) * time.Second), true
}

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// parseCookieDate follows section 5.1.1.
func parseCookieDate(value string) (time.Time, bool) {
	var clock [3]int
	var day, month, year int
	var hasClock, hasDay, hasMonth, hasYear bool
	for _, token := range strings.FieldsFunc(value, isDateDelimiter) {
		if !hasClock {
			if clock, hasClock = dateClock(token); hasClock {
				continue
			}
		}
		if !hasDay {
			if day, hasDay = leadingDigits(token, 1, 2); hasDay {
				continue
			}
		}
		if !hasMonth {
			if month, hasMonth = dateMonth(token); hasMonth {
				continue
			}
		}
		if !hasYear {
			year, hasYear = leadingDigits(token, 2, 9) // the draft has four at most
		}
	}
	switch {
	case year >= 70 && year <= 99:
		year += 1900
	case year >= 0 && year <= 69:
		year += 2000
	}
	if !hasClock || !hasDay || !hasMonth || !hasYear || day < 1 || clock[0] > 23 || clock[1] > 59 || clock[2] > 59 {
		return time.Time{}, false
	}
	if year < 1601 {
		return time.Unix(0, 0), true // over, as in Chromium
	}
	at := time.Date(year, time.Month(month), day, clock[0], clock[1], clock[2], 0, time.UTC)
	if at.Day() != day {
		return time.Time{}, false // the month does not have the day
	}
	return at, true
}

func isDateDelimiter(r rune) bool {
	return r == 0x09 || r >= 0x20 && r <= 0x2f || r >= 0x3b && r <= 0x40 || r >= 0x5b && r <= 0x60 || r >= 0x7b && r <= 0x7e
}

func dateClock(token string) (c [3]int, ok bool) {
	parts := strings.SplitN(token, ":", 3)
	if len(parts) != 3 {
		return c, false
	}
	for i, part := range parts {
		if i < 2 && strings.Trim(part, "0123456789") != "" {
			return c, false
		}
		if c[i], ok = leadingDigits(part, 1, 2); !ok {
			return c, false
		}
	}
	return c, true
}

func dateMonth(token string) (int, bool) {
	for i, name := range months {
		if len(token) >= 3 && strings.EqualFold(token[:3], name) {
			return i + 1, true
		}
	}
	return 0, false
}

// leadingDigits returns the number before the first character that is not a
// digit, if it has least to most digits.
func leadingDigits(s string, least, most int) (int, bool) {
	n := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if n < least || n > most {
		return 0, false
	}
	v, err := strconv.Atoi(s[:n])
	return v, err == nil
}
