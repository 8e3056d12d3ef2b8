// Package webapp holds only tests. They run examples/webapp as people do, as
// processes of the system, on each store that the program supports.
package webapp
