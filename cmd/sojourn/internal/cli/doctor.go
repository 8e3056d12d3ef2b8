package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// finding is a finding in JSON.
type finding struct {
	Name  string `json:"name"`
	Level string `json:"level"`
	Seen  string `json:"seen"`
	Need  string `json:"need"`
	Fix   string `json:"fix,omitempty"`
}

func (a *app) doctor() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "doctor [URL]", Short: "Look for what is wrong with a store and its server", Args: cobra.MaximumNArgs(1),
		Long: "Doctor makes the checks that CreateStorage makes, and changes nothing that lasts.\n" +
			"It says of each finding what was seen, what is needed and how to fix it. The exit\n" +
			"code is 0 if all is right, 10 for a warning, 11 if something could not be seen,\n" +
			"and 12 if a promise of the store does not hold.",
		Example: "  sojourn doctor 'file:data?name=carts'\n  sojourn doctor 'sqlite:app.db?table=carts' --json",
	}
	c.Flags().BoolVar(&all, "all", false, "print what is right too")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := a.find(a.argument(args), defaultPrefix)
		if err != nil {
			return err
		}
		b, err := p.cfg.Open(c.Context())
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }()
		checks, err := driver.Check(c.Context(), b)
		if sayErr := a.sayChecks(checks, all, p.name); sayErr != nil || err != nil {
			return errors.Join(sayErr, err)
		}
		if code := severity(checks); code != exitDone {
			return &codeError{code: code, silent: true, err: errors.New("the store is not as it should be")}
		}
		return nil
	}
	return c
}

// severity returns the exit code for the worst finding.
func severity(checks driver.Checks) int {
	code := exitDone
	for _, one := range checks {
		switch one.Level {
		case driver.CheckUnsafe:
			return exitUnsafe
		case driver.CheckUnknown:
			code = max(code, exitUnseen)
		case driver.CheckWarning:
			code = max(code, exitWarning)
		case driver.CheckRight:
		}
	}
	return code
}

func (a *app) sayChecks(checks driver.Checks, all bool, store string) error {
	if a.json {
		for _, one := range checks {
			if err := a.line(finding{one.Name, one.Level.String(), one.Seen, one.Need, one.Fix}); err != nil {
				return err
			}
		}
		return nil
	}
	right := 0
	for _, one := range checks {
		colour := map[driver.CheckLevel]string{driver.CheckRight: green, driver.CheckWarning: yellow, driver.CheckUnsafe: red, driver.CheckUnknown: cyan}[one.Level]
		level := a.colour(colour, one.Level.String())
		if one.Level == driver.CheckRight {
			right++
			if all {
				_, _ = fmt.Fprintf(a.Out, "%s  %s: %s\n", level, printable(one.Name), printable(one.Seen))
			}
			continue
		}
		_, _ = fmt.Fprintf(a.Out, "%s  %s\n  found   %s\n  needed  %s\n  fix     %s\n", level, printable(one.Name), printable(one.Seen), printable(one.Need), printable(one.Fix))
	}
	_, err := fmt.Fprintf(a.Out, "%s: %d checks, %d right\n", printable(store), len(checks), right)
	return err
}
