package session

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Client is the program that presents a session, for a person's list of
// devices. The client claims it itself, so it proves nothing.
type Client struct {
	UserAgent string     `json:"userAgent,omitempty"` // cut after 256 bytes
	Address   netip.Addr `json:"address,omitzero"`    // as the transport sees it; invalid if unknown
}

const maxUserAgent = 256

func (c Client) trimmed() Client {
	s := c.UserAgent
	if len(s) > maxUserAgent {
		s = s[:maxUserAgent]
	}
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return Client{UserAgent: s, Address: c.Address}
}

// Device is a rough reading of a user agent, good enough for people to recognize
// their own devices.
type Device struct {
	Browser string // "Firefox"; empty if unknown
	System  string // "Windows"; empty if unknown
}

// String returns "Firefox on Windows", or the part that is known.
func (d Device) String() string {
	switch {
	case d.Browser == "" && d.System == "":
		return "Unknown device"
	case d.Browser == "":
		return d.System
	case d.System == "":
		return d.Browser
	}
	return d.Browser + " on " + d.System
}

// mark is a part of a user agent and the name it stands for.
type mark struct{ part, name string }

// The order matters: a browser's user agent also names older browsers.
var (
	browsers = []mark{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Opera", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"},
		{"MSIE ", "Internet Explorer"}, {"Trident/", "Internet Explorer"}, {"okhttp/", "okhttp"}, {"curl/", "curl"}, {"Go-http-client", "Go"},
	}
	systems = []mark{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"},
		{"Mac OS X", "macOS"}, {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// Device recognizes common browsers and systems in the user agent. For other
// programs Browser is the name before the first slash.
func (c Client) Device() Device {
	d := Device{Browser: firstMark(c.UserAgent, browsers), System: firstMark(c.UserAgent, systems)}
	if d.Browser == "" {
		name, _, versioned := strings.Cut(c.UserAgent, "/")
		if versioned && name != "Mozilla" && len(name) <= 32 && !strings.ContainsAny(name, " ;()") {
			d.Browser = name
		}
	}
	return d
}

func firstMark(s string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(s, m.part) {
			return m.name
		}
	}
	return ""
}
