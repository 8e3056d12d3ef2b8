package file

import (
	"slices"
	"strconv"
	"sync"
)

// A folder is read as a whole, in no order. So what a page or a sweep does not
// reach is kept for the one that goes on there: reading the folder for each page
// would make a listing quadratic.
const (
	maxChunks     = 16
	maxChunkNames = 1 << 16 // of one chunk
	maxNames      = 1 << 18 // of all chunks
)

// chunk is the part of a folder's entries that a listing or a sweep has not
// visited, in order.
type chunk struct {
	key   string
	names []string
	next  string // the position after which the folders are read again
	end   bool   // nothing comes after the names
}

// cut limits the chunk's names. What is cut off will be read again.
func (c *chunk) cut() {
	if len(c.names) > maxChunkNames {
		c.names = slices.Clone(c.names[:maxChunkNames]) // the others are freed
		c.next, c.end = c.names[maxChunkNames-1], false
	}
}

// chunks keeps a few chunks, each for one use: a repeated page reads the folder
// again.
type chunks struct {
	mu    sync.Mutex
	list  []chunk // the oldest first
	names int
}

// put keeps a chunk. It forgets the oldest ones if there are too many.
func (c *chunks) put(k chunk) {
	k.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(k.key); i >= 0 {
		c.removeAt(i)
	}
	c.list = append(c.list, k)
	c.names += len(k.names)
	for len(c.list) > maxChunks || c.names > maxNames {
		c.removeAt(0)
	}
}

// take returns the chunk with the key and forgets it.
func (c *chunks) take(key string) (chunk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(key)
	if i < 0 {
		return chunk{}, false
	}
	k := c.list[i]
	c.removeAt(i)
	return k, true
}

func (c *chunks) find(key string) int {
	return slices.IndexFunc(c.list, func(k chunk) bool { return k.key == key })
}

func (c *chunks) removeAt(i int) {
	c.names -= len(c.list[i].names)
	c.list = slices.Delete(c.list, i, i+1)
}

// chunkKey joins parts so that no two lists of parts have the same key.
func chunkKey(parts ...string) string {
	var key []byte
	for _, p := range parts {
		key = strconv.AppendQuote(key, p)
	}
	return string(key)
}
