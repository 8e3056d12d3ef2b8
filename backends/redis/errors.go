package redis

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Why a stored record is corrupt.
const (
	whyForeign = "what is stored there is no whole record"
	whyNewer   = "it has a newer format than this version can read"
	whyType    = "the key holds another type than a string"
)

func corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

// corruptCode is a script's word for why.
func corruptCode(code string) error {
	switch code {
	case "t":
		return corrupt(whyType)
	case "v":
		return corrupt(whyNewer)
	}
	return corrupt(whyForeign)
}

// refusals are the codes with which a server refuses a command before it
// changes anything. Their texts say no more than the code, or quote the
// command, so that the code alone goes into messages.
//
//nolint:gosec // codes of the server, no credentials
var refusals = map[string]string{
	"LOADING":     "the server is loading its data",
	"READONLY":    "the server is a read-only replica",
	"OOM":         "the server is out of memory",
	"NOAUTH":      "the server wants a password",
	"WRONGPASS":   "the server refuses the password",
	"NOPERM":      "the user lacks a permission",
	"MASTERDOWN":  "the replica has lost its master",
	"CLUSTERDOWN": "the cluster is down",
	"TRYAGAIN":    "the slot is moving between nodes",
	"MOVED":       "the slot has moved to another node",
	"ASK":         "the slot is moving between nodes",
	"CROSSSLOT":   "the server finds the keys in different slots",
	"BUSY":        "the server is busy with a script",
	"MISCONF":     "the server cannot persist writes",
	"NOREPLICAS":  "the server has too few replicas",
	"NOSCRIPT":    "the server did not keep the script",
	"UNKILLABLE":  "the server is busy with a script",
	"DENIED":      "the server is in protected mode",
	"WRONGTYPE":   "an index key holds another type",
}

// refusal says why a server refused a command, given its own words.
func refusal(text string) (string, bool) {
	code, rest, _ := strings.Cut(text, " ")
	if why, ok := refusals[strings.TrimSuffix(code, ":")]; ok {
		return code + ": " + why, true
	}
	if code != "ERR" && code != "-ERR" {
		return code, false
	}
	switch {
	case strings.HasPrefix(rest, "max number of clients"):
		return "ERR: the server has its maximum of clients", true
	case strings.HasPrefix(rest, "unknown command"), strings.HasPrefix(rest, "Unknown command"):
		return "ERR: the server does not know the command", true
	case strings.HasPrefix(rest, "invalid password"):
		return "ERR: the server refuses the password", true
	case strings.HasPrefix(rest, "Protocol error"):
		return "ERR: the server refuses the command's size or form", true
	}
	return "ERR", false
}

// unsent reports whether go-redis failed before it had a connection.
func unsent(err error) bool {
	return errors.Is(err, goredis.ErrClosed) || errors.Is(err, goredis.ErrPoolTimeout) ||
		errors.Is(err, goredis.ErrPoolExhausted) || driverkit.IsDial(err)
}

// readFault is readFault for a client that may have to look anew.
func (b *Backend) readFault(ctx context.Context, err error) error {
	b.lookAnew(ctx, err)
	return readFault(ctx, err)
}

// writeFault is writeFault for a client that may have to look anew.
func (b *Backend) writeFault(ctx context.Context, err error, sent bool) error {
	b.lookAnew(ctx, err)
	return writeFault(ctx, err, sent)
}

// lookAnew tells a cluster's client to ask who serves what, after an error that
// may mean that a master has failed. By itself the client asks when a node
// sends it elsewhere, which a dead one does not, or once a minute: so long
// would all calls go to a node that is gone. It asks in the background, and a
// few times a second at most.
func (b *Backend) lookAnew(ctx context.Context, err error) {
	c, ok := b.client.(interface{ ReloadState(ctx context.Context) })
	if ok && mayHaveFailed(err) {
		c.ReloadState(ctx)
	}
}

func mayHaveFailed(err error) bool {
	var reply goredis.Error
	switch {
	case errors.As(err, &reply):
		code, _, _ := strings.Cut(reply.Error(), " ")
		return code == "CLUSTERDOWN" || code == "MASTERDOWN" || code == "READONLY"
	case errors.Is(err, goredis.ErrClosed), errors.Is(err, goredis.ErrPoolTimeout),
		errors.Is(err, goredis.ErrPoolExhausted), errors.Is(err, context.Canceled):
		return false
	}
	return true
}

// readFault is the error of a read: the context's own where it ended before
// anything was sent, else ErrUnavailable, with ErrCorrupt for a key of another
// type.
func readFault(ctx context.Context, err error) error {
	var reply goredis.Error
	if errors.As(err, &reply) {
		why, _ := refusal(reply.Error())
		if strings.HasPrefix(why, "WRONGTYPE") {
			return model.NewError(model.ErrCorrupt, why, err)
		}
		return model.NewError(model.ErrUnavailable, why, err)
	}
	if unsent(err) {
		return unavailable(ctx, err)
	}
	if driverkit.IsContext(err) {
		return err
	}
	return model.NewError(model.ErrUnavailable, "the answer was lost", driverkit.WithContext(ctx, err))
}

// writeFault is the error of a write. What the server refused and what was not
// sent did not happen; any other error leaves open whether it did.
func writeFault(ctx context.Context, err error, sent bool) error {
	var reply goredis.Error
	if errors.As(err, &reply) {
		why, known := refusal(reply.Error())
		switch {
		case strings.HasPrefix(why, "WRONGTYPE"):
			// The scripts touch index keys of another type before the record.
			return model.NewError(model.ErrCorrupt, why, err)
		case known || !sent:
			return model.NewError(model.ErrUnavailable, why, err)
		}
		// A proxy between client and server may say so after it has sent.
		return model.NewError(model.ErrUnknown, why, err)
	}
	if unsent(err) || !sent {
		return unavailable(ctx, err)
	}
	return model.NewError(model.ErrUnknown, "", driverkit.WithContext(ctx, err))
}

// unavailable is the error of what was not sent.
func unavailable(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, goredis.ErrClosed):
		return model.NewError(model.ErrUnavailable, "the Redis client is closed", err)
	case driverkit.IsContext(err) && ctx.Err() != nil:
		return ctx.Err()
	case driverkit.IsDial(err):
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return model.NewError(model.ErrUnavailable, "no free connection", err)
	}
	return model.NewError(model.ErrUnavailable, "nothing was sent", err)
}
