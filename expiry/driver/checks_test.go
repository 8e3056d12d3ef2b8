package driver_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestChecksSayWhetherCreateStorageHelps(t *testing.T) {
	missing := driver.Finding{Name: "table", Level: driver.CheckUnsafe, Missing: true, Seen: "none"}
	wrong := driver.Finding{Name: "version", Level: driver.CheckUnsafe, Seen: "1"}
	slow := driver.Finding{Name: "indexes", Level: driver.CheckWarning}
	for want, lists := range map[error][]driver.Checks{
		nil:                  {nil, {slow}},
		model.ErrUnavailable: {{missing}, {slow, missing}},
		model.ErrUnsupported: {{wrong}, {missing, wrong}, {wrong, missing}},
	} {
		for _, checks := range lists {
			if err := checks.Err(); model.Kind(err) != want {
				t.Errorf("%+v: %v, want %v", checks, err, want)
			}
		}
	}
}
