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
	Rules []string // the rules of the contract that the case tests: "R15"
	Where string   // file:line
	needs need
	run   func(*C)

	// serial cases run alone, after all others: they inspect the whole process.
	serial bool
}

// need is a set of what a case needs from the backend and the harness.
type need uint32

const (
	needLabels need = 1 << iota // listing by label, so paging too
	needPaging
	needSweep
	needLoss       // Harness.LoseNext
	needDamage     // Harness.Damage
	needPlace      // Harness.Occupy
	needStall      // Harness.Stall
	needDelay      // Harness.Delay
	needTwo        // two declared labels
	needStored     // Harness.Stored
	needLeft       // Harness.Left
	needCreate     // driver.StorageManager
	needFail       // Interrupt.Ways has Fail
	needKill       // Interrupt.Ways has Kill
	needCut        // Interrupt.Ways has PowerCut
	needWhole      // no Harness.Stepwise
	needUnreadable // Harness.Unreadable

	needNothing need = 0
)

// features returns the features that a backend needs for the case.
func (n need) features() []driver.Feature {
	var out []driver.Feature
	if n&(needLabels|needTwo) != 0 {
		out = append(out, driver.FeatureLabels, driver.FeaturePaging)
	} else if n&needPaging != 0 {
		out = append(out, driver.FeaturePaging)
	}
	if n&needSweep != 0 {
		out = append(out, driver.FeatureSweep)
	}
	return out
}

// Cases returns every case of the suite, in the order in which they run.
func Cases() []Case {
	var all []Case
	for _, g := range [][]Case{
		getCases(), getTextsCases(), getLargeCases(), createCases(), updateCases(), compareAndSetCases(), upsertCases(),
		touchCases(), deleteCases(), knownCases(), knownWrittenCases(), expiryCases(), expiryFarCases(),
		pageCases(), tokenCases(), labelCases(), labelTwoCases(), countCases(), sweepCases(), sweepConcurrencyCases(), sweepCallbackCases(),
		idCases(), inputCases(), orderCases(), errorCases(), contextCases(), contextCauseCases(), closeCases(),
		storageCases(), storageMeetCases(), corruptCases(), unreadableCases(), storedCases(), leftCases(), interruptedCases(), lostCases(), overtakenCases(), deliveryCases(),
		valueCases(), mutateCases(), partialCases(), takeCases(), manyCases(), batchCases(), scaleCases(),
		storeCases(), storeCallCases(), sealCases(),
		concurrencyCases(), contentionCases(), contentionStorageCases(), churnCases(), historyCases(), sequenceCases(),
		leakCases(),
	} {
		all = append(all, g...)
	}
	return all
}

// group prefixes the names of the cases with the group's name. The cases of a
// group stand in the file cases_<group>.go, or in files whose names begin so.
func group(name string, cases ...Case) []Case {
	for i := range cases {
		cases[i].Name = name + "/" + cases[i].Name
	}
	return cases
}

// that returns a case. Spaces separate the rules.
func that(name, rules string, needs need, run func(*C)) Case {
	_, file, line, _ := runtime.Caller(1)
	return Case{
		Name:  name,
		Rules: strings.Fields(rules),
		Where: fmt.Sprintf("%s:%d", filepath.Base(file), line),
		needs: needs,
		run:   run,
	}
}

// alone makes the cases serial.
func alone(cases []Case) []Case {
	for i := range cases {
		cases[i].serial = true
	}
	return cases
}
