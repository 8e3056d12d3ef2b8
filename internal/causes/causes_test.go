package causes

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sojourn-go/sojourn/model"
)

func TestOf(t *testing.T) {
	a, b := errors.New("first"), errors.New("second")
	hidden := model.NewError(model.ErrUnknown, "no answer", a) // its text leaves out the cause
	for want, err := range map[string]error{
		"no error":                             nil,
		"first":                                a,
		"outer: first":                         fmt.Errorf("outer: %w", a),
		"first\nsecond":                        errors.Join(a, b),
		hidden.Error() + "; first":             hidden,
		hidden.Error() + "\nsecond; first":     errors.Join(hidden, b),
		"outer: " + hidden.Error() + "; first": fmt.Errorf("outer: %w", hidden),
	} {
		if got := Of(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
