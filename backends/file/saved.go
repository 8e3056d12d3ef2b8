package file

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
)

// A count that had to read many records saves what it has read. The first count of
// another process takes from it the shards whose folders have the same stamp still,
// and reads the others. docs/adr/0055 says why that is right.
//
// The file is in the folder of the locks, and never synced:
//
//	0  8  a magic word with the version
//	for each stripe: 16 epoch, 8 number of changes in it
//	  for each of its shards: 1 whether it follows
//	    40 stamp of its folder, 8 records that never expire, 8 others, 8 for each expiry
//	4 CRC32C of everything before
const (
	countsName  = "counts"
	countsPath  = locksDir + "/" + countsName
	countsMagic = "sojcnt\x00\x01"

	// savedFrom is how many records a count reads at least before it saves.
	savedFrom = 1000

	savedStripeHead = 16 + 8
	savedShardHead  = 40 + 8 + 8
)

// savedCounts are what was saved of each stripe; nil if nothing was.
type savedCounts [stripes]*counted

// stamp returns the stamp of a shard's folder. It returns zero if that proves nothing:
// an overlay, a network or an unknown file system may give a folder another's.
func (t *tree) stamp(shard uint8) (s disk.Stamp) {
	if whole, err := t.openedWhole(); !whole || err != nil {
		return disk.Stamp{}
	}
	dir, err := t.folder(recordsDir, false)
	if err == nil {
		s, err = dir.Stamp(hexByte(shard))
	}
	if err != nil {
		return disk.Stamp{}
	}
	return s
}

// isStamped reports whether a shard's folder is as it was when the stamp was made.
func (t *tree) isStamped(shard uint8, s disk.Stamp) bool {
	return s != disk.Stamp{} && t.stamp(shard) == s
}

// adopt takes over the shards that were saved and have not changed since. Its caller
// holds the lock and has called begin.
func (c *counted) adopt(saved *counted, isStamped func(i int, s disk.Stamp) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved.file = c.file
	if saved.epoch != c.epoch || !saved.catchUp() || saved.n != c.n {
		return
	}
	for i, s := range saved.shards {
		if c.shards[i] == nil && s != nil && isStamped(i, s.stamp) {
			c.shards[i] = s
		}
	}
}

// appendTo appends what is known of the stripe.
func (c *counted) appendTo(to []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.catchUp()
	le := binary.LittleEndian
	to = le.AppendUint64(append(to, c.epoch[:]...), c.n)
	for _, s := range c.shards {
		if !known || s == nil || s.stamp == (disk.Stamp{}) {
			to = append(to, 0)
			continue
		}
		to = append(append(to, 1), s.stamp[:]...)
		to = le.AppendUint64(to, uint64(s.never))
		to = le.AppendUint64(to, uint64(len(s.at)))
		for _, at := range s.at {
			to = le.AppendUint64(to, uint64(at))
		}
	}
	return to
}

// saveCounts saves what is counted, if nobody holds the lock that it needs. Whatever
// fails, the next process counts by itself.
func (t *tree) saveCounts() {
	data := []byte(countsMagic)
	for i := range t.counted {
		data = t.counted[i].appendTo(data)
	}
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
	if len(data) > maxFile {
		return
	}
	t.tryWithLock(0, func() {
		tmp, file, err := t.writeTmp(0, data)
		if err != nil {
			return
		}
		if err = file.close(); err == nil {
			err = t.root.Rename(tmp, countsPath)
		}
		if err != nil {
			_ = t.root.Remove(tmp)
		}
	})
}

// readCounts returns what a process has saved, or nothing.
func (t *tree) readCounts() (out savedCounts) {
	dir, err := t.folder(locksDir, false)
	if err != nil {
		return savedCounts{}
	}
	data, err := dir.Read(countsName, maxFile)
	if err != nil {
		return savedCounts{}
	}
	out, ok := parseCounts(data)
	if !ok {
		return savedCounts{}
	}
	return out
}

func parseCounts(data []byte) (out savedCounts, ok bool) {
	le, end := binary.LittleEndian, len(data)-4
	if end < len(countsMagic) || string(data[:len(countsMagic)]) != countsMagic || crc32.Checksum(data[:end], castagnoli) != le.Uint32(data[end:]) {
		return out, false
	}
	data = data[len(countsMagic):end]
	for stripe := range out {
		if len(data) < savedStripeHead {
			return out, false
		}
		c := &counted{n: le.Uint64(data[16:])}
		copy(c.epoch[:], data)
		data = data[savedStripeHead:]
		for i := range c.shards {
			if len(data) == 0 {
				return out, false
			}
			present := data[0] == 1
			if data = data[1:]; !present {
				continue
			}
			if len(data) < savedShardHead || le.Uint64(data[48:]) > uint64(len(data)-savedShardHead)/8 {
				return out, false
			}
			s := &expiries{never: int(le.Uint64(data[40:])), at: make([]int64, le.Uint64(data[48:]))}
			copy(s.stamp[:], data)
			data = data[savedShardHead:]
			for k := range s.at {
				s.at[k] = int64(le.Uint64(data[8*k:]))
			}
			data = data[8*len(s.at):]
			c.shards[i] = s
		}
		out[stripe] = c
	}
	return out, len(data) == 0
}
