package conformance_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// plate is a disk that forgets at a power cut what was not synced. It has names
// with bytes: "record ID" and "label NAME=VALUE ID", and two for the storage.
type plate struct {
	calls        sync.Mutex // held by a call; a killed process lets it go
	now, durable map[string]string
}

// The names of the storage. A listing by label needs the second one.
const (
	madeName  = "made"
	indexName = "index"
)

func (p *plate) cut(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	names := maps.Clone(p.now)
	maps.Copy(names, p.durable)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, was := p.durable[name]
		if have, is := p.now[name]; have == old && is == was || seed != 0 && r.IntN(2) == 0 {
			continue
		}
		delete(p.now, name)
		if was {
			p.now[name] = old
		}
	}
	p.durable = maps.Clone(p.now)
}

var errStep = model.NewError(model.ErrUnavailable, "the step failed", nil)

// stepped is a backend on a plate. Each access is a step. Readers check index
// entries against the records, and a sweep removes entries without one.
type stepped struct {
	gate *driverkit.Gate
	at   *plate
	f    stepFault

	armed conformance.Interruption
	steps int
	dead  bool
	verb  string // of the call
}

// stepFault is the mistake of one verb. The zero stepFault has no mistake.
type stepFault struct {
	verb string
	kind stepKind
}

type stepKind string

const (
	lies     stepKind = "lies"     // a failed step is reported as the caller likes to hear it
	torn     stepKind = "torn"     // a kill between two steps is never repaired
	unsynced stepKind = "unsynced" // it is acknowledged before it is durable
)

func (b *stepped) is(kind stepKind) bool { return b.f.verb == b.verb && b.f.kind == kind }

// begin begins a call.
func (b *stepped) begin(verb string) func() {
	b.at.calls.Lock()
	b.verb = verb
	return b.at.calls.Unlock
}

func (b *stepped) step() error {
	if b.dead {
		return errStep
	}
	if b.steps++; b.armed.Way == "" || b.steps != b.armed.Step {
		return nil
	}
	b.interrupt()
	return errStep
}

func (b *stepped) interrupt() {
	b.dead = b.armed.Way != conformance.Fail
	if b.armed.Way == conformance.PowerCut {
		b.at.cut(b.armed.Seed)
	}
}

func (b *stepped) put(name, data string) error {
	err := b.step()
	if err == nil {
		b.at.now[strings.Clone(name)] = data
	}
	return err
}

func (b *stepped) remove(name string) error {
	err := b.step()
	if err == nil {
		delete(b.at.now, name)
	}
	return err
}

func (b *stepped) sync() error {
	if b.is(unsynced) {
		return nil
	}
	err := b.step()
	if err == nil {
		b.at.durable = maps.Clone(b.at.now)
	}
	return err
}

// applied is sync after a change that readers see.
func (b *stepped) applied() error {
	err := b.sync()
	if err != nil && !b.is(lies) {
		err = model.NewError(model.ErrUnknown, "it is not durable", err)
	}
	return err
}

// names returns what follows the prefix in all names that begin so.
func (b *stepped) names(prefix string) ([]string, error) {
	if err := b.step(); err != nil {
		return nil, b.blind(err)
	}
	var out []string
	for name := range b.at.now {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out, nil
}

// blind returns the error of a read.
func (b *stepped) blind(err error) error {
	if b.is(lies) && (b.verb == "get" || b.verb == "page" || b.verb == "count") {
		return nil
	}
	return err
}

// load returns the record with the id, or nil.
func (b *stepped) load(id string) (*model.Record, error) {
	if err := b.step(); err != nil {
		return nil, b.blind(err)
	}
	data, ok := b.at.now["record "+id]
	if !ok {
		return nil, nil
	}
	rec, err := driverkit.DecodeRecord([]byte(data))
	return &rec, err
}

// labelsOf returns the index entries of a record, which may be nil.
func labelsOf(r *model.Record) []string {
	var out []string
	if r != nil {
		for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
			out = append(out, "label "+name+"="+r.Labels[name]+" "+r.ID)
		}
	}
	return out
}

// replace makes next of cur. Either may be nil.
func (b *stepped) replace(cur, next *model.Record) error {
	id, before, after := "", labelsOf(cur), labelsOf(next)
	if cur != nil {
		id = cur.ID
	}
	if next != nil {
		id = next.ID
	}
	late := b.is(torn)
	if late && cur != nil {
		if err := b.remove("record " + id); err != nil { // a kill here leaves nothing
			return err
		}
	}
	if !late {
		for _, e := range after {
			if err := b.put(e, ""); err != nil {
				return err
			}
		}
		if err := b.sync(); err != nil {
			return err
		}
	}
	var err error
	switch {
	case next != nil:
		err = b.put("record "+id, string(driverkit.AppendRecord(nil, next)))
	case !late:
		err = b.remove("record " + id)
	}
	if err == nil {
		err = b.applied()
	}
	if err != nil {
		return err
	}
	if late {
		for _, e := range after {
			_ = b.put(e, "")
		}
	}
	for _, e := range before {
		if !slices.Contains(after, e) {
			_ = b.remove(e)
		}
	}
	return nil
}

func (b *stepped) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	defer b.begin("get")()
	cur, err := b.load(g.ID)
	if err == nil && cur != nil {
		err = b.sorts("record ", []string{g.ID})
	}
	if err == nil {
		err = driver.Judge(now, cur, driver.IfPresent, model.Revision{})
	}
	if err != nil {
		return model.Record{}, err
	}
	return cur.Clone(), nil
}

var stepVerbs = map[driver.Condition]string{
	driver.IfAbsent: "create", driver.IfPresent: "update", driver.IfMatch: "compare-and-set", driver.IfAny: "upsert",
}

func (b *stepped) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.write(stepVerbs[w.Cond], now, &w)
}

func (b *stepped) write(verb string, now time.Time, w *driver.Write) (model.Record, error) {
	defer b.begin(verb)()
	cur, err := b.load(w.Record.ID)
	if err != nil {
		return model.Record{}, err
	}
	if winner, err := driverkit.JudgeWrite(now, cur, nil, w); err != nil {
		return winner, err
	}
	if cur != nil && cur.Expired(now) && verb == "create" {
		b.verb = "create over an expired record"
	}
	next := w.Result(cur).Clone()
	if err := b.replace(cur, &next); err != nil {
		return model.Record{}, err
	}
	return next.Head(), nil
}

func (b *stepped) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	defer b.begin("touch")()
	cur, err := b.load(t.ID)
	if err == nil {
		err = t.Judge(now, cur)
	}
	if err != nil {
		return model.Record{}, err
	}
	next := *cur
	next.ExpiresAt = t.Result(cur.ExpiresAt)
	if err := b.replace(cur, &next); err != nil {
		return model.Record{}, err
	}
	return next.Clone().Head(), nil
}

func (b *stepped) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	verb := "delete"
	if d.Cond == driver.IfMatch {
		verb = "delete at a revision"
	}
	return b.drop(verb, now, &d)
}

func (b *stepped) drop(verb string, now time.Time, d *driver.Delete) error {
	defer b.begin(verb)()
	cur, err := b.load(d.ID)
	if err == nil {
		err = driver.Judge(now, cur, d.Cond, d.Known.Revision)
	}
	if err != nil {
		return err
	}
	return b.gives(cur)
}

// gives removes a record. A torn delete has let its entries go before.
func (b *stepped) gives(cur *model.Record) error {
	if b.is(torn) {
		for _, e := range labelsOf(cur) {
			if err := b.remove(e); err != nil {
				return err
			}
		}
		if err := b.remove("record " + cur.ID); err != nil {
			return err
		}
		return b.applied()
	}
	return b.replace(cur, nil)
}

func (b *stepped) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	for _, i := range valid {
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.write("batch", now, w)
		} else {
			out[i].Err = b.drop("batch", now, ops[i].Delete)
		}
	}
	return out
}

func (b *stepped) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	list, err := b.list("page", &q)
	if err != nil {
		return driver.Page{}, err
	}
	return b.gate.SortedPage(now, &q, position, slices.Values(list)), nil
}

func (b *stepped) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	list, err := b.list("count", &q)
	return len(slices.DeleteFunc(list, func(r model.Record) bool { return r.Expired(now) || !q.Bears(&r) })), err
}

// list returns the stored records that a listing or a count is about.
func (b *stepped) list(verb string, q *driver.Query) ([]model.Record, error) {
	defer b.begin(verb)()
	prefix := "record "
	if q.Label != "" {
		prefix = "label " + q.Label + "=" + q.Value + " "
		_, made := b.at.now[madeName]
		if _, indexed := b.at.now[indexName]; made && !indexed {
			return nil, driverkit.Corrupt("the index of labels is not there")
		}
	}
	ids, err := b.names(prefix)
	if err == nil && q.Label != "" {
		err = b.sorts(prefix, ids)
	}
	var list []model.Record
	for i := 0; err == nil && i < len(ids); i++ {
		var rec *model.Record
		if rec, err = b.load(ids[i]); err == nil && rec != nil {
			list = append(list, *rec)
		}
	}
	return list, err
}

// sorts writes names again, as a reader should not. One without a mistake does not.
func (b *stepped) sorts(prefix string, names []string) error {
	if !b.is(torn) && !b.is(unsynced) {
		return nil
	}
	was := maps.Clone(b.at.now)
	for _, name := range names {
		if err := b.remove(prefix + name); err != nil {
			return err
		}
	}
	if b.f.kind == unsynced {
		b.at.durable = maps.Clone(b.at.now)
	}
	for _, name := range names {
		if err := b.put(prefix+name, was[prefix+name]); err != nil {
			return err
		}
	}
	return nil
}

func (b *stepped) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	verb := "sweep"
	if tally.Announces() {
		verb = "sweep that announces"
	}
	all, err := b.due(verb, s.Before)
	if err != nil {
		tally.Failed(0, err)
		return tally.Result()
	}
	swept, err := tally.Each(ctx, s.Before, slices.Values(all), func(r *model.Record) (bool, error) {
		defer b.begin(verb)()
		cur, err := b.load(r.ID)
		if err != nil || cur == nil || cur.Revision != r.Revision || !cur.Expired(s.Before) {
			return false, err
		}
		err = b.gives(cur)
		return err == nil, err
	})
	if err == nil {
		err = b.removeStrays(verb)
	}
	return swept, err
}

func (b *stepped) due(verb string, before time.Time) ([]model.Record, error) {
	defer b.begin(verb)()
	ids, err := b.names("record ")
	var out []model.Record
	for i := 0; err == nil && i < len(ids); i++ {
		var rec *model.Record
		if rec, err = b.load(ids[i]); err == nil && rec != nil && rec.Expired(before) {
			out = append(out, *rec)
		}
	}
	return out, err
}

// removeStrays removes entries without a record that bears them.
func (b *stepped) removeStrays(verb string) error {
	defer b.begin(verb)()
	entries, err := b.names("label ")
	for i := 0; err == nil && i < len(entries); i++ {
		_, id, _ := strings.Cut(entries[i], " ")
		var rec *model.Record
		if rec, err = b.load(id); err == nil && !slices.Contains(labelsOf(rec), "label "+entries[i]) {
			err = b.remove("label " + entries[i])
		}
	}
	return err
}

func (b *stepped) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	defer b.begin("CreateStorage")()
	if _, made := b.at.now[madeName]; made && b.f.verb == b.verb && b.f.kind != lies {
		return nil
	}
	for _, name := range []string{madeName, indexName} {
		if err := b.put(name, ""); err != nil {
			return b.storageError(err)
		}
		if b.is(unsynced) && name == madeName {
			b.at.durable = maps.Clone(b.at.now)
		}
	}
	return b.storageError(b.sync())
}

// storageError returns the error of a call about the storage.
func (b *stepped) storageError(err error) error {
	if err != nil && b.is(lies) {
		return errors.New("out of order")
	}
	return err
}

func (b *stepped) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	defer b.begin("DeleteStorage")()
	if b.is(torn) {
		if _, made := b.at.now[madeName]; !made {
			return nil
		}
		if err := b.remove(madeName); err != nil {
			return err
		}
	}
	for _, prefix := range []string{"record ", "label ", ""} {
		names, err := b.names(prefix)
		for i := 0; err == nil && i < len(names); i++ {
			err = b.remove(prefix + names[i])
		}
		if err == nil {
			err = b.sync()
		}
		if err != nil {
			return b.storageError(model.NewError(model.ErrUnknown, "some of it is gone", err))
		}
	}
	return nil
}

func (b *stepped) Describe() driver.Description { return b.gate.Describe() }
func (b *stepped) Close() error                 { return b.gate.Close() }

// steppedHarness opens backends of which one verb has the fault.
func steppedHarness(f stepFault) conformance.Harness {
	var mu sync.Mutex
	plates := map[string]*plate{}
	of := func(name string) *plate {
		mu.Lock()
		defer mu.Unlock()
		if plates[name] == nil {
			plates[name] = &plate{now: map[string]string{}, durable: map[string]string{}}
		}
		return plates[name]
	}
	return conformance.Harness{
		Server: "in process",
		Open: func(_ testing.TB, name string) driver.ModelExpirySupport {
			d := driver.Description{Backend: "stepped", Labels: []string{"principal", "state"}, MaxValue: damageableMax}
			return &stepped{gate: driverkit.NewGate(d, name), at: of(name), f: f}
		},
		Left: func(_ testing.TB, name string) int {
			at := of(name)
			at.calls.Lock()
			defer at.calls.Unlock()
			return len(at.now)
		},
		Interrupt: &conformance.Interrupt{
			Ways: []conformance.Way{conformance.Fail, conformance.Kill, conformance.PowerCut},
			Arm: func(_ testing.TB, wrapped driver.ModelExpirySupport, in conformance.Interruption) func() bool {
				b := wrapped.(*stepped)
				b.at.calls.Lock()
				defer b.at.calls.Unlock()
				b.armed, b.steps = in, 0
				if in.Step == 0 {
					b.interrupt()
				}
				return func() bool {
					b.at.calls.Lock()
					defer b.at.calls.Unlock()
					b.armed = conformance.Interruption{}
					return b.steps >= in.Step
				}
			},
		},
	}
}

func TestTheSteppedBackendIsCorrect(t *testing.T) {
	if err := conformance.Check(t.Context(), steppedHarness(stepFault{})); err != nil {
		t.Error(err)
	}
}
