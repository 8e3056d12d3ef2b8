package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Check looks at each master and at the storage: the server's version, role,
// scripts, eviction policy, persistence and largest value, and whether all
// indexes are whole. It stores nothing but keys that expire within a minute.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	found, err := b.inspect(ctx, true)
	if err != nil {
		return nil, err
	}
	server, err := b.look(ctx, true)
	if err != nil {
		return nil, err
	}
	checks := append(append(found.checks(), server.checks(b)...), found.checkIndexes()...)
	return append(checks, server.checkClock()), nil
}

// warn logs what CreateStorage does not refuse, also that the eviction policy is
// unknown, which may break promises without an error.
func (b *Backend) warn(ctx context.Context, checks driver.Checks) {
	for _, c := range checks {
		if c.Level == driver.CheckWarning || c.Level == driver.CheckUnknown && c.Name == evictionCheck {
			b.logger.WarnContext(ctx, "Redis: "+c.Name+" is not as it should be", "store", b.name, "found", c.Seen, "needed", c.Need, "do", c.Fix)
		}
	}
}

// checks says whether the server's commands do what the scripts rest on.
func (f *inspection) checks() driver.Checks {
	one := driver.Finding{Name: "scripts", Need: "Lua scripts and sorted sets as in Redis 6.2"}
	if f.probe == nil {
		return nil
	}
	reply, err := f.probe.Text()
	switch code := replyCode(err); {
	case err == nil && reply == "o":
		one.Seen = "they run"
	case err == nil:
		one.Level, one.Seen = driver.CheckUnsafe, "another result of "+reply
	case code == "ERR":
		_, why, _ := refusal(err.Error())
		one.Level, one.Seen = driver.CheckUnsafe, why
	default: // the user or the state of the server
		_, why, _ := refusal(err.Error())
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, why, "give the user the permissions of ACLRules"
		return driver.Checks{one}
	}
	if one.Level != driver.CheckRight {
		one.Fix = "use Redis 6.2 or later, Valkey, or another server that passes the suite"
	}
	return driver.Checks{one}
}

// checkIndexes says whether all indexes have their marks.
func (f *inspection) checkIndexes() driver.Checks {
	one := driver.Finding{Name: "indexes", Seen: "whole", Need: "the layout's version, and a mark in each index"}
	if len(f.foreign) > 0 {
		one.Level, one.Seen = driver.CheckUnsafe, oneLine(f.foreign)
		one.Fix = "remove what another program made, or give the store another name"
	} else if lost := f.unmarked(); len(lost) > 0 {
		one.Level, one.Seen, one.Fix = driver.CheckUnsafe, "no mark in "+oneLine(lost), "call CreateStorage, which rebuilds indexes from the records"
	}
	return driver.Checks{one}
}

// node is what one master says of itself. Texts that it does not reveal are
// empty.
type node struct {
	info, config map[string]string
	sent, got    time.Time // when it was asked, and had answered
}

// get returns a setting, by its name in CONFIG and in INFO.
func (n *node) get(config, info string) string {
	if v, ok := n.config[config]; ok {
		return v
	}
	return n.info[info]
}

// nodes are the masters, and what concurrent runs of counter.lua returned.
type nodes struct {
	all    []node
	counts []int
}

// eachNode calls do with a client of each master, at the same time.
func (b *Backend) eachNode(ctx context.Context, do func(context.Context, goredis.UniversalClient) error) error {
	if c, ok := b.client.(eachMaster); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return do(ctx, c) })
	}
	return do(ctx, b.client)
}

// contenders is how many runs of counter.lua go on at the same time.
const contenders = 16

// look asks each master for its settings. With race, it also runs scripts on one
// key concurrently, from as many connections as the client has.
func (b *Backend) look(ctx context.Context, race bool) (found nodes, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	counts := make([]int, 0, contenders)
	var raced error
	if key := b.probeKey(); race {
		group.Go(func() {
			_, raced = driverkit.Race(contenders, func(int) (bool, error) {
				cmd := newTrial(ctx, "eval", counterLua, 1, key, contenders)
				left, err := b.process(ctx, cmd)
				if left || err != nil && replyCode(err) == "" {
					return false, b.readError(ctx, err)
				}
				n, err := cmd.Int()
				if err != nil { // refused, as the other trial tells
					return false, nil
				}
				mu.Lock()
				defer mu.Unlock()
				counts = append(counts, n)
				return true, nil
			})
		})
	}
	all := []node{}
	left, err := b.await(ctx, func() error {
		return b.eachNode(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
			one, err := ask(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, one)
			return err
		})
	})
	group.Wait()
	if left || err != nil {
		return nodes{}, b.readError(ctx, err)
	}
	return nodes{all: all, counts: counts}, raced
}

// ask reads the settings of one server. A server may refuse that.
func ask(ctx context.Context, c goredis.UniversalClient) (node, error) {
	pipe := c.Pipeline()
	info := pipe.Info(ctx)
	configs := []*goredis.MapStringStringCmd{pipe.ConfigGet(ctx, "maxmemory*"), pipe.ConfigGet(ctx, "save"), pipe.ConfigGet(ctx, "proto-max-bulk-len")}
	sent := time.Now()
	if _, err := pipe.Exec(ctx); err != nil && replyCode(err) == "" {
		return node{}, err
	}
	n := node{info: parseInfo(info.Val()), config: map[string]string{}, sent: sent, got: time.Now()}
	for _, c := range configs {
		for name, value := range c.Val() {
			n.config[name] = value
		}
	}
	return n, nil
}

// parseInfo returns the fields of INFO.
func parseInfo(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// hides reports whether the client hides the nodes of a cluster, of which one has
// sent this INFO: a wrapper that has no ForEachMaster. The client of one server is
// redirected if there are others.
func (b *Backend) hides(info map[string]string) bool {
	if _, single := b.client.(*goredis.Client); single || info["cluster_enabled"] != "1" {
		return false
	}
	_, ok := b.client.(eachMaster)
	return !ok
}

// eachMaster is the method of a cluster's client that knows its nodes.
type eachMaster interface {
	ForEachMaster(ctx context.Context, fn func(ctx context.Context, c *goredis.Client) error) error
}

// trial is a command that tries the server. Go-redis never sends it twice: a
// second run would find what the first has left.
type trial struct{ *goredis.Cmd }

func newTrial(ctx context.Context, args ...any) *trial {
	cmd := goredis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return &trial{cmd}
}

// NoRetry tells go-redis not to send the command again after an error.
func (*trial) NoRetry() bool { return true }

const (
	keepsAll      = "noeviction"
	evictionCheck = "eviction policy"
)

// keptAll reports whether all servers say that they have evicted nothing since
// they started.
func (f *nodes) keptAll() bool {
	return !slices.ContainsFunc(f.all, func(n node) bool { return n.info["evicted_keys"] != "0" })
}

// evicts reports whether a server is known to evict keys, or to have done so
// since it started.
func (f *nodes) evicts() bool {
	return slices.ContainsFunc(f.all, func(n node) bool {
		policy, evicted := n.policy(), n.info["evicted_keys"]
		return policy != "" && policy != keepsAll || evicted != "" && evicted != "0"
	})
}

func (n *node) policy() string { return n.get("maxmemory-policy", "maxmemory_policy") }

// worst keeps the most serious finding of several servers: unsafe before
// warning, before unknown.
func worst(a, b driver.Finding) driver.Finding {
	rank := func(l driver.CheckLevel) int {
		return slices.Index([]driver.CheckLevel{driver.CheckRight, driver.CheckUnknown, driver.CheckWarning, driver.CheckUnsafe}, l)
	}
	if rank(b.Level) > rank(a.Level) {
		return b
	}
	return a
}

// checks says what is wrong with the servers.
func (f *nodes) checks(b *Backend) driver.Checks {
	var out driver.Checks
	for i := range f.all {
		n := &f.all[i]
		for at, one := range []driver.Finding{n.checkEviction(b.allowEviction), n.checkVersion(), n.checkRole(), n.checkPersistence(), n.checkSize(b.gate.MaxValue()), b.checkNodes(n)} {
			if i == 0 {
				out = append(out, one)
			} else {
				out[at] = worst(out[at], one)
			}
		}
	}
	if len(f.counts) > 0 {
		one := driver.Finding{Name: "atomic scripts", Seen: "they are", Need: "scripts that run one after another"}
		slices.Sort(f.counts)
		if len(slices.Compact(f.counts)) < len(f.counts) {
			one.Level, one.Seen = driver.CheckUnsafe, "two scripts that read the same before they wrote"
			one.Fix = "use a server that runs scripts one after another"
		}
		out = append(out, one)
	}
	return out
}

// checkClock compares the clock with the one that is off most. A record's TTL is a
// duration, so the server's own clock removes nothing early.
func (f *nodes) checkClock() driver.Finding {
	var one driver.Finding
	for i, n := range f.all {
		clock := driverkit.Clock{Sent: n.sent, Got: n.got, Step: time.Microsecond}
		if at, err := strconv.ParseInt(n.info["server_time_usec"], 10, 64); err == nil {
			clock.Server = time.UnixMicro(at)
		}
		if found := clock.Finding(); i == 0 {
			one = found
		} else {
			one = worst(one, found)
		}
	}
	return one
}

// checkNodes says whether all nodes of a cluster are looked at.
func (b *Backend) checkNodes(n *node) driver.Finding {
	one := driver.Finding{Name: "nodes", Seen: "all", Need: "a client that names all masters"}
	if b.hides(n.info) {
		one.Level, one.Seen = driver.CheckWarning, fmt.Sprintf("one node of a cluster, because the client, a %T, hides the others", b.client)
		one.Fix = "give the wrapper the method ForEachMaster of *redis.ClusterClient: else lost indexes cannot be rebuilt, and the checks are of one node"
	}
	return one
}

func (n *node) checkEviction(allowed bool) driver.Finding {
	one := driver.Finding{Name: evictionCheck, Seen: n.policy(), Need: keepsAll}
	switch one.Seen {
	case keepsAll:
		return one
	case "":
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, "neither CONFIG GET nor INFO tells it", "give the user +info, and make sure that the policy is noeviction: with another one the server drops keys"
		return one
	}
	one.Level = driver.CheckUnsafe
	if allowed {
		one.Level = driver.CheckWarning
	}
	loses := "keys: indexes and with them whole listings, and records"
	if strings.HasPrefix(one.Seen, "volatile-") {
		loses = "records before they expire"
	}
	one.Seen = fmt.Sprintf("maxmemory-policy %s (maxmemory %s), with which the server drops %s", one.Seen, n.get("maxmemory", "maxmemory"), loses)
	one.Fix = "set maxmemory-policy noeviction and enough memory (on a managed service, in its parameter group), or use a server of its own; " +
		"Options.AllowEviction and allow_eviction=true in a URL accept the losses"
	return one
}

// oldest is the first version of Redis that has all commands that are used.
var oldest = [2]int{6, 2}

func (n *node) checkVersion() driver.Finding {
	version := n.info["redis_version"]
	one := driver.Finding{Name: "version", Seen: "version " + version, Need: "Redis 6.2 or later"}
	parts := strings.SplitN(version+"..", ".", 3)
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	switch {
	case err1 != nil || err2 != nil:
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, "no version in INFO", "give the user +info"
	case major < oldest[0] || major == oldest[0] && minor < oldest[1]:
		one.Level, one.Fix = driver.CheckUnsafe, "use a newer server"
	}
	return one
}

func (n *node) checkRole() driver.Finding {
	one := driver.Finding{Name: "role", Seen: n.info["role"], Need: "master"}
	switch one.Seen {
	case "master":
	case "":
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, "no role in INFO", "give the user +info"
	default:
		one.Level, one.Fix = driver.CheckUnsafe, "connect to the master, for example with redis+sentinel://"
	}
	return one
}

func (n *node) checkPersistence() driver.Finding {
	one := driver.Finding{Name: "persistence", Seen: "appendonly yes", Need: "appendonly yes, or a snapshot schedule in save"}
	save, saves := n.config["save"]
	switch {
	case n.info["aof_enabled"] == "1":
	case save != "":
		one.Seen = "save " + strconv.Quote(save)
	case !saves:
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, "appendonly no or unknown, save unknown", "give the user +config|get and +info"
	default:
		one.Level, one.Seen, one.Fix = driver.CheckWarning, "neither", "set appendonly yes: else a restart of the server loses all records"
	}
	return one
}

func (n *node) checkSize(maxSize int) driver.Finding {
	const option = "proto-max-bulk-len"
	one := driver.Finding{Name: "largest value", Seen: option + " " + n.config[option], Need: "at least Options.MaxValue and 128 KB"}
	limit, err := strconv.Atoi(n.config[option])
	switch {
	case err != nil:
		one.Level, one.Seen, one.Fix = driver.CheckUnknown, "no "+option+" in CONFIG GET", "give the user +config|get"
	case limit < maxSize+maxHead:
		one.Level, one.Fix = driver.CheckWarning, "lower Options.MaxValue to "+strconv.Itoa(max(limit-maxHead, 0))+" or raise "+option
	}
	return one
}
