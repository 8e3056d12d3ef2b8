package promql

import (
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

// interval is the time between two scrapes.
const interval = 30 * time.Second

// server has what a Prometheus server does with a scrape and a query.
type server struct {
	db     *tsdb.DB
	engine *promql.Engine
}

func newServer(t *testing.T) *server {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration, opts.MaxBlockDuration, opts.RetentionDuration = 1<<40, 1<<40, 0 // the scrapes are not of today
	db, err := tsdb.Open(t.TempDir(), nil, nil, opts, tsdb.NewDBStats())
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{db, promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		Parser: promqlParser,
	})}
}

var promqlParser = parser.NewParser(parser.Options{})

// ingest stores a scrape.
func (s *server) ingest(t *testing.T, text []byte, contentType string, at time.Time) {
	t.Helper()
	p, err := textparse.New(text, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	must(t, err)
	app := s.db.Appender(t.Context())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if entry != textparse.EntrySeries {
			continue
		}
		var ls labels.Labels
		_, _, v := p.Series()
		p.Labels(&ls)
		b := labels.NewBuilder(ls)
		b.Set("job", "shop")
		b.Set("instance", "127.0.0.1:9100")
		if _, err := app.Append(0, b.Labels(), at.UnixMilli(), v); err != nil {
			t.Fatalf("%s: %v", ls, err)
		}
	}
	must(t, app.Commit())
}

// query returns what an expression is at a time.
func (s *server) query(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := s.engine.NewInstantQuery(t.Context(), s.db, nil, expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	v, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// numbers fails for a result that is empty or has something that is not a number.
func numbers(v promql.Vector) error {
	if len(v) == 0 {
		return errors.New("the result is empty")
	}
	for _, sample := range v {
		if math.IsNaN(sample.F) || math.IsInf(sample.F, 0) {
			return fmt.Errorf("%s is %v", sample.Metric, sample.F)
		}
	}
	return nil
}

// run scrapes a site for the given time, with step before each scrape. It returns
// the time of the last scrape.
func (s *server) run(t *testing.T, on *site, from time.Time, d time.Duration, step func(i int)) time.Time {
	t.Helper()
	at := from
	for i := 0; at.Before(from.Add(d)); i++ {
		step(i)
		at = on.clock.Advance(interval)
		text, contentType := on.scrape(t)
		s.ingest(t, text, contentType, at)
	}
	return at
}
