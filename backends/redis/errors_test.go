package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// reply is an error of the server, as go-redis returns it.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestErrors(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	read := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	tests := []struct {
		name  string
		err   error
		sent  bool
		write error // a read is ErrCorrupt too, or else ErrUnavailable
	}{
		{"loading", reply("LOADING Redis is loading the dataset in memory"), true, model.ErrUnavailable},
		{"replica", reply("READONLY You can't write against a read only replica. script: 5b, on @user_script:26."), true, model.ErrUnavailable},
		{"memory", reply("OOM command not allowed when used memory > 'maxmemory'."), true, model.ErrUnavailable},
		{"no password", reply("NOAUTH Authentication required."), true, model.ErrUnavailable},
		{"wrong password", reply("WRONGPASS invalid username-password pair or user is disabled."), false, model.ErrUnavailable},
		{"permission", reply("NOPERM this user has no permissions to access one of the keys used as arguments"), true, model.ErrUnavailable},
		{"master down", reply("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), true, model.ErrUnavailable},
		{"cluster down", reply("CLUSTERDOWN Hash slot not served"), true, model.ErrUnavailable},
		{"slot moves", reply("TRYAGAIN Multiple keys request during rehashing of slot"), true, model.ErrUnavailable},
		{"busy", reply("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."), true, model.ErrUnavailable},
		{"no disk", reply("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), true, model.ErrUnavailable},
		{"replicas", reply("NOREPLICAS Not enough good replicas to write."), true, model.ErrUnavailable},
		{"clients", reply("ERR max number of clients reached"), false, model.ErrUnavailable},
		{"too long", reply("ERR Protocol error: invalid bulk length"), true, model.ErrUnavailable},
		{"no scripts", reply("ERR unknown command 'EVALSHA', with args beginning with: 'secret'"), true, model.ErrUnavailable},
		{"another type", reply("WRONGTYPE Operation against a key holding the wrong kind of value"), true, model.ErrCorrupt},
		{"a proxy's reply", reply("ERR upstream failure"), true, model.ErrUnknown},
		{"an unknown code", reply("NEWCODE secret"), true, model.ErrUnknown},
		{"memory, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -OOM command not allowed when used memory > 'maxmemory'."), true, model.ErrUnavailable},
		{"memory, returned by a script of 6.2", reply("@user_script: 26: -OOM command not allowed when used memory > 'maxmemory'."), true, model.ErrUnavailable},
		{"replica, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -READONLY You can't write against a read only replica."), true, model.ErrUnavailable},
		{"no disk, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -MISCONF Redis is configured to save RDB snapshots"), true, model.ErrUnavailable},
		{"replicas, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -NOREPLICAS Not enough good replicas to write."), true, model.ErrUnavailable},
		{"another type, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:17: WRONGTYPE Operation against a key holding the wrong kind of value"), true, model.ErrCorrupt},
		{"permission, in a script of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -NOPERM The user executing the script can't run this command or subcommand"), true, model.ErrUnknown},
		{"permission, in a script", reply("NOPERM this user has no permissions to run the 'pexpire' command script: 0ad, on @user_script:40."), true, model.ErrUnknown},
		{"a script's own error of 6.2", reply("ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: secret: -OOM "), true, model.ErrUnknown},
		{"a quoted code", reply("ERR unknown key 'x: OOM secret'"), true, model.ErrUnknown},
		{"wrapped", fmt.Errorf("a hook: %w", reply("OOM command not allowed")), true, model.ErrUnavailable},
		{"dial", dial, false, model.ErrUnavailable},
		{"dial after a redirect", dial, true, model.ErrUnavailable},
		{"pool", goredis.ErrPoolTimeout, false, model.ErrUnavailable},
		{"closed", goredis.ErrClosed, false, model.ErrUnavailable},
		{"a hook's own", errors.New("circuit open for secret"), false, model.ErrUnavailable},
		{"end", io.EOF, true, model.ErrUnknown},
		{"cut", io.ErrUnexpectedEOF, true, model.ErrUnknown},
		{"timeout", read, true, model.ErrUnknown},
		{"broken pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, true, model.ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			read := model.ErrUnavailable
			if test.write == model.ErrCorrupt { //nolint:errorlint // the sentinel itself
				read = model.ErrCorrupt
			}
			for _, got := range []struct{ err, want error }{
				{writeError(t.Context(), test.err, test.sent), test.write}, {readError(t.Context(), test.err), read},
			} {
				drivertest.WantKind(t, got.err, got.want)
				if !errors.Is(got.err, test.err) {
					t.Errorf("%v does not wrap the client's error", got.err)
				}
				if strings.Contains(got.err.Error(), "secret") {
					t.Errorf("the text has a value: %v", got.err)
				}
			}
		})
	}
}

func TestErrorsOfContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := writeError(ctx, context.Canceled, false); err != context.Canceled { //nolint:errorlint // nothing may wrap it
		t.Errorf("before sending: %v", err)
	}
	if err := readError(ctx, context.Canceled); err != context.Canceled { //nolint:errorlint // nothing may wrap it
		t.Errorf("before sending a read: %v", err)
	}
	err := writeError(ctx, io.EOF, true)
	drivertest.WantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("after sending: %v", err)
	}
}
