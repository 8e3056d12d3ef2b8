package driverkit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

func TestClock(t *testing.T) {
	sent := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const trip = 5 * time.Second // a slow answer says nothing against the clock
	for name, test := range map[string]struct {
		server, step, removes time.Duration // the server's time since sent
		ahead                 time.Duration
		level                 driver.CheckLevel
		words                 string
	}{
		"at the question":   {0, 0, 0, 0, driver.CheckRight, "the same"},
		"at the answer":     {trip, 0, 0, 0, driver.CheckRight, "the same"},
		"a rounded second":  {-time.Second, time.Second, 0, 0, driver.CheckRight, "the same"},
		"a little ahead":    {trip + 1999*time.Millisecond, 0, 0, 1999 * time.Millisecond, driver.CheckRight, "ahead by 1.999s"},
		"ahead":             {trip + 2*time.Second, 0, 0, 2 * time.Second, driver.CheckWarning, "ahead by 2s"},
		"a little behind":   {-1999 * time.Millisecond, 0, 0, -1999 * time.Millisecond, driver.CheckRight, "behind by 1.999s"},
		"behind":            {-2 * time.Second, 0, 0, -2 * time.Second, driver.CheckWarning, "behind by 2s"},
		"behind by a step":  {-3 * time.Second, time.Second, 0, -2 * time.Second, driver.CheckWarning, "behind by 2s"},
		"far ahead":         {trip + 30*time.Second, 0, 0, 30 * time.Second, driver.CheckUnsafe, "NTP"},
		"far behind":        {-30 * time.Second, 0, 0, -30 * time.Second, driver.CheckUnsafe, "NTP"},
		"not so far":        {-29 * time.Second, 0, 0, -29 * time.Second, driver.CheckWarning, "NTP"},
		"removes early":     {trip + 10*time.Second, 0, 10 * time.Second, 10 * time.Second, driver.CheckUnsafe, "GraceTTL"},
		"removes in time":   {trip + 10*time.Second, 0, 11 * time.Second, 10 * time.Second, driver.CheckWarning, "NTP"},
		"removes and slow":  {-time.Hour, 0, time.Minute, -time.Hour, driver.CheckUnsafe, "NTP"},
		"removes nothing":   {trip + 10*time.Second, 0, -1, 10 * time.Second, driver.CheckWarning, "NTP"},
		"an hour, no grace": {trip + time.Hour, 0, 0, time.Hour, driver.CheckUnsafe, "NTP"},
	} {
		c := driverkit.Clock{Sent: sent, Got: sent.Add(trip), Server: sent.Add(test.server), Step: test.step, Removes: test.removes}
		one := c.Finding()
		if c.Ahead() != test.ahead || one.Level != test.level || !strings.Contains(one.Seen+one.Fix, test.words) || (one.Fix == "") != (test.level == driver.CheckRight) {
			t.Errorf("%s: %v, %+v; want %v, %v and %q", name, c.Ahead(), one, test.ahead, test.level, test.words)
		}
		if early := strings.Contains(one.Fix, "GraceTTL"); c.RemovesEarly() != early {
			t.Errorf("%s: removes early: %v, want %v", name, c.RemovesEarly(), early)
		}
	}
	silent := driverkit.Clock{Sent: sent, Got: sent, Removes: time.Second}
	if one := silent.Finding(); one.Level != driver.CheckUnknown || one.Fix == "" {
		t.Errorf("no time: %+v", one)
	}
}
