// Package answers makes every call of a driver on storage in an unusual state and
// says what is answered. docs/write-a-backend.md has the result as a table.
package answers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Place is where the backends keep their stores.
type Place struct {
	// Open returns a backend on the store with the name. The caller closes it.
	Open func(name string) (driver.ModelExpirySupport, error)
	// Damage replaces the stored bytes of the one record of a store.
	Damage func(name, id string) error
}

const (
	damaged = "damaged record"
	closed  = "closed backend"
	ended   = "ended context"
	missing = "missing storage"
)

// States are the states of the storage, the columns of the table.
var States = []string{damaged, closed, ended, missing}

var (
	now    = time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	expiry = now.Add(time.Hour)
)

// call is a row of the table.
type call struct {
	name string
	do   func(ctx context.Context, b driver.ModelExpirySupport, stored model.Record) (string, error)
}

func writes(name string, c driver.Condition) call {
	return call{name, func(ctx context.Context, b driver.ModelExpirySupport, stored model.Record) (string, error) {
		w := driver.Write{Record: record(), Cond: c}
		if c == driver.IfMatch {
			w.Known = stored
		}
		_, err := b.Write(ctx, now, w)
		return "", err
	}}
}

func touches() call {
	return call{"Touch", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
		_, err := b.Touch(ctx, now, driver.Touch{ID: "id", Mode: driver.TouchClear})
		return "", err
	}}
}

func pages(name string, q driver.Query) call {
	return call{name, func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
		p, err := b.Page(ctx, now, q)
		if len(p.Corrupt) > 0 {
			return "names it in `Corrupt`", err
		}
		return fmt.Sprintf("%d records", len(p.Records)), err
	}}
}

func storage(name string, do func(context.Context, driver.ModelExpirySupport) error) call {
	return call{name, func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
		return "", do(ctx, b)
	}}
}

func calls() []call {
	return []call{
		{"Get", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			_, err := b.Get(ctx, now, driver.Get{ID: "id"})
			return "", err
		}},
		{"GetMany, that item", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			return "", driver.GetMany(ctx, b, now, driver.Gets("id"))[0].Err
		}},
		writes("Write, IfAbsent", driver.IfAbsent),
		writes("Write, IfPresent", driver.IfPresent),
		writes("Write, IfMatch", driver.IfMatch),
		writes("Write, IfAny", driver.IfAny),
		{"WriteMany, that item", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			w := driver.Write{Record: record(), Cond: driver.IfPresent}
			return "", driver.WriteMany(ctx, b, now, []driver.BatchOp{{Write: &w}})[0].Err
		}},
		touches(),
		{"Delete", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			return "", b.Delete(ctx, now, driver.Delete{ID: "id", Cond: driver.IfPresent})
		}},
		pages("Page", driver.Query{Limit: 5}),
		pages("Page, by label", driver.Query{Limit: 5, Label: "principal", Value: "ann"}),
		{"Count", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			n, err := driver.Count(ctx, b, now, driver.Query{})
			return fmt.Sprint(n), err
		}},
		{"DeleteExpired", func(ctx context.Context, b driver.ModelExpirySupport, _ model.Record) (string, error) {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: expiry, Limit: 5})
			return fmt.Sprintf("%d removed", s.Removed), err
		}},
		storage("Ping", func(ctx context.Context, b driver.ModelExpirySupport) error { return driver.Ping(ctx, b, now) }),
		storage("CreateStorage", driver.CreateStorage),
		storage("DeleteStorage", driver.DeleteStorage),
		storage("Close", func(_ context.Context, b driver.ModelExpirySupport) error { return b.Close() }),
		storage("Describe", func(_ context.Context, b driver.ModelExpirySupport) error { b.Describe(); return nil }),
	}
}

func record() model.Record {
	return model.Record{
		ID: "id", Revision: model.NewRevision(), ExpiresAt: expiry, Value: []byte("{}"), Encoding: "json",
		Labels: map[string]string{"principal": "ann"},
	}
}

// Table returns the table in Markdown.
func Table(ctx context.Context, p Place) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "| call | %s |\n|---|%s\n", strings.Join(States, " | "), strings.Repeat("---|", len(States)))
	for i, c := range calls() {
		fmt.Fprintf(&out, "| %s |", c.name)
		for j := range States {
			answer, err := p.answer(ctx, fmt.Sprintf("a%d", i), States[j], c)
			if err != nil {
				return "", fmt.Errorf("%s with %s: %w", c.name, States[j], err)
			}
			fmt.Fprintf(&out, " %s |", answer)
		}
		out.WriteString("\n")
	}
	return out.String(), nil
}

// answer makes the call on the store of the state, which has one record. A missing
// storage has the given name.
func (p Place) answer(ctx context.Context, name, state string, c call) (string, error) {
	if state != missing {
		name = strings.ReplaceAll(state, " ", "-")
	}
	b, err := p.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close() }()
	stored := record()
	if state != missing {
		if err := driver.CreateStorage(ctx, b); err != nil {
			return "", err
		}
		if _, err := b.Write(ctx, now, driver.Write{Record: stored, Cond: driver.IfAny}); err != nil {
			return "", err
		}
	}
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch state {
	case damaged:
		err = p.Damage(name, "id")
	case closed:
		err = b.Close()
	case ended:
		cancel()
	}
	if err != nil {
		return "", err
	}
	text, err := c.do(callCtx, b, stored)
	return named(text, err), nil
}

// sentinels are the errors with the names that programs use.
var sentinels = map[error]string{
	model.ErrNotFound: "ErrNotFound", model.ErrExists: "ErrExists", model.ErrConflict: "ErrConflict", model.ErrInvalid: "ErrInvalid",
	model.ErrTooLarge: "ErrTooLarge", model.ErrCorrupt: "ErrCorrupt", model.ErrUnsupported: "ErrUnsupported",
	model.ErrUnavailable: "ErrUnavailable", model.ErrUnknown: "ErrUnknown", model.ErrClosed: "ErrClosed",
}

func named(text string, err error) string {
	switch {
	case err == nil && text == "":
		return "succeeds"
	case err == nil:
		return text
	case errors.Is(err, context.Canceled) && model.Kind(err) == nil:
		return "the context's error"
	}
	return "`" + sentinels[model.Kind(err)] + "`"
}
