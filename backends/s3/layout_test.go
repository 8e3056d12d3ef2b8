package s3

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 200)
	for id, want := range map[string]string{
		"a": "i-a", "A": "i-A", "a-b_9": "i-a-b_9", ".": "i-=2e", "..": "i-=2e=2e", "a/b": "i-a=2fb", "x//y": "i-x=2f=2fy",
		"a b": "i-a=20b", "=2e": "i-=3d2e", "%2e": "i-=252e", "😀": "i-=f0=9f=98=80", "é": "i-=c3=a9",
	} {
		p := placeOf(id)
		if p.name != want {
			t.Errorf("the name of %q is %q, want %q", id, p.name, want)
		}
		if back, ok := placeOfName(want); !ok || back.id != id {
			t.Errorf("the id of %q is %q, %v; want %q", want, back.id, ok, id)
		}
	}
	seen := map[string]string{}
	for _, id := range []string{long, long + "x", strings.Repeat("/", 60), strings.Repeat("/", 61), "h-" + strings.Repeat("0", 64), strings.Repeat("é", 256)} {
		p := placeOf(id)
		if other, twice := seen[p.name]; twice || len(p.name) > maxEscaped+2 || strings.ContainsAny(p.name, "./") {
			t.Errorf("the name of %q is %q, which is invalid or the name of %q", id, p.name, other)
		}
		seen[p.name] = id
		if back, ok := placeOfName(p.name); !ok || back.name != p.name || back.id != "" && back.id != id {
			t.Errorf("the place of the name %q is %+v, %v", p.name, back, ok)
		}
	}
	for _, name := range []string{"", "a", "i-", "i-=", "i-=2", "i-=zz", "i-=61", "i-=2E", "i-a.b", "i-a/b", "h-", "h-" + strings.Repeat("g", 64), "h-" + strings.Repeat("0", 63), "i-" + strings.Repeat("x", 129), "i-=00"} {
		if p, ok := placeOfName(name); ok {
			t.Errorf("%q is accepted as the name of %q", name, p.id)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, id := range []string{"a", "..", "x//y", "A=b", strings.Repeat("ü", 100)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if model.CheckID(id) != nil {
			return
		}
		p := placeOf(id)
		back, ok := placeOfName(p.name)
		if !ok || back.name != p.name || back.id != "" && back.id != id || strings.ContainsAny(p.name, "./") {
			t.Errorf("the name of %q is %q, whose id is %q, %v", id, p.name, back.id, ok)
		}
	})
}

func TestEntries(t *testing.T) {
	s := newStamp()
	times := []time.Time{
		time.UnixMilli(1).UTC(), drivertest.Now, drivertest.Now.Add(time.Millisecond), drivertest.Now.Add(time.Hour),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	}
	var keys []string
	for _, at := range times {
		for _, id := range []string{"a", "a-b", strings.Repeat("x", 300)} {
			key := dueKey(at, placeOf(id).name, s)
			got, p, stamp, ok := parseDue(strings.TrimPrefix(key, dueDir+"/"))
			if !ok || !got.Equal(at) || p.name != placeOf(id).name || stamp != s {
				t.Errorf("%s: %v, %q, %v, %v", key, got, p.name, stamp, ok)
			}
			keys = append(keys, key)
		}
	}
	if !slices.IsSortedFunc(keys, func(a, b string) int { return strings.Compare(a[:17], b[:17]) }) {
		t.Errorf("the keys do not sort by time: %q", keys)
	}
	// The entries of a name are together, and afterEntries sorts after them.
	var entries []string
	for _, id := range []string{"a", "a-b", "a=b", "a1", "aa", "a_", "A"} {
		for range 3 {
			entries = append(entries, entryName(placeOf(id).name, newStamp()))
		}
	}
	slices.Sort(entries)
	seen := map[string]bool{}
	for i, e := range entries {
		p, _, ok := parseEntry(e)
		if !ok || i > 0 && seen[p.name] && !strings.HasPrefix(entries[i-1], p.name+".") {
			t.Errorf("%q is an entry: %v; it follows %q", e, ok, entries[max(i-1, 0)])
		}
		seen[p.name] = true
		if after := afterEntries(p.name); after <= e || i+1 < len(entries) && !strings.HasPrefix(entries[i+1], p.name+".") && after >= entries[i+1] {
			t.Errorf("%q does not sort between %q and the next entry", after, e)
		}
	}
	l := &label{name: "principal", value: "ann@example.org", stamp: s}
	key := labelKey(l, "i-a")
	if !isLabelKey(key) || strings.Contains(key, "ann") || labelKey(&label{name: "principal", value: "bob", stamp: s}, "i-a") == key {
		t.Errorf("the key of a label is %q", key)
	}
	for _, bad := range []string{"", "l/", "x/principal/" + strings.Repeat("0", 64) + "/i-a." + s.String(), "l/principal/0/i-a." + s.String(), key + "0", key[:len(key)-1], "l/P/" + key[12:], key + "/x"} {
		if isLabelKey(bad) {
			t.Errorf("%q is accepted as a label entry", bad)
		}
	}
	for _, bad := range []string{"", "00000001/0000001.i-a", "1/0000001.i-a." + s.String(), "00000001/3600000.i-a." + s.String(), "0000000a/0000001.i-a." + s.String(), "00000001/0000001.i-a." + strings.ToUpper(s.String()) + "G"} {
		if _, _, _, ok := parseDue(bad); ok {
			t.Errorf("%q is accepted as an entry by expiry", bad)
		}
	}
}

func TestNew(t *testing.T) {
	c := awss3.New(awss3.Options{Region: "eu-west-1"})
	for _, test := range []struct {
		bucket, prefix string
		opts           *Options
	}{
		{"my-bucket", "carts", nil},
		{"my.bucket.9", "a/b/c.d_e-F", &Options{}},
		{"abc", strings.Repeat("x", 256), &Options{Labels: []string{}, MaxValue: 1, StrayGrace: time.Minute}},
	} {
		b := newBackend(t, c, test.bucket, test.prefix, test.opts)
		if b.Describe().MaxValue <= 0 {
			t.Errorf("%+v", b.Describe())
		}
	}
	errs := map[string]error{}
	_, errs["no client"] = New(nil, "my-bucket", "carts", nil)
	for _, bucket := range []string{
		"ab", strings.Repeat("b", 64), "My-Bucket", "-bucket", "bucket.", "bucket/x", "arn:aws:s3:::bucket", "bucket--use1-az4--x-s3", "bucket--use1-az4--xa-s3",
	} {
		_, errs["bucket "+bucket] = New(c, bucket, "carts", nil)
	}
	for _, prefix := range []string{
		"", "/carts", "carts/", "a//b", "a/../b", ".", "carts/r", "carts/x/y", "l", "p/q", "ä", "a b", strings.Repeat("x", 257),
	} {
		_, errs["prefix "+prefix] = New(c, "my-bucket", prefix, nil)
	}
	for name, opts := range map[string]*Options{
		"negative value": {MaxValue: -1}, "large value": {MaxValue: 1<<30 + 1}, "short grace": {StrayGrace: time.Second}, "invalid label": {Labels: []string{"No"}},
	} {
		_, errs[name] = New(c, "my-bucket", "carts", opts)
	}
	drivertest.NewErrors(t, backendName, errs)
}

// rule returns the lifecycle rule in the plan.
func rule(t testing.TB, b *Backend) types.LifecycleRule {
	t.Helper()
	_, text, ok := strings.Cut(b.StoragePlan(), "--lifecycle-configuration '")
	text, _, _ = strings.Cut(text, "'")
	var conf types.BucketLifecycleConfiguration
	if err := json.Unmarshal([]byte(text), &conf); !ok || err != nil || len(conf.Rules) != 1 {
		t.Fatalf("the plan has no rule: %q, %v", b.StoragePlan(), err)
	}
	return conf.Rules[0]
}

func TestStoragePlan(t *testing.T) {
	b := newBackend(t, awss3.New(awss3.Options{Region: "eu-west-1"}), "my-bucket", "app/carts", nil)
	plan := b.StoragePlan()
	for _, want := range []string{"create-bucket --bucket my-bucket", "LocationConstraint=eu-west-1", "app/carts/store.json", `"ExpiredObjectDeleteMarker":true`, `"Filter":{"Prefix":"app/carts/"}`} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q: %s", want, plan)
		}
	}
	r := rule(t, b)
	if and := r.Filter.And; *and.Prefix != "app/carts/r/" || *and.ObjectSizeLessThan != minHead || *and.ObjectSizeLessThan <= tombstoneSize || *r.Expiration.Days != 1 {
		t.Errorf("the rule is for %q below %d", *and.Prefix, *and.ObjectSizeLessThan)
	}
}
