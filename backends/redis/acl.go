package redis

import "strings"

// permissions are the commands that a backend sends and that its scripts carry
// out.
var permissions = [...]string{
	"+get", "+getrange", "+strlen", "+exists", "+set", "+setrange", "+rename", "+renamenx", "+pexpire", "+pttl", "+persist", "+unlink",
	"+zadd", "+zrem", "+zscore", "+zcard", "+zcount", "+zlexcount", "+zrange", "+zrangebyscore", "+zrangebylex", "+zremrangebylex",
	"+hsetnx", "+hgetall", "+evalsha", "+eval", "+ping", "+info",
}

// ACLRules returns the rules for ACL SETUSER that let a user do all that a
// backend on the named store does, and touch no key of another store:
//
//	args := []any{"ACL", "SETUSER", "app", "on", ">" + password}
//	for _, rule := range redis.ACLRules("carts") {
//		args = append(args, rule)
//	}
//	err := client.Do(ctx, args...).Err()
//
// They replace the user's earlier keys and commands. Redis takes no name with
// spaces in a rule. See the section on permissions for what Check, a rebuild by SCAN
// and the client of a cluster also need.
func ACLRules(name string) []string {
	return append([]string{"resetkeys", "~" + keyPattern(name), "-@all"}, permissions[:]...)
}

// keyPattern returns the glob pattern of the store's keys. The brace ends the
// name, which has none: n:* would have the keys of the store n:admin too.
func keyPattern(name string) string {
	return globEscaper.Replace(name) + ":{*"
}

var globEscaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)
