package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands returns all commands that can be run, and their parents.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

// split splits a line of an example as a shell does: with assignments in front,
// and quotes.
func split(t *testing.T, line, handle string) (env environment, args []string) {
	t.Helper()
	env = environment{}
	for i, part := range strings.Split(strings.TrimSpace(line), "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		name, value, _ := strings.Cut(args[0], "=")
		env[name], args = value, args[1:]
	}
	if len(args) == 0 || args[0] != "sojourn" {
		t.Fatalf("the example %q does not begin with sojourn", line)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$HANDLE", handle)
	}
	return env, args[1:]
}

// TestHelpExamplesRun runs each line of the examples of every command, each in a
// folder of its own with the same stores.
func TestHelpExamplesRun(t *testing.T) {
	app := &app{System: &System{}}
	for _, c := range commands(app.root()) {
		t.Run(c.CommandPath(), func(t *testing.T) {
			if c.Example == "" || c.Short == "" {
				t.Fatal("the command has no example or no short text")
			}
			help := run(t, nil, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			help.want(t, exitDone, strings.TrimSpace(strings.Split(c.Example, "\n")[0]))
			handle := site(t)
			for _, line := range strings.Split(c.Example, "\n") {
				env, args := split(t, line, handle)
				r := run(t, env, args...)
				if r.code != exitDone && (r.code != exitWarning || args[0] != "doctor") {
					t.Errorf("%s: exit code %d\n%s%s", line, r.code, r.out, r.err)
				}
			}
		})
	}
}
