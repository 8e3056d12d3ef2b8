package otelsojourn_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// advised are the boundaries that the registry advises for
// db.client.operation.duration. The generated package does not have them.
// https://opentelemetry.io/docs/specs/semconv/db/database-metrics/
var advised = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// registry reads what OpenTelemetry generates from its registry: the comment of
// each attribute, by the attribute's name.
func registry(t *testing.T) map[string]string {
	t.Helper()
	const pkg = "go.opentelemetry.io/otel/semconv/v1.43.0"
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "attribute_group.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok && strings.HasSuffix(spec.Names[0].Name, "Key") {
			name, _ := strconv.Unquote(lit.Value)
			out[name] = spec.Doc.Text()
		}
		return true
	})
	if len(out) < 100 {
		t.Fatalf("%d attributes in the registry, want hundreds", len(out))
	}
	return out
}

// TestOnlyStableAttributes compares every attribute of every operation with the
// registry: it is there, of the same type, and stable.
func TestOnlyStableAttributes(t *testing.T) {
	known := registry(t)
	r, b := measured(t, newMemory(t))
	failing := measuredBy(t, r, &failing{Wrapper: driverkit.Wrap(newMemory(t)), err: model.ErrUnavailable})
	for _, op := range operations {
		_ = op.do(t.Context(), b)
		_ = op.do(t.Context(), failing)
	}
	seen := map[string]bool{}
	check := func(key, typ string) {
		seen[key] = true
		doc, ok := known[key]
		if !ok || !strings.Contains(doc, "Stability: Stable") {
			t.Errorf("%s is not a stable attribute of the registry: %q", key, doc)
		}
		typ = strings.ReplaceAll(typ, "int64", "int")
		enum := typ == "string" && strings.Contains(doc, "Type: Enum")
		if !enum && !strings.Contains(doc, "Type: "+typ) {
			t.Errorf("%s is a %s, the registry says %q", key, typ, doc)
		}
	}
	for _, span := range r.spans.Ended() {
		for _, kv := range span.Attributes() {
			check(string(kv.Key), strings.ToLower(kv.Value.Type().String()))
		}
	}
	h, ok := r.metrics(t)["db.client.operation.duration"].Data.(metricdata.Histogram[float64])
	if !ok {
		t.Fatal("the metric is no histogram of floats")
	}
	for _, p := range h.DataPoints {
		for _, kv := range p.Attributes.ToSlice() {
			check(string(kv.Key), strings.ToLower(kv.Value.Type().String()))
		}
	}
	if len(seen) != 8 {
		t.Errorf("saw the attributes %v, want 8", seen)
	}
}

// measuredBy is measured with the recorder r.
func measuredBy(t *testing.T, r *recorder, inner driver.ModelExpirySupport) full {
	t.Helper()
	o := r.opts
	o.Collection, o.Namespace, o.ServerAddress, o.ServerPort = "carts", "shop", "db.example", 27018
	return wrap(t, inner, o).(full)
}

// TestTheMetricIsTheRegistrys compares name, unit, text and boundaries.
func TestTheMetricIsTheRegistrys(t *testing.T) {
	r, b := measured(t, newMemory(t))
	_, _ = b.Get(t.Context(), now, driver.Get{ID: "a"})
	want := dbconv.ClientOperationDuration{}
	m := r.metrics(t)[want.Name()]
	h, ok := m.Data.(metricdata.Histogram[float64])
	if !ok || m.Unit != want.Unit() || m.Description != want.Description() || !slices.Equal(h.DataPoints[0].Bounds, advised) {
		t.Errorf("the metric is %+v, want %s in %s: %s %v", m, want.Name(), want.Unit(), want.Description(), advised)
	}
	if m.Name != "db.client.operation.duration" || m.Unit != "s" {
		t.Errorf("the registry's metric is %s in %s", m.Name, m.Unit)
	}
}

// TestSystems has the name of each backend's server.
func TestSystems(t *testing.T) {
	for backend, want := range map[string]string{
		"redis": string(dbconv.SystemNameRedis), "mongo": string(dbconv.SystemNameMongoDB), "postgres": string(dbconv.SystemNamePostgreSQL),
		"dynamodb": string(dbconv.SystemNameAWSDynamoDB), "elasticsearch": string(dbconv.SystemNameElasticsearch), "sqlite": string(dbconv.SystemNameSQLite),
		// Those have no name in the registry.
		"s3": "s3", "file": "file", "memory": "memory", "bbolt": "bbolt",
	} {
		r := newRecorder()
		b := wrap(t, &called{Wrapper: driverkit.Wrap(newMemory(t)), name: backend}, otelsojourn.Options{MeterProvider: r.opts.MeterProvider})
		_, _ = b.Get(t.Context(), now, driver.Get{ID: "a"})
		for attrs := range points(r.metrics(t)["db.client.operation.duration"]) {
			if attrs != "db.operation.name=Get "+string(semconv.DBSystemNameKey)+"="+want {
				t.Errorf("%s has %s, want the system %s", backend, attrs, want)
			}
		}
	}
}

// called is a backend of another name.
type called struct {
	driverkit.Wrapper
	name string
}

func (c *called) Describe() driver.Description { return driver.Description{Backend: c.name} }
