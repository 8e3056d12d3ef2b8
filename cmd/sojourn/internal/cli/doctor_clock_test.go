package cli

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

// lateServer is a proxy in front of Redis whose INFO has another time. It returns
// the proxy's address.
func lateServer(t *testing.T, server string, off time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", server)
			if err != nil {
				_ = c.Close()
				return
			}
			go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
			go func() { _ = misdate(c, s, off); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// misdate copies answers, and moves the times in them.
func misdate(to io.Writer, from io.Reader, off time.Duration) error {
	mark := []byte("server_time_usec:")
	var held []byte
	part := make([]byte, 64<<10)
	for {
		n, err := from.Read(part)
		if err != nil {
			return err
		}
		held = append(held, part[:n]...)
		end := len(held)
		if i := bytes.LastIndex(held, mark); i >= 0 && !bytes.Contains(held[i:], []byte("\r\n")) {
			end = i // the rest of the number comes later
		}
		for k := 1; k < len(mark) && end == len(held); k++ {
			if bytes.HasSuffix(held, mark[:k]) {
				end = len(held) - k
			}
		}
		out := held[:end:end]
		if i := bytes.Index(out, mark); i >= 0 {
			digits, rest, _ := bytes.Cut(out[i+len(mark):], []byte("\r\n"))
			at, err := strconv.ParseInt(string(digits), 10, 64)
			if err != nil {
				return err
			}
			out = fmt.Appendf(out[:i:i], "%s%d\r\n%s", mark, at+off.Microseconds(), rest)
		}
		if _, err := to.Write(out); err != nil {
			return err
		}
		held = append(held[:0:0], held[end:]...)
	}
}

func TestDoctorOfClocks(t *testing.T) {
	u, err := url.Parse(containers.Redis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	name := "?name=" + freshName("clock-")
	run(t, nil, "init", "-u", u.String()+name).want(t, exitDone)
	at := func(off time.Duration) string {
		u.Host = lateServer(t, server, off)
		return u.String() + name + "&allow_eviction=true"
	}
	examine(t, []fault{
		{"Ahead", nil, at(10 * time.Second), "clock", exitWarning, "NTP"},
		{"Behind", nil, at(-10 * time.Second), "clock", exitWarning, "NTP"},
		{"FarAhead", nil, at(time.Hour), "clock", exitUnsafe, "NTP"},
		{"FarBehind", nil, at(-time.Hour), "clock", exitUnsafe, "NTP"},
	})
	r := run(t, environment{}, "doctor", at(0), "--json")
	for _, one := range lines[finding](t, r) {
		if one.Name == "clock" && one.Level != "right" || !strings.Contains(r.out, `"clock"`) {
			t.Errorf("the same clock: %+v", one)
		}
	}
}
