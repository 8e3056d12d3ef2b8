// Mutants makes mistakes in the backends that the conformance suite is for, one
// at a time, and lets the suite judge them: a mistake that it does not find is
// equivalent, or a hole. make mutants runs it in the module's root folder.
//
//	go run ./internal/tools/mutants -target memory       # writes outcome/memory.tsv
//	go run ./internal/tools/mutants -target file -for 7m # a part; the same command goes on
//	go run ./internal/tools/mutants -target file -sample 300 # some, chosen by -seed
//	go run ./internal/tools/mutants -target kit -only Gate.Enter # prints, and writes nothing
//
// All mutants of a package are in one program: each function begins with a
// switch to its copies, and an environment variable chooses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// target is a package that gets mutants.
type target struct {
	name   string
	dir    string
	judges []string // backends whose suites judge
	skip   []string // files without mutants: the suite has no rule about them
}

var targets = []target{
	{"memory", "backends/memory", []string{"backends/memory"}, []string{"url.go"}},
	{"file", "backends/file", []string{"backends/file"}, []string{"url.go"}},
	{"kit", "expiry/driver/driverkit", []string{"backends/memory", "backends/file"}, nil},
}

// errPart means that time was up before the last mutant.
var errPart = errors.New("time is up: the same command goes on where this one ended")

func main() {
	log.SetFlags(0)
	log.SetPrefix("mutants: ")
	var o options
	name := flag.String("target", "", "memory, file or kit")
	flag.StringVar(&o.only, "only", "", "the functions to make mistakes in, as a regular expression; prints and writes nothing")
	flag.IntVar(&o.every, "every", 1, "take only each nth mistake; prints and writes nothing")
	flag.IntVar(&o.sample, "sample", 0, "take only so many mistakes, chosen by the seed; the outcomes say so")
	flag.Uint64Var(&o.seed, "seed", 1, "chooses the sample; a larger sample has the smaller one in it")
	flag.StringVar(&o.state, "state", "reports/mutants", "the folder of what an unfinished run has found")
	flag.StringVar(&o.out, "out", "internal/tools/mutants/outcome", "the folder of the outcomes")
	flag.IntVar(&o.workers, "workers", 2, "how many mutants run at a time")
	flag.DurationVar(&o.bound, "for", 0, "how long this run may last; zero means until the end")
	flag.BoolVar(&o.list, "list", false, "print the mutants, run none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, t := range targets {
		if t.name == *name {
			began := time.Now()
			if err := o.run(ctx, t); err != nil {
				log.Fatal(err) //nolint:gocritic // the program ends, so stop does not matter
			}
			fmt.Printf("%s: %s\n", t.name, time.Since(began).Round(time.Second))
			return
		}
	}
	log.Fatal("-target is memory, file or kit")
}
