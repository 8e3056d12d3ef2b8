// Package bench measures Sojourn beside what Go programs use today: bare clients
// as floors, and the stores of other projects. Everybody runs in one process, on
// one server, in short rounds of random order. The floor runs twice: what its
// second instance differs by is noise.
//
//	make bench-peers
//
// The results are in docs/bench. TestCounts compares what is counted and not timed
// with a baseline that is kept here.
package bench
