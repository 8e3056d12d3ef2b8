package driver

import "testing"

func TestConditionNames(t *testing.T) {
	for c, want := range map[Condition]string{
		0: "invalid", IfAny: "any", IfAbsent: "absent", IfPresent: "present", IfMatch: "match", 99: "invalid",
	} {
		if c.String() != want {
			t.Errorf("condition %d is %q, want %q", c, c, want)
		}
	}
}
