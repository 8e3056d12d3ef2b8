package ratio

import (
	"errors"
	"testing"
	"time"
)

func TestMeasureComparesEachSideWithTheFirst(t *testing.T) {
	calls := map[string]int{}
	side := func(name string) Side {
		return Side{Name: name, Do: func(i int) error {
			if i != calls[name] {
				t.Errorf("call %d of %s has the number %d", calls[name], name, i)
			}
			calls[name]++
			for start := time.Now(); time.Since(start) < time.Microsecond; {
			}
			return nil
		}}
	}
	results, err := Measure(3, side("floor"), side("other"))
	if err != nil || len(results) != 2 {
		t.Fatal(results, err)
	}
	if r := results[0]; r.Name != "floor" || r.LowerQuartile != 1 || r.Median != 1 || r.UpperQuartile != 1 {
		t.Errorf("the floor is %v of itself", r)
	}
	if r := results[1]; r.Name != "other" || r.LowerQuartile > r.Median || r.Median > r.UpperQuartile || r.PerCall < time.Microsecond {
		t.Errorf("got %v", r)
	}
	if want := 3 * (Rounds + 1); calls["floor"] != want || calls["other"] != want {
		t.Errorf("%v calls, want %d of each side", calls, want)
	}
}

func TestMeasureStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	_, err := Measure(1, Side{Name: "floor", Do: func(int) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
