package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestTracesHaveNoValue prints the commands of writes as hooks that trace do: a
// value is in none of their arguments, of whatever length it is.
func TestTracesHaveNoValue(t *testing.T) {
	b := newOn(t, clientOf(t, &goredis.Options{Addr: "127.0.0.1:1"}), "n", nil)
	const secret = "hunter2"
	for _, size := range []int{1, stageSize} {
		w := driver.Write{Record: drivertest.Record("id", "ann", time.Hour), Cond: driver.IfPresent}
		w.Record.Value = []byte(strings.Repeat(secret, size))
		for _, keep := range []driver.Keep{{}, {Expiry: true, Labels: true}} {
			w.Keep = keep
			r := b.writeRun(t.Context(), drivertest.Now, &w, nil, 0)
			for _, arg := range r.Args() {
				if strings.Contains(fmt.Sprintf("%s", arg), secret) {
					t.Errorf("%d bytes, %+v: the script has the value in a %T", len(w.Record.Value), keep, arg)
				}
			}
			if r.stage == nil {
				continue
			}
			if strings.Contains(r.stage.String(), secret) {
				t.Errorf("%d bytes, %+v: the SET before the script prints the value", len(w.Record.Value), keep)
			}
		}
	}
}
