// Package browser holds only tests. They drive examples/webapp in Chromium, and
// compare the simulated browser of sessiontest with it. It is a module of its own,
// so that nobody else compiles the driver.
package browser
