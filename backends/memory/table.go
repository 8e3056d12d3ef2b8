package memory

import "maps"

// sparse is the size below which nothing gives its room back.
const sparse = 64

// table is a map that gives its room back: a Go map never shrinks. It is copied
// when three quarters of it are gone, which costs little on average.
type table[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest size since the map was made
}

func newTable[K comparable, V any](size int) table[K, V] {
	return table[K, V]{m: make(map[K]V, size)}
}

func (t *table[K, V]) put(k K, v V) {
	t.m[k] = v
	t.peak = max(t.peak, len(t.m))
}

func (t *table[K, V]) remove(k K) {
	delete(t.m, k)
	if t.peak < sparse || len(t.m) > t.peak/4 {
		return
	}
	kept := newTable[K, V](len(t.m))
	maps.Copy(kept.m, t.m)
	kept.peak = len(t.m)
	*t = kept
}
