package elasticsearch

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record. It sends one _bulk with that field
// if Known has a server version, else it reads the record without its value
// first. A touch that changes nothing is one read.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	w := newTouchTask(now, &t)
	b.run(ctx, now, w)
	return w.rec, w.err
}

// sweepStep is the maximum number of records that a sweep handles with one
// search and one _bulk.
const sweepStep = 500

// DeleteExpired removes records that had expired at s.Before: one refresh, and
// for each 500 of them one search, which returns those that expired first, and
// one _bulk. Each is removed at the version that the search returned. A record
// that was written or extended meanwhile has a newer version and stays.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	w := b.waited() // a sweep decides by s.Before, however long it waits
	if err := b.refresh(ctx, w); err != nil {
		return driver.Swept{}, err
	}
	lost := "" // an epoch whose alias the server does not have
	var after []json.RawMessage
	return tally.Run(ctx, func(n int) (more bool, err error) {
		q := &query{
			filter: []clause{removable(s.Before)}, sort: []string{fieldExpires, fieldID}, after: after, size: min(n, sweepStep), read: noMore,
		}
		docs, err := b.search(ctx, w, q)
		if err != nil || len(docs) == 0 {
			return false, err
		}
		lost = b.remove(ctx, b.removals(s.Before, docs, lost, tally), tally)
		if lost != "" { // another process may have created the index again: look once more
			after = nil
			return true, nil
		}
		after = docs[len(docs)-1].Sort
		return len(docs) == q.size, nil
	})
}

// removable matches expired records, and what interrupted probes have left.
func removable(before time.Time) clause {
	return clause{"bool": clause{"should": []clause{
		{"bool": clause{"filter": []clause{ofFormat, expiredAt(before)}}}, leftByProbes(before),
	}}}
}

// removals announces the expired records and returns the removals of those that
// may go. It notes an error if some cannot.
func (b *Backend) removals(before time.Time, docs []foundDoc, lost string, tally *driverkit.Tally) []action {
	var actions []action
	for i := range docs {
		if d := &docs[i]; isProbe(d.ID) {
			version := docVersion{b.epochOf(d.Index), d.Seq, d.Term}
			actions = append(actions, action{verb: "delete", id: d.ID, version: &version})
			continue
		}
		s := b.decode(&docs[i], noMore)
		if s.err != nil || !s.rec.Expired(before) {
			continue
		}
		if err := b.checkEpoch(s.version.epoch, lost); err != nil {
			tally.Failed(0, err)
			continue
		}
		if tally.Accepts(&s.rec) {
			actions = append(actions, action{verb: "delete", id: s.rec.ID, version: &s.version})
		}
	}
	return actions
}

// remove sends the removals and counts them. A record that has a newer version
// stays, which is not an error. Remove returns the epoch if the server does not
// have its alias.
func (b *Backend) remove(ctx context.Context, actions []action, tally *driverkit.Tally) (lost string) {
	for i, r := range b.bulk(ctx, actions) {
		switch {
		case isProbe(actions[i].id): // if this failed, the next sweep tries again
		case r.ok():
			tally.Removed(1)
		case r.noIndex():
			lost = actions[i].version.epoch
		case !r.conflict():
			tally.Failed(1, b.itemError(&r))
		}
	}
	return lost
}
