package causes

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sojourn-go/sojourn/model"
)

func TestOf(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	hidden := model.NewError(model.ErrUnknown, "no answer", a) // its text leaves out the cause
	for want, err := range map[string]error{
		"no error":    nil,
		"a":           a,
		"outer: a; a": fmt.Errorf("outer: %w", a),
		"a\nb; a; b":  errors.Join(a, b),
		hidden.Error() + "; " + model.ErrUnknown.Error() + "; a": hidden,
	} {
		if got := Of(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
