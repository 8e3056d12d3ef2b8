package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// named returns a change of a URL to the store with another name, on the same
// server. It returns false for a scheme whose URLs have no name.
func named(u *url.URL, name string) bool {
	kind, _, _ := strings.Cut(u.Scheme, "+")
	set := func(param string) bool {
		q := u.Query()
		for other := range q {
			if strings.EqualFold(other, param) {
				q.Del(other)
			}
		}
		q.Set(param, name)
		u.RawQuery = q.Encode()
		return true
	}
	switch kind {
	case "redis", "rediss", "file":
		return set("name")
	case "mongodb":
		return set("collection")
	case "postgres", "postgresql", "sqlite":
		name = strings.ReplaceAll(name, "-", "_")
		return set("table")
	case "bbolt":
		return set("bucket")
	case "dynamodb":
		q := u.Query()
		q.Del("table_arn")
		u.Host, u.RawQuery = name, q.Encode()
		return true
	case "elasticsearch", "s3":
		u.Path, u.RawPath = "/"+name, ""
		return true
	}
	return false
}

// labelled declares labels in a URL.
func labelled(u *url.URL, labels string) {
	q := u.Query()
	q.Set("labels", labels)
	u.RawQuery = q.Encode()
}

// own opens stores of names of their own on the place's server.
type own struct {
	place  *place
	labels string
	memory *memory.Space
}

func (o *own) open(ctx context.Context, name string) (driver.ModelExpirySupport, error) {
	known := true
	cfg, err := o.place.cfg.Edit(func(u *url.URL) {
		if known = named(u, name); known {
			labelled(u, o.labels)
		}
	})
	if err != nil {
		return nil, err
	}
	if !known {
		return memory.New(o.memory, name, &memory.Options{Labels: strings.Split(o.labels, ",")})
	}
	return cfg.Open(ctx)
}

// ownOf returns the stores beside the one that was named, which is not touched.
func (a *app) ownOf(args []string, labels string) (*own, error) {
	p, err := a.find(a.argument(args), defaultPrefix)
	if err != nil {
		return nil, err
	}
	return &own{place: p, labels: labels, memory: memory.NewSpace()}, nil
}

func (a *app) conformance() *cobra.Command {
	var only string
	c := &cobra.Command{
		Use: "conformance [URL]", Short: "Run the conformance suite on a server", Args: cobra.MaximumNArgs(1),
		Long: "Conformance runs the cases of the suite on the server that the URL names, in\n" +
			"stores whose names begin with sojourn-suite. It creates and deletes them, and never\n" +
			"touches the store of the URL itself. Cases that need damaged records or lost\n" +
			"answers do not run. DynamoDB and Elasticsearch take long: they create many tables.",
		Example: "  sojourn conformance 'file:data' --run '^Get/'\n  sojourn conformance memory: --run '^Touch/' --json",
	}
	c.Flags().StringVar(&only, "run", "", "only cases whose names match this regular expression")
	c.RunE = func(c *cobra.Command, args []string) error {
		match, err := regexp.Compile(only)
		if err != nil {
			return usage("--run takes a regular expression")
		}
		o, err := a.ownOf(args, "principal,state")
		if err != nil {
			return err
		}
		h := conformance.Harness{Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			t.Helper()
			b, err := o.open(c.Context(), "sojourn-suite-"+name)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}}
		return a.runCases(c.Context(), h, match)
	}
	return c
}

// caseResult is the result of one case in JSON.
type caseResult struct {
	Case   string   `json:"case"`
	Rules  []string `json:"rules"`
	Passed bool     `json:"passed"`
	Log    string   `json:"log,omitempty"`
}

func (a *app) runCases(ctx context.Context, h conformance.Harness, match *regexp.Regexp) error {
	ran, failed := 0, 0
	for _, cs := range conformance.Cases() {
		if !match.MatchString(cs.Name) {
			continue
		}
		err := conformance.Check(ctx, h, cs.Name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ran++
		out := caseResult{Case: cs.Name, Rules: cs.Rules, Passed: err == nil}
		if err != nil {
			failed++
			out.Log = err.Error()
		}
		if a.json {
			err = a.line(out)
		} else if err != nil {
			_, err = fmt.Fprintf(a.Out, "%s  %s %s\n  %s\n", a.colour(red, "failed"), cs.Name, strings.Join(cs.Rules, " "), printable(out.Log))
		}
		if err != nil {
			return err
		}
	}
	if ran == 0 {
		return usage("no case has a name that --run matches")
	}
	if !a.json {
		_, _ = fmt.Fprintf(a.Out, "%d cases, %d failed\n", ran, failed)
	}
	if failed > 0 {
		return &codeError{code: exitFailed, silent: true, err: errors.New("cases failed")}
	}
	return nil
}

// freshName returns a name that no store has.
func freshName(begin string) string { return begin + strings.ToLower(rand.Text()[:10]) }
