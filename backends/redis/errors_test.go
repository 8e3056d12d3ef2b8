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

	"github.com/sojourn-go/sojourn/model"
)

// reply is an error that the server gave, as go-redis passes it on.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestFaults(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	read := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	tests := []struct {
		name        string
		err         error
		sent        bool
		write, read error
	}{
		{"loading", reply("LOADING Redis is loading the dataset in memory"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"replica", reply("READONLY You can't write against a read only replica. script: 5b, on @user_script:26."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"memory", reply("OOM command not allowed when used memory > 'maxmemory'."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"no password", reply("NOAUTH Authentication required."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"wrong password", reply("WRONGPASS invalid username-password pair or user is disabled."), false, model.ErrUnavailable, model.ErrUnavailable},
		{"permission", reply("NOPERM this user has no permissions to access one of the keys used as arguments"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"master down", reply("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"cluster down", reply("CLUSTERDOWN Hash slot not served"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"slot moves", reply("TRYAGAIN Multiple keys request during rehashing of slot"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"busy", reply("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"no disk", reply("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"replicas", reply("NOREPLICAS Not enough good replicas to write."), true, model.ErrUnavailable, model.ErrUnavailable},
		{"clients", reply("ERR max number of clients reached"), false, model.ErrUnavailable, model.ErrUnavailable},
		{"too long", reply("ERR Protocol error: invalid bulk length"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"no scripts", reply("ERR unknown command 'EVALSHA', with args beginning with: 'secret'"), true, model.ErrUnavailable, model.ErrUnavailable},
		{"index of another type", reply("WRONGTYPE Operation against a key holding the wrong kind of value"), true, model.ErrCorrupt, model.ErrCorrupt},
		{"a proxy's word", reply("ERR upstream failure"), true, model.ErrUnknown, model.ErrUnavailable},
		{"an unknown code", reply("NEWCODE secret"), true, model.ErrUnknown, model.ErrUnavailable},
		{"wrapped", fmt.Errorf("a hook: %w", reply("OOM command not allowed")), true, model.ErrUnavailable, model.ErrUnavailable},
		{"dial", dial, false, model.ErrUnavailable, model.ErrUnavailable},
		{"dial after a redirect", dial, true, model.ErrUnavailable, model.ErrUnavailable},
		{"pool", goredis.ErrPoolTimeout, false, model.ErrUnavailable, model.ErrUnavailable},
		{"closed", goredis.ErrClosed, false, model.ErrUnavailable, model.ErrUnavailable},
		{"a hook's own", errors.New("circuit open for secret"), false, model.ErrUnavailable, model.ErrUnavailable},
		{"end", io.EOF, true, model.ErrUnknown, model.ErrUnavailable},
		{"cut", io.ErrUnexpectedEOF, true, model.ErrUnknown, model.ErrUnavailable},
		{"timeout", read, true, model.ErrUnknown, model.ErrUnavailable},
		{"broken pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, true, model.ErrUnknown, model.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{writeFault(t.Context(), test.err, test.sent), test.write}, {readFault(t.Context(), test.err), test.read},
			} {
				only(t, got.err, got.want)
				if !errors.Is(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's own", got.err)
				}
				if strings.Contains(got.err.Error(), "secret") {
					t.Errorf("a value in %v", got.err)
				}
			}
		})
	}
}

func TestFaultsOfContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := writeFault(ctx, context.Canceled, false); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("before sending: %v", err)
	}
	if err := readFault(ctx, context.Canceled); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("before sending a read: %v", err)
	}
	err := writeFault(ctx, io.EOF, true)
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("after sending: %v", err)
	}
}
