package driverkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// IsContext reports whether err is the error of an ended context.
func IsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// IsDial reports whether no connection could be opened, so that nothing was
// sent: no server listens, or the server failed the TLS handshake.
func IsDial(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &op) && op.Op == "dial" || plainServer(err) || errors.As(err, &certificate)
}

// plainServer reports whether a client that speaks TLS met a server that does
// not.
func plainServer(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && strings.HasPrefix(record.Msg, "first record") || errors.Is(err, http.ErrSchemeMismatch)
}

// DialReason says why no connection could be opened, with the server's address
// and without anything else of the error's text. It is empty for an error that
// says nothing of it.
func DialReason(err error) string {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case plainServer(err):
		return "the server does not speak TLS: use the scheme without TLS (http:// in an endpoint), or the server's port for TLS"
	case errors.As(err, &certificate):
		return "the server's certificate is not trusted: " + certificateReason(certificate.Err)
	case !errors.As(err, &op) || op.Op != "dial":
		return ""
	}
	var dns *net.DNSError
	var errno syscall.Errno
	where := "the server"
	if op.Addr != nil {
		where = op.Addr.String()
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host " + strconv.Quote(dns.Name) + " is not known: check its name"
	case errors.As(err, &dns):
		return "the DNS gave no answer for the host " + strconv.Quote(dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return where + " refuses connections: check that the server runs there"
	case op.Timeout():
		return where + " does not answer: check the address and the firewall"
	case errors.As(err, &errno):
		return where + ": " + errno.Error()
	}
	return where + " cannot be reached"
}

// certificateReason says what is wrong with a certificate.
func certificateReason(err error) string {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return "it is of another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	}
	return "no known authority signed it"
}

// cannotConnect returns the text of an error without a connection.
func cannotConnect(err error) string {
	if why := DialReason(err); why != "" {
		return "cannot connect: " + why
	}
	return "cannot connect"
}

// Ended returns the context's error, and DeadlineExceeded if its deadline has
// passed: a connection with the same deadline may notice a moment earlier.
func Ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// EndedWhile returns the context's error of a call that sent nothing, with what
// it waited for in its text. It matches no sentinel (rule R9).
func EndedWhile(end error, why string) error {
	if why == "" {
		return end
	}
	return endedError{end, why}
}

type endedError struct {
	error
	why string
}

func (e endedError) Error() string { return e.error.Error() + ": " + e.why }

func (e endedError) Unwrap() error { return e.error }

// WithContext joins the context's error to err if the context has ended.
func WithContext(ctx context.Context, err error) error {
	if end := Ended(ctx); end != nil && !errors.Is(err, end) {
		return errors.Join(end, err)
	}
	return err
}

// ReadError returns the error of a read without an answer: the context's own
// if it ended the call, else ErrUnavailable.
func ReadError(ctx context.Context, err error) error {
	if end := Ended(ctx); end != nil && IsContext(err) {
		return end
	}
	if IsDial(err) {
		return model.NewError(model.ErrUnavailable, cannotConnect(err), err)
	}
	return model.NewError(model.ErrUnavailable, "the server did not answer", WithContext(ctx, err))
}

// WriteError returns the error of a write without an answer. Sent says whether
// a part of it may have left the process: then it is ErrUnknown. Else nothing
// happened, and it is the context's error or ErrUnavailable with the hint.
func WriteError(ctx context.Context, err error, sent bool, hint string) error {
	if sent {
		return model.NewError(model.ErrUnknown, "", WithContext(ctx, err))
	}
	if end := Ended(ctx); end != nil {
		return end
	}
	if IsDial(err) {
		return model.NewError(model.ErrUnavailable, cannotConnect(err), err)
	}
	detail := "nothing was sent"
	if hint != "" {
		detail += ": " + hint
	}
	return model.NewError(model.ErrUnavailable, detail, err)
}

// Corrupt returns an ErrCorrupt that says why a stored record cannot be read.
func Corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

// Why a stored record cannot be read. Backends use the same words.
const (
	WhyForeign = "the stored data is not a complete record"
	WhyNewer   = "the record has a newer format than this version reads"
	WhyOtherID = "the stored record has another id"
)

// Contended returns the error of a write that gave up because other writers
// kept changing the record.
func Contended() error {
	return model.NewError(model.ErrUnavailable, "other writers keep changing the record", nil)
}

// BadReply returns the error of a write whose answer the server's protocol
// does not allow.
func BadReply() error {
	return model.NewError(model.ErrUnknown, "the server sent an unexpected reply", nil)
}
