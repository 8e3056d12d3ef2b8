package driverkit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// TestDialReason has what operating systems, the DNS and TLS say when there is no
// connection.
func TestDialReason(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: at, Err: err} }
	for name, test := range map[string]struct {
		err  error
		dial bool
		want string
	}{
		"refused":       {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true, "127.0.0.1:7 refuses connections"},
		"wrapped":       {fmt.Errorf("hunter2: %w", dial(syscall.EHOSTUNREACH)), true, "127.0.0.1:7: no route to host"},
		"late":          {dial(os.ErrDeadlineExceeded), true, "127.0.0.1:7 does not answer"},
		"unknown host":  {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "h", IsNotFound: true}}, true, `the host "h" is not known`},
		"silent DNS":    {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "h", IsTimeout: true}}, true, `no answer for the host "h"`},
		"another error": {dial(errors.New("hunter2")), true, "127.0.0.1:7 cannot be reached"},
		"plain server":  {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true, "does not speak TLS"},
		"plain HTTP":    {fmt.Errorf("get: %w", http.ErrSchemeMismatch), true, "does not speak TLS"},
		"broken record": {tls.RecordHeaderError{Msg: "oversized record received with length 9"}, false, ""},
		"authority":     {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true, "no known authority signed it"},
		"another name":  {&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}}, true, "of another host"},
		"too old":       {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, true, "has expired"},
		"a read":        {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false, ""},
		"the end":       {io.EOF, false, ""},
	} {
		if got := driverkit.IsDial(test.err); got != test.dial {
			t.Errorf("%s: no connection: %v, want %v", name, got, test.dial)
		}
		got := driverkit.DialReason(test.err)
		if !strings.HasPrefix(got, test.want) && !strings.Contains(got, test.want) || (got == "") != (test.want == "") || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if err := driverkit.WriteError(t.Context(), test.err, !test.dial, ""); test.dial && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", name, err, test.want)
		}
	}
}

// TestEndedWhile keeps the context's error, and matches no sentinel.
func TestEndedWhile(t *testing.T) {
	err := driverkit.EndedWhile(context.DeadlineExceeded, "it waited")
	if !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil || err.Error() != "context deadline exceeded: it waited" {
		t.Errorf("got %v", err)
	}
	if err := driverkit.EndedWhile(context.Canceled, ""); err != context.Canceled { //nolint:errorlint // the same
		t.Errorf("got %v", err)
	}
}
