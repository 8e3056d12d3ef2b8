package model_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

func ExampleError() {
	err := error(&model.Error{Op: "Get", Backend: "redis", ID: "cart-1", Err: model.ErrNotFound})
	var e *model.Error
	if errors.As(err, &e) {
		fmt.Println(e.Op, e.ID, errors.Is(err, model.ErrNotFound))
	}
	fmt.Println(err)
	// Output:
	// Get cart-1 true
	// redis: Get "cart-1": not found
}

func ExampleNewError() {
	cause := errors.New("connection refused")
	err := model.NewError(model.ErrUnavailable, "the server does not answer", cause)
	fmt.Println(err)
	fmt.Println(errors.Is(err, model.ErrUnavailable), errors.Is(err, cause))
	// Output:
	// unavailable: the server does not answer
	// true true
}

func ExampleKind() {
	err := model.NewError(model.ErrUnknown, "", nil)
	// ErrUnknown matches ErrUnavailable too; its kind is the narrower one.
	fmt.Println(errors.Is(err, model.ErrUnavailable), model.Kind(err))
	// Output: true outcome unknown, may have been applied
}

func ExampleRevision() {
	r := model.NewRevision()
	again, err := model.ParseRevision(r.String())
	fmt.Println(again == r, err, r.IsZero(), model.Revision{}.IsZero())
	// Output: true <nil> false true
}

func ExampleRecord_Expired() {
	deadline := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := model.Record{ID: "cart-1", ExpiresAt: deadline}
	fmt.Println(r.Expired(deadline.Add(-time.Millisecond)), r.Expired(deadline))
	// Output: false true
}

func ExampleMillis() {
	t := time.Date(2030, 1, 1, 0, 0, 0, 1, time.UTC) // a nanosecond past
	fmt.Println(model.Millis(t).Format(time.RFC3339Nano))
	// Output: 2030-01-01T00:00:00.001Z
}
