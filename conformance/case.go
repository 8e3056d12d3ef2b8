package conformance

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Case is one tested behaviour.
type Case struct {
	Name  string   // Group/BehaviourInWords
	Rules []string // the rules of the contract that it is evidence for: "R15"
	Where string   // file:line
	needs need
	run   func(*C)

	// serial cases run alone, after all others: they look at what the whole
	// process does.
	serial bool
}

// need is what a case cannot do without.
type need uint8

const (
	needNothing need = iota
	needLabels
	needPaging
	needSweep
	needLoss
	needDamage
)

// feature is the one whose declared absence excuses from the need.
func (n need) feature() driver.Feature {
	switch n {
	case needLabels:
		return driver.FeatureLabels
	case needPaging:
		return driver.FeaturePaging
	case needSweep:
		return driver.FeatureSweep
	}
	return ""
}

// Cases lists every case of the suite, in the order in which they run.
func Cases() []Case {
	var all []Case
	for _, g := range [][]Case{
		getCases(), createCases(), updateCases(), compareCases(), upsertCases(),
		touchCases(), deleteCases(), hintCases(), instantCases(),
		pageCases(), tokenCases(), labelCases(), countCases(), sweepCases(), eachCases(),
		idCases(), inputCases(), errorCases(), contextCases(), closeCases(),
		storageCases(), corruptCases(), lostCases(), betweenCases(), arrivalCases(),
		valueCases(), mutateCases(), partialCases(), takeCases(), manyCases(), batchCases(), storeCases(), frontCases(), sealCases(),
		concurrencyCases(), churnCases(), historyCases(), sequenceCases(),
		leakCases(),
	} {
		all = append(all, g...)
	}
	return all
}

// group puts a common first part before the names of cases.
func group(name string, cases ...Case) []Case {
	for i := range cases {
		cases[i].Name = name + "/" + cases[i].Name
	}
	return cases
}

// that makes a case; rules are separated by spaces.
func that(name, rules string, run func(*C)) Case { return newCase(name, rules, needNothing, run) }

func thatLabels(name, rules string, run func(*C)) Case { return newCase(name, rules, needLabels, run) }
func thatPages(name, rules string, run func(*C)) Case  { return newCase(name, rules, needPaging, run) }
func thatSweeps(name, rules string, run func(*C)) Case { return newCase(name, rules, needSweep, run) }
func thatLoses(name, rules string, run func(*C)) Case  { return newCase(name, rules, needLoss, run) }
func thatDamages(name, rules string, run func(*C)) Case {
	return newCase(name, rules, needDamage, run)
}

// alone makes the cases serial.
func alone(cases []Case) []Case {
	for i := range cases {
		cases[i].serial = true
	}
	return cases
}

func newCase(name, rules string, n need, run func(*C)) Case {
	_, file, line, _ := runtime.Caller(2)
	return Case{
		Name:  name,
		Rules: strings.Fields(rules),
		Where: fmt.Sprintf("%s:%d", filepath.Base(file), line),
		needs: n,
		run:   run,
	}
}
