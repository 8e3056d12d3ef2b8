package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// scriptLimit is how many commands and elements of replies one run of a script
// may have. A command takes the server a microsecond or two.
const scriptLimit = 800

// limitScripts makes every script fail that has more, for the time of the test.
func limitScripts(t testing.TB) {
	t.Helper()
	guard := fmt.Sprintf(`local redis = (function(real)
local n = 0
local function counted(f)
  return function(...)
    local reply = f(...)
    n = n + 1 + (type(reply) == 'table' and #reply or 0)
    if n > %d then error('the script does too much') end
    return reply
  end
end
return {call = counted(real.call), pcall = counted(real.pcall)}
end)(redis)
`, scriptLimit)
	for _, s := range scripts() {
		own := *s
		t.Cleanup(func() { *s = own })
		source := guard + own.source.(string)
		sum := sha1.Sum([]byte(source))
		*s = script{source: source, digest: hex.EncodeToString(sum[:])}
	}
}

// loadExpired stores the index entries of n records of ann that have expired and
// that the server's TTL has removed.
func loadExpired(t testing.TB, b *Backend, n int) {
	t.Helper()
	labels := map[string]string{"principal": "ann"}
	section, prefix := string(appendLabels(nil, labels)), string(appendLabelValue(nil, "ann"))
	var batch [bucketCount][]string
	flush := func() {
		pipe := b.client.Pipeline()
		for i, ids := range batch {
			k := &b.buckets[i]
			due, all, label := []any{"zadd", k.due}, []any{"zadd", k.ids}, []any{"zadd", k.labels + "principal"}
			for _, id := range ids {
				due = append(due, drivertest.Now.UnixMilli(), id)
				all = append(all, "0", id+"\x00"+section)
				label = append(label, "0", prefix+id)
			}
			batch[i] = nil
			if len(ids) > 0 {
				for _, args := range [][]any{due, all, label} {
					pipe.Do(t.Context(), args...)
				}
			}
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		id := "gone" + strconv.Itoa(i)
		batch[b.bucketOf(id)] = append(batch[b.bucketOf(id)], id)
		if i%20_000 == 19_999 {
			flush()
		}
	}
	flush()
}

// TestScriptsAreBounded counts, lists, sweeps and deletes a store with many
// expired records: no run of a script does more than a fixed amount of work.
func TestScriptsAreBounded(t *testing.T) { scriptsAreBounded(t, 50_000) }

func scriptsAreBounded(t *testing.T, expired int) {
	t.Helper()
	limitScripts(t)
	const anns, bobs = 100, 150 * bucketCount
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprintf("l%02d", i)
	}
	names[0] = "principal"
	b := open(t, &Options{Labels: names})
	ctx := t.Context()
	admin := b.client.(*goredis.Client)
	slow := slowScripts(t, admin)

	live := make([]model.Record, 0, anns+bobs)
	for i := range anns + bobs {
		who := "ann"
		if i >= anns {
			who = "bob"
		}
		live = append(live, drivertest.Record(fmt.Sprint("live", i), who, time.Hour))
	}
	drivertest.Seed(t, b, live...)
	began := time.Now()
	loadExpired(t, b, expired)
	t.Logf("%d expired records were loaded in %v", expired, time.Since(began))

	began = time.Now()
	wantCount(t, b, "principal", "ann", anns) // by the expired entries
	wantCount(t, b, "principal", "bob", bobs) // by the entries of the label
	wantCount(t, b, "principal", "eve", 0)
	wantCount(t, b, "", "", anns+bobs)
	t.Logf("counted in %v", time.Since(began))

	// Lists and prunes what the server removed.
	p, err := b.Page(ctx, drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 3000})
	if err != nil || p.Next == "" {
		t.Fatalf("page: %v", err)
	}
	wantCount(t, b, "principal", "ann", anns)

	// Each of these records has 50 entries.
	many := make([]model.Record, 300)
	for i := range many {
		many[i] = drivertest.Expired(fmt.Sprint("many", i), "ann")
		many[i].ExpiresAt = drivertest.Now.Add(-time.Hour)
		for _, name := range names {
			many[i].Labels[name] = "v"
		}
	}
	drivertest.Seed(t, b, many...)
	for _, announce := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
		began = time.Now()
		const limit = 4000
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: limit, OnExpire: announce})
		if err != nil || swept.Removed != limit || !swept.More {
			t.Fatalf("swept %+v, %v, want %d", swept, err, limit)
		}
		t.Logf("%d records were swept in %v", swept.Removed, time.Since(began))
	}
	wantCount(t, b, "principal", "v", 0)
	wantCount(t, b, "principal", "ann", anns)

	// An update changes all labels, and DeleteStorage meets them.
	full := many[0]
	full.ExpiresAt = time.Time{}
	drivertest.Seed(t, b, full)
	full.Revision, full.Labels = model.NewRevision(), map[string]string{}
	for _, name := range names {
		full.Labels[name] = "w"
	}
	write(t, b, driver.Write{Record: full, Cond: driver.IfPresent})
	drivertest.Seed(t, b, many...)
	began = time.Now()
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("the store was deleted in %v", time.Since(began))
	wantNoKeys(t, b)
	slow()
}

// slowScripts logs how many scripts took more than 2 ms, which depends on what
// else the machine does.
func slowScripts(t testing.TB, c *goredis.Client) (report func()) {
	t.Helper()
	ctx := t.Context()
	for key, value := range map[string]string{"slowlog-log-slower-than": "2000", "slowlog-max-len": "10000"} {
		if err := c.ConfigSet(ctx, key, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Do(ctx, "slowlog", "reset")
	return func() {
		logs, err := c.SlowLogGet(ctx, 10000).Result()
		if err != nil {
			t.Fatal(err)
		}
		slow, most := 0, time.Duration(0)
		for _, l := range logs {
			if strings.HasPrefix(strings.ToLower(l.Args[0]), "eval") {
				slow, most = slow+1, max(most, l.Duration)
			}
		}
		t.Logf("%d scripts took more than 2 ms, the longest %v", slow, most)
	}
}

// betweenPipelines calls do before the second pipeline with scripts.
type betweenPipelines struct {
	mu sync.Mutex
	n  int
	do func()
}

func (h *betweenPipelines) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *betweenPipelines) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (h *betweenPipelines) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if isScript(cmds[0].Name()) {
			h.mu.Lock()
			if h.n++; h.n == 2 {
				h.do()
			}
			h.mu.Unlock()
		}
		return next(ctx, cmds)
	}
}

// TestCountWhileSwept sweeps between the runs of a count's scripts: the count is
// that of the records which live all the time.
func TestCountWhileSwept(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	const living = 5000
	recs := make([]model.Record, living)
	for i := range recs {
		recs[i] = drivertest.Record(fmt.Sprint("live", i), "ann", time.Hour)
	}
	drivertest.Seed(t, b, recs...)
	loadExpired(t, b, 4000) // more than a run visits, and fewer than the label has
	c := clientOf(t, options(t))
	hook := &betweenPipelines{do: func() {
		if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 2000}); err != nil || swept.Removed != 2000 {
			t.Errorf("swept %+v, %v", swept, err)
		}
	}}
	c.AddHook(hook)
	wantCount(t, newOn(t, c, b.name, nil), "principal", "ann", living)
	if hook.n < 2 {
		t.Errorf("%d pipelines: nothing was swept meanwhile", hook.n)
	}
}

// TestUnknownScriptInBatch flushes the server's scripts before a batch: it sends
// the source once, not with every operation.
func TestUnknownScriptInBatch(t *testing.T) {
	for name, test := range map[string]struct {
		open    func(t testing.TB) (*Backend, *proxy)
		sources int
	}{"client": {proxied, 1}, "cluster client": {proxiedCluster, bucketCount}} {
		t.Run(name, func(t *testing.T) {
			b, p := test.open(t)
			const size = 500
			ops := make([]driver.BatchOp, size)
			for i := range ops {
				r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
				if i%50 == 0 {
					r = long(r.ID)
				}
				ops[i].Write = &driver.Write{Record: r, Cond: driver.IfAbsent}
			}
			if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			p.sent()
			for i, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
				if o.Err != nil {
					t.Fatalf("%d: %s", i, drivertest.Causes(o.Err))
				}
			}
			_, commands := p.sent()
			if n := countCommands(commands, "eval"); n != test.sources {
				t.Errorf("the source was sent %d times, want %d", n, test.sources)
			}
			if n := countCommands(commands, "evalsha"); n != 2*size-test.sources {
				t.Errorf("sent %d digests, want %d", n, 2*size-test.sources)
			}
			wantCount(t, b, "principal", "ann", size)
		})
	}
}

// TestLongValueWithOtherLabels updates a value that is too long to be copied in
// a script, without knowing how long the labels are that it keeps.
func TestLongValueWithOtherLabels(t *testing.T) {
	b := open(t, nil)
	for i, who := range []string{"ann", "a much longer name", ""} {
		id := fmt.Sprint("id", i)
		drivertest.Seed(t, b, drivertest.Record(id, who, time.Hour))
		want := drivertest.Record(id, who, time.Hour)
		want.Value = make([]byte, 100<<10)
		sent := want
		sent.Labels = nil
		before := served(t, b.client)["setrange"].calls
		if i == 1 {
			out := b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: sent, Cond: driver.IfPresent, Keep: keepBoth}}})
			drivertest.WantKind(t, out[0].Err, nil)
		} else {
			write(t, b, driver.Write{Record: sent, Cond: driver.IfPresent, Keep: keepBoth})
		}
		if got := drivertest.Get(t, b, id); len(got.Value) != len(want.Value) || got.Labels["principal"] != who || !got.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("%q: got %v", who, got.Head())
		}
		if n := served(t, b.client)["setrange"].calls - before; n > 1 {
			t.Errorf("%q: SETRANGE %d times: the script copied the value", who, n)
		}
	}
}
