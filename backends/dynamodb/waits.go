package dynamodb

import (
	"context"
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
	part := &call{Waited: driverkit.Waited{Watch: c.Watch}, now: c.now, began: c.began}
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

// mark returns the mark of a request of the call.
func (c *call) mark() *internalaws.Mark {
	return &internalaws.Mark{Stopwatch: c.Watch, Call: &c.Waited}
}
