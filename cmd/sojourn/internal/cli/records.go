package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// record is a record in JSON. It has no value.
type record struct {
	ID        string            `json:"id"`
	Revision  string            `json:"revision"`
	ExpiresAt *time.Time        `json:"expiresAt"` // null: never
	Labels    map[string]string `json:"labels,omitempty"`
	Encoding  string            `json:"encoding,omitempty"`
	Size      *int              `json:"size,omitempty"` // of the value in bytes
}

func recordOf(r *model.Record, size *int) record {
	return record{ID: r.ID, Revision: r.Revision.String(), ExpiresAt: moment(r.ExpiresAt), Labels: r.Labels, Encoding: r.Encoding, Size: size}
}

// labelText prints labels for people.
func labelText(labels map[string]string) string {
	names := make([]string, 0, len(labels))
	for _, name := range sortedKeys(labels) {
		names = append(names, name+"="+labels[name])
	}
	return strings.Join(names, " ")
}

// splitLabel splits name=value.
func splitLabel(text string) (name, value string, err error) {
	if text == "" {
		return "", "", nil
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return "", "", usage("--label takes name=value")
	}
	return name, value, nil
}

const pageSize = 500

func (a *app) ls() *cobra.Command {
	var label string
	var limit int
	var long bool
	c := &cobra.Command{
		Use: "ls", Short: "List live records", Args: cobra.NoArgs,
		Long: "Ls lists the live records, or those with a label. It never prints values.\n" +
			"A record that cannot be read is listed too, and the exit code is 7 then.",
		Example: "  sojourn ls --url 'file:data?name=carts'\n  sojourn ls --url 'file:data?name=carts' --label principal=ann --long\n  sojourn ls --url 'file:data?name=carts' --json",
	}
	c.Flags().StringVar(&label, "label", "", "only records with this label: name=value")
	c.Flags().IntVar(&limit, "limit", 0, "stop after so many records; 0: all")
	c.Flags().BoolVar(&long, "long", false, "print the sizes of values too, which reads them")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, _ []string) error {
		name, value, err := splitLabel(label)
		if err != nil {
			return err
		}
		if limit < 0 {
			return usage("--limit must not be negative")
		}
		t := table{app: a, head: []string{"ID", "EXPIRES", "LABELS"}}
		if long {
			t.head = append(t.head, "SIZE", "ENCODING")
		}
		q := driver.Query{Label: name, Value: value, Limit: pageSize, KeysOnly: !long}
		corrupt, left := 0, limit
		for {
			if limit > 0 {
				q.Limit = min(pageSize, left)
			}
			page, err := b.Page(c.Context(), now(), q)
			if err != nil {
				return err
			}
			for i := range page.Records {
				if err := a.listRecord(&t, &page.Records[i], long); err != nil {
					return err
				}
			}
			for _, id := range page.Corrupt {
				corrupt++
				if err := a.listCorrupt(&t, id); err != nil {
					return err
				}
			}
			if err := t.flush(); err != nil {
				return err
			}
			left -= len(page.Records)
			if q.After = page.Next; page.Next == "" || limit > 0 && left <= 0 {
				break
			}
		}
		if corrupt > 0 {
			return &codeError{code: exitCorrupt, err: fmt.Errorf("%d records cannot be read: sojourn rm removes those that nobody needs", corrupt)}
		}
		return nil
	})
	return c
}

func (a *app) listRecord(t *table, r *model.Record, long bool) error {
	if a.json {
		var size *int
		if n := len(r.Value); long {
			size = &n
		}
		return a.line(recordOf(r, size))
	}
	row := []string{r.ID, instant(r.ExpiresAt), labelText(r.Labels)}
	if long {
		row = append(row, strconv.Itoa(len(r.Value)), r.Encoding)
	}
	t.add(row...)
	return nil
}

func (a *app) listCorrupt(t *table, id string) error {
	if a.json {
		return a.line(struct {
			ID      string `json:"id"`
			Corrupt bool   `json:"corrupt"`
		}{id, true})
	}
	row := make([]string, len(t.head))
	row[0], row[1] = id, "cannot be read"
	t.add(row...)
	return nil
}

func (a *app) get() *cobra.Command {
	var value, stored bool
	c := &cobra.Command{
		Use: "get ID", Short: "Show one record", Args: cobra.ExactArgs(1),
		Long: "Get shows what is stored of a record, without its value. With --value it writes\n" +
			"the bytes of the value as they are stored, and nothing else. The compact row of a\n" +
			"session is written as JSON instead, unless --raw is given too.",
		Example: "  sojourn get --url 'file:data?name=carts' cart-1\n  sojourn get --url 'file:data?name=carts' cart-1 --value",
	}
	c.Flags().BoolVar(&value, "value", false, "write the stored bytes of the value, and nothing else")
	c.Flags().BoolVar(&stored, "raw", false, "with --value: write the row of a session as it is stored")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, args []string) error {
		if err := model.CheckID(args[0]); err != nil {
			return err
		}
		r, err := b.Get(c.Context(), now(), driver.Get{ID: args[0]})
		if err != nil {
			return about("get", args[0], err)
		}
		if value {
			out := r.Value
			if r.Encoding == session.RowEncoding && !stored {
				if out, err = session.RowJSON(out); err != nil {
					return about("get", args[0], err)
				}
			}
			_, err := a.Out.Write(out)
			return err
		}
		size := len(r.Value)
		return a.say(recordOf(&r, &size), "id        %s\nrevision  %s\nexpires   %s\nlabels    %s\nencoding  %s\nsize      %d bytes",
			printable(r.ID), r.Revision, instant(r.ExpiresAt), orDash(printable(labelText(r.Labels))), printable(r.Encoding), size)
	})
	return c
}

// about says which record an error of a driver is about.
func about(op, id string, err error) error { return &model.Error{Op: op, ID: id, Err: err} }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// removed is what commands print that remove records.
type removed struct {
	Removed int `json:"removed"`
}

func (a *app) rm() *cobra.Command {
	var label, revision string
	var all bool
	c := &cobra.Command{
		Use: "rm [ID...]", Short: "Remove records",
		Long: "Rm removes records by their ids, all records with a label, or all live records.\n" +
			"Storage itself stays. Signing people out is sign-out's task.",
		Example: "  sojourn rm --url 'file:data?name=carts' cart-1 cart-2\n  sojourn rm --url 'file:data?name=carts' --label principal=ben",
	}
	c.Flags().StringVar(&label, "label", "", "remove all records with this label: name=value")
	c.Flags().StringVar(&revision, "revision", "", "remove the record only if it has this revision")
	c.Flags().BoolVar(&all, "all", false, "remove every live record")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, args []string) error {
		store, err := storeOf(b)
		if err != nil {
			return err
		}
		name, value, err := splitLabel(label)
		if err != nil {
			return err
		}
		var opts *expiry.DeleteOptions
		switch ways := btoi(len(args) > 0) + btoi(label != "") + btoi(all); {
		case ways != 1:
			return usage("rm takes either ids, --label or --all")
		case revision != "" && len(args) != 1:
			return usage("--revision is about one id")
		case revision != "":
			known, err := model.ParseRevision(revision)
			if err != nil {
				return err
			}
			opts = &expiry.DeleteOptions{IfMatch: expiry.AtRevision(known)}
		}
		n := 0
		var failed error
		switch {
		case all:
			n, failed = store.DeleteAll(c.Context())
		case label != "":
			n, failed = store.DeleteByLabel(c.Context(), name, value)
		default:
			var failures []error
			for _, id := range args {
				err := store.Delete(c.Context(), id, opts)
				if err == nil {
					n++
					continue
				}
				failures = append(failures, err)
			}
			failed = errors.Join(failures...)
		}
		if err := a.say(removed{n}, "removed %d", n); err != nil {
			return err
		}
		return failed
	})
	return c
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (a *app) count() *cobra.Command {
	var label string
	c := &cobra.Command{
		Use: "count", Short: "Count live records", Args: cobra.NoArgs,
		Long:    "Count prints the number of live records, or of those with a label.",
		Example: "  sojourn count --url 'file:data?name=carts'\n  sojourn count --url 'file:data?name=carts' --label principal=ann --json",
	}
	c.Flags().StringVar(&label, "label", "", "only records with this label: name=value")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, _ []string) error {
		name, value, err := splitLabel(label)
		if err != nil {
			return err
		}
		n, err := driver.Count(c.Context(), b, now(), driver.Query{Label: name, Value: value})
		if err != nil {
			return err
		}
		return a.say(struct {
			Count int `json:"count"`
		}{n}, "%d", n)
	})
	return c
}

func (a *app) touch() *cobra.Command {
	var lives time.Duration
	var until string
	var never, extend bool
	c := &cobra.Command{
		Use: "touch ID", Short: "Change when a record expires", Args: cobra.ExactArgs(1),
		Long:    "Touch changes the expiry of a live record and nothing else.",
		Example: "  sojourn touch --url 'file:data?name=carts' cart-1 --for 2h\n  sojourn touch --url 'file:data?name=carts' cart-1 --until 2099-12-31T00:00:00Z --extend",
	}
	c.Flags().DurationVar(&lives, "for", 0, "how long the record lives from now on, such as 90m")
	c.Flags().StringVar(&until, "until", "", "when the record expires, such as 2099-12-31T00:00:00Z")
	c.Flags().BoolVar(&never, "never", false, "the record never expires")
	c.Flags().BoolVar(&extend, "extend", false, "never shorten its life")
	c.MarkFlagsMutuallyExclusive("for", "until", "never")
	c.MarkFlagsOneRequired("for", "until", "never")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, _ *place, args []string) error {
		e := expiry.After(lives)
		switch {
		case never:
			e = expiry.Never()
		case until != "":
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return usage("--until takes a time such as 2099-12-31T00:00:00Z")
			}
			e = expiry.At(at)
		}
		store, err := storeOf(b)
		if err != nil {
			return err
		}
		it, err := store.Touch(c.Context(), args[0], e, &expiry.TouchOptions{Extend: extend})
		if err != nil {
			return err
		}
		return a.say(struct {
			ID        string     `json:"id"`
			ExpiresAt *time.Time `json:"expiresAt"`
		}{it.ID, moment(it.ExpiresAt)}, "%s expires %s", printable(it.ID), instant(it.ExpiresAt))
	})
	return c
}
