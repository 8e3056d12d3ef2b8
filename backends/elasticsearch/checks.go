package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Check looks at the settings in force. If they are right, it tries conditional
// writes and a listing with documents that no call of a store sees and that it removes. A
// Check that is cut off may leave some of them, which a sweep three days later removes. It
// returns ErrUnavailable if the index does not exist or lacks an alias, and ErrCorrupt
// if the store's name leads to another one.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	name, index, err := b.find(ctx)
	if err != nil {
		return nil, err
	}
	if index == nil {
		return nil, b.replyError(http.StatusNotFound, cause{Type: typeNoIndex}, false)
	}
	checks, epoch := b.judgeIndex(name, index), b.epochOf(name)
	if _, ok := index.Aliases[b.epochAlias(epoch)]; !ok {
		return checks, b.checkEpoch(epoch, epoch)
	}
	if unsafe := checks.Err(); unsafe == nil { // a pipeline, for example, would refuse what is tried
		var more driver.Checks
		more, err = b.probe(ctx, epoch)
		checks = append(checks, more...)
	}
	if err != nil {
		return checks, err
	}
	clock, err := b.clock(ctx)
	if err != nil && !refused(err) {
		return checks, err
	}
	return append(checks, clock.Finding()), nil
}

// clock reads the server's clock. Its answers have no Date, and only the monitor
// privilege would show the time of a node. A search shows what it took for "now".
func (b *Backend) clock(ctx context.Context) (driverkit.Clock, error) {
	body, err := marshal(map[string]any{"size": 0, "aggs": clause{"clock": clause{"date_range": clause{
		"field": "no_such_field", "format": "epoch_millis", "ranges": []clause{{"from": "now"}},
	}}}})
	if err != nil {
		return driverkit.Clock{}, err
	}
	var res struct {
		Aggregations struct {
			Clock struct {
				Buckets []struct {
					From float64 `json:"from"`
				} `json:"buckets"`
			} `json:"clock"`
		} `json:"aggregations"`
	}
	clock := driverkit.Clock{Sent: time.Now(), Step: time.Millisecond}
	err = b.read(ctx, b.waited(), "/_search", body, &res, nil)
	clock.Got = time.Now()
	if found := res.Aggregations.Clock.Buckets; err == nil && len(found) == 1 && found[0].From > 0 {
		clock.Server = time.UnixMilli(int64(found[0].From))
	}
	return clock, err
}

// demand is what a store needs of a setting.
type demand struct {
	name, setting string
	bad           func(value string) bool // of a setting that is not the default
	level         driver.CheckLevel
	need          string
}

func given(string) bool { return true }

func less(than int) func(string) bool {
	return func(value string) bool {
		n, err := strconv.Atoi(value)
		return err == nil && n < than
	}
}

func notOneOf(values ...string) func(string) bool {
	return func(value string) bool { return !slices.Contains(values, strings.ToLower(value)) }
}

// demands are what a store needs of the index's settings. The settings are on
// Elastic's page "Index settings" and the pages it leads to: translog, ingest
// pipelines, lifecycle management, index modes and index blocks.
var demands = []demand{
	{"translog durability", "translog.durability", notOneOf("request"), driver.CheckUnsafe, "request: with async a node that fails loses acknowledged writes"},
	{"default pipeline", "default_pipeline", notOneOf("_none"), driver.CheckUnsafe, "none: a pipeline changes or refuses records"},
	{"final pipeline", "final_pipeline", notOneOf("_none"), driver.CheckUnsafe, "none: a pipeline changes or refuses records"},
	{"lifecycle policy", "lifecycle.name", given, driver.CheckUnsafe, "none: a policy deletes, shrinks or blocks the index with its live records"},
	{"index mode", "mode", notOneOf("standard", "lookup"), driver.CheckUnsafe, "standard: other modes rebuild documents from their fields"},
	{"document source", "mapping.source.mode", notOneOf("stored"), driver.CheckUnsafe, "stored: otherwise records do not come back as they were"},
	{"length of ids", "mapping.ignore_above", less(model.MaxID), driver.CheckUnsafe, "at least " + strconv.Itoa(model.MaxID) + ": listings miss longer ids"},
	{"size of pages", "max_result_window", less(maxPage + 1), driver.CheckUnsafe, "at least " + strconv.Itoa(maxPage+1) + ": pages and sweeps are refused"},
	{"write block", "blocks.write", notOneOf("false"), driver.CheckWarning, "false: writes are refused"},
	{"read block", "blocks.read", notOneOf("false"), driver.CheckWarning, "false: reads are refused"},
	{"read-only block", "blocks.read_only", notOneOf("false"), driver.CheckWarning, "false: writes are refused"},
	{"disk block", "blocks.read_only_allow_delete", notOneOf("false"), driver.CheckWarning, "false: a node has run out of disk space, and writes are refused"},
	{"metadata block", "blocks.metadata", notOneOf("false"), driver.CheckWarning, "false: CreateStorage and DeleteStorage are refused"},
}

// judgeIndex checks the settings in force of an index, and who else reads it.
func (b *Backend) judgeIndex(name string, index *storedIndex) driver.Checks {
	var out driver.Checks
	add := func(wrong bool, f driver.Finding) {
		if !wrong {
			f.Level, f.Fix = driver.CheckRight, ""
		}
		out = append(out, f)
	}
	for _, d := range demands {
		value := index.Settings.get(d.setting)
		f := driver.Finding{Name: d.name, Level: d.level, Seen: "index." + d.setting + " " + strconv.Quote(value), Need: d.need}
		if value == "" {
			f.Seen = "the default of index." + d.setting
		}
		f.Fix = fmt.Sprintf("PUT /%s/_settings {%q: null}, and take the setting from the index template", name, "index."+d.setting)
		add(value != "" && d.bad(value), f)
	}
	copies, expand := index.Settings.get("number_of_replicas"), index.Settings.get("auto_expand_replicas")
	add(copies == "0" || strings.HasPrefix(expand, "0-"), driver.Finding{
		Name: "copies", Level: driver.CheckWarning, Seen: "index.number_of_replicas " + strconv.Quote(copies),
		Need: "1 or more: a node that is lost takes the only copy of acknowledged writes with it",
		Fix:  fmt.Sprintf(`PUT /%s/_settings {"index.number_of_replicas": 1, "index.auto_expand_replicas": false}, on two nodes or more`, name),
	})
	var others []string
	for alias := range index.Aliases {
		if alias != b.name && alias != b.epochAlias(b.epochOf(name)) {
			others = append(others, strconv.Quote(alias))
		}
	}
	slices.Sort(others)
	add(len(others) > 0, driver.Finding{
		Name: "aliases", Level: driver.CheckWarning, Seen: strings.TrimSpace("other aliases of the index: " + strings.Join(others, ", ")),
		Need: "none: they show records, and let others write them", Fix: "remove those that you do not know",
	})
	return out
}

// probers is how many writers a probe has at the same time.
const probers = 8

const (
	// probePrefix is what the ids of a probe's documents begin with. It has a NUL,
	// which no record's id has.
	probePrefix = "\x00probe/"
	// probeFormat is the format of these documents, and of no record.
	probeFormat = 0
	// probeLife is when a sweep removes what an interrupted probe has left. All
	// probes have ended by then, also if the sweep's clock is a day ahead.
	probeLife = 72 * time.Hour
)

// probeExpiry is the expiry of a probe's documents. Seconds in the place of
// milliseconds are in January 1970 for a listing: it takes them for expired.
func probeExpiry(at time.Time) int64 { return at.Unix() }

// leftByProbes matches what interrupted probes have left.
func leftByProbes(at time.Time) clause {
	return clause{"bool": clause{"filter": []clause{
		{"term": clause{fieldFormat: probeFormat}},
		{"range": clause{fieldExpires: clause{"lte": probeExpiry(at.Add(-probeLife))}}},
	}}}
}

func isProbe(id string) bool { return strings.HasPrefix(id, probePrefix) }

// probing is a probe of the server with documents of its own. They have expired
// and another format, so that no listing or count has them.
type probing struct {
	*Backend
	ctx   context.Context //nolint:containedctx // of one call
	epoch string
	id    string
	out   driver.Checks
}

// probe tries what the contract rests on, with some 25 small requests.
func (b *Backend) probe(ctx context.Context, epoch string) (driver.Checks, error) {
	p := &probing{Backend: b, ctx: ctx, epoch: epoch, id: probePrefix + newEpoch() + "/"}
	err := p.run()
	if refused(err) {
		return append(p.out, driver.Finding{
			Name: "conditional writes", Level: driver.CheckUnknown, Seen: err.Error(),
			Need: "writes at a version, of which one of many succeeds", Fix: "call Check with credentials that may read and write",
		}), nil
	}
	return p.out, err
}

// refused reports whether the credentials or a block do not allow a request.
func refused(err error) bool {
	var native *ServerError
	return errors.As(err, &native) && (native.Status == http.StatusForbidden || native.Type == "cluster_block_exception")
}

func (p *probing) race() string { return p.id + "race" }

// listing has ids whose order is that of their bytes, though not by their
// alphabet.
func (p *probing) listing() []string { return []string{p.id + "B", p.id + "a", p.id + "\u00e9"} }

func (p *probing) run() (err error) {
	defer func() {
		if left := p.clean(); err == nil {
			err = left
		}
	}()
	if err := p.writes(); err != nil {
		return err
	}
	return p.lists()
}

// found adds a finding.
func (p *probing) found(name string, level driver.CheckLevel, seen, need string) {
	f := driver.Finding{Name: name, Level: level, Seen: seen, Need: need}
	if level != driver.CheckRight {
		f.Fix = "use Elasticsearch 8 or 9 itself, without a proxy or cache that answers for it"
	}
	p.out = append(p.out, f)
}

// doc is the source of a probe's document.
func (p *probing) doc(id string) func() any {
	return func() any {
		return map[string]any{fieldID: id, fieldFormat: probeFormat, fieldExpires: probeExpiry(time.Now()), fieldSize: 0}
	}
}

// one sends one action. A conflict is not an error.
func (p *probing) one(a action) (itemResult, error) {
	r := p.bulk(p.ctx, []action{a})[0]
	if !r.ok() && !r.conflict() {
		err := p.itemError(&r)
		return r, err
	}
	return r, nil
}

// writers sends the action many times at once, and returns a result that
// succeeded and the number of those that did.
func (p *probing) writers(a action) (won itemResult, n int, err error) {
	var mu sync.Mutex
	driverkit.Parallel(probers, probers, func(int) {
		r, failed := p.one(a)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case failed != nil:
			err = failed
		case r.ok():
			won, n = r, n+1
		}
	})
	return won, n, err
}

// exactlyOne judges how many of many writers succeeded. None may be the server's
// repetition of a write whose node was lost.
func (p *probing) exactlyOne(name, what string, n int) bool {
	level := driver.CheckRight
	switch {
	case n == 0:
		level = driver.CheckUnknown
	case n > 1:
		level = driver.CheckUnsafe
	}
	p.found(name, level, fmt.Sprintf("%d of %d %s succeeded", n, probers, what), "that one of them succeeds")
	return n == 1
}

// writes tries creates, writes and deletes on condition, and a read by id.
func (p *probing) writes() error {
	id := p.race()
	made, n, err := p.writers(action{verb: "create", id: id, source: p.doc(id)})
	if err != nil || !p.exactlyOne("conditional creates", "concurrent creates of one document", n) {
		return err
	}
	old := p.version(&made)
	if old.epoch != p.epoch {
		return nil // the store was created again
	}
	swapped, n, err := p.writers(action{verb: "index", id: id, version: &old, source: p.doc(id)})
	if err != nil || !p.exactlyOne("conditional writes", "concurrent writes at one version", n) {
		return err
	}
	cur := p.version(&swapped)
	var res struct {
		Docs []foundDoc `json:"docs"`
	}
	body, err := marshal(map[string][]string{"ids": {id}})
	if err == nil {
		err = p.read(p.ctx, p.waited(), "/_mget?"+oneCopy, body, &res, nil)
	}
	if err != nil {
		return err
	}
	level, seen := driver.CheckRight, "a write is read at once"
	if len(res.Docs) != 1 || !res.Docs[0].Found || res.Docs[0].Seq != cur.seq {
		level, seen = driver.CheckUnsafe, "a read right after a write returned something else"
	}
	p.found("reads by id", level, seen, "that reads return the last write")
	stale, err := p.one(action{verb: "delete", id: id, version: &old})
	if err != nil {
		return err
	}
	exact, err := p.one(action{verb: "delete", id: id, version: &cur})
	if err != nil {
		return err
	}
	level, seen = driver.CheckRight, "a delete at an old version is refused, and at the present one succeeds"
	switch {
	case stale.ok():
		level, seen = driver.CheckUnsafe, "a delete at an old version succeeded"
	case !exact.ok():
		level, seen = driver.CheckUnknown, "a delete at the present version is refused"
	}
	p.found("conditional deletes", level, seen, "that a delete removes one version only")
	return nil
}

// lists tries the order of a listing, its start, and that it has what was just
// written.
func (p *probing) lists() error {
	want := p.listing()
	var actions []action
	for _, i := range []int{2, 0, 1} {
		actions = append(actions, action{verb: "create", id: want[i], source: p.doc(want[i])})
	}
	for _, r := range p.bulk(p.ctx, actions) {
		if !r.ok() {
			return p.itemError(&r)
		}
	}
	if err := p.refresh(p.ctx, p.waited()); err != nil {
		return err
	}
	var got []string
	q := &query{filter: []clause{{"terms": clause{fieldID: want}}}, sort: []string{fieldID}, size: 2, read: noMore}
	for range 2 {
		docs, err := p.search(p.ctx, p.waited(), q)
		if err != nil {
			return err
		}
		for i := range docs {
			got = append(got, docs[i].ID)
			q.after = docs[i].Sort
		}
	}
	level, seen := driver.CheckRight, "a listing in two parts has each document once, in order"
	if !slices.Equal(got, want) {
		level, seen = driver.CheckUnsafe, fmt.Sprintf("%d of %d documents, or another order", len(got), len(want))
	}
	p.found("order of listings", level, seen, "the order of ids, and a listing that goes on after one")
	return nil
}

// clean removes the probe's documents.
func (p *probing) clean() error {
	var actions []action
	for _, id := range append(p.listing(), p.race()) {
		actions = append(actions, action{verb: "delete", id: id})
	}
	var left error
	for _, r := range p.bulk(p.ctx, actions) {
		if !r.ok() && !r.conflict() {
			left = p.itemError(&r)
		}
	}
	return left
}
