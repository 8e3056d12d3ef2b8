package redis

import (
	"context"
	"errors"
	"regexp"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// corruptCode returns the ErrCorrupt for the reason that a script replied.
func corruptCode(code string) error {
	switch code {
	case "t":
		return driverkit.Corrupt("the key holds another type than a string")
	case "v":
		return driverkit.Corrupt(driverkit.WhyNewer)
	case "e":
		return driver.ErrEncoding()
	}
	return driverkit.Corrupt(driverkit.WhyForeign)
}

// refusals are the codes with which a server refuses a command before it
// changes anything. Error texts have only the code, because the server's own
// text says no more or quotes the command.
//
//nolint:gosec // codes of the server, no credentials
var refusals = map[string]string{
	"LOADING":     "the server is loading its data",
	"READONLY":    "the server is a read-only replica",
	"OOM":         "the server is out of memory",
	"NOAUTH":      "the server wants a password",
	"WRONGPASS":   "the server refuses the password",
	"NOPERM":      "the user lacks a permission",
	"CLUSTERDOWN": "the cluster is down",
	"TRYAGAIN":    "the slot is moving between nodes",
	"MOVED":       "the slot is on another node: a Redis Cluster needs a cluster's client, as redis+cluster:// makes",
	"ASK":         "the slot is moving between nodes",
	"CROSSSLOT":   "the server finds the keys in different slots",
	"BUSY":        "the server is busy with a script",
	"MISCONF":     "the server cannot persist writes",
	"NOREPLICAS":  "the server has too few replicas",
	"NOSCRIPT":    "the server did not keep the script",
	"UNKILLABLE":  "the server is busy with a script",
	"DENIED":      "the server is in protected mode",
	"MASTERDOWN":  "the replica has lost its master",
	wrongType:     "an index key holds another type",
}

const wrongType = "WRONGTYPE"

// inScript finds the code of an error that a script met, in the words of Redis
// before 7.0:
//
//	ERR Error running script (call to f_0ad…): @user_script:40: @user_script: 40: -OOM command not allowed …
//	@user_script: 40: -READONLY You can't write against a read only replica.
var inScript = regexp.MustCompile(`^(?:ERR Error running script .*|-?)@user_script: ?\d+: -?([A-Z]+)[: ]`)

// since7 is in the text of such an error since Redis 7.0, which begins with the
// code.
const since7 = " script: "

// codeOf returns the code of a server's error and the text after it, wherever
// the server puts them. Ran reports whether a script had begun to run.
func codeOf(text string) (code, rest string, ran bool) {
	if m := inScript.FindStringSubmatchIndex(text); m != nil {
		return text[m[2]:m[3]], text[m[3]+1:], true
	}
	code, rest, _ = strings.Cut(strings.TrimPrefix(text, "-"), " ")
	return strings.TrimSuffix(code, ":"), rest, strings.Contains(rest, since7)
}

// refusal returns the code of a server's error, and why the server sent it.
// Known reports whether the server refused the command, so that nothing
// happened.
func refusal(text string) (code, why string, known bool) {
	code, rest, ran := codeOf(text)
	if why, ok := refusals[code]; ok {
		// A script may lack the permission for a command after others have run.
		return code, code + ": " + why, code != "NOPERM" || !ran
	}
	if code != "ERR" {
		if !isCode(code) {
			code = "ERR" // it may quote anything
		}
		return code, code, false
	}
	switch {
	case strings.HasPrefix(rest, "max number of clients"):
		return code, "ERR: the server has its maximum of clients", true
	case strings.HasPrefix(rest, "unknown command"), strings.HasPrefix(rest, "Unknown command"):
		return code, "ERR: the server does not know the command", true
	case strings.HasPrefix(rest, "DB index"), strings.HasPrefix(rest, "invalid DB index"), strings.HasPrefix(rest, "SELECT is not allowed"):
		return code, "ERR: the server has no database of that number", true
	case strings.HasPrefix(rest, "AUTH <password> called"):
		return code, "ERR: the server has no password, and the client gives one", true
	case strings.HasPrefix(rest, "invalid password"):
		return code, "ERR: the server refuses the password", true
	case strings.HasPrefix(rest, "Protocol error"):
		return code, "ERR: the server refuses the command's size or form", true
	}
	return code, "ERR", false
}

// isCode reports whether a word is in the form of a code.
func isCode(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 'A' || c > 'Z' {
			return false
		}
	}
	return s != ""
}

// replyCode returns the code of a server's error, or an empty string for an
// error that no server sent.
func replyCode(err error) string {
	var reply goredis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	code, _, _ := codeOf(reply.Error())
	return code
}

// unsent reports whether go-redis failed before it had a connection, and why
// if the error does not say so itself.
func unsent(err error) (why string, ok bool) {
	switch {
	case errors.Is(err, goredis.ErrClosed):
		return "the Redis client is closed", true
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return "there is no free connection", true
	case strings.Contains(err.Error(), "all sentinels specified"):
		return "no sentinel answers", true
	}
	return "", driverkit.IsDial(err)
}

// readError returns the error of a read, and makes a cluster's client refresh
// its map of slots if a node may be down.
func (b *Backend) readError(ctx context.Context, err error) error {
	b.refreshSlots(ctx, err)
	return b.explain(ctx, readError(ctx, err))
}

// explain adds to the context's own error what the call waited for.
func (b *Backend) explain(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && err == end { //nolint:errorlint // the context's alone
		return driverkit.EndedWhile(end, b.dialer.why())
	}
	return err
}

// scriptReadError is readError for scripts that only read.
func (b *Backend) scriptReadError(ctx context.Context, err error, _ bool) error {
	return b.readError(ctx, err)
}

// badReadReply returns the error of a read whose answer no script gives.
func badReadReply() error {
	return model.NewError(model.ErrUnavailable, "the server sent an unexpected reply", nil)
}

// writeError returns the error of a write, and makes a cluster's client refresh
// its map of slots if a node may be down.
func (b *Backend) writeError(ctx context.Context, err error, sent bool) error {
	b.refreshSlots(ctx, err)
	return b.explain(ctx, writeError(ctx, err, sent))
}

// refreshSlots makes a cluster's client ask which node serves which slot, after
// an error that may mean that a master has failed. By itself the client asks
// once a minute, or if a node redirects it, which a dead node does not. The
// client asks in the background and at most a few times a second.
func (b *Backend) refreshSlots(ctx context.Context, err error) {
	c, ok := b.client.(interface{ ReloadState(ctx context.Context) })
	if ok && nodeMayBeDown(err) {
		c.ReloadState(ctx)
	}
}

func nodeMayBeDown(err error) bool {
	switch code := replyCode(err); {
	case code != "":
		return code == "CLUSTERDOWN" || code == "MASTERDOWN" || code == "READONLY"
	case errors.Is(err, goredis.ErrClosed), errors.Is(err, goredis.ErrPoolTimeout),
		errors.Is(err, goredis.ErrPoolExhausted), errors.Is(err, context.Canceled):
		return false
	}
	return true
}

// readError returns ErrCorrupt for a key of another type, the context's own
// error if it ended the call, and ErrUnavailable for everything else.
func readError(ctx context.Context, err error) error {
	var reply goredis.Error
	if errors.As(err, &reply) {
		code, why, _ := refusal(reply.Error())
		if code == wrongType {
			return model.NewError(model.ErrCorrupt, why, err)
		}
		return model.NewError(model.ErrUnavailable, why, err)
	}
	if why, ok := unsent(err); ok {
		return driverkit.WriteError(ctx, err, false, why)
	}
	return driverkit.ReadError(ctx, err)
}

// writeError returns ErrUnavailable if the server refused the command or if
// nothing was sent: the write did not happen. It returns ErrUnknown if the
// write may have happened.
func writeError(ctx context.Context, err error, sent bool) error {
	var reply goredis.Error
	if errors.As(err, &reply) {
		code, why, known := refusal(reply.Error())
		switch {
		case code == wrongType:
			// The scripts write to the index keys before the record.
			return model.NewError(model.ErrCorrupt, why, err)
		case known || !sent:
			return model.NewError(model.ErrUnavailable, why, err)
		}
		// A proxy before the server may reply this after it has sent the command.
		return model.NewError(model.ErrUnknown, why, err)
	}
	why, ok := unsent(err)
	return driverkit.WriteError(ctx, err, sent && !ok, why)
}
