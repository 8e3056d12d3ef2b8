package otelsojourn_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session"
)

func Example() {
	// A program has exporters here, and passes otel.GetTracerProvider() too.
	reader := metric.NewManualReader()
	opts := &otelsojourn.Options{MeterProvider: metric.NewMeterProvider(metric.WithReader(reader)), Collection: "sessions"}

	backend, _ := memory.New(nil, "sessions", nil)
	measured, err := otelsojourn.Wrap(backend, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	sessions, _ := otelsojourn.NewSessions(opts)
	sweeps, _ := otelsojourn.NewSweeps(opts)
	svc, _ := session.New(measured, &session.Options{
		OnEvent: sessions.OnEvent,
		Observe: sweeps.Observe,
		Sweep:   expiry.SweeperOptions{OnSwept: sweeps.OnSwept},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = sessions.Watch(ctx, 5*time.Minute, svc.Count) }()

	s := svc.Open("")
	_ = s.SignIn(ctx, "alice", nil)
	_, _ = s.Commit(ctx)

	var all metricdata.ResourceMetrics
	_ = reader.Collect(ctx, &all)
	for _, m := range all.ScopeMetrics[0].Metrics {
		if created, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "sojourn.session.created" {
			fmt.Println(m.Name, created.DataPoints[0].Value)
		}
	}
	// Output: sojourn.session.created 1
}
