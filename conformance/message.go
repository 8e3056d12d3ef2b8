package conformance

import (
	"slices"
	"strings"
)

// rulesOf are the rules that a call of a kind proves broken if it returns
// another error than it must, the likeliest first.
var rulesOf = map[string][]string{
	"get":                  {"R14", "R13", "R1"},
	"create":               {"R15", "R17", "R16"},
	"update":               {"R18", "R99"},
	"compare-and-set":      {"R19", "R20", "R99"},
	"upsert":               {"R22"},
	"set":                  {"R35", "R93", "R30"},
	"extend":               {"R35", "R93", "R31"},
	"clear":                {"R35", "R93", "R33"},
	"delete":               {"R38", "R40"},
	"delete at a revision": {"R39"},
	"page":                 {"R42", "R46", "R43"},
	"sweep":                {"R50", "R51", "R52"},
	"get of many":          {"R87"},
	"batch":                {"R88"},
	"count":                {"R77"},
}

// aboutLastCall makes the next failure name the rule of the last call, if the
// case tests it.
func (c *C) aboutLastCall() {
	if c.rule != "" {
		return
	}
	for _, r := range rulesOf[c.log.last()] {
		if slices.Contains(c.cs.Rules, r) {
			c.rule = r
			return
		}
	}
}

// describe returns the name and the place of the case, and the one rule that it
// proves broken.
func (c *C) describe() string {
	if c.rule != "" {
		return c.describeAs(c.rule)
	}
	return c.describeAs(c.cs.Rules[0])
}

func (c *C) describeAs(rule string) string {
	s := "case " + c.cs.Name + " (" + c.cs.Where + ")\n  breaks " + rule + ": " + Rules[rule]
	others := slices.DeleteFunc(slices.Clone(c.cs.Rules), func(r string) bool { return r == rule })
	if len(others) > 0 {
		s += "\n  (the case is also about " + strings.Join(others, ", ") + ")"
	}
	return s
}

// fail stops the case with its rule, a message that says what a correct backend
// answers, and the calls that led there.
func (c *C) fail(format string, args ...any) {
	c.Helper()
	c.Fatalf("%s\n  "+format+"%s", append(append([]any{c.describe()}, args...), &c.log)...)
}

// failAs is fail for a rule.
func (c *C) failAs(rule, format string, args ...any) {
	c.Helper()
	c.rule = rule
	c.fail(format, args...)
}
