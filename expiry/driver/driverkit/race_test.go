package driverkit_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func TestRace(t *testing.T) {
	down := model.NewError(model.ErrUnavailable, "down", nil)
	lost := model.NewError(model.ErrUnknown, "lost", nil)
	for name, test := range map[string]struct {
		errs    map[int]error
		winners []int
		want    error
	}{
		"one": {nil, []int{3}, nil}, "two": {nil, []int{0, 15}, nil}, "none": {nil, nil, nil},
		"a failure":                     {map[int]error{4: down}, []int{3}, down},
		"a lost answer after a failure": {map[int]error{2: down, 9: lost}, []int{3}, lost},
		"a lost answer first":           {map[int]error{2: lost, 9: down}, nil, lost},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 16
			var all sync.WaitGroup // each call waits for all others
			all.Add(n)
			winners, err := driverkit.Race(n, func(i int) (bool, error) {
				all.Done()
				all.Wait()
				return slices.Contains(test.winners, i), test.errs[i]
			})
			if !slices.Equal(winners, test.winners) || !errors.Is(err, test.want) || model.Kind(err) != model.Kind(test.want) {
				t.Errorf("%v won, %v, want %v, %v", winners, err, test.winners, test.want)
			}
		})
	}
}
