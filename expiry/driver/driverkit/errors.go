package driverkit

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// IsContext reports whether err is the error of an ended context.
func IsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// IsDial reports whether no connection could be opened.
func IsDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
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
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
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
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
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
