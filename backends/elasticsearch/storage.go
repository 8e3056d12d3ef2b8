package elasticsearch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage creates the index and its two aliases in one step. An existing
// index stays as it is, except for what it lacks from before this version or has
// lost: a field, or the alias for conditional writes. Then it makes the checks of
// Check.
//
// It returns ErrCorrupt if the store's name leads to another index, and if an
// index template changes the new index so that it cannot hold a store: then
// CreateStorage removes it. It returns ErrUnsupported if a check finds an index
// or a server on which a promise does not hold.
func (b *Backend) CreateStorage(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := b.gate.Enter(ctx); err != nil {
			return err
		}
		name, index, err := b.find(ctx)
		if err != nil {
			return err
		}
		if index != nil {
			return b.adopt(ctx, name, index)
		}
		epoch := newEpoch()
		err = b.change(ctx, http.MethodPut, "/"+b.indexName(epoch), b.definition(epoch))
		if err == nil {
			return b.checkCreated(ctx, epoch)
		}
		if attempt > 0 || ctx.Err() != nil {
			return err
		}
		// Another process may have created it at the same moment.
	}
}

// adopt makes an existing index complete and checks it.
func (b *Backend) adopt(ctx context.Context, name string, index *storedIndex) error {
	if lacking := index.lacking(); len(lacking) > 0 {
		if err := b.change(ctx, http.MethodPut, "/"+name+"/_mapping", map[string]any{"properties": lacking}); err != nil {
			return err
		}
	}
	alias := b.epochAlias(b.epochOf(name))
	if _, ok := index.Aliases[alias]; !ok {
		if err := b.change(ctx, http.MethodPut, "/"+name+"/_alias/"+alias, nil); err != nil {
			return err
		}
	}
	if err := b.judgeIndex(name, index).Err(); err != nil || b.trusted {
		return err
	}
	checks, err := b.probe(ctx, b.epochOf(name))
	if err != nil {
		return err
	}
	return checks.Err()
}

// checkCreated checks the index that was just created. If an index template made
// it unfit, checkCreated removes it and returns ErrCorrupt. It also removes it if
// the server is unfit.
func (b *Backend) checkCreated(ctx context.Context, epoch string) error {
	all, err := b.indices(ctx)
	if err != nil {
		return err
	}
	name := b.indexName(epoch)
	index := all[name]
	if index == nil { // another process has deleted it
		return nil
	}
	what := ""
	for _, alias := range slices.Sorted(maps.Keys(index.Aliases)) {
		if alias != b.name && alias != b.epochAlias(epoch) {
			what = fmt.Sprintf("the alias %q", alias)
		}
	}
	for _, f := range b.judgeIndex(name, index) {
		if f.Level == driver.CheckUnsafe {
			what = fmt.Sprintf("%s (%s), and a store needs %s", f.Seen, f.Name, f.Need)
		}
	}
	err = b.checkIndex(name, index)
	if err != nil {
		what = cmp.Or(what, "a mapping that the store cannot use")
	}
	if what != "" {
		text := b.templateOf(ctx, name) + " adds " + what + ": exclude " + b.name + epochMark + "* from it"
		return model.NewError(model.ErrCorrupt, strings.TrimSuffix(text+"; "+b.discard(ctx, name), "; "), err)
	}
	if b.trusted {
		return nil
	}
	checks, err := b.probe(ctx, epoch)
	if err != nil {
		return err
	}
	if err := checks.Err(); err != nil {
		if left := b.discard(ctx, name); left != "" {
			return model.NewError(model.ErrUnsupported, left, err)
		}
		return err
	}
	return nil
}

// discard removes an index that was just created, and says so if it cannot.
func (b *Backend) discard(ctx context.Context, name string) string {
	if b.change(ctx, http.MethodDelete, "/"+name, nil) != nil {
		return "the index " + name + " could not be removed"
	}
	return ""
}

// templateOf names the index template that the server uses for an index, or says
// "an index template" if it may not be seen. Of the composable templates that
// match, the one with the highest priority decides. Without one, all legacy
// templates that match do.
func (b *Backend) templateOf(ctx context.Context, index string) string {
	const some = "an index template for "
	var list struct {
		Templates []struct {
			Name     string `json:"name"`
			Template struct {
				Patterns []string `json:"index_patterns"`
				Priority int      `json:"priority"`
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	matches := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, index); return ok })
	}
	if !b.look(ctx, "/_index_template", &list) {
		return some + index
	}
	name, top := "", -1
	for _, t := range list.Templates {
		if matches(t.Template.Patterns) && t.Template.Priority > top {
			name, top = t.Name, t.Template.Priority
		}
	}
	if name != "" {
		return fmt.Sprintf("the index template %q", name)
	}
	var legacy map[string]struct {
		Patterns []string `json:"index_patterns"`
	}
	var names []string
	if b.look(ctx, "/_template", &legacy) {
		for n := range legacy {
			if matches(legacy[n].Patterns) {
				names = append(names, fmt.Sprintf("%q", n))
			}
		}
	}
	if len(names) == 0 {
		return some + index
	}
	slices.Sort(names)
	return "the legacy index template " + strings.Join(names, " or ")
}

// look reads what the credentials may not be allowed to see.
func (b *Backend) look(ctx context.Context, path string, to any) bool {
	r, err := b.do(ctx, http.MethodGet, path, typeJSON, nil, nil)
	return err == nil && r.status == http.StatusOK && json.Unmarshal(r.body, to) == nil
}

// DeleteStorage deletes the index with all its records. It does nothing if there
// is no index. If the store's name also leads to another index, or only to one,
// DeleteStorage leaves that and returns ErrCorrupt with its name.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	all, err := b.indices(ctx)
	if err != nil {
		return err
	}
	var left error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := b.checkIndex(name, all[name]); err != nil {
			left = err
			continue
		}
		if err := b.change(ctx, http.MethodDelete, "/"+name, nil); err != nil {
			return err
		}
	}
	return left
}

// maxReason bounds the part of a server's text in an error.
const maxReason = 300

// change creates or deletes an index or an alias. It is idempotent, so that the
// client may send it again: the name has the random epoch.
func (b *Backend) change(ctx context.Context, method, path string, body any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = marshal(body); err != nil {
			return err
		}
	}
	r, err := b.do(ctx, method, path, typeJSON, content, nil)
	if err != nil {
		if why := b.whyNoReply(err); why != "" && driverkit.Ended(ctx) == nil && driverkit.IsDial(err) {
			return model.NewError(model.ErrUnavailable, why, err)
		}
		return driverkit.WriteError(ctx, err, !driverkit.IsDial(err), "")
	}
	c := causeOf(r.body)
	switch {
	case r.status == http.StatusOK:
		var res struct {
			Shards *bool `json:"shards_acknowledged"`
		}
		if json.Unmarshal(r.body, &res) == nil && res.Shards != nil && !*res.Shards {
			return model.NewError(model.ErrUnavailable, "the index "+strings.TrimPrefix(path, "/")+" exists, and no node has its primary shard: check disk space and the allocation of shards, and call CreateStorage again", nil)
		}
		return nil
	case method == http.MethodDelete && c.Type == typeNoIndex:
		return nil
	case c.Type == "invalid_alias_name_exception", c.Type == "invalid_index_name_exception":
		return model.NewError(model.ErrUnavailable, c.Type+": the cluster refuses the name "+b.name+", or an index has it", c.native(r.status))
	case strings.Contains(c.Reason, "data streams only"):
		return model.NewError(model.ErrCorrupt, fmt.Sprintf("an index template creates data streams only: exclude %s%s* from it (%.*s)", b.name, epochMark, maxReason, c.Reason), c.native(r.status))
	case r.status == http.StatusBadRequest && c.Reason != "":
		// Unlike a record's, the request has nothing secret for the reason to
		// quote.
		return model.NewError(model.ErrUnavailable, fmt.Sprintf("%s: %.*s", c.Type, maxReason, c.Reason), c.native(r.status))
	}
	return b.replyError(r.status, c, true)
}
