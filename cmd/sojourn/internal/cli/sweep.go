package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// swept is the result of a sweep in JSON.
type swept struct {
	Removed int    `json:"removed"`
	Unknown int    `json:"unknown"`
	Error   string `json:"error,omitempty"`
}

func (a *app) sweep() *cobra.Command {
	var every, grace time.Duration
	var limit int
	c := &cobra.Command{
		Use: "sweep", Short: "Remove expired records, once or at an interval", Args: cobra.NoArgs,
		Long: "Sweep removes records that expired longer ago than the grace. Without --every it\n" +
			"runs once, as a cron job does. With --every it goes on until a signal ends it, as\n" +
			"a sidecar does: each wait is random, from half of that time to one and a half.\n" +
			"Any number of sweeps share the work. Events of sessions need the program's own\n" +
			"sweep: this one tells nobody which sessions have expired.",
		Example: "  sojourn sweep --url 'file:data?name=carts'\n  sojourn sweep --url 'file:data?name=carts' --grace 10m --json",
	}
	c.Flags().DurationVar(&every, "every", 0, "sweep again and again, at this average interval")
	c.Flags().DurationVar(&grace, "grace", time.Minute, "how long expired records stay; 0: no time")
	c.Flags().IntVar(&limit, "limit", 1000, "records of one call")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, _ []string) error {
		if every < 0 || grace < 0 || limit < 1 {
			return usage("--every and --grace must not be negative, and --limit must be 1 or more")
		}
		if grace == 0 {
			grace = -1
		}
		store, err := expiry.NewStore[[]byte](b, &expiry.StoreOptions{Codec: expiry.Bytes(), Grace: grace})
		if err != nil {
			return err
		}
		if every > 0 {
			return a.sweepOn(c.Context(), store, every, limit)
		}
		var total driver.Swept
		for {
			s, err := store.DeleteExpired(c.Context(), &expiry.SweepOptions{Limit: limit})
			total.Removed, total.Unknown = total.Removed+s.Removed, total.Unknown+s.Unknown
			if err != nil || !s.More {
				return errors.Join(a.saySwept(total, nil), err)
			}
		}
	})
	return c
}

func (a *app) saySwept(s driver.Swept, err error) error {
	out := swept{Removed: s.Removed, Unknown: s.Unknown}
	if err != nil {
		out.Error = err.Error()
		return a.say(out, "removed %d, unknown %d: %s", s.Removed, s.Unknown, printable(err.Error()))
	}
	return a.say(out, "removed %d, unknown %d", s.Removed, s.Unknown)
}

// sweepOn sweeps until the context ends. Then it returns nil: a sidecar is stopped.
func (a *app) sweepOn(ctx context.Context, store *expiry.Store[[]byte], every time.Duration, limit int) error {
	sweeper, err := expiry.NewSweeper(store, &expiry.SweeperOptions{
		Interval: every, Limit: limit,
		OnSwept: func(s driver.Swept, err error) { _ = a.saySwept(s, err) },
	})
	if err != nil {
		return err
	}
	if err := sweeper.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
