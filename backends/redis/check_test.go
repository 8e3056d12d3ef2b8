package redis

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// settings are what a fake server says of itself.
type settings struct {
	info   map[string]string
	config map[string]string
	probe  string // the reply to probe.lua
	counts []string
}

// bulk returns a text in the server's protocol.
func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// serve returns a backend on a fake of an otherwise empty server. A nil map is
// refused, as it is for a user without the permission.
func (s settings) serve(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return newOn(t, clientOf(t, startRawFake(t, s.answers())), "n", opts)
}

// answers returns the answer to each command.
func (s settings) answers() func(raw []byte, command string) string {
	const noPerm = "-NOPERM this user has no permissions\r\n"
	runs := make(chan string, contenders)
	for i := range contenders {
		n := fmt.Sprint(i + 1)
		if s.counts != nil {
			n = s.counts[i%len(s.counts)]
		}
		runs <- ":" + n + "\r\n"
	}
	return func(raw []byte, command string) string {
		text := string(raw)
		switch command {
		case "zrange":
			return "*0\r\n"
		case "zscore":
			return "_\r\n"
		case "zadd", "hsetnx":
			return ":1\r\n"
		case "eval":
			if strings.Contains(text, "ZRANGEBYLEX") {
				return s.probe
			}
			return <-runs
		case "info":
			if s.info == nil {
				return noPerm
			}
			lines := ""
			for name, value := range s.info {
				lines += name + ":" + value + "\r\n"
			}
			return bulk("# Server\r\n" + lines)
		case "config":
			if s.config == nil {
				return noPerm
			}
			reply, n := "", 0
			for name, value := range s.config {
				if pattern, all := "maxmemory", strings.Contains(text, "maxmemory"); all == strings.HasPrefix(name, pattern) && (all || strings.Contains(text, name)) {
					reply, n = reply+bulk(name)+bulk(value), n+1
				}
			}
			return fmt.Sprintf("%%%d\r\n%s", n, reply)
		}
		return "-ERR unknown command\r\n"
	}
}

// ahead returns the time of a server's clock that is ahead by d, as INFO has it.
func ahead(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMicro()) }

// right returns the settings of a server as it should be.
func right() settings {
	return settings{
		info: map[string]string{"redis_version": "7.2.4", "role": "master", "aof_enabled": "1", "evicted_keys": "0", "maxmemory": "100", "maxmemory_policy": "noeviction", "server_time_usec": ahead(0)},
		config: map[string]string{
			"maxmemory": "100", "maxmemory-policy": "noeviction", "save": "3600 1", "proto-max-bulk-len": "536870912",
		},
		probe: bulk("o"),
	}
}

// TestCheck has servers with one wrong setting each. The names of the settings
// are those of Redis's own redis.conf and of the page on INFO:
// https://redis.io/docs/latest/commands/info/ and
// https://redis.io/docs/latest/develop/reference/eviction/.
func TestCheck(t *testing.T) {
	set := func(m *map[string]string, name, value string) { (*m)[name] = value }
	both := func(s *settings, policy string) {
		set(&s.config, "maxmemory-policy", policy)
		set(&s.info, "maxmemory_policy", policy)
	}
	const unsafe, warning, unknown = driver.CheckUnsafe, driver.CheckWarning, driver.CheckUnknown
	for name, test := range map[string]struct {
		change func(s *settings)
		opts   *Options
		check  string // the finding that is not right; empty: all are
		level  driver.CheckLevel
		words  string
	}{
		"right":                    {change: func(*settings) {}},
		"allkeys-lru":              {func(s *settings) { both(s, "allkeys-lru") }, nil, "eviction policy", unsafe, "listings"},
		"allkeys-random, no limit": {func(s *settings) { both(s, "allkeys-random"); set(&s.config, "maxmemory", "0") }, nil, "eviction policy", unsafe, "maxmemory 0"},
		"volatile-lru":             {func(s *settings) { both(s, "volatile-lru") }, nil, "eviction policy", unsafe, "before they expire"},
		"allkeys-lru, allowed":     {func(s *settings) { both(s, "allkeys-lru") }, &Options{AllowEviction: true}, "eviction policy", warning, "noeviction"},
		"without CONFIG":           {func(s *settings) { s.config = map[string]string{}; both(s, "allkeys-lfu"); s.config = nil }, nil, "eviction policy", unsafe, "allkeys-lfu"},
		"an unknown policy": {func(s *settings) {
			delete(s.info, "maxmemory_policy")
			delete(s.config, "maxmemory-policy")
		}, nil, "eviction policy", unknown, "noeviction"},
		"an old version":           {func(s *settings) { set(&s.info, "redis_version", "6.0.16") }, nil, "version", unsafe, "6.2"},
		"a replica":                {func(s *settings) { set(&s.info, "role", "slave") }, nil, "role", unsafe, "master"},
		"nothing is kept":          {func(s *settings) { set(&s.info, "aof_enabled", "0"); set(&s.config, "save", "") }, nil, "persistence", warning, "appendonly"},
		"small values":             {func(s *settings) { set(&s.config, "proto-max-bulk-len", "1048576") }, nil, "largest value", warning, "MaxValue to 917504"},
		"an ordinary value":        {func(s *settings) { set(&s.config, "proto-max-bulk-len", "1048576") }, &Options{MaxValue: 1000}, "", 0, ""},
		"another order":            {func(s *settings) { s.probe = bulk("ZRANGEBYLEX in the order of bytes") }, nil, "scripts", unsafe, "ZRANGEBYLEX"},
		"no scripts":               {func(s *settings) { s.probe = "-ERR unknown command 'eval'\r\n" }, nil, "scripts", unsafe, "does not know"},
		"no permission to eval":    {func(s *settings) { s.probe = "-NOPERM no\r\n" }, nil, "scripts", unknown, "ACLRules"},
		"a clock ahead":            {func(s *settings) { set(&s.info, "server_time_usec", ahead(10*time.Second)) }, nil, "clock", warning, "ahead by"},
		"a clock behind":           {func(s *settings) { set(&s.info, "server_time_usec", ahead(-time.Hour)) }, nil, "clock", unsafe, "NTP"},
		"no clock":                 {func(s *settings) { delete(s.info, "server_time_usec") }, nil, "clock", unknown, "compare"},
		"scripts at the same time": {func(s *settings) { s.counts = []string{"1", "2"} }, nil, "atomic scripts", unsafe, "before they wrote"},
	} {
		t.Run(name, func(t *testing.T) {
			s := right()
			test.change(&s)
			var log bytes.Buffer
			opts := Options{MaxValue: 0}
			if test.opts != nil {
				opts = *test.opts
			}
			opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			checks, err := s.serve(t, &opts).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				want := driver.CheckRight
				switch c.Name {
				case "indexes": // the fake has none
					want = unsafe
				case test.check:
					want = test.level
					if text := c.Seen + c.Need + c.Fix; !strings.Contains(text, test.words) || c.Fix == "" {
						t.Errorf("%+v does not say %q, or not what to do", c, test.words)
					}
				}
				if s.config == nil && c.Name != test.check && c.Name != "indexes" { // nothing of it could be seen
					continue
				}
				if c.Level != want {
					t.Errorf("%+v, want %s", c, want)
				}
			}
			if test.check != "" && !slices.ContainsFunc(checks, func(c driver.Finding) bool { return c.Name == test.check }) {
				t.Errorf("no finding %q in %+v", test.check, checks)
			}
			err = s.serve(t, &opts).CreateStorage(t.Context())
			if test.check == "clock" { // it can be set while programs run
				if errors.Is(err, model.ErrUnsupported) {
					t.Errorf("refused: %v", err)
				}
				return
			}
			switch test.level {
			case unsafe:
				drivertest.WantKind(t, err, model.ErrUnsupported)
				if !strings.Contains(err.Error(), test.check) || !strings.Contains(err.Error(), "needed") {
					t.Errorf("the error does not say what is wrong: %v", err)
				}
			default:
				if errors.Is(err, model.ErrUnsupported) {
					t.Errorf("refused: %v", err)
				}
				if logged := strings.Contains(log.String(), test.check); test.check != "" && logged != (test.level == warning || test.check == evictionCheck) {
					t.Errorf("logged %q", log.String())
				}
			}
		})
	}
}

// TestCheckOfTheServer looks at the server of the tests, before and after
// CreateStorage, and leaves nothing behind.
func TestCheckOfTheServer(t *testing.T) {
	b := newOn(t, clientOf(t, options(t)), drivertest.Name(), nil)
	indexes := func() driver.CheckLevel {
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(checks, func(c driver.Finding) bool { return c.Name == "indexes" })
		for _, c := range slices.Delete(slices.Clone(checks), i, i+1) {
			if c.Level == driver.CheckUnsafe || c.Level == driver.CheckUnknown {
				t.Errorf("%+v", c)
			}
		}
		return checks[i].Level
	}
	if got := indexes(); got != driver.CheckUnsafe {
		t.Errorf("before CreateStorage the indexes are %s", got)
	}
	if keys := keysOf(t, b); len(keys) > 0 {
		t.Errorf("Check left %q", keys)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := indexes(); got != driver.CheckRight {
		t.Errorf("after CreateStorage the indexes are %s", got)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestTrialsAreSentOnce loses the answers to the trials: none is sent again, and
// Check returns an error and no finding.
func TestTrialsAreSentOnce(t *testing.T) {
	for _, lost := range []string{"ZRANGEBYLEX", "tonumber"} { // of probe.lua and counter.lua
		var sent atomic.Int64
		answer := right().answers()
		f := startRawFake(t, func(raw []byte, command string) string {
			if command == "eval" && strings.Contains(string(raw), lost) {
				sent.Add(1)
				return "close"
			}
			return answer(raw, command)
		})
		f.MaxRetries, f.MinRetryBackoff, f.MaxRetryBackoff = 3, -1, -1
		checks, err := newOn(t, clientOf(t, f), "n", nil).Check(t.Context())
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if len(checks) > 0 {
			t.Errorf("%s: found %+v", lost, checks)
		}
		if want := map[string]int64{"ZRANGEBYLEX": 1, "tonumber": contenders}[lost]; sent.Load() != want {
			t.Errorf("%s: sent %d times, want %d", lost, sent.Load(), want)
		}
	}
}

// TestTrialsLeaveNothing has users who lack one permission each, and so a trial
// that stops early: no key is left that does not expire within a minute.
func TestTrialsLeaveNothing(t *testing.T) {
	admin := clientOf(t, options(t))
	who := user(t, admin)
	name := drivertest.Name()
	for _, spare := range permissions {
		c := limited(t, admin, who, slices.DeleteFunc(ACLRules(name), func(rule string) bool { return rule == spare }))
		_, _ = newOn(t, c, name, nil).Check(t.Context())
		for _, key := range keysOf(t, newOn(t, admin, name, nil)) {
			if ttl := admin.PTTL(t.Context(), key).Val(); ttl == -time.Nanosecond || ttl > time.Minute { // it has none, or a long one
				t.Errorf("without %s the key %s is left for %v", spare, key, ttl)
			}
			admin.Del(t.Context(), key)
		}
	}
}
