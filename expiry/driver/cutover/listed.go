package cutover

import (
	"hash/maphash"

	"github.com/sojourn-go/sojourn/model"
)

// maxListed bounds the memory of a listed to some 10 MB.
const maxListed = 1 << 19

// listed is a set of ids, which holds the first maxListed of them by their hashes.
// The seed is random, so nobody can choose ids with one hash. An id that is not in
// a full set is taken for a member with a chance of one in 2^45.
type listed struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

func newListed() listed { return listed{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (l *listed) add(records []model.Record) {
	for i := range records {
		if len(l.hashes) >= maxListed {
			return
		}
		l.hashes[maphash.String(l.seed, records[i].ID)] = struct{}{}
	}
}

func (l *listed) has(r model.Record) bool {
	_, ok := l.hashes[maphash.String(l.seed, r.ID)]
	return ok
}
