// Package webapptest holds no code: its tests run examples/webapp as people do,
// as processes of the system, on each of the stores that it can be given.
package webapptest
