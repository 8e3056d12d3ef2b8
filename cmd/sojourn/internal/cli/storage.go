package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// planner is a backend that says what CreateStorage makes, in the words of its
// own tools.
type planner interface{ StoragePlan() string }

func (a *app) initCommand() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "init", Short: "Create the storage, or print what would be created", Args: cobra.NoArgs,
		Long: "Init creates what the store needs: a table, an index, a folder. It may be\n" +
			"repeated, and records stay. With --dry-run it prints the plan, in the words of the\n" +
			"backend's own tools, and changes nothing. Only SQLite and bbolt make their empty\n" +
			"file, because opening it does.",
		Example: "  sojourn init --url 'file:data?name=carts'\n  sojourn init --url 'sqlite:app.db?table=carts' --dry-run",
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "print the plan and change nothing")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, p *place, _ []string) error {
		if dry {
			plan := "# " + b.Describe().Backend + " needs no statements: init makes folders, or keys that mark the indexes."
			if pl, ok := b.(planner); ok {
				plan = strings.TrimRight(pl.StoragePlan(), "\n")
			}
			return a.say(struct {
				Store string `json:"store"`
				Plan  string `json:"plan"`
			}{p.name, plan}, "%s", plan)
		}
		if err := driver.CreateStorage(c.Context(), b); err != nil {
			return err
		}
		return a.say(struct {
			Store   string `json:"store"`
			Created bool   `json:"created"`
		}{p.name, true}, "the storage is there: %s", printable(p.name))
	})
	return c
}

// raw is a codec that takes the bytes of another one as they are.
type raw struct {
	name  string
	reads []string // the names of others
}

func (r raw) Name() string { return r.name }

func (r raw) Reads() []string { return r.reads }

func (raw) Encode(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Decode(data []byte, v any) error { *v.(*[]byte) = data; return nil }

// openStore returns a store whose values are the bytes of a codec, or of the
// others that are read, opened with the keyring of the environment.
func openStore(b driver.ModelExpirySupport, p *place, purpose, codec string, reads ...string) (*expiry.Store[[]byte], error) {
	keys := p.cfg.Keyring()
	if keys != nil && purpose == "" {
		return nil, usage("--purpose is missing: the purpose of the program's store, to which its values are sealed")
	}
	if keys == nil {
		purpose = ""
	}
	return expiry.NewStore[[]byte](b, &expiry.StoreOptions{Codec: raw{codec, reads}, Seal: keys, Purpose: purpose, OpenUnsealed: keys != nil, Grace: -1})
}

func (a *app) reindex() *cobra.Command {
	var from []string
	var purpose string
	c := &cobra.Command{
		Use: "reindex", Short: "Give records labels from their JSON values", Args: cobra.NoArgs,
		Long: "Reindex gives each record the labels that --label takes from its value, after a\n" +
			"label was declared that existing records lack. NAME=/pointer names a label and a\n" +
			"JSON pointer into the value. Other labels, values and expiries stay. A record\n" +
			"without the field, or with an empty one, loses the label. The store's URL declares\n" +
			"the label: labels=principal,owner.",
		Example: "  sojourn reindex --url 'file:data?name=carts&labels=principal,owner' --label owner=/owner",
	}
	c.Flags().StringArrayVar(&from, "label", nil, "NAME=/pointer; may be given again")
	c.Flags().StringVar(&purpose, "purpose", "", "StoreOptions.Purpose of the program's store, if its values are sealed")
	_ = c.MarkFlagRequired("label")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, p *place, _ []string) error {
		pointers := map[string]string{}
		for _, text := range from {
			name, pointer, ok := strings.Cut(text, "=")
			if !ok || !strings.HasPrefix(pointer, "/") {
				return usage("--label takes NAME=/pointer")
			}
			if err := b.Describe().CheckLabel(name); err != nil {
				return err
			}
			pointers[name] = pointer
		}
		store, err := openStore(b, p, purpose, "json", session.RowEncoding)
		if err != nil {
			return err
		}
		n, err := store.Reindex(c.Context(), func(it expiry.Item[[]byte]) map[string]string {
			labels := maps.Clone(it.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			text := it.Value
			if row, err := session.RowJSON(text); err == nil {
				text = row
			}
			var value any
			if json.Unmarshal(text, &value) != nil {
				return labels
			}
			for name, pointer := range pointers {
				if delete(labels, name); textAt(value, pointer) != "" {
					labels[name] = textAt(value, pointer)
				}
			}
			return labels
		})
		return errors.Join(a.say(struct {
			Changed int `json:"changed"`
		}{n}, "changed %d records", n), err)
	})
	return c
}

// textAt returns the string, number or switch at a JSON pointer, or "".
func textAt(value any, pointer string) string {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for step := range strings.SplitSeq(pointer[1:], "/") {
		object, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = object[unescape.Replace(step)]
	}
	switch v := value.(type) {
	case string:
		return v
	case float64, bool:
		data, err := json.Marshal(v)
		if err == nil {
			return string(data)
		}
	}
	return ""
}

// use is how many records need a key.
type use struct {
	Key     string `json:"key"` // empty: no key
	Records int    `json:"records"`
	Have    bool   `json:"have"` // whether the environment has the key
}

func (a *app) keys() *cobra.Command {
	var purpose, codec string
	var ofSessions, reseal bool
	c := &cobra.Command{
		Use: "keys", Short: "Count what is sealed under which key, and seal again", Args: cobra.NoArgs,
		Long: "Keys counts the live records that each seal key sealed: a key that is missing in\n" +
			"the list can be removed from the keyring. With --reseal it first seals the values\n" +
			"of other keys with the first key of SOJOURN_SEAL_KEY, by compare-and-set, while\n" +
			"programs go on. With --sessions it counts sessions, which also need keys for their\n" +
			"signatures. A session is sealed again at its next write, so --reseal is not for them.\n" +
			"Keys reads every record.",
		Example: "  sojourn keys --url 'file:data?name=carts'\n  sojourn keys --url 'file:data?name=sessions' --sessions --json",
	}
	c.Flags().StringVar(&purpose, "purpose", "", "StoreOptions.Purpose or Options.Purpose of the program")
	c.Flags().StringVar(&codec, "codec", "json", "the name of the store's codec")
	c.Flags().BoolVar(&ofSessions, "sessions", false, "count the keys of sessions")
	c.Flags().BoolVar(&reseal, "reseal", false, "seal values of other keys with the active key")
	c.MarkFlagsMutuallyExclusive("sessions", "reseal")
	c.RunE = a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, p *place, _ []string) error {
		keys := p.cfg.Keyring()
		if ofSessions {
			s, err := serviceOf(b, p, purpose)
			if err != nil {
				return err
			}
			counts, err := s.KeyUse(c.Context(), nil)
			if err != nil {
				return err
			}
			return a.sayUse(counts, keys)
		}
		if reseal {
			if err := a.reseal(c, b, p, codec, purpose); err != nil {
				return err
			}
		}
		counts := map[string]int{}
		if err := eachRecord(c.Context(), b, func(r *model.Record) { counts[keyOf(r)]++ }); err != nil {
			return err
		}
		return a.sayUse(counts, keys)
	})
	return c
}

// eachRecord calls do for each live record.
func eachRecord(ctx context.Context, b driver.ModelExpirySupport, do func(*model.Record)) error {
	q := driver.Query{Limit: pageSize}
	for {
		page, err := b.Page(ctx, now(), q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			do(&page.Records[i])
		}
		if q.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

// keyOf returns the id of the key that sealed a record, or "". The encoding of
// values that were sealed long ago lacks it, but their second byte is its length.
func keyOf(r *model.Record) string {
	if rest, ok := strings.CutPrefix(r.Encoding, "sealed:"); ok {
		return rest[:max(strings.LastIndexByte(rest, ':'), 0)]
	}
	if v := r.Value; r.Encoding == "sealed" && len(v) > 2 && len(v) >= 2+int(v[1]) {
		return string(v[2 : 2+int(v[1])])
	}
	return ""
}

func (a *app) sayUse(counts map[string]int, keys *expiry.Keyring) error {
	t := table{app: a, head: []string{"KEY", "RECORDS", "IN THE KEYRING"}}
	for _, id := range sortedKeys(counts) {
		one := use{Key: id, Records: counts[id], Have: id == "" || keys.Has(id)}
		if a.json {
			if err := a.line(one); err != nil {
				return err
			}
			continue
		}
		have := "no"
		if one.Have {
			have = "yes"
		}
		if id == "" {
			id, have = "(not sealed)", ""
		}
		t.add(id, fmt.Sprint(one.Records), have)
	}
	return t.flush()
}

// reseal writes each value that another key sealed, or none, at its revision.
func (a *app) reseal(c *cobra.Command, b driver.ModelExpirySupport, p *place, codec, purpose string) error {
	keys := p.cfg.Keyring()
	if keys == nil {
		return usage("--reseal needs " + defaultPrefix + "SEAL_KEY or " + defaultPrefix + "SEAL_KEY_FILE")
	}
	store, err := openStore(b, p, purpose, codec)
	if err != nil {
		return err
	}
	n := 0
	var failed []error
	err = eachRecord(c.Context(), b, func(r *model.Record) {
		if keyOf(r) == keys.Active() {
			return
		}
		err := resealOne(c, store, r.ID)
		switch {
		case err == nil:
			n++
		case !errors.Is(err, model.ErrNotFound):
			failed = append(failed, err)
		}
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Err, "sealed %d again\n", n)
	return errors.Join(failed...)
}

// resealOne tries again if a program writes the record meanwhile, which seals it
// too if the program has the key.
func resealOne(c *cobra.Command, store *expiry.Store[[]byte], id string) error {
	var err error
	for range 10 {
		var it expiry.Item[[]byte]
		if it, err = store.Get(c.Context(), id); err != nil {
			return err
		}
		if _, err = store.Update(c.Context(), id, it.Value, &expiry.WriteOptions{IfMatch: it.Known()}); !errors.Is(err, model.ErrConflict) {
			return err
		}
	}
	return err
}
