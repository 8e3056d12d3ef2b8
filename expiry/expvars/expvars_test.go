package expvars_test

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/expvars"
	"github.com/sojourn-go/sojourn/model"
)

// read returns the figures as a program that asks /debug/vars gets them.
func read(t *testing.T, m *expvar.Map) (out map[string]map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.String()), &out); err != nil {
		t.Fatalf("%v: %s", err, m)
	}
	return out
}

func TestObserverCounts(t *testing.T) {
	m := new(expvar.Map)
	observe := expvars.Observer(m)
	ctx := t.Context()
	down := &model.Error{ID: "0xSECRET", Err: model.NewError(model.ErrUnavailable, "0xSECRET", nil)}
	observe(ctx, expiry.Observation{Op: "Get", ID: "0xSECRET", Backend: "redis", Duration: 250 * time.Millisecond, Calls: 1})
	observe(ctx, expiry.Observation{Op: "Get", ID: "0xSECRET", Duration: 500 * time.Millisecond, Calls: 2, Err: down})
	observe(ctx, expiry.Observation{Op: "GetMany", Calls: 1, Items: map[string]int{"ok": 3, "not_found": 2}})
	observe(ctx, expiry.Observation{Op: "GetMany", Calls: 1, Items: map[string]int{"ok": 4}})
	got := read(t, m)
	want := map[string]map[string]any{
		"Get":     {"ok": 1.0, "unavailable": 1.0, "seconds": 0.75, "backend_calls": 3.0, "items": map[string]any{}},
		"GetMany": {"ok": 2.0, "seconds": 0.0, "backend_calls": 2.0, "items": map[string]any{"ok": 7.0, "not_found": 2.0}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the figures are\n%v\nwant\n%v", got, want)
	}
	if strings.Contains(m.String(), "SECRET") {
		t.Errorf("the figures have an id: %s", m)
	}
	expvars.Observer(nil)(ctx, expiry.Observation{Op: "Get"}) // counts nothing
}

// TestManyAtOnce has all calls of many goroutines, also the first ones.
func TestManyAtOnce(t *testing.T) {
	m := new(expvar.Map)
	observe := expvars.Observer(m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				observe(t.Context(), expiry.Observation{Op: fmt.Sprint("op", i%10), Calls: 1})
			}
		})
	}
	wg.Wait()
	for op, figures := range read(t, m) {
		if figures["ok"] != 80.0 || figures["backend_calls"] != 80.0 {
			t.Errorf("%s has %v, want 80 calls", op, figures)
		}
	}
	if n := len(read(t, m)); n != 10 {
		t.Errorf("%d methods, want 10", n)
	}
}

// Figures of a store without any other library. The program publishes the map under
// a name of its own: expvar.Publish("carts", figures).
func ExampleObserver() {
	figures := new(expvar.Map)
	backend, err := memory.New(nil, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := expiry.NewStore[string](backend, &expiry.StoreOptions{Observe: expvars.Observer(figures)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = store.Get(context.Background(), "nobody")
	fmt.Println(errors.Is(err, expiry.ErrNotFound))
	get, _ := figures.Get("Get").(*expvar.Map)
	fmt.Println(get.Get("not_found"), get.Get("backend_calls"))
	// Output:
	// true
	// 1 1
}
