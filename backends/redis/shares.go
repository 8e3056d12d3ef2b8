package redis

import "math"

// A page does not know how many entries each bucket has. Ids are spread evenly over
// the buckets, so the numbers differ by chance alone.

// withChance returns a number of entries that a bucket hardly exceeds by chance if
// buckets have mean entries each.
func withChance(mean float64) int {
	return int(math.Ceil(mean + 2*math.Sqrt(mean) + 4))
}

// minShare is the smallest part of a page's limit.
const minShare = 8

// pageShares returns how many ids a page reads of each of the next buckets, of
// which there are at most count. It reads up to its limit of the first one. Each is
// that of a position.
//
// If each is not known, it reads all buckets, so that a small listing is read at once.
// It gets to bucket i only if those before have fewer ids together than the limit, and
// so about limit/(i+1) each. If each is known, it reads only those that it needs.
func pageShares(limit, count, each int) []int {
	shares := make([]int, 0, min(count, 64))
	most, mean := float64(limit), float64(each)/sixteenths
	for i := range count {
		share := limit
		switch {
		case i == 0:
		case each == 0:
			share = min(max(limit/8, minShare), withChance(most/float64(i+1)))
		default:
			left := most + 3*math.Sqrt(most) - float64(i)*mean
			if left <= 0 {
				return shares
			}
			share = min(withChance(mean), int(math.Ceil(left)))
		}
		shares = append(shares, min(share, limit))
	}
	return shares
}

const (
	sixteenths = 16
	// maxEach bounds what a page token says of a bucket: no page reads more of it.
	maxEach = maxPage * sixteenths
)

// density is what a page has seen of the numbers of entries.
type density struct {
	each         int // what the pages before have seen
	buckets, sum int // those read from start to end, and their entries
}

// whole adds a bucket that was read from start to end.
func (d *density) whole(entries int) { d.buckets, d.sum = d.buckets+1, d.sum+entries }

// full returns the mean for the page's last bucket, which has entries and more.
func (d *density) full(entries int) int {
	if d.buckets == 0 {
		return min(max(d.each, entries*sixteenths), maxEach)
	}
	return d.mean()
}

// mean returns the mean of the buckets of this page, in sixteenths.
func (d *density) mean() int {
	if d.buckets == 0 {
		return d.each
	}
	return min(max(d.sum*sixteenths/d.buckets, 1), maxEach)
}
