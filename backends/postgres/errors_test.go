package postgres

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestCodes gives codes of servers and proxies to a read and to a write. No
// message has the server's own text.
func TestCodes(t *testing.T) {
	for code, want := range map[string]struct {
		severity string
		write    error
		text     string
	}{
		"40001": {"ERROR", model.ErrUnavailable, "conflict"},
		"40P01": {"ERROR", model.ErrUnavailable, "conflict"},
		"40003": {"ERROR", model.ErrUnknown, ""},
		"08P01": {"FATAL", model.ErrUnknown, ""}, // a proxy that lost its server
		"08006": {"ERROR", model.ErrUnknown, ""},
		"58000": {"FATAL", model.ErrUnknown, ""},
		"XX000": {"PANIC", model.ErrUnknown, ""},
		"53200": {"PANIC", model.ErrUnknown, ""},
		"57P02": {"PANIC", model.ErrUnknown, ""},
		"XX001": {"ERROR", model.ErrUnavailable, "code XX001"},
		"53100": {"ERROR", model.ErrUnavailable, "disk space"},
		"53300": {"FATAL", model.ErrUnavailable, "connections"},
		"57P01": {"FATAL", model.ErrUnavailable, "shutting down"},
		"57P03": {"FATAL", model.ErrUnavailable, "starting"},
		"57014": {"ERROR", model.ErrUnavailable, "cancelled"},
		"22001": {"ERROR", model.ErrTooLarge, "limit"},
		"54000": {"ERROR", model.ErrTooLarge, "limit"},
		"42P01": {"ERROR", model.ErrUnavailable, "CreateStorage"},
		"42501": {"ERROR", model.ErrUnavailable, "permission"},
		"28P01": {"FATAL", model.ErrUnavailable, "credentials"},
		"25006": {"ERROR", model.ErrUnavailable, "read-only"},
		"25P02": {"ERROR", model.ErrUnavailable, "roll it back"},
		"26000": {"ERROR", model.ErrUnavailable, "default_query_exec_mode"},
		"23514": {"ERROR", model.ErrUnavailable, "constraint"},
		"":      {"ERROR", model.ErrUnknown, ""},
	} {
		pg := &pgconn.PgError{Severity: want.severity, SeverityUnlocalized: want.severity, Code: code, Message: "hunter2", Detail: "hunter2"}
		write, read := writeError(t.Context(), pg), readError(t.Context(), pg)
		if model.Kind(write) != want.write || !strings.Contains(write.Error(), want.text) || strings.Contains(write.Error(), "hunter2") {
			t.Errorf("write %s %s: %v, want %v and %q", want.severity, code, write, want.write, want.text)
		}
		if model.Kind(read) != model.ErrUnavailable || strings.Contains(read.Error(), "hunter2") {
			t.Errorf("read %s %s: %v", want.severity, code, read)
		}
		if refused(write) && errors.Is(write, model.ErrUnknown) || conflicted(write) != (code == "40001" || code == "40P01") {
			t.Errorf("%s: refused %v, conflicted %v", code, refused(write), conflicted(write))
		}
	}
}

// TestLostConnections has errors without a code.
func TestLostConnections(t *testing.T) {
	drivertest.WantKind(t, writeError(t.Context(), io.ErrUnexpectedEOF), model.ErrUnknown)
	drivertest.WantKind(t, readError(t.Context(), io.ErrUnexpectedEOF), model.ErrUnavailable)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	canceled := &pgconn.PgError{Severity: "ERROR", Code: codeCanceled}
	for _, err := range []error{context.Canceled, canceled} {
		got := writeError(ended, err)
		if drivertest.WantKind(t, got, model.ErrUnknown); !errors.Is(got, context.Canceled) {
			t.Errorf("%v is not the context's error", got)
		}
		got = readError(ended, err)
		if drivertest.WantKind(t, got, nil); !errors.Is(got, context.Canceled) {
			t.Errorf("%v is not the context's error", got)
		}
	}
}

// TestTimeLimitOfTheServer has a statement that the server cancels.
func TestTimeLimitOfTheServer(t *testing.T) {
	c := poolConfig(t)
	b := open(t, nil)
	drivertest.SeedCalls(t, b)
	lock := begin(t, pgx.TxOptions{})
	exec(t, lock, "SELECT 1 FROM "+b.place.name()+" WHERE id = 'id' FOR UPDATE")
	for setting, code := range map[string]string{"statement_timeout": "57014", "lock_timeout": "55P03"} {
		c.ConnConfig.RuntimeParams = map[string]string{setting: "20"}
		limited := newBackend(t, connect(t, c.Copy()), b.place.table, nil)
		_, err := limited.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear})
		if drivertest.WantKind(t, err, model.ErrUnavailable); codeOf(err) != code {
			t.Errorf("%s: %v, want code %s", setting, err, code)
		}
	}
}

// TestNoConnection has no server, a closed pool and a wrong password, which is in
// no message.
func TestNoConnection(t *testing.T) {
	b := open(t, nil)
	closed := connect(t, poolConfig(t))
	closed.Close()
	nobody := poolConfig(t)
	nobody.ConnConfig.Port = 1
	stranger := poolConfig(t)
	stranger.ConnConfig.User, stranger.ConnConfig.Password = "nobody", "hunter2"
	for text, pool := range map[string]DB{"the pool is closed": closed, "refuses connections": connect(t, nobody), "code 28": connect(t, stranger)} {
		bad := newBackend(t, pool, b.place.table, nil)
		w := driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAny}
		_, write := bad.Write(t.Context(), drivertest.Now, w)
		_, read := bad.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		_, sweep := bad.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 1})
		for _, err := range []error{write, read, sweep, bad.CreateStorage(t.Context()), bad.Ping(t.Context())} {
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, text)
			}
		}
	}
}

// TestBadNames gives what the constructor refuses.
func TestBadNames(t *testing.T) {
	pool := connect(t, poolConfig(t))
	errs := map[string]error{}
	for name, try := range map[string]func() error{
		"no database":    func() error { _, err := New(nil, "x", nil); return err },
		"no name":        func() error { _, err := New(pool, "", nil); return err },
		"a long name":    func() error { _, err := New(pool, strings.Repeat("x", 64), nil); return err },
		"a NUL":          func() error { _, err := New(pool, "a\x00", nil); return err },
		"a bad schema":   func() error { _, err := New(pool, "x", &Options{Schema: "\xff"}); return err },
		"a bad label":    func() error { _, err := New(pool, "x", &Options{Labels: []string{"A"}}); return err },
		"a large value":  func() error { _, err := New(pool, "x", &Options{MaxValue: 1 << 30}); return err },
		"a negative one": func() error { _, err := New(pool, "x", &Options{MaxValue: -1}); return err },
	} {
		errs[name] = try()
	}
	drivertest.NewErrors(t, "postgres", errs)
	b := open(t, nil)
	for _, encoding := range []string{"\xff", "a\x00"} {
		r := drivertest.Record("id", "", time.Hour)
		r.Encoding = encoding
		_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAny})
		drivertest.WantKind(t, err, model.ErrInvalid)
		drivertest.WantKind(t, b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: r, Cond: driver.IfAny}}})[0].Err, model.ErrInvalid)
	}
}
