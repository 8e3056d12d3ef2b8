package shop

import (
	"fmt"
	"html/template"
	"time"
)

// when returns a time for readers: "5 minutes ago", "in 3 hours". Its title is
// exact.
func when(now, t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	words := ago(now.Sub(t))
	if t.After(now) {
		words = until(t.Sub(now))
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, //nolint:gosec,gocritic // made of times alone, which need no escapes
		t.UTC().Format(time.RFC3339), t.UTC().Format("2 January 2006, 15:04 UTC"), words))
}

func ago(d time.Duration) string {
	if d < 30*time.Second {
		return "just now"
	}
	return rough(d) + " ago"
}

func until(d time.Duration) string {
	if d < 30*time.Second {
		return "in under a minute"
	}
	return "in " + rough(d)
}

func rough(d time.Duration) string {
	switch {
	case d.Round(time.Minute) < time.Hour:
		return plural(int(d.Round(time.Minute)/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return plural(int(d.Round(time.Hour)/time.Hour), "hour", "hours")
	}
	return plural(int(d.Round(24*time.Hour)/(24*time.Hour)), "day", "days")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
