package redis

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestURLOpensAStore(t *testing.T) {
	b := drivertest.OpenURL(t, containers.Redis(t).URL+"?name="+url.QueryEscape(drivertest.Name()), open(t, nil))
	if err := b.(*Backend).Client().Ping(t.Context()).Err(); err == nil {
		t.Error("the client that the URL opened is still open after Close")
	}
}

func TestURLRefuses(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"redis:", "redis:localhost", "redis:///0", "redis://u:hunter2@h/notanumber", "redis://u:hunter2@h:1/0?nosuch=1",
		"redis://u:hunter2@h/0?name=a%7Bb", "rediss://u:hunter2@h/x/y", "redis://u:hunter2@h:1?addr=x&nosuch=1")
}

func TestURLOfACluster(t *testing.T) {
	b, err := backends.Open(t.Context(), "redis://127.0.0.1:1?addr=127.0.0.1:2&name=x")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestURLTakesParams(t *testing.T) {
	for _, rawURL := range []string{
		"redis://ann:hunter2@127.0.0.1:1/0", "rediss://ann:hunter2@127.0.0.1:1", "redis+unix://ann:hunter2@/nonexistent/redis.sock",
		"redis+cluster://ann:hunter2@127.0.0.1:1,[::1]", "rediss+cluster://ann:hunter2@127.0.0.1:1",
		"redis+sentinel://ann:hunter2@127.0.0.1:1,127.0.0.1:2/1?master=m", "rediss+sentinel://ann:hunter2@127.0.0.1:1?master=m&sentinel_password=hunter2",
	} {
		t.Run(rawURL, func(t *testing.T) {
			drivertest.TakesParams(t, rawURL, map[string]string{"addr": "127.0.0.1:3", "protocol": "3", "min_idle_conns": "0", "max_idle_conns": "0"})
		})
	}
}

func TestURLRefusesByKind(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"redis+cluster://u:hunter2@h/3", "redis://u:hunter2@h1,h2/3", "redis://u:hunter2@h1,/0", "redis://u:hunter2@h1:0", "redis://u:hunter2@h1?addr=h2:x",
		"redis+sentinel://u:hunter2@h", "redis+sentinel://u:hunter2@h?master=", "redis+sentinel://u:hunter2@h?master=m&route_by_latency=true",
		"redis+sentinel://u:hunter2@h?master=m&replica_only=true", "redis+sentinel://h?master=m&password=hunter2",
		"redis+unix://u:hunter2@h/redis.sock", "redis+unix:redis.sock", "redis+unix://u:hunter2@", "redis+cluster://u:hunter2@h?read_only=true",
		"redis://u:hunter2@h?pool_size=-1", "redis://u:hunter2@h?pool_size=9999999999", "redis://u:hunter2@h?pipeline_pool_size=9999999999",
		"redis://u:12?hunter2@h", "redis://u:12#hunter2@h", "redis://u:12/hunter2@h", "redis://u:12?x&hunter2&@h", "redis://u:12?x&hunter2")
}

func TestURLReachesOptions(t *testing.T) {
	b, err := backends.Open(t.Context(), "redis+sentinel://ann:pw@s1,s2:7/3?master=m&sentinel_user=watch&sentinel_password=two&grace_ttl=90m&max_value=12&pool_size=7&labels=")
	if err != nil {
		t.Fatal(err)
	}
	d := b.(*Backend)
	o := d.Client().(*goredis.Client).Options()
	if o.Username != "ann" || o.Password != "pw" || o.DB != 3 || o.PoolSize != 7 || !o.ContextTimeoutEnabled {
		t.Error("the client has other options than the URL")
	}
	if got := b.Describe(); d.grace != 90*60*1000 || got.MaxValue != 12 || len(got.Labels) != 0 {
		t.Errorf("grace %d ms, %+v", d.grace, got)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// forward opens a Unix socket that forwards to the address.
func forward(t *testing.T, address string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
			if err != nil {
				_ = in.Close()
				return
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return path
}

func TestURLOfASocket(t *testing.T) {
	u, err := url.Parse(containers.Redis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.OpenURL(t, "redis+unix://"+forward(t, u.Host)+"?name="+url.QueryEscape(drivertest.Name()), open(t, nil))
}

// sentinelOf answers like a sentinel whose master m is at the address. It sends
// the credentials that it gets to auth.
func sentinelOf(t *testing.T, master string, auth chan<- string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
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
			go func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for {
					words, err := command(r)
					if err != nil {
						return
					}
					reply := "-ERR unknown command\r\n"
					switch line := strings.ToLower(strings.Join(words, " ")); {
					case words[0] == "auth":
						select {
						case auth <- strings.Join(words[1:], " "):
						default:
						}
						reply = "+OK\r\n"
					case line == "sentinel get-master-addr-by-name m":
						reply = fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
					case strings.HasPrefix(line, "sentinel sentinels"):
						reply = "*0\r\n"
					}
					if _, err := io.WriteString(c, reply); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// command reads one command.
func command(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	words := make([]string, max(n, 0))
	for i := range words {
		size, err := number()
		if err != nil {
			return nil, err
		}
		data := make([]byte, size+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		words[i] = string(data[:size])
	}
	return words, err
}

func TestURLOfASentinel(t *testing.T) {
	u, err := url.Parse(containers.Redis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	auth := make(chan string, 1)
	watch := sentinelOf(t, u.Host, auth)
	drivertest.OpenURL(t, "redis+sentinel://"+watch+"?master=m&sentinel_user=watch&sentinel_password=two&name="+url.QueryEscape(drivertest.Name()), open(t, nil))
	if got := <-auth; got != "watch two" {
		t.Error("the sentinel got other credentials than those of the URL")
	}
}

func TestWrongPasswordIsNotPrinted(t *testing.T) {
	u, err := url.Parse(containers.Redis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, rawURL := range []string{"redis://ann:hunter2@" + u.Host, "redis+cluster://ann:hunter2@" + u.Host} {
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		err = b.(*Backend).Ping(t.Context())
		drivertest.WantKind(t, err, model.ErrUnavailable)
		drivertest.NotPrinted(t, err, "hunter2")
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
