package promql

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
)

const docs = "../../../docs/telemetry/"

// rare are events of a site that the steps of work do not cause.
var rare = []session.Event{
	{Kind: session.EventRotated}, {Kind: session.EventConflict, Reason: session.ReasonMerged},
	{Kind: session.EventAnomaly, Reason: session.ReasonClientChanged},
}

// healthy returns a server that has scraped a site without faults for an hour. A few
// reads fail, as they do on every network.
func healthy(t *testing.T) (*server, time.Time) {
	t.Helper()
	s, on := newServer(t), newSite(t)
	at := s.run(t, on, began, time.Hour, func(i int) {
		on.work(t)
		on.events(t, rare...)
		if i%10 == 0 {
			on.inner.set(expiry.ErrUnavailable)
			_, _ = on.backend.Get(t.Context(), on.clock.Now(), driver.Get{ID: "a"})
			on.inner.set(nil)
			for range 100 {
				_, _ = on.backend.Get(t.Context(), on.clock.Now(), driver.Get{ID: "a"})
			}
		}
		on.sweeps.OnSwept(driver.Swept{Unknown: 1}, nil)
	})
	return s, at
}

// dashboard is what the tests need of Grafana's file.
type dashboard struct {
	Templating struct {
		List []struct {
			Name  string          `json:"name"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		GridPos     struct {
			X int `json:"x"`
			Y int `json:"y"`
			W int `json:"w"`
			H int `json:"h"`
		} `json:"gridPos"`
		Datasource struct {
			UID string `json:"uid"`
		} `json:"datasource"`
		Targets []struct {
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(docs + "dashboard.json")
	must(t, err)
	must(t, json.Unmarshal(text, &d))
	return d
}

// TestDashboard runs every query of every panel against the scrapes.
func TestDashboard(t *testing.T) {
	s, at := healthy(t)
	fill := strings.NewReplacer("$__rate_interval", "5m", "$collection", "sessions")
	label := regexp.MustCompile(`\{\{(\w+)\}\}`)
	queries := 0
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			queries++
			result := s.query(t, fill.Replace(target.Expr), at)
			if err := numbers(result); err != nil {
				t.Errorf("%s: %v: %s", p.Title, err, target.Expr)
				continue
			}
			// The legend names labels that the result has: two lines of one name are a mistake.
			seen := map[string]bool{}
			for _, sample := range result {
				name := label.ReplaceAllStringFunc(target.LegendFormat, func(l string) string { return sample.Metric.Get(strings.Trim(l, "{}")) })
				if seen[name] {
					t.Errorf("%s: two lines have the name %q", p.Title, name)
				}
				seen[name] = true
			}
		}
	}
	if queries != 19 {
		t.Errorf("the dashboard has %d queries, want 19", queries)
	}
	// The list of stores is the values of a label.
	for _, v := range readDashboard(t).Templating.List {
		if v.Name != "collection" {
			continue
		}
		var query struct {
			Query string `json:"query"`
		}
		must(t, json.Unmarshal(v.Query, &query))
		parts := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query.Query)
		if parts == nil {
			t.Fatalf("the query of the stores is %q", query.Query)
		}
		values := s.query(t, "count by ("+parts[2]+") ("+parts[1]+")", at)
		if len(values) != 1 || values[0].Metric.Get(parts[2]) != "sessions" {
			t.Errorf("the stores are %v, want sessions", values)
		}
		return
	}
	t.Error("the dashboard has no list of stores")
}

// TestDashboardLayout looks for panels that overlap, have one id, or no data source.
func TestDashboardLayout(t *testing.T) {
	taken, ids := map[string]string{}, map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("the panel %q has the id %d of another, or no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				place := fmt.Sprint(x, ",", y)
				if other, ok := taken[place]; ok || x >= 24 {
					t.Fatalf("the panels %q and %q are both at %s", p.Title, other, place)
				}
				taken[place] = p.Title
			}
		}
		if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("the panel %q has no data source, query or description", p.Title)
		}
	}
}

// TestDashboardHasEveryMetric compares the dashboard with the names that a scrape has.
func TestDashboardHasEveryMetric(t *testing.T) {
	s, at := healthy(t)
	text, err := os.ReadFile(docs + "dashboard.json")
	must(t, err)
	names := map[string]bool{}
	for _, sample := range s.query(t, `{__name__=~"db_.*|sojourn_.*"}`, at) {
		name := sample.Metric.Get("__name__")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		names[name] = true
	}
	if len(names) != 13 {
		t.Errorf("a scrape has %d metrics, want 13: %v", len(names), names)
	}
	for name := range names {
		if !strings.Contains(string(text), name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// alerts returns the expressions of the file by name. Prometheus' own reader checks
// the file, its durations and its templates.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	groups, errs := rulefmt.ParseFile(docs+"alerts.yaml", false, model.LegacyValidation, promqlParser, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	out := map[string]string{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s lacks a summary, a description or a severity", r.Alert)
			}
			out[r.Alert] = r.Expr
		}
	}
	return out
}

// faults are what each alert is about: what happens between two scrapes of a site.
var faults = map[string]func(*testing.T, *site, int){
	"SojournStoreFailing": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.work(t)
		on.reads(t, 1, expiry.ErrUnavailable)
	},
	"SojournStoreSlow": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.work(t)
		on.slow(t)
	},
	"SojournCorruptRecords": func(t *testing.T, on *site, i int) {
		t.Helper()
		on.work(t)
		if i == 110 { // one record, shortly before the end
			on.reads(t, 1, expiry.ErrCorrupt)
		}
		on.reads(t, 200, nil)
	},
	"SojournForgedSessions": func(t *testing.T, on *site, i int) {
		t.Helper()
		on.work(t)
		if i == 110 {
			on.events(t, session.Event{Kind: session.EventAnomaly, Reason: session.ReasonForged})
		}
	},
	"SojournTokensGuessed": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.work(t)
		for range 300 {
			_, _ = on.svc.Open("nonsense").Principal(t.Context())
		}
	},
	"SojournReplacedSecretsUsed": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.work(t)
		on.events(t, slices.Repeat([]session.Event{{Kind: session.EventAnomaly, Reason: session.ReasonRetiredSecret}}, 10)...)
	},
	"SojournLiveSessionsUnknown": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.work(t)
		on.sessions.SetLive(-1)
	},
	"SojournSweepStale": func(t *testing.T, on *site, i int) {
		t.Helper()
		on.inner.set(nil)
		if i > 10 {
			on.inner.set(expiry.ErrUnavailable)
		}
		on.sweep(t.Context())
		on.inner.set(nil)
		on.sessions.SetLive(1)
		on.reads(t, 200, nil)
	},
	"SojournNoSweep": func(t *testing.T, on *site, _ int) {
		t.Helper()
		on.sessions.SetLive(1)
		on.reads(t, 1, nil)
	},
}

// reads makes reads of the backend that return the error, or find nothing.
func (s *site) reads(t *testing.T, n int, err error) {
	t.Helper()
	s.inner.set(err)
	defer s.inner.set(nil)
	for range n {
		_, _ = s.backend.Get(t.Context(), s.clock.Now(), driver.Get{ID: "a"})
	}
}

// TestAlerts has a site with each fault: its alert fires, and no other one. On a site
// without faults none does.
func TestAlerts(t *testing.T) {
	rules := alerts(t)
	s, at := healthy(t)
	for name, expr := range rules {
		if got := s.query(t, expr, at); len(got) != 0 {
			t.Errorf("%s fires on a site without faults: %v", name, got)
		}
		if faults[name] == nil {
			t.Errorf("%s has no fault", name)
		}
	}
	for fault, step := range faults {
		t.Run(fault, func(t *testing.T) {
			s, on := newServer(t), newSite(t)
			at := s.run(t, on, began, time.Hour, func(i int) { step(t, on, i) })
			for name, expr := range rules {
				if got := s.query(t, expr, at); (len(got) > 0) != (name == fault) {
					t.Errorf("%s: got %v", name, got)
				}
			}
			if rules[fault] == "" {
				t.Error("no alert has the name")
			}
		})
	}
}
