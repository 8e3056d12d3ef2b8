package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// A history is the calls of concurrent clients on one id, with their results.
// It is linearizable if some order explains the results: each call has an
// instant between its start and its end, and a single register under the
// contract's conditions returns the same results in that order. A call whose
// outcome is unknown has an instant after its start, or never happened.

type histOp uint8

const (
	histGet histOp = iota
	histCreate
	histUpdate
	histCompare
	histUpsert
	histExtend
	histDelete
	histDeleteAt
)

var histNames = [...]string{"get", "create", "update", "compare-and-set", "upsert", "extend", "delete", "delete at"}

type histIn struct {
	op         histOp
	rev, known model.Revision
	exp        int64 // milliseconds
}

type histOut struct {
	kind error // nil, ErrNotFound, ErrExists, ErrConflict, ErrUnknown
	rev  model.Revision
	exp  int64
}

// histState is the register. The zero revision means that there is no record.
type histState struct {
	rev model.Revision
	exp int64
}

// step returns the state after a call, and the result of the call.
func (s histState) step(in histIn) (histState, histOut) {
	absent := s.rev.IsZero()
	stored := histState{rev: in.rev, exp: in.exp}
	answer := func(st histState) histOut { return histOut{rev: st.rev, exp: st.exp} }
	switch in.op {
	case histGet:
		if absent {
			return s, histOut{kind: model.ErrNotFound}
		}
		return s, answer(s)
	case histCreate:
		if !absent {
			return s, histOut{kind: model.ErrExists}
		}
		return stored, answer(stored)
	case histUpsert:
		return stored, answer(stored)
	}
	if absent {
		return s, histOut{kind: model.ErrNotFound}
	}
	if (in.op == histCompare || in.op == histDeleteAt) && s.rev != in.known {
		return s, histOut{kind: model.ErrConflict}
	}
	switch in.op {
	case histUpdate, histCompare:
		stored.exp = s.exp // both keep the expiry
		return stored, answer(stored)
	case histExtend:
		s.exp = max(s.exp, in.exp)
		return s, answer(s)
	default:
		return histState{}, histOut{}
	}
}

func histModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{histState{}} },
		Step: func(state, input, output any) []any {
			s, in, out := state.(histState), input.(histIn), output.(histOut)
			next, want := s.step(in)
			if out.kind == model.ErrUnknown { //nolint:errorlint // stored as the sentinel itself
				return []any{s, next}
			}
			if out != want {
				return nil
			}
			return []any{next}
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(histIn), output.(histOut)
			return fmt.Sprintf("%s revision %.4s known %.4s expiry %d -> %v revision %.4s expiry %d", histNames[in.op], in.rev, in.known, in.exp, out.kind, out.rev, out.exp)
		},
	}
	return m.ToModel()
}

// histDo makes one call and returns its result. It returns an error that no
// state of the register explains.
func histDo(c *C, b driver.ModelExpirySupport, id string, in histIn) (histOut, error) {
	at := time.UnixMilli(in.exp).UTC()
	w := driver.Write{Record: model.Record{ID: id, Revision: in.rev, Value: []byte(in.rev.String()), Encoding: "json", ExpiresAt: at}}
	var rec model.Record
	var err error
	switch in.op {
	case histGet:
		rec, err = b.Get(c.ctx(), c.now, driver.Get{ID: id})
		if err == nil && string(rec.Value) != rec.Revision.String() {
			return histOut{}, fmt.Errorf("the record at revision %v has the value of the revision %s", rec.Revision, rec.Value)
		}
	case histCreate:
		w.Cond = driver.IfAbsent
		rec, err = b.Write(c.ctx(), c.now, w)
	case histUpsert:
		w.Cond = driver.IfAny
		rec, err = b.Write(c.ctx(), c.now, w)
	case histUpdate:
		w.Cond, w.Keep.Expiry = driver.IfPresent, true
		rec, err = b.Write(c.ctx(), c.now, w)
	case histCompare:
		w.Cond, w.Keep.Expiry, w.Known.Revision = driver.IfMatch, true, in.known
		rec, err = b.Write(c.ctx(), c.now, w)
	case histExtend:
		rec, err = b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: at})
	case histDelete:
		err = b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent})
	case histDeleteAt:
		err = b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfMatch, Known: model.Record{Revision: in.known}})
	}
	if err != nil {
		return histFailed(err)
	}
	if in.op == histDelete || in.op == histDeleteAt {
		return histOut{}, nil
	}
	return histOut{rev: rec.Revision, exp: rec.ExpiresAt.UnixMilli()}, nil
}

// histFailed returns the result of a call that failed as the contract allows,
// else its error.
func histFailed(err error) (histOut, error) {
	for _, kind := range []error{model.ErrUnknown, model.ErrNotFound, model.ErrExists, model.ErrConflict} {
		if errors.Is(err, kind) {
			return histOut{kind: kind}, nil
		}
	}
	return histOut{}, err
}

// historian makes one call of a client and returns its result.
type historian func(who int, id string, in histIn) (histOut, error)

// histRecord runs the clients on one id and returns the history.
func histRecord(c *C, do historian, id string, seed uint64, clients, calls int, ops []histOp) []porcupine.Operation {
	c.Helper()
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	for i, err := range c.concurrently(clients, func(who int) error {
		rng := rand.New(rand.NewPCG(seed, uint64(who))) //nolint:gosec // a reproducible history
		var seen model.Revision
		for range calls {
			in := histIn{op: ops[rng.IntN(len(ops))], rev: model.NewRevision(), known: seen}
			in.exp = c.in(time.Hour + time.Duration(rng.IntN(1000))*time.Second).UnixMilli()
			if seen.IsZero() && (in.op == histCompare || in.op == histDeleteAt) {
				in.op = histGet
			}
			call := time.Since(start)
			out, err := do(who, id, in)
			ret := int64(time.Since(start))
			if err != nil {
				return fmt.Errorf("%s: %w", histNames[in.op], err)
			}
			if out.kind == model.ErrUnknown { //nolint:errorlint // stored as the sentinel itself
				ret = math.MaxInt64
			}
			if !out.rev.IsZero() {
				seen = out.rev
			}
			mu.Lock()
			history = append(history, porcupine.Operation{ClientId: who, Input: in, Output: out, Call: int64(call), Return: ret})
			mu.Unlock()
		}
		return nil
	}) {
		c.ok(err, "client %d with the seed %d", i, seed)
	}
	return history
}

// linearizable records histories of two nodes, each on an id of its own, and
// checks them.
func linearizable(c *C, clients, calls int, ops ...histOp) {
	c.Helper()
	nodes := []driver.ModelExpirySupport{c.b, c.second()}
	explained(c, 6, clients, calls, func(who int, id string, in histIn) (histOut, error) {
		return histDo(c, nodes[who%len(nodes)], id, in)
	}, ops)
}

// explained records histories and stops the case if no order explains one of
// them.
func explained(c *C, keys, clients, calls int, do historian, ops []histOp) {
	c.Helper()
	for k := range keys {
		seed := rand.Uint64() //nolint:gosec // a failure prints it
		history := histRecord(c, do, fmt.Sprint("key", k), seed, clients, calls, ops)
		switch porcupine.CheckOperationsTimeout(histModel(), history, 30*time.Second) {
		case porcupine.Ok:
		case porcupine.Unknown:
			c.fail("the checker ran out of time on a history of %d calls with the seed %d", len(history), seed)
		default:
			text := ""
			m := histModel()
			for _, op := range history {
				text += fmt.Sprintf("\n    client %d [%d, %d] %s", op.ClientId, op.Call, op.Return, m.DescribeOperation(op.Input, op.Output))
			}
			c.fail("no order of these calls explains their results; the seed is %d:%s", seed, text)
		}
	}
}

// lossy returns a historian that loses the answers of some writes. Each client
// has a node of its own, so that a loss hits no other client. Only a few
// answers are lost, because each unknown call multiplies the possible orders.
func lossy(c *C, clients int, do func(node driver.ModelExpirySupport, who int, id string, in histIn) (histOut, error)) historian {
	c.Helper()
	nodes := make([]driver.ModelExpirySupport, clients)
	for i := range nodes {
		nodes[i] = c.second()
	}
	calls := make([]int, clients)
	return func(who int, id string, in histIn) (histOut, error) {
		calls[who]++
		if in.op != histGet && (calls[who]+who)%4 == 0 {
			c.h.LoseNext(c.TB, nodes[who])
		}
		return do(nodes[who], who, id, in)
	}
}

// histStore makes a call through a Store, which reads after a lost answer. The
// value names the write, as the revision does in histDo.
func histStore(c *C, s *expiry.Store[string], id string, in histIn, versions map[model.Revision]*expiry.Known) (histOut, error) {
	at := time.UnixMilli(in.exp).UTC()
	var it expiry.Item[string]
	var err error
	switch in.op {
	case histCreate:
		it, err = s.Create(c.ctx(), id, in.rev.String(), &expiry.WriteOptions{Expiry: expiry.At(at)})
	case histUpsert:
		it, err = s.Upsert(c.ctx(), id, in.rev.String(), &expiry.WriteOptions{Expiry: expiry.At(at)})
	case histUpdate:
		it, err = s.Update(c.ctx(), id, in.rev.String(), nil)
	case histCompare:
		it, err = s.Update(c.ctx(), id, in.rev.String(), &expiry.WriteOptions{IfMatch: versions[in.known]})
	case histDelete:
		err = s.Delete(c.ctx(), id, nil)
	case histDeleteAt:
		err = s.Delete(c.ctx(), id, &expiry.DeleteOptions{IfMatch: versions[in.known]})
	default:
		it, err = s.Get(c.ctx(), id)
	}
	if err != nil {
		return histFailed(err)
	}
	if in.op == histDelete || in.op == histDeleteAt {
		return histOut{}, nil
	}
	rev, err := model.ParseRevision(it.Value)
	if err != nil {
		return histOut{}, err
	}
	versions[rev] = it.Known()
	return histOut{rev: rev, exp: it.ExpiresAt.UnixMilli()}, nil
}

func historyCases() []Case {
	return group("History",
		that("OfEverythingIsLinearizable", "R1 R4 R15 R18 R19 R31 R38 R39", needNothing, func(c *C) {
			linearizable(c, 4, 15, histGet, histCreate, histUpdate, histCompare, histUpsert, histExtend, histDelete, histDeleteAt)
		}),
		that("OfCompareAndSetIsLinearizable", "R1 R19 R20", needNothing, func(c *C) {
			linearizable(c, 5, 12, histGet, histCreate, histCompare, histCompare)
		}),
		that("OfCreateAndDeleteIsLinearizable", "R1 R15 R16 R38 R40", needNothing, func(c *C) {
			linearizable(c, 5, 12, histCreate, histDelete, histGet)
		}),
		that("OfExtendAndUpdateIsLinearizable", "R1 R31 R34 R4", needNothing, func(c *C) {
			linearizable(c, 5, 12, histCreate, histExtend, histUpdate, histDelete, histGet)
		}),
		that("WithLostAnswersIsLinearizable", "R1 R11 R12 R4", needLoss, func(c *C) {
			const clients = 3
			explained(c, 6, clients, 9, lossy(c, clients, func(b driver.ModelExpirySupport, _ int, id string, in histIn) (histOut, error) {
				return histDo(c, b, id, in)
			}), []histOp{histGet, histGet, histCreate, histUpdate, histCompare, histUpsert, histExtend, histDelete, histDeleteAt})
		}),
		that("OfTheStoreUnderLostAnswersIsLinearizable", "R67 R1 R4 R12", needLoss, func(c *C) {
			const clients = 3
			stores := make([]map[driver.ModelExpirySupport]*expiry.Store[string], clients)
			versions := make([]map[model.Revision]*expiry.Known, clients)
			for i := range stores {
				stores[i], versions[i] = map[driver.ModelExpirySupport]*expiry.Store[string]{}, map[model.Revision]*expiry.Known{}
			}
			explained(c, 6, clients, 9, lossy(c, clients, func(b driver.ModelExpirySupport, who int, id string, in histIn) (histOut, error) {
				s := stores[who][b]
				if s == nil {
					s = storeOn[string](c, b, nil)
					stores[who][b] = s
				}
				return histStore(c, s, id, in, versions[who])
			}), []histOp{histGet, histGet, histCreate, histUpdate, histCompare, histUpsert, histDelete, histDeleteAt})
		}),
		that("OfBatchesIsLinearizable", "R1 R88 R87 R16 R20", needNothing, func(c *C) {
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			explained(c, 4, 4, 10, func(who int, id string, in histIn) (histOut, error) {
				return histDo(c, &oneByBatch{driverkit.Wrap(nodes[who%2])}, id, in)
			}, []histOp{histGet, histCreate, histUpdate, histCompare, histUpsert, histDelete, histDeleteAt})
		}),
	)
}

// oneByBatch makes each call as a batch of the call and another one on a
// neighbour.
type oneByBatch struct{ driverkit.Wrapper }

func (b *oneByBatch) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	out := b.Wrapper.GetMany(ctx, now, driver.Gets(g.ID+"-neighbour", g.ID))
	return out[1].Record, out[1].Err
}

func (b *oneByBatch) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	out := b.Wrapper.WriteMany(ctx, now, []driver.BatchOp{{Write: &w}, removing(w.Record.ID+"-neighbour", driver.IfPresent, model.Record{})})
	return out[0].Record, out[0].Err
}

func (b *oneByBatch) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return b.Wrapper.WriteMany(ctx, now, []driver.BatchOp{removing(d.ID+"-neighbour", driver.IfPresent, model.Record{}), removing(d.ID, d.Cond, d.Known)})[1].Err
}
