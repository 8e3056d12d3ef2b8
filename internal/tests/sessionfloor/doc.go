// Package sessionfloor holds only tests. Its benchmarks compare requests with
// sessions to handlers that do the least by hand. Its tests count what a request
// allocates.
package sessionfloor
