package file

import (
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

var oddIDs = []string{
	"a", "A", "aA", "Aa", ".", "..", "../x", "a/b", "a//b", "/", `\`, "a b", " ", "a ", "a.", "%", "%41", "=", "=41", "=4", "a=",
	"con", "CON", "nul", "com1", "lpt9", "aux.txt", "i-a", "h-" + strings.Repeat("0", 64), "tmp", "_", "-", "--", "é", "e\u0301", "日本", "🙂",
	"\x01", "\x7f", "\n", "a:b", "a*?<>|\"", strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("A", 42), strings.Repeat("A", 43),
	strings.Repeat("x", 300), strings.Repeat("X", 300), strings.Repeat("é", 256), strings.Repeat("a", 512),
}

func TestPlacesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, id := range oddIDs {
		checkPlace(t, id)
		p := placeOf(id)
		folded := strings.ToLower(p.path())
		if other, ok := seen[folded]; ok {
			t.Errorf("%q and %q have the same file", id, other)
		}
		seen[folded] = id
	}
}

func checkPlace(t *testing.T, id string) {
	t.Helper()
	p := placeOf(id)
	if len(p.entry()) > 143 {
		t.Errorf("%q has a name of %d bytes, want at most 143", id, len(p.entry()))
	}
	for i := range len(p.name) {
		if c := p.name[i]; !isPlain(c) && c != '=' {
			t.Errorf("%q: the name %q has a byte that some file systems change", id, p.name)
		}
	}
	if base, _, _ := strings.Cut(p.name, "."); isDevice(base) {
		t.Errorf("%q: the name %q is a device on Windows", id, p.name)
	}
	back, ok := placeOfEntry(p.entry())
	if !ok || back.name != p.name || back.shard != p.shard {
		t.Errorf("%q: %q reads back as %+v, %v", id, p.entry(), back, ok)
	}
	if !strings.HasPrefix(p.name, hashedPrefix) && back.id != id {
		t.Errorf("%q: %q reads back as the id %q", id, p.name, back.id)
	}
}

func TestForeignNames(t *testing.T) {
	good := placeOf("cart-1")
	foreign := []string{
		"", ".", "..", "README", "lost+found", ".DS_Store", "i-", "i-A", "i-=", "i-=4", "i-=61", "i-=zz", "i-=4A", "i-a.b", "i-a ", "i-=00",
		"h-", "h-0", "h-" + strings.Repeat("g", 64), "h-" + strings.Repeat("A", 64), good.name + "~", "i-" + strings.Repeat("a", 129),
	}
	for _, name := range foreign {
		for shard := range shards {
			if p, ok := placeOfFile(uint8(shard), name); ok {
				t.Fatalf("%q in %02x is taken for the record %q", name, shard, p.id)
			}
		}
	}
	if _, ok := placeOfFile(good.shard+1, good.name); ok {
		t.Error("a record's name in another shard is taken for the record")
	}
	for _, e := range []string{"", "ab", "ab.", "a.i-a", "AB.i-a", "zz.i-a", "abc.i-a"} {
		if _, ok := placeOfEntry(e); ok {
			t.Errorf("%q is taken for an entry", e)
		}
	}
}

func FuzzPlace(f *testing.F) {
	for _, id := range oddIDs {
		f.Add(id, id+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if model.CheckID(a) != nil || model.CheckID(b) != nil {
			return
		}
		checkPlace(t, a)
		if x, y := placeOf(a), placeOf(b); a != b && strings.EqualFold(x.path(), y.path()) {
			t.Errorf("%q and %q have the same file", a, b)
		}
	})
}

func FuzzForeignName(f *testing.F) {
	for _, id := range oddIDs {
		p := placeOf(id)
		f.Add(p.entry())
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if p, ok := placeOfEntry(entry); ok && p.entry() != entry {
			t.Errorf("%q reads as %q", entry, p.entry())
		}
	})
}

func TestBuckets(t *testing.T) {
	tests := []struct {
		at   time.Time
		want string
	}{
		{time.UnixMilli(1), "0000000/0000"},
		{time.Unix(59, 0), "0000000/0000"},
		{time.Unix(60, 0), "0000000/0001"},
		{time.Unix(86400, 0), "0000001/0000"},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "2932896/1439"},
	}
	for _, tt := range tests {
		if got := bucketOf(tt.at).sub(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.at, got, tt.want)
		}
	}
	ordered := func(a, b uint32) bool {
		x, y := bucketOf(time.Unix(int64(a), 0)), bucketOf(time.Unix(int64(b), 0))
		return x < y == (x.sub() < y.sub())
	}
	if err := quick.Check(ordered, nil); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	errs := map[string]error{}
	for _, tt := range []struct {
		name, dir, store string
		opts             *Options
	}{
		{"no directory", "", "store", nil},
		{"a NUL in the directory", "a\x00b", "store", nil},
		{"no name", "d", "", nil},
		{"upper case", "d", "Store", nil},
		{"the parent folder", "d", "..", nil},
		{"a path", "d", "a/b", nil},
		{"a dash first", "d", "-a", nil},
		{"an underscore first", "d", "_a", nil},
		{"a device", "d", "nul", nil},
		{"a numbered device", "d", "com1", nil},
		{"65 characters", "d", strings.Repeat("a", 65), nil},
		{"an invalid label", "d", "store", &Options{Labels: []string{"No"}}},
		{"a label twice", "d", "store", &Options{Labels: []string{"a", "b", "a"}}},
	} {
		_, errs[tt.name] = New(tt.dir, tt.store, tt.opts)
	}
	drivertest.NewErrors(t, backendName, errs)
}
