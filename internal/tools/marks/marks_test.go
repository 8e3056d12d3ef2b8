package marks_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/tools/marks"
)

func TestPut(t *testing.T) {
	got, err := marks.Put("a\n<b>\nold\n<e>\nz\n", "<b>\n", "<e>\n", "new\n")
	if want := "a\n<b>\nnew\n<e>\nz\n"; err != nil || got != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	for _, page := range []string{"", "<b>\n", "<e>\n", "<e>\n<b>\n"} {
		if got, err := marks.Put(page, "<b>\n", "<e>\n", "new\n"); err == nil {
			t.Errorf("%q became %q, want an error", page, got)
		}
	}
}
