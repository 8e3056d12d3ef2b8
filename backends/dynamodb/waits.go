package dynamodb

import (
	"context"
	"errors"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
)

// call is what a driver call knows of its time. A part of it that had to wait for
// its turn has a call of its own.
type call struct {
	driverkit.Waited
	now   time.Time
	began time.Duration // by the stopwatch

	// expires is when the record expires that a write is for, as far as the call
	// knows. Zero is never, or that it does not know.
	expires time.Time
}

func (b *Backend) call(now time.Time) *call {
	c := &call{Waited: driverkit.Waited{Watch: b.watch}, now: now}
	c.began = c.Read()
	return c
}

// untimed returns the call of something that does not judge by its time.
func (b *Backend) untimed() *call { return b.call(time.Time{}) }

// at returns the time as of which the call decides.
func (c *call) at() time.Time { return c.Now(c.now) }

// turn returns the call for a part of it. One that could not begin at once has
// waited since the call began.
func (c *call) turn(atOnce bool) *call {
	if atOnce {
		part := *c
		return &part
	}
	part := &call{Waited: driverkit.Waited{Watch: c.Watch}, now: c.now, began: c.began, expires: c.expires}
	part.Add(part.Read() - c.began)
	return part
}

// wait pauses before the next request.
func (c *call) wait(ctx context.Context, pause func(context.Context, time.Duration) error, attempt int) error {
	return c.During(func() error { return wait(ctx, pause, attempt) })
}

// connection is an option of a request. It counts what the request waits for a
// connection, and for another attempt of the SDK. A request for credentials is
// made earlier and is not seen.
func (c *call) connection(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, c.mark().Watch)
}

// errLate ends an attempt at a write that is signed as of a time too early.
var errLate = errors.New("the record has expired while the write waited for a connection")

// late returns what is asked before the body of a write that is signed as of now:
// without it, DynamoDB does not carry out the write. It is an error if the record
// has expired since then. The next attempt, which is signed as of later, is not
// late by the same expiry. It has copies: a client may ask after the call has ended.
func (c *call) late() func(time.Duration) error {
	signed, w, now, expires := c.at(), c.Waited, c.now, c.expires
	if !expires.After(signed) {
		return nil
	}
	return func(more time.Duration) error {
		if w.Add(more); expires.After(w.Now(now)) {
			return nil
		}
		return errLate
	}
}

// mark returns the mark of a request of the call.
func (c *call) mark() *internalaws.Mark {
	return &internalaws.Mark{Stopwatch: c.Watch, Call: &c.Waited}
}
