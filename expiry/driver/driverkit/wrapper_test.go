package driverkit_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// plainBackend has only the methods that every backend has. It notes each call
// and returns its own record or error.
type plainBackend struct {
	calls []string
	rec   model.Record
	err   error
}

func newPlainBackend() *plainBackend {
	return &plainBackend{rec: model.Record{ID: "a", Revision: model.NewRevision()}, err: errors.New("the backend's error")}
}

func (b *plainBackend) note(call string) { b.calls = append(b.calls, call) }

func (b *plainBackend) Get(_ context.Context, _ time.Time, g driver.Get) (model.Record, error) {
	b.note("Get " + g.ID)
	return b.rec, b.err
}

func (b *plainBackend) Write(_ context.Context, _ time.Time, w driver.Write) (model.Record, error) {
	b.note("Write " + w.Record.ID)
	return b.rec, b.err
}

func (b *plainBackend) Touch(_ context.Context, _ time.Time, t driver.Touch) (model.Record, error) {
	b.note("Touch " + t.ID)
	return b.rec, b.err
}

func (b *plainBackend) Delete(_ context.Context, _ time.Time, d driver.Delete) error {
	b.note("Delete " + d.ID)
	return b.err
}

func (b *plainBackend) Page(_ context.Context, _ time.Time, q driver.Query) (driver.Page, error) {
	b.note("Page " + q.Value)
	return driver.Page{Records: []model.Record{b.rec}}, b.err
}

func (b *plainBackend) DeleteExpired(context.Context, driver.Sweep) (driver.Swept, error) {
	b.note("DeleteExpired")
	return driver.Swept{Removed: 3}, b.err
}

func (b *plainBackend) Describe() driver.Description {
	b.note("Describe")
	return driver.Description{Backend: "plain"}
}

func (b *plainBackend) Close() error {
	b.note("Close")
	return b.err
}

// fullBackend also has every optional interface.
type fullBackend struct{ *plainBackend }

func (b fullBackend) GetMany(_ context.Context, _ time.Time, gets []driver.Get) []driver.BatchResult {
	b.note("GetMany " + strings.Join(driverkit.IDs(gets), " "))
	return []driver.BatchResult{{Record: b.rec, Err: b.err}}
}

func (b fullBackend) WriteMany(_ context.Context, _ time.Time, ops []driver.BatchOp) []driver.BatchResult {
	b.note("WriteMany " + ops[0].ID())
	return []driver.BatchResult{{Record: b.rec, Err: b.err}}
}

func (b fullBackend) Count(_ context.Context, _ time.Time, q driver.Query) (int, error) {
	b.note("Count " + q.Value)
	return 7, b.err
}

func (b fullBackend) CreateStorage(context.Context) error { b.note("CreateStorage"); return b.err }
func (b fullBackend) DeleteStorage(context.Context) error { b.note("DeleteStorage"); return b.err }
func (b fullBackend) Ping(context.Context) error          { b.note("Ping"); return b.err }

// backend is ModelExpirySupport with every optional interface.
type backend interface {
	driver.ModelExpirySupport
	driver.BatchGetter
	driver.BatchWriter
	driver.Counter
	driver.StorageManager
	driver.Pinger
}

// answers calls every method of b and returns the results.
func answers(b backend) []any {
	var out []any
	add := func(results ...any) { out = append(out, results...) }
	ctx := context.Background()
	rec, err := b.Get(ctx, now, driver.Get{ID: "g"})
	add(rec, err)
	rec, err = b.Write(ctx, now, driver.Write{Record: model.Record{ID: "w"}})
	add(rec, err)
	rec, err = b.Touch(ctx, now, driver.Touch{ID: "t"})
	add(rec, err)
	add(b.Delete(ctx, now, driver.Delete{ID: "d"}))
	p, err := b.Page(ctx, now, driver.Query{Value: "p"})
	add(p, err)
	s, err := b.DeleteExpired(ctx, driver.Sweep{})
	add(s, err)
	add(b.Describe(), b.Close())
	add(b.GetMany(ctx, now, driver.Gets("m", "n")))
	add(b.WriteMany(ctx, now, []driver.BatchOp{{Delete: &driver.Delete{ID: "x"}}}))
	n, err := b.Count(ctx, now, driver.Query{Value: "c"})
	add(n, err)
	add(b.CreateStorage(ctx), b.DeleteStorage(ctx), b.Ping(ctx))
	return out
}

func TestWrapperForwardsEveryMethod(t *testing.T) {
	direct, wrapped := fullBackend{newPlainBackend()}, fullBackend{newPlainBackend()}
	wrapped.rec, wrapped.err = direct.rec, direct.err
	want, got := answers(direct), answers(driverkit.Wrap(wrapped))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the wrapper returns\n%v\nwant\n%v", got, want)
	}
	if !slices.Equal(wrapped.calls, direct.calls) {
		t.Errorf("the wrapper calls %v, want %v", wrapped.calls, direct.calls)
	}
}

// TestWrapperDoesWhatABackendLacks checks that the wrapper of a backend without
// the optional interfaces does what the functions of package driver do.
func TestWrapperDoesWhatABackendLacks(t *testing.T) {
	ctx := context.Background()
	ops := []driver.BatchOp{{Write: &driver.Write{Record: model.Record{ID: "x"}}}, {Delete: &driver.Delete{ID: "y"}}}
	b := newPlainBackend()
	b.err = nil
	w := driverkit.Wrap(b)
	if out := w.GetMany(ctx, now, driver.Gets("m", "n")); len(out) != 2 || out[1].Record.ID != "a" {
		t.Errorf("GetMany returns %v, want the record twice", out)
	}
	if out := w.WriteMany(ctx, now, ops); len(out) != 2 || out[0].Record.ID != "a" || out[1].Err != nil {
		t.Errorf("WriteMany returns %v, want a record and no error", out)
	}
	if n, err := w.Count(ctx, now, driver.Query{Value: "c"}); n != 1 || err != nil {
		t.Errorf("Count returns %d, %v, want 1", n, err)
	}
	if err := errors.Join(w.CreateStorage(ctx), w.DeleteStorage(ctx), w.Ping(ctx)); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	want := []string{"Get m", "Get n", "Write x", "Delete y", "Page c", "Get \x01ping"}
	if !slices.Equal(b.calls, want) {
		t.Errorf("the wrapper calls %q, want %q", b.calls, want)
	}
}

func TestWrapperUnwraps(t *testing.T) {
	b := newPlainBackend()
	if got := driverkit.Wrap(b).Unwrap(); got != driver.ModelExpirySupport(b) {
		t.Errorf("Unwrap returns %v, want the wrapped backend", got)
	}
}

// TestWrapperHasEveryOptionalInterface reads the interfaces of package driver
// from its source, so that a new one cannot be forgotten.
func TestWrapperHasEveryOptionalInterface(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of package driver: %v", err)
	}
	wrapper := reflect.TypeFor[driverkit.Wrapper]()
	seen := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			iface, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			seen++
			for _, m := range iface.Methods.List {
				if _, has := wrapper.MethodByName(m.Names[0].Name); !has {
					t.Errorf("Wrapper lacks %s.%s", spec.Name.Name, m.Names[0].Name)
				}
			}
			return true
		})
	}
	if seen < 7 {
		t.Errorf("found %d interfaces in package driver, want at least 7", seen)
	}
}
