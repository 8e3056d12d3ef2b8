package driver_test

import (
	"context"
	"fmt"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

var exampleChecks = driver.Checks{
	{Name: "persistence", Level: driver.CheckRight, Seen: "append-only file", Need: "any"},
	{Name: "eviction policy", Level: driver.CheckUnsafe, Seen: "allkeys-lru", Need: "noeviction", Fix: "set maxmemory-policy"},
}

func ExampleChecks() {
	fmt.Println(exampleChecks.Err())
	// Output: unsupported: eviction policy: found allkeys-lru, needed noeviction; set maxmemory-policy
}

func ExampleFinding() {
	for _, f := range exampleChecks {
		fmt.Println(f.Name, f.Level, f.Seen)
	}
	// Output:
	// persistence right append-only file
	// eviction policy unsafe allkeys-lru
}

func ExampleCheckLevel() {
	fmt.Println(driver.CheckRight, driver.CheckWarning, driver.CheckUnsafe, driver.CheckUnknown)
	// Output: right warning unsafe unknown
}

func ExampleChecker() {
	b := open()
	_, checks := b.(driver.Checker)
	found, err := driver.Check(context.Background(), b)
	fmt.Println(checks, len(found), err) // in memory there is no server to look at
	// Output: false 0 <nil>
}
