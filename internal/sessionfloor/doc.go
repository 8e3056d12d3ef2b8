// Package sessionfloor holds no code: its benchmarks measure requests with
// sessions beside handlers that do the least by hand, and its tests count what
// a request allocates.
package sessionfloor
